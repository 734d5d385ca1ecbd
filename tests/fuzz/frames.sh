#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A short run of the fuzzer of frames, from the corpus on, and always the same; `make fuzz` is the long one.
set -u
cd "$(dirname "$0")/../.." || exit 1
found=$(mktemp -d /tmp/xfwd-test-XXXXXX)
trap 'rm -rf "$found"' EXIT
seed=${XFWD_SEED:-1}

echo 1..1
if [[ $(id -u) != 0 ]]; then
	echo "ok 1 - frames # SKIP needs root"
elif build/fuzz/frame_fuzz -seed=$((seed & 0xffffffff)) -runs=25000 -max_total_time=60 -max_len=8192 \
	-len_control=0 -artifact_prefix=build/fuzz/ "$found" tests/fuzz/corpus/frames >"$found.log" 2>&1; then
	grep -E "^Done" "$found.log" | sed 's/^/# /'
	echo "ok 1 - frames"
else
	echo "# XFWD_SEED=$seed"
	grep -vE "NEW|REDUCE|pulse" "$found.log" | tail -n 40 | sed 's/^/# /'
	echo "not ok 1 - frames"
fi
rm -f "$found.log"
