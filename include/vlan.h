/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VLAN interfaces, and the frames that are theirs.
 *
 * XDP sits on the device under them, where frames have their tags. A tag and the interface that it
 * was met on name the VLAN interface; with two tags (QinQ), the second is met on the first's.
 */
#ifndef XFWD_VLAN_H
#define XFWD_VLAN_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* Tags that a frame may have for XDP to translate it. */
#define VLAN_TAGS_MAX 2

/* As it lies in the frame, behind the link-layer addresses. */
struct vlan_tag {
	__be16 proto; /* ETH_P_8021Q or ETH_P_8021AD; 0: there is no tag */
	__be16 tci; /* priority and VLAN id */
};

/* The value is the index of the VLAN interface. */
struct vlan_key {
	__u32 ifindex; /* what it lies on */
	__be16 proto;
	__be16 id;
};

_Static_assert(sizeof(struct vlan_tag) == 4, "as in the frame");
_Static_assert(sizeof(struct vlan_key) == 8, "no hidden padding");

#endif
