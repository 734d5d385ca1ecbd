# SPDX-License-Identifier: GPL-2.0-or-later
# Fuzzers. Included by the Makefile.
#
# make fuzz [FUZZ_SECONDS=600]	each for so long; what it finds is left in build/fuzz

FUZZ_SECONDS ?= 600
FUZZ	:= $(BUILD)/fuzz
FRAME_OBJ := $(PROG_LIB) $(BUILD)/tests/differential/ends.o $(BUILD)/tests/differential/packet.o
TEXT_FUZZ := $(FUZZ)/config_fuzz $(FUZZ)/json_fuzz

.PHONY: fuzz

$(FUZZ)/frame_fuzz.o: tests/fuzz/frame_fuzz.c | $(BUILD)/xfwd.skel.h
	$(call say,CLANG)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -fsanitize=fuzzer-no-link $(HOSTFLAGS) -c -o $@ $<

# The fuzzer without its main(): namespaces come first.
$(FUZZ)/frame_fuzz: $(FUZZ)/frame_fuzz.o $(FRAME_OBJ) $(PROG_OBJ)
	$(call say,LINK)
	$(Q)$(CLANG) $(CFLAGS) $(PROG_WRAP) -o $@ $^ $(LIBS) -lcmocka -lstdc++ -lm -lpthread \
		$(wildcard $(shell $(CLANG) -print-resource-dir)/lib/linux/libclang_rt.fuzzer_no_main-x86_64.a)

# The parser and what it needs, built for it.
$(TEXT_FUZZ): $(FUZZ)/%: tests/fuzz/%.c $(MODEL_OBJ)
	$(call say,CLANG)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -fsanitize=fuzzer,address $(HOSTFLAGS) -o $@ $< \
		$(MODEL:%=user/%.c) $(BUILD)/user/parser.c $(BUILD)/user/lexer.c -ljansson

tests: $(FUZZ)/frame_fuzz $(TEXT_FUZZ)

fuzz: setup
	$(Q)$(MAKE) --no-print-directory $(FUZZ)/frame_fuzz $(TEXT_FUZZ)
	$(Q)mkdir -p $(FUZZ)/frames $(FUZZ)/config $(FUZZ)/json
	$(Q)$(FUZZ)/config_fuzz -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(FUZZ)/ \
		$(FUZZ)/config tests/fuzz/corpus/config
	$(Q)$(FUZZ)/json_fuzz -max_total_time=$(FUZZ_SECONDS) -dict=tests/fuzz/json.dict \
		-artifact_prefix=$(FUZZ)/ $(FUZZ)/json tests/fuzz/corpus/json
	$(Q)$(FUZZ)/frame_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -len_control=0 \
		-artifact_prefix=$(FUZZ)/ $(FUZZ)/frames tests/fuzz/corpus/frames
