# SPDX-License-Identifier: GPL-2.0-or-later
# The kernel's NAT and xfwd side by side. Included by the Makefile.

DIFFERENTIAL := $(BUILD)/tests/differential/differential
MINUTES	?= 30

.PHONY: differential-long

$(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/differential/*.c)): | $(BUILD)/xfwd.skel.h

$(DIFFERENTIAL): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/differential/*.c)) $(PROG_LIB) $(PROG_OBJ)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(PROG_WRAP) -o $@ $^ $(LIBS) -lcmocka

tests: $(DIFFERENTIAL)

# make differential-long MINUTES=600
differential-long: setup
	$(Q)$(MAKE) --no-print-directory $(DIFFERENTIAL)
	$(Q)$(DIFFERENTIAL) --minutes $(MINUTES)
