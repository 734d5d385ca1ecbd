/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a translated packet goes: the route to its new destination, and the way out. */
#ifndef XFWD_FORWARD_H
#define XFWD_FORWARD_H

#include "maps.h"
#include "packet.h"

/* The port of the interface that the route leads to. */
static __always_inline void route_port(struct packet *p)
{
	struct next_hop *hop = &p->hop;
	const struct iface *out = iface_find(hop->ifindex);

	hop->port = out ? out->port : 0;
	hop->port_flags = out ? out->flags : IFACE_NO_ETHERNET;
}

/* No lease is longer: what seems to be ended before the clock went round. */
#define LEASE_SECONDS_MAX 2

/* The generation of next hops that may be trusted; 0: none may. */
static __always_inline __u16 lease_generation(const struct packet *p)
{
	const struct hop_lease *lease;
	__u32 zero = 0;

	lease = bpf_map_lookup_elem(&hop_leases, &zero);
	if (!lease || lease->until - p->now - 1 >= LEASE_SECONDS_MAX * p->settings->hz)
		return 0;
	return (__u16)lease->generation;
}

/*
 * The lookup takes the new destination and the source as it came, as the kernel routes between
 * PREROUTING and POSTROUTING: rules of policy routing that name a source hold as they always did.
 */
static __always_inline void route_find(struct packet *p, const struct flow_key4 *to)
{
	struct next_hop *hop = &p->hop;
	struct bpf_fib_lookup fib;

	hop->generation = lease_generation(p); /* before, so that a change meanwhile outdates it */
	__builtin_memset(&fib, 0, sizeof(fib));
	fib.family = AF_INET;
	fib.l4_protocol = to->proto;
	fib.sport = p->tuple.sport;
	fib.dport = to->dport;
	fib.tot_len = p->route_length;
	fib.ifindex = p->ifindex;
	fib.tos = p->tos;
	fib.ipv4_src = p->tuple.saddr;
	fib.ipv4_dst = to->daddr;
	hop->route = bpf_fib_lookup(p->ctx, &fib, sizeof(fib), 0);
	hop->mtu = fib.mtu_result;
	if (hop->route == ROUTE_TOO_BIG) {
		/* It then says nothing of the interface, which rules ask for. */
		fib.tot_len = 0;
		bpf_fib_lookup(p->ctx, &fib, sizeof(fib), 0);
	}
	hop->ifindex = fib.ifindex;
	hop->gateway = fib.ipv4_dst;
	hop->dmac = link_address_read(fib.dmac);
	hop->smac = link_address_read(fib.smac);
	route_port(p);
}

/* The next hop that the flow keeps, while it can be trusted and the packet fits. */
static __always_inline int route_recall(struct packet *p, const struct flow *f)
{
	struct next_hop *hop = &p->hop;
	const struct port *port;
	__u32 at = f->port;

	if (!f->hop_generation || f->hop_generation != lease_generation(p))
		return 0;
	port = bpf_map_lookup_elem(&ports, &at);
	if (!port || !port->ifindex || p->route_length > port->mtu)
		return 0;
	hop->route = ROUTE_NEXT_HOP;
	hop->ifindex = port->ifindex;
	hop->port = at;
	hop->port_flags = port->flags;
	hop->dmac = link_address_read(f->dmac);
	hop->smac = link_address_read(port->mac);
	return 1;
}

/* Tells the service, once a second at the most, to keep this neighbour reachable. */
static __always_inline void hop_use(const struct packet *p)
{
	struct hop_key key = { .ifindex = p->hop.ifindex, .gateway = p->hop.gateway };
	__u32 *last = bpf_map_lookup_elem(&hops_in_use, &key), now = p->now;

	if (!last || now - *last >= p->settings->hz)
		bpf_map_update_elem(&hops_in_use, &key, &now, BPF_ANY);
}

/*
 * Keeps the next hop that was looked up in the flow. Not where the route has an MTU below its
 * interface's: the flow has no room for that. Other CPUs may be reading: they must not take one half
 * of the old and one of the new, so the flow says that it has none until all is in place.
 */
static __always_inline void route_keep(const struct packet *p, struct flow *f)
{
	const struct next_hop *hop = &p->hop;
	const struct port *port;
	__u32 at = hop->port;

	if (!hop->generation || !at || hop->route != ROUTE_NEXT_HOP)
		return;
	port = bpf_map_lookup_elem(&ports, &at);
	if (!port || hop->mtu < port->mtu)
		return;
	f->hop_generation = 0;
	barrier();
	f->port = at;
	link_address_write(f->dmac, &hop->dmac);
	barrier();
	f->hop_generation = hop->generation;
	hop_use(p);
}

/*
 * XDP: to a device that takes redirected frames, else not at all. bpf_redirect_map() only notes the
 * target, so asking it comes first, while the packet can still be passed as it came.
 */
static __always_inline int forward_xdp_possible(const struct packet *p)
{
	if (p->hop.route != ROUTE_NEXT_HOP || p->ttl <= 1 || !p->hop.port)
		return 0;
	if (p->frames == FRAMES_GENERIC)
		return bpf_redirect_map(&tx_ports_generic, p->hop.port, XDP_PASS) == XDP_REDIRECT;
	return bpf_redirect_map(&tx_ports, p->hop.port, XDP_PASS) == XDP_REDIRECT;
}

static __always_inline int forward_xdp(const struct packet *p)
{
	const struct next_hop *hop = &p->hop;
	struct ethhdr *eth = packet_data(p);

	if ((void *)(eth + 1) > packet_end(p))
		return XDP_DROP;
	link_address_write(eth->h_dest, &hop->dmac);
	link_address_write(eth->h_source, &hop->smac);
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
	__u8 addresses[2 * ETH_ALEN] __attribute__((aligned(4)));

	if (hop->port_flags & IFACE_ATTACHED_EGRESS)
		skb->tc_index = TC_INDEX_DONE;
	if (hop->route == ROUTE_NO_NEIGHBOUR || p->l3_offset != ETH_HLEN ||
	    hop->port_flags & IFACE_NO_ETHERNET)
		return bpf_redirect_neigh(hop->ifindex, &gateway, sizeof(gateway), 0);
	link_address_write(addresses, &hop->dmac);
	link_address_write(addresses + ETH_ALEN, &hop->smac);
	if (bpf_skb_store_bytes(skb, 0, addresses, sizeof(addresses), 0))
		return TC_ACT_SHOT;
	return bpf_redirect(hop->ifindex, 0);
}

static __always_inline int forward(const struct packet *p)
{
	return packet_is_xdp(p) ? forward_xdp(p) : forward_tc(p);
}

#endif
