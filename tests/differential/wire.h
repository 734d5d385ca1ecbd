/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two edges of the same shape in namespaces of their own, one with the kernel's NAT (nf_tables) and
 * one with xfwd, and packet sockets on the far ends of their links:
 *
 *	hosts 198.51.100.2-9   198.51.100.1 ── eth0  edge  eth1 ── 10.0.0.1   hosts 10.0.0.2-9
 *	hosts 2001:db8::2-9      2001:db8::1                       fd00:1::1   hosts fd00:1::2-9
 *
 * The hosts are permanent neighbours and nothing else. Routes: 10.0.1.0/24 and fd00:2::/64 through
 * the inside's host 9, 192.0.2.0/24 and 2001:db8:dead::/48 unreachable, all else through the
 * outside's host 9. Link-layer addresses are the same at both, so whole frames may be compared.
 */
#ifndef XFWD_DIFFERENTIAL_WIRE_H
#define XFWD_DIFFERENTIAL_WIRE_H

#include "../prog/harness.h"
#include "counters.h"

enum edge {
	KERNEL,
	XFWD,
	EDGES,
};

#define OUTPUT_MAX 64

struct output {
	enum iface_id iface;
	struct frame frame;
};

struct outputs {
	struct output list[OUTPUT_MAX];
	size_t count;
};

/* How the rules are put to work. */
struct manner {
	enum attach_mode mode[IFACES];
	bool loose; /* connections may begin in their middle */
};

extern const char *const edge_names[EDGES];

/* Is it a host's that the edges know as a neighbour? */
bool wire_has_host(const uint8_t addr[16], bool six);
void wire_up(void);
void wire_down(void);
/* The same rules for both, and no connections. False: not a configuration; says why. */
bool wire_apply(const char *rules, const struct manner *manner);
/* The rules in force. */
const struct config *wire_config(void);
/* Returns when the frame has gone its whole way, with what came out since the last call. */
void wire_send(enum edge edge, enum iface_id iface, const struct frame *frame);
void wire_collect(enum edge edge, struct outputs *outputs);
/* What xfwd has counted since the last call, over all hooks. */
void wire_verdicts(uint64_t since[VERDICT_COUNT]);

#endif
