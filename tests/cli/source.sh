#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The source as it is handed on: the archive of `make dist` builds by itself, out of a tree that cannot
# be written to, what it makes is what this tree does, and `make install` puts all of it where it belongs.
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d /tmp/xfwd-test-XXXXXX)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
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

# Root may write to anything that is not mounted read-only, and others cannot mount.
archive_makes() {
	make dist BUILD="$dir/dist" && tar -xzf "$dir"/dist/xfwd-*.tar.gz -C "$dir" &&
		mv "$dir"/xfwd-*/ "$dir/source" || return
	make -C "$dir/source" -n BUILD="$dir/elsewhere" unit >/dev/null || return
	if [[ $(id -u) != 0 ]]; then
		chmod -R a-w "$dir/source"
		make -C "$dir/source" -j2 BUILD="$dir/elsewhere" all
	else
		unshare --mount sh -euc "
			mount --bind '$dir/source' '$dir/source'
			mount -o remount,bind,ro '$dir/source'
			! touch '$dir/source/written' || exit 1
			make -C '$dir/source' -j2 BUILD='$dir/elsewhere' all"
	fi && "$dir/elsewhere/xfwd" version
}

# Under another prefix, in a folder whose name has a blank; what the unit names is there.
installs() {
	local to="$dir/a root" unit=lib/systemd/system/xfwd.service path
	make install DESTDIR="$to" PREFIX=/opt/x && "$to/opt/x/sbin/xfwd" version || return
	for path in $(grep -oE '(/opt/x|/usr/local)[^ ]*' "$to/opt/x/$unit"); do
		[[ -e $to$path ]] || ! echo "$path is not there" || return
	done
	make uninstall DESTDIR="$to" PREFIX=/opt/x && [[ -z $(find "$to" -type f) ]]
}

if ! git rev-parse >"$dir/log" 2>&1; then
	echo "1..1"
	echo "ok 1 - an archive # SKIP no git here"
	exit
fi
echo 1..3
archive_makes >"$dir/log" 2>&1
result $? "an archive builds, out of a tree that cannot be written to"
if make -q all >"$dir/log" 2>&1; then
	{ cmp "$dir/elsewhere/xfwd" build/xfwd || ! echo "by other compilers or flags?"; } >"$dir/log" 2>&1
	result $? "the same source makes the same command anywhere"
	installs >"$dir/log" 2>&1
	result $? "what is installed is all there, and uninstalled"
else
	echo "ok 2 - the same command # SKIP this tree's is older than its source: run make first"
	echo "ok 3 - what is installed # SKIP likewise"
fi
