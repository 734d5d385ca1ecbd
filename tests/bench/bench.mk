# SPDX-License-Identifier: GPL-2.0-or-later
# The benchmark's own programs, and the ways to run it. Included by the Makefile.

BENCH	:= $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(filter-out %.bpf.c,$(wildcard tests/bench/*.c)))

.PHONY: bench bench-quick bench-programs

$(BUILD)/bench/%.bpf.o: tests/bench/%.bpf.c
	$(call say,BPF)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPFFLAGS) -Itests/bench -MF $(BUILD)/bench/$*.bpf.d -MT $@ -c -o $@ $<

$(BUILD)/bench/%.skel.h: $(BUILD)/bench/%.bpf.o
	$(call say,SKEL)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(BUILD)/tests/bench/frames.o $(BUILD)/tests/bench/testrun.o: | $(BUILD)/bench/frames.skel.h
$(BUILD)/tests/bench/ticks.o: | $(BUILD)/bench/ticks.skel.h

$(BUILD)/bench/%: $(BUILD)/tests/bench/%.o
	$(call say,LINK)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lbpf -lelf -lz

bench-programs: $(BUILD)/xfwd $(BENCH)

bench bench-quick: setup
	$(Q)$(MAKE) --no-print-directory bench-programs
	$(Q)scripts/bench $(if $(filter bench-quick,$@),--quick)
