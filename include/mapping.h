/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Endpoint-independent mappings (RFC 4787 4.1): an inside address and port keep one outside address
 * and port, whatever they talk to. The flows of a mapping do the work; the mapping itself is looked
 * at for a flow's first packet only. It is in two maps, found from either side.
 *
 * Addresses and ports are in network byte order; an IPv4 address is in the first word. For echo, the
 * port is the identifier (RFC 5508 R1).
 */
#ifndef XFWD_MAPPING_H
#define XFWD_MAPPING_H

#ifndef __bpf__
#include <linux/types.h>
#endif

struct endpoint_key {
	__be32 addr[4];
	__be16 port;
	__u8 proto;
	__u8 family; /* enum family */
};

struct mapping_key {
	struct endpoint_key inside;
	__be32 outside[4];
};

/* mapping.flows: how many flows hold it; or this, while it is taken away. */
#define MAPPING_DEAD (1U << 31)

struct mapping {
	__u32 flows;
	__u32 idle; /* jiffies since which no flow holds it */
	__be16 port; /* outside */
	__u16 pad;
};

/* Under the endpoint that the mapping has outside. */
struct outside {
	__be32 addr[4]; /* inside */
	__be16 port;
	__u16 filter; /* RULE_FILTER_…, of the rule that made it */
	__u32 slot; /* of that rule */
	__u32 ifindex; /* where it is outside of */
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
_Static_assert(sizeof(struct mapping_key) == 36, "no hidden padding");
_Static_assert(sizeof(struct mapping) == 12, "no hidden padding");
_Static_assert(sizeof(struct outside) == 28, "no hidden padding");
_Static_assert(sizeof(struct permit_key) == 36, "no hidden padding");
_Static_assert(sizeof(struct source_key) == 24, "no hidden padding");
_Static_assert(sizeof(struct source) == 12, "no hidden padding");

#endif
