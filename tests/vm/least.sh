#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The oldest kernels: xfwd works, or says in one sentence what is missing.
. "$(dirname "$0")/../netns/lib.sh"

works_or_says_why() {
	topology
	if [[ $(status_of xfwd add "dnat in eth0 tcp to :80 -> 10.0.0.2") == 0 ]]; then
		equal "rules" "$(rules)" "dnat in eth0 tcp to :80 -> 10.0.0.2"
		return
	fi
	equal "said" "$(said)" "xfwd: this kernel has no BPF timers: xfwd needs Linux 5.15 or later"
	[[ ! -e /sys/fs/bpf/xfwd/netns/$EDGE ]] || fail "left something pinned"
}

once "it works, or says why not" works_or_says_why
finish
