/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attaching interfaces to the pinned programs, and detaching them. */
#ifndef XFWD_ATTACH_H
#define XFWD_ATTACH_H

#include "config.h"
#include "netdev.h"
#include "pins.h"
#include "state.h"

#define ATTACH_REASON_MAX 128

/*
 * One value of the map `attachments`; the key is the interface's index. The same in all layouts: members
 * may be added at its end.
 */
struct attachment {
	char name[IF_NAMESIZE];
	__u8 wanted; /* enum attach_mode, as configured */
	__u8 mode; /* and as it is: never MODE_AUTO */
	__u8 clsact; /* attached by netlink filters, not by TCX links */
	__u8 made_qdisc; /* the clsact qdisc is ours to remove */
	__u32 priority[2]; /* of the filters: ingress, egress */
	__u32 handle[2];
	__u32 carrier; /* index of the device that XDP sits on: its own, or that under a VLAN; 0: none */
	__u32 offload; /* what was switched off there for XDP to see VLAN tags: see offload.h */
	char reason[ATTACH_REASON_MAX]; /* why this mode; "": as asked for */
};

_Static_assert(sizeof(struct attachment) <= XFWD_ATTACHMENT_SIZE, "map value size");

/*
 * Makes the interface's attachment be as wanted. What is there already stays, unless the mode
 * changes. On failure what this call attached is detached again. Prints what is wrong.
 */
int attach_interface(const struct state *state, const struct pins *pins, const struct netdevs *devs,
		     const struct netdev *dev, enum attach_mode wanted);
/* From here on it is as in mode tc, until it is attached anew. 0 or -errno. */
int attach_without_xdp(const struct state *state, const struct pins *pins, unsigned int ifindex);
/* 0 or -errno; also where the interface itself has gone. */
int detach_interface(const struct state *state, const struct pins *pins, unsigned int ifindex);

/* Is the interface attached, by all that it should be? */
bool attach_is_complete(const struct state *state, const struct pins *pins,
			const struct netdev *dev);
int attachment_put(const struct state *state, unsigned int ifindex,
		   const struct attachment *attachment);
/* -ENOENT: not attached. */
int attachment_get(const struct state *state, unsigned int ifindex, struct attachment *attachment);
/* Indexes of all attached interfaces; free() *list. */
int attachment_list(const struct state *state, unsigned int **list, size_t *count);
/* Is each interface that is attached there, by the name that it had then? */
bool attachments_are_current(const struct state *state, const struct netdevs *devs);

#endif
