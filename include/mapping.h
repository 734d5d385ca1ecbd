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

#include "endpoint.h"

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

_Static_assert(sizeof(struct mapping_key) == 36, "no hidden padding");
_Static_assert(sizeof(struct mapping) == 12, "no hidden padding");
_Static_assert(sizeof(struct outside) == 28, "no hidden padding");

#endif
