# SPDX-License-Identifier: GPL-2.0-or-later
# Other compilers, and another architecture. Included by the Makefile.
#
# make toolchain-test	every toolchain, and the table of them in README.md
# make arm64-test	the command cross-built, its unit tests under qemu

ARM64_SYSROOT := build/toolchain/arm64-sysroot
ARM64_PACKAGES := gcc-aarch64-linux-gnu qemu-user
TOOLCHAIN_PACKAGES := clang-14 clang-16 clang-19 $(ARM64_PACKAGES)

.PHONY: toolchain-test arm64-test

$(ARM64_SYSROOT): scripts/arm64-sysroot
	$(call say,SYSROOT)
	$(Q)scripts/arm64-sysroot $@

toolchain-test:
	$(Q)scripts/setup $(TOOLCHAIN_PACKAGES)
	$(Q)$(MAKE) --no-print-directory $(ARM64_SYSROOT)
	$(Q)tests/toolchain/suite.py --readme

arm64-test:
	$(Q)scripts/setup $(ARM64_PACKAGES)
	$(Q)$(MAKE) --no-print-directory $(ARM64_SYSROOT)
	$(Q)tests/toolchain/suite.py arm64
