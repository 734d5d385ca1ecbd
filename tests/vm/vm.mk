# SPDX-License-Identifier: GPL-2.0-or-later
# The tests under other kernels. Included by the Makefile.
#
# make vm-test [KERNEL=6.1]	every test under every kernel, or under one
# make vm-quick [KERNEL=6.1]	what a change can break there, in minutes; CI has nearly as much
#
# Both write the table in README.md; what is not run keeps its row. A test that has passed runs again
# when it or xfwd has changed: a run that was stopped goes on. `scripts/vm --again` begins anew.

.PHONY: vm-test vm-quick

vm-test vm-quick: setup
	$(Q)$(MAKE) --no-print-directory all tests bench-programs
	$(Q)$(if $(filter vm-test,$@),scripts/setup clang-16 clang-19 && tests/toolchain/clang.sh)
	$(Q)scripts/vm $(if $(filter vm-quick,$@),--quick) $(KERNEL:%=--kernel %); status=$$?; \
		tests/vm/table.py && exit $$status
