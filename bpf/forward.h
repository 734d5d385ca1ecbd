/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a translated packet goes: the route to its new destination, and the way out. */
#ifndef XFWD_FORWARD_H
#define XFWD_FORWARD_H

#include "maps.h"
#include "packet.h"
#include "rewrite.h"

/* The lookup takes the translated tuple: rules and multipath may use any part of it. */
static __always_inline void route_find(struct packet *p, const struct flow_key4 *tuple)
{
	struct next_hop *hop = &p->hop;
	struct bpf_fib_lookup fib;

	__builtin_memset(&fib, 0, sizeof(fib));
	fib.family = AF_INET;
	fib.l4_protocol = tuple->proto;
	fib.sport = tuple->sport;
	fib.dport = tuple->dport;
	fib.tot_len = p->route_length;
	fib.ifindex = p->ifindex;
	fib.tos = p->tos;
	fib.ipv4_src = tuple->saddr;
	fib.ipv4_dst = tuple->daddr;
	hop->route = bpf_fib_lookup(p->ctx, &fib, sizeof(fib), 0);
	hop->ifindex = fib.ifindex;
	hop->gateway = fib.ipv4_dst;
	__builtin_memcpy(hop->dmac, fib.dmac, ETH_ALEN);
	__builtin_memcpy(hop->smac, fib.smac, ETH_ALEN);
}

/*
 * XDP: to a device that takes redirected frames, else not at all. bpf_redirect_map() only notes the
 * target, so asking it comes first, while the packet can still be passed as it came.
 */
static __always_inline int forward_xdp_possible(const struct packet *p)
{
	return p->hop.route == ROUTE_NEXT_HOP && p->ttl > 1 &&
	       bpf_redirect_map(&tx_ports, p->hop.ifindex, XDP_PASS) == XDP_REDIRECT;
}

static __always_inline int forward_xdp(const struct packet *p)
{
	const struct next_hop *hop = &p->hop;
	struct ethhdr *eth = packet_data(p);

	if ((void *)(eth + 1) > packet_end(p))
		return XDP_DROP;
	__builtin_memcpy(eth->h_dest, hop->dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, hop->smac, ETH_ALEN);
	return hop->ifindex == p->ifindex ? XDP_TX : XDP_REDIRECT;
}

/*
 * tc: the link-layer addresses are written here where they are known; otherwise, and for a device
 * without any, the kernel's neighbour code does it. tc_egress of the target is told that the packet
 * is done; where there is none, nothing is left on the packet.
 */
static __always_inline int forward_tc(const struct packet *p)
{
	const struct next_hop *hop = &p->hop;
	struct bpf_redir_neigh gateway = { .nh_family = AF_INET, .ipv4_nh = hop->gateway };
	struct __sk_buff *skb = packet_skb(p);
	__u32 ifindex = hop->ifindex;
	struct iface *out = bpf_map_lookup_elem(&ifaces, &ifindex);
	__u8 addresses[2 * ETH_ALEN];

	if (out && out->flags & IFACE_ATTACHED_EGRESS)
		skb->tc_index = TC_INDEX_DONE;
	if (hop->route == ROUTE_NO_NEIGHBOUR || p->l3_offset != ETH_HLEN || !out ||
	    out->flags & IFACE_NO_ETHERNET)
		return bpf_redirect_neigh(ifindex, &gateway, sizeof(gateway), 0);
	__builtin_memcpy(addresses, hop->dmac, ETH_ALEN);
	__builtin_memcpy(addresses + ETH_ALEN, hop->smac, ETH_ALEN);
	if (bpf_skb_store_bytes(skb, 0, addresses, sizeof(addresses), 0))
		return TC_ACT_SHOT;
	return bpf_redirect(ifindex, 0);
}

static __always_inline int forward(const struct packet *p)
{
	return packet_is_xdp(p) ? forward_xdp(p) : forward_tc(p);
}

#endif
