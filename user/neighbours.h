/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's neighbours, as far as they matter to kept next hops: which link-layer address each
 * has, and whether it can be used. What else changes in them, all the time, is of no consequence.
 */
#ifndef XFWD_NEIGHBOURS_H
#define XFWD_NEIGHBOURS_H

#include <libmnl/libmnl.h>
#include <linux/types.h>
#include <stdbool.h>

#include "flow.h"
#include "next_hop.h"

#define NEIGHBOUR_BUCKETS 1024

struct neighbour {
	struct neighbour *next;
	__u32 ifindex;
	__u8 family;
	__u8 addr[16]; /* of IPv4, the first four bytes */
	__u8 lladdr[32];
	__u8 lladdr_length;
	__u16 state; /* NUD_…, at the last message or dump: timers move it silently */
	__u32 round; /* of the dump that saw it last */
};

/* Those that can be used. */
struct neighbours {
	struct mnl_socket *socket; /* for questions: messages come to another */
	__u32 sequence;
	__u32 round;
	struct neighbour *buckets[NEIGHBOUR_BUCKETS];
};

/* Reads them all. 0 or -errno. */
int neighbours_open(struct neighbours *all);
void neighbours_close(struct neighbours *all);
/* One message of the kernel's. True: an address changed, or a neighbour can be used no more, or again. */
bool neighbours_note(struct neighbours *all, const struct nlmsghdr *msg);
/* Reads them all again; *changed: as of neighbours_note(). 0 or -errno. */
int neighbours_read(struct neighbours *all, bool *changed);
/* NULL: there is none that can be used. */
const struct neighbour *neighbours_find(const struct neighbours *all, const struct hop_key *hop);
/* Tells the kernel that the neighbour is in use: it asks again whether it is there. 0 or -errno. */
int neighbours_use(struct neighbours *all, const struct neighbour *neighbour);

#endif
