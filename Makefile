# SPDX-License-Identifier: GPL-2.0-or-later
# make        build/xfwd            make V=1      show the commands
# make test   every test            make demo     forward a port between namespaces and show it
# make bench  compare with others   make bench-quick  the same in three minutes
# make conformance  how a NAT has to behave: those tests, and the table in README.md
# make vm-test      every test under other kernels, and the table of them in README.md
# make toolchain-test  other compilers, arm64, and the table of them in README.md
# make install, make uninstall [PREFIX=/usr/local] [DESTDIR=]     make dist     make clean

VERSION := 0.1.0

BUILD	:= build
CC	?= gcc
CLANG	?= clang
BPFTOOL	?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
FLEX	?= flex
BISON	?= bison
PREFIX	?= /usr/local
INSTALLED = $(DESTDIR)$(PREFIX)

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n' $(1) $(patsubst $(BUILD)/%,%,$@)
endif

WARN	:= -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
CFLAGS	?= -O2 -g
CPPFLAGS := -D_GNU_SOURCE -DXFWD_VERSION='"$(VERSION)"' -Iinclude -Iuser -I$(BUILD)/user -I$(BUILD)
# The same source makes the same files, wherever it lies.
MAPS	:= -ffile-prefix-map=$(CURDIR)=. -ffile-prefix-map=$(BUILD)=build
HOSTFLAGS = -std=gnu11 $(WARN) $(CFLAGS) $(CPPFLAGS) $(MAPS) -MMD -MP
LIBS	:= -lbpf -lelf -lz -ljansson -lmnl -lsystemd

BPFFLAGS := -target bpf -mcpu=v3 -std=gnu11 -O2 -g -Wall -Wextra -Wshadow \
	    -Ivmlinux -Iinclude -Ibpf $(MAPS) -MMD -MP

# The part of user space that needs neither root nor a kernel, and is tested so.
MODEL	:= config rule_set diag print check compile tables origins statement parse json netdevs
# What every other tool of ours that talks to the running state shares with the command.
USER	:= $(sort $(filter-out $(MODEL),$(basename $(notdir $(wildcard user/*.c)))))
MODEL_OBJ := $(MODEL:%=$(BUILD)/user/%.o) $(BUILD)/user/parser.o $(BUILD)/user/lexer.o
USER_OBJ  := $(USER:%=$(BUILD)/user/%.o)

UNIT	:= $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*_test.c))
PROG	:= $(patsubst tests/prog/%.c,$(BUILD)/tests/prog/%,$(wildcard tests/prog/*_test.c))
# Objects that the program tests share with the command: all but its command line.
PROG_OBJ := $(filter-out $(BUILD)/user/main.o $(BUILD)/user/cmd_%.o,$(USER_OBJ)) $(MODEL_OBJ)
PROG_LIB := $(patsubst %.c,$(BUILD)/%.o,$(filter-out %_test.c,$(wildcard tests/prog/*.c)))
PROG_WRAP := -Wl,--wrap=netdevs_ask_redirects # in tests/prog/harness.c

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all test conformance demo install uninstall dist clean format check-format unit tests setup

all: $(BUILD)/xfwd

$(BUILD)/xfwd: $(USER_OBJ) $(MODEL_OBJ)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/%.o: %.c
	$(call say,CC)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(HOSTFLAGS) -c -o $@ $<

$(BUILD)/%.o: $(BUILD)/%.c
	$(call say,CC)
	$(Q)$(CC) $(HOSTFLAGS) -c -o $@ $<

$(BUILD)/user/parser.c $(BUILD)/user/parser.h &: user/parser.y
	$(call say,BISON)
	$(Q)mkdir -p $(@D)
	$(Q)$(BISON) -Werror --header=$(BUILD)/user/parser.h -o $(BUILD)/user/parser.c $<

$(BUILD)/user/lexer.c $(BUILD)/user/lexer.h &: user/lexer.l
	$(call say,FLEX)
	$(Q)mkdir -p $(@D)
	$(Q)$(FLEX) --header-file=$(BUILD)/user/lexer.h -o $(BUILD)/user/lexer.c $<

# Generated headers exist before anything that includes them is compiled for the first time.
$(MODEL_OBJ): | $(BUILD)/user/parser.h $(BUILD)/user/lexer.h
$(USER_OBJ): | $(BUILD)/xfwd.skel.h

$(BUILD)/bpf/%.o: bpf/%.c
	$(call say,BPF)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPFFLAGS) -MF $(BUILD)/bpf/$*.d -MT $@ -c -o $@ $<

# Without what only debuggers read, which is more than half of it. BTF stays.
$(BUILD)/xfwd.bpf.o: $(BUILD)/bpf/xfwd.bpf.o
	$(call say,STRIP)
	$(Q)$(BPFTOOL) gen object $@ $<

$(BUILD)/xfwd.skel.h: $(BUILD)/xfwd.bpf.o
	$(call say,SKEL)
	$(Q)$(BPFTOOL) gen skeleton $< name xfwd_bpf > $@

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(MODEL_OBJ)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -ljansson -lcmocka

$(BUILD)/tests/prog/%: $(BUILD)/tests/prog/%.o $(PROG_LIB) $(PROG_OBJ)
	$(call say,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(PROG_WRAP) -o $@ $^ $(LIBS) -lcmocka

$(BUILD)/tests/prog/%.o: | $(BUILD)/xfwd.skel.h

unit: $(UNIT)

tests: unit $(PROG)

# Installs the packages that building and testing need, then starts over with them in place.
setup:
	$(Q)scripts/setup

test: setup
	$(Q)$(MAKE) --no-print-directory check-format all tests
	$(Q)tests/run

conformance: setup
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/conformance/table.py

demo: setup
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/demo

include tests/bench/bench.mk
include tests/differential/differential.mk
include tests/fuzz/fuzz.mk
include tests/toolchain/toolchain.mk
include tests/vm/vm.mk

install: all
	install -D -m 0755 $(BUILD)/xfwd "$(INSTALLED)/sbin/xfwd"
	install -D -m 0644 -t "$(INSTALLED)/share/doc/xfwd" README.md LICENSE
	sed 's|/usr/local|$(PREFIX)|' scripts/xfwd.service | \
		install -D -m 0644 /dev/stdin "$(INSTALLED)/lib/systemd/system/xfwd.service"

# The rules that are in force stay: `xfwd down` is for them.
uninstall:
	rm -rf "$(INSTALLED)/sbin/xfwd" "$(INSTALLED)/share/doc/xfwd" \
		"$(INSTALLED)/lib/systemd/system/xfwd.service"

# What git knows, as it lies here; the same files make the same archive.
dist:
	$(Q)mkdir -p $(BUILD)
	$(Q)git ls-files -z >$(BUILD)/dist.files
	tar --null -T $(BUILD)/dist.files --transform 's:^:xfwd-$(VERSION)/:' --owner=0 --group=0 \
		--numeric-owner --mtime=@$$(git log -1 --format=%ct) -I 'gzip -n' \
		-cf $(BUILD)/xfwd-$(VERSION).tar.gz

format:
	$(Q)clang-format -i $(filter-out vmlinux/%,$(wildcard bpf/*.[ch] user/*.[ch] include/*.h tests/*/*.[ch]))

check-format:
	$(call say,FORMAT)
	$(Q)clang-format --dry-run -Werror $(filter-out vmlinux/%,$(wildcard bpf/*.[ch] user/*.[ch] include/*.h tests/*/*.[ch]))

clean:
	rm -rf $(BUILD)

-include $(shell [ -d $(BUILD) ] && find $(BUILD) -type f -name '*.d')
