#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What other clangs made of the programs, under this kernel: tests/toolchain/clang.sh has built it.
. "$(dirname "$0")/../netns/lib.sh"

newer_clangs() {
	local test built=("$HERE"/../../build/toolchain/clang-1[69]/tests/prog/load_test)
	[[ ${XFWD_TEST_WIRES:-0} != 0 && -x ${built[0]} ]] ||
		skip "for the virtual machine, after make toolchain-test"
	for test in "${built[@]}"; do
		CMOCKA_MESSAGE_OUTPUT=TAP "$test"
	done
}

once "the verifier takes what newer clangs made" newer_clangs
finish
