/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VLAN tags: taken off a frame that XDP is to translate, put on one that leaves by a VLAN interface,
 * and put back, as they were, on one that is passed on. The rest of the pipeline knows of none.
 *
 * tc sees frames without them, on the VLAN interface itself. What still has one when it comes in there
 * is of no VLAN if the id is 0 (IEEE 802.1Q 6.9: a priority), and is the interface's own.
 */
#ifndef XFWD_TAGS_H
#define XFWD_TAGS_H

#include "maps.h"
#include "packet.h"

/* The link-layer header with all its tags, and on to a multiple of eight bytes. */
#define VLAN_HEADER 24

/* How a frame that has lost its tags began. */
struct vlan_header {
	__u32 length; /* of the tags */
	__u32 pad;
	__u64 words[VLAN_HEADER / 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct vlan_header);
} vlan_headers SEC(".maps");

static __always_inline struct vlan_header *vlan_header_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&vlan_headers, &zero);
}

/* The VLAN interface that the frame's tags name, if IP follows them: 0, or how many bytes they are. */
static __always_inline __u32 vlan_find(const struct vlan_header *h, struct vlan_key *at)
{
	const struct vlan_tag *tag = (const void *)h->words + 2 * ETH_ALEN;
	const __u32 *known;
	__u32 length = 0;

	for (int i = 0; i < VLAN_TAGS_MAX; i++, tag++) {
		if (tag->proto != bpf_htons(ETH_P_8021Q) && tag->proto != bpf_htons(ETH_P_8021AD))
			break;
		at->proto = tag->proto;
		at->id = tag->tci & bpf_htons(VLAN_VID_MASK);
		known = bpf_map_lookup_elem(&vlans, at);
		if (!known)
			return 0;
		at->ifindex = *known;
		length += sizeof(*tag);
	}
	return tag->proto == bpf_htons(ETH_P_IP) || tag->proto == bpf_htons(ETH_P_IPV6) ? length
											: 0;
}

/* Takes the tags off. The index of the VLAN interface; 0: of none, and the frame is as it was. */
__attribute__((noinline)) __u32 vlan_enter(struct xdp_md *xdp)
{
	struct vlan_key at = { .ifindex = xdp->ingress_ifindex };
	__u64 *words = (void *)(long)xdp->data;
	struct vlan_header *h = vlan_header_get();

	if (!h || (void *)words + VLAN_HEADER > (void *)(long)xdp->data_end)
		return 0;
	__builtin_memcpy(h->words, words, VLAN_HEADER);
	h->length = vlan_find(h, &at);
	if (!h->length || bpf_xdp_adjust_head(xdp, h->length))
		return 0;
	words = (void *)(long)xdp->data;
	if ((void *)words + 2 * ETH_ALEN > (void *)(long)xdp->data_end)
		return 0;
	__builtin_memcpy(words, h->words, 2 * ETH_ALEN);
	return at.ifindex;
}

/* Puts back what vlan_enter() took, on a frame that was not written to since. 0 or -1. */
__attribute__((noinline)) int vlan_undo(struct xdp_md *xdp)
{
	const struct vlan_header *h = vlan_header_get();
	__u64 *words;

	if (!h || bpf_xdp_adjust_head(xdp, -(int)h->length))
		return -1;
	words = (void *)(long)xdp->data;
	if ((void *)words + VLAN_HEADER > (void *)(long)xdp->data_end)
		return -1;
	__builtin_memcpy(words, h->words, VLAN_HEADER);
	return 0;
}

static __always_inline int vlan_length(const struct port *port)
{
	return port->tags[1].proto ? 2 * sizeof(struct vlan_tag) : sizeof(struct vlan_tag);
}

/* May the port's tags go on the frame: will the device send it, and is there room before it? */
__attribute__((noinline)) int vlan_fits(struct xdp_md *xdp, __u32 at, __u32 l3_length)
{
	const struct port *port = bpf_map_lookup_elem(&ports, &at);
	int length;

	if (!port || l3_length > port->mtu_tagged)
		return 0;
	length = vlan_length(port);
	return !bpf_xdp_adjust_head(xdp, -length) && !bpf_xdp_adjust_head(xdp, length);
}

/* Puts the port's tags on; the link-layer addresses are left to be written. 0 or -1. */
__attribute__((noinline)) int vlan_leave(struct xdp_md *xdp, __u32 at)
{
	const struct port *port = bpf_map_lookup_elem(&ports, &at);
	struct vlan_tag *tags;

	if (!port || bpf_xdp_adjust_head(xdp, -vlan_length(port)))
		return -1;
	tags = (void *)(long)xdp->data + 2 * ETH_ALEN;
	if ((void *)(tags + VLAN_TAGS_MAX) > (void *)(long)xdp->data_end)
		return -1;
	tags[0] = port->tags[0];
	if (port->tags[1].proto)
		tags[1] = port->tags[1];
	return 0;
}

/* tc: the priority ends here, as it does where the kernel forwards. 0 or -errno. */
static __always_inline int vlan_forget_priority(struct __sk_buff *skb)
{
	return unlikely(skb->vlan_present) ? bpf_skb_vlan_pop(skb) : 0;
}

#endif
