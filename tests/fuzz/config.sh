#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A short run of the fuzzers of configurations, in text and in JSON, from their corpora on, and always
# the same; `make fuzz` is the long one.
set -u
cd "$(dirname "$0")/../.." || exit 1
temp=$(mktemp -d /tmp/xfwd-test-XXXXXX)
trap 'rm -rf "$temp"' EXIT
log=$temp/log
seed=${XFWD_SEED:-1}
status=0 number=0

short() { # NAME [OPTION ...]
	local name=$1
	shift
	mkdir "$temp/$name" # what it finds goes to the first folder
	number=$((number + 1))
	if build/fuzz/"$name"_fuzz -seed=$((seed & 0xffffffff)) -runs=50000 -max_total_time=60 \
		-artifact_prefix=build/fuzz/ "$@" "$temp/$name" tests/fuzz/corpus/"$name" >"$log" 2>&1; then
		grep -E "^Done" "$log" | sed 's/^/# /'
		echo "ok $number - $name"
	else
		echo "# XFWD_SEED=$seed"
		grep -vE "NEW|REDUCE|pulse" "$log" | tail -n 40 | sed 's/^/# /'
		echo "not ok $number - $name"
		status=1
	fi
}

echo 1..2
short config
short json -dict=tests/fuzz/json.dict
exit $status
