/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Endpoints, and what is kept of them besides mappings: whom they may be reached by, and how much they
 * have under a rule that limits it.
 *
 * Addresses and ports are in network byte order; an IPv4 address is in the first word. For echo, the
 * port is the identifier (RFC 5508 R1).
 */
#ifndef XFWD_ENDPOINT_H
#define XFWD_ENDPOINT_H

#ifndef __bpf__
#include <linux/types.h>
#endif

struct endpoint_key {
	__be32 addr[4];
	__be16 port;
	__u8 proto;
	__u8 family; /* enum family */
};

/* With address-dependent filtering: who has been sent to from an outside endpoint, by how many flows. */
struct permit_key {
	struct endpoint_key outside;
	__be32 remote[4];
};

/* What one source address has, under a rule with a limit. */
struct source_key {
	__be32 addr[4];
	__u32 slot; /* of the rule */
	__u32 family;
};

struct source {
	__u32 flows;
	__u32 tokens; /* for new flows */
	__u32 filled; /* jiffies when they were last given */
};

_Static_assert(sizeof(struct endpoint_key) == 20, "no hidden padding");
_Static_assert(sizeof(struct permit_key) == 36, "no hidden padding");
_Static_assert(sizeof(struct source_key) == 24, "no hidden padding");
_Static_assert(sizeof(struct source) == 12, "no hidden padding");

#endif
