/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Next hops kept in flows, so that an established packet needs no route lookup.
 *
 * They are trusted only while a service follows routes, neighbours, links and addresses: it renews
 * the lease, and raises the generation with every change. When it is gone the lease runs out, and
 * every packet's route is looked up again.
 */
#ifndef XFWD_NEXT_HOP_H
#define XFWD_NEXT_HOP_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "bounds.h"
#include "vlan.h"

struct hop_lease {
	__u32 until; /* jiffies */
	__u32 generation; /* low 16 bits are never 0 */
} __attribute__((aligned(8))); /* read at once */

/*
 * Where flows may go without a route lookup; the key is flow.port. 0 is none, and its `last` the one that
 * was given last.
 */
struct port {
	__u8 mac[6]; /* read as 8 bytes */
	__u16 pad;
	__u32 ifindex; /* 0: not in use */
	__u32 flags; /* those of struct iface */
	union {
		__u32 mtu; /* of layer 3 */
		__u32 last;
	};
	__u32 mtu_tagged; /* what XDP may send there as it is: the device's, less its tags */
	struct vlan_tag tags[VLAN_TAGS_MAX]; /* with IFACE_VLAN: what its frames begin with */
} __attribute__((aligned(8)));

/*
 * A veth whose packets tc may hand to the other end as received there, past its queue and the other
 * end's backlog; the key is that of `ports`. The service alone writes it, after each change and each
 * second: so it holds for one generation, and with the lease.
 */
struct port_peer {
	__u8 mac[6]; /* of the other end, which would not take others for its own; read as 8 bytes */
	__u16 generation; /* low bits of hop_lease.generation; 0: by its queue, as any device */
};

/* The next hops of flows, as they are looked up: what the service keeps reachable. */
struct hop_key {
	__be32 gateway
		[4]; /* or the destination itself, where it is on the link; IPv4: the first word */
	__u32 ifindex;
	__u32 family; /* enum family */
};

_Static_assert(sizeof(struct hop_lease) == 8, "no hidden padding");
_Static_assert(sizeof(struct port) == 32, "no hidden padding");
_Static_assert(sizeof(struct port_peer) == 8, "read at once");
_Static_assert(sizeof(struct hop_key) == 24, "no hidden padding");

#endif
