/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bringing the programs and maps into the kernel, where they stay. */
#ifndef XFWD_LOADER_H
#define XFWD_LOADER_H

#include "config.h"
#include "pins.h"

/*
 * Loads and pins everything for what is configured, but with no rules yet, starts the sweeper, and moves it into place at once: an
 * interrupted load leaves nothing that could be taken for a state. Prints what is wrong.
 */
int loader_load(const struct pins *pins, const struct config *config);
/*
 * A program that interfaces are attached to: xdp_wire, xdp_virtual, xdp_generic, tc_ingress or
 * tc_egress; or the one that commands run, flow_forget. XDP's and that are loaded when they are first
 * asked for. Its fd, or -errno.
 */
int loader_program(const struct pins *pins, const char *name);
/* Its id to the kernel. 0: it cannot be asked. */
__u32 loader_program_id(const struct pins *pins, const char *name);

/* libbpf's own words since the last call, where a call into it failed: one line, or "". */
const char *loader_words(void);
/* Routes libbpf's messages to loader_words(); with XFWD_DEBUG set, to standard error too. */
void loader_listen(void);

#endif
