#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The source as it is handed on: the archive of `make dist` builds by itself, a tree that cannot be
# written to builds elsewhere, and both make the same command.
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d /tmp/xfwd-test-XXXXXX)
trap 'rm -rf "$dir"' EXIT
unset MAKEFLAGS MAKELEVEL
# git is asked about this folder, whoever it belongs to.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
number=0

result() { # STATUS NAME
	((++number))
	[[ $1 = 0 ]] || sed 's/^/# /' "$dir/log"
	[[ $1 = 0 ]] || printf 'not '
	echo "ok $number - $2"
}

archive_makes() {
	make dist BUILD="$dir/dist" && tar -xzf "$dir"/dist/xfwd-*.tar.gz -C "$dir" &&
		mv "$dir"/xfwd-*/ "$dir/source" && make -C "$dir/source" -j2 all unit &&
		"$dir/source/tests/run" unit
}

# Mounted for the time it takes, as root may write to anything else.
read_only_makes() {
	mkdir "$dir/mounted" && unshare --mount sh -euc "
		mount --bind '$dir/source' '$dir/mounted'
		mount -o remount,bind,ro '$dir/mounted'
		! touch '$dir/mounted/written' || exit 1
		make -C '$dir/mounted' -j2 BUILD='$dir/elsewhere'"
}

if ! git rev-parse >"$dir/log" 2>&1; then
	echo "1..1"
	echo "ok 1 - an archive # SKIP no git here"
	exit
fi
echo 1..3
archive_makes >"$dir/log" 2>&1
result $? "an archive builds, and passes the unit tests"
if [[ $(id -u) = 0 ]]; then
	read_only_makes >"$dir/log" 2>&1
	result $? "a read-only tree builds elsewhere"
	cmp "$dir/source/build/xfwd" "$dir/elsewhere/xfwd" >"$dir/log" 2>&1
	result $? "the same source makes the same command anywhere"
else
	echo "ok 2 - a read-only tree # SKIP needs root"
	echo "ok 3 - the same command # SKIP needs root"
fi
