/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a translated packet goes: the route to its new destination, and the way out. */
#ifndef XFWD_FORWARD_H
#define XFWD_FORWARD_H

#include "flow_table.h"
#include "maps.h"
#include "request.h"
#include "tags.h"

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
static __always_inline __u16 lease_generation(__u32 now, __u32 hz)
{
	/* At once: a new lease is not for an old generation. */
	union {
		struct hop_lease lease;
		__u64 word;
	} seen = { .word = *(const volatile __u64 *)&hop_lease };

	if (seen.lease.until - now - 1 >= LEASE_SECONDS_MAX * hz)
		return 0;
	return (__u16)seen.lease.generation;
}

/* Asks for the way to the destination that r->fib has. */
static __always_inline void route_ask(void *ctx)
{
	struct request *r = request_get();
	struct bpf_fib_lookup *fib;
	struct next_hop *hop;
	struct packet *p;

	if (!r)
		return;
	fib = &r->fib;
	p = &r->p;
	hop = &p->hop;
	hop->generation =
		lease_generation(packet_now(p), r->hz); /* before: a change meanwhile outdates it */
	fib->l4_protocol = p->tuple.proto;
	/* an echo's identifier is no port to the kernel, which chooses one of several next hops by them */
	if (protocol_is_icmp(p->tuple.proto))
		fib->dport = 0;
	else
		fib->sport = p->tuple.sport;
	fib->tot_len = p->route_length;
	fib->ifindex = p->ifindex;
	__builtin_memcpy(fib->ipv6_src, p->tuple.saddr, sizeof(fib->ipv6_src));
	if (packet_is_ip4(p)) {
		fib->family = AF_INET;
		fib->tos = p->tos;
	} else {
		fib->family = AF_INET6;
		fib->flowinfo = p->flow_info;
	}
	hop->route = bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	hop->mtu = fib->mtu_result;
	if (hop->route == ROUTE_TOO_BIG) {
		/* It then says nothing of the interface, which rules ask for. */
		fib->tot_len = 0;
		bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	}
	hop->ifindex = fib->ifindex;
	r->gateway_is_ip4 = fib->family == AF_INET;
	__builtin_memcpy(r->gateway, fib->ipv6_dst, sizeof(r->gateway));
	__builtin_memcpy(&hop->dmac, fib->dmac, sizeof(fib->dmac));
	__builtin_memcpy(&hop->smac, fib->smac, sizeof(fib->smac));
	route_port(p);
}

/* Functions of their own to the verifier, one for each kind of context. */
__attribute__((noinline)) int route_ask_xdp(struct xdp_md *xdp)
{
	route_ask(xdp);
	return 0;
}

__attribute__((noinline)) int route_ask_tc(struct __sk_buff *skb)
{
	route_ask(skb);
	return 0;
}

/*
 * The lookup takes the new destination and the source as it came, as the kernel routes between
 * PREROUTING and POSTROUTING: rules of policy routing that name a source hold as they always did.
 */
static __always_inline void route_find(void *ctx, struct request *r, const struct flow_key *to,
				       int xdp)
{
	__builtin_memset(&r->fib, 0, sizeof(r->fib));
	r->fib.dport = to->dport;
	__builtin_memcpy(r->fib.ipv6_dst, to->daddr, sizeof(r->fib.ipv6_dst));
	if (xdp)
		route_ask_xdp(ctx);
	else
		route_ask_tc(ctx);
}

/* What the lookup is asked for: where the flow leads. */
static __always_inline void route_target(const struct packet *p, const struct flow *f,
					 struct flow_key *to)
{
	to->dport = f->dport;
	if (packet_is_ip4(p))
		to->daddr[0] = ((const struct flow4 *)f)->daddr;
	else
		__builtin_memcpy(to->daddr, ((const struct flow6 *)f)->daddr, sizeof(to->daddr));
}

/*
 * May it go to the other end of the veth at once? What has another's address goes the long way: there,
 * the device sees whom the frame is for, and here it is for the other end itself.
 */
static __always_inline int peer_takes(__u32 port, __u16 generation, const struct link_address *dmac)
{
	const struct port_peer *peer = bpf_map_lookup_elem(&port_peers, &port);
	struct link_address mac;

	if (!peer || peer->generation != generation)
		return 0;
	mac = link_address_read(peer->mac);
	return link_address_equal(&mac, dmac);
}

/* The next hop that the flow keeps, while it can be trusted and the packet fits. */
static __always_inline int route_recall(struct packet *p, const struct flow *f)
{
	struct next_hop *hop = &p->hop;
	const struct port *port;
	__u32 at = f->port;
	__u16 generation = f->hop_generation;

	if (!generation || generation != lease_generation(packet_now(p), settings.hz))
		return 0;
	/* it needs a link-layer header, which takes the gateway; or an answer, which takes the request */
	if (!packet_is_xdp(p) && (p->l3_offset != ETH_HLEN || p->ttl <= 1))
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
	if (!packet_is_xdp(p) && peer_takes(at, generation, &hop->dmac))
		hop->port_flags |= IFACE_TO_PEER;
	return 1;
}

static __always_inline int hop_is(const struct hop_key *a, const struct hop_key *b)
{
	__u32 differ = (a->ifindex ^ b->ifindex) | (a->family ^ b->family);

	for (int i = 0; i < 4; i++)
		differ |= a->gateway[i] ^ b->gateway[i];
	return !differ;
}

/*
 * Tells the service, once a second at the most, to keep this neighbour reachable. New flows mostly have
 * the next hop of the one before: that this CPU has just told of it is in its request.
 */
static __always_inline void hop_use(struct request *r)
{
	struct hop_key key = { .ifindex = r->p.hop.ifindex };
	__u32 *last, now = packet_now(&r->p);

	key.family = r->gateway_is_ip4 ? FAMILY_IP4 : FAMILY_IP6;
	__builtin_memcpy(key.gateway, r->gateway, sizeof(key.gateway));
	if (now == r->told_at && hop_is(&key, &r->told))
		return;
	last = bpf_map_lookup_elem(&hops_in_use, &key);
	if (!last || now - *last >= r->hz)
		bpf_map_update_elem(&hops_in_use, &key, &now, BPF_ANY);
	r->told = key;
	r->told_at = now;
}

/*
 * Keeps the next hop that was looked up in the flow. Not where the route has an MTU below its
 * interface's: the flow has no room for that. Other CPUs may be reading: they must not take one half
 * of the old and one of the new, so the flow says that it has none until all is in place.
 */
static __always_inline void route_keep(struct request *r, struct flow *f)
{
	const struct next_hop *hop = &r->p.hop;
	const struct port *port;
	__u32 at = hop->port;

	if (!hop->generation || !at || hop->route != ROUTE_NEXT_HOP ||
	    hop->port_flags & IFACE_NO_ETHERNET)
		return;
	port = bpf_map_lookup_elem(&ports, &at);
	if (!port || hop->mtu < port->mtu)
		return;
	f->hop_generation = 0;
	barrier();
	f->port = at;
	link_address_keep(f->dmac, &hop->dmac);
	barrier();
	f->hop_generation = hop->generation;
	hop_use(r);
}

/*
 * Is the interface another than the one whose address the flow has been given? Answers would come in
 * there, if that address could be sent from at all (nf_nat_oif_changed()).
 */
static __always_inline int flow_has_moved(const struct flow *f, __u32 port)
{
	return f->flags & FLOW_MASQUERADED && f->port != port;
}

/* Is the next hop's interface known? */
static __always_inline int route_leaves(const struct next_hop *hop)
{
	return hop->route == ROUTE_NEXT_HOP || hop->route == ROUTE_NO_NEIGHBOUR ||
	       hop->route == ROUTE_TOO_BIG;
}

/* Looks up the route of the request's packet to r->want, if it is not known yet, and keeps it in the flow. */
static __always_inline void route_resolve(void *ctx, struct flow *f, int xdp)
{
	struct request *r = request_get();

	if (!r || !f)
		return;
	if (r->p.hop.route == ROUTE_UNKNOWN)
		route_find(ctx, r, &r->want, xdp);
	if (route_leaves(&r->p.hop) && flow_has_moved(f, r->p.hop.port))
		r->p.hop.route = ROUTE_ELSEWHERE;
	route_keep(r, f);
}

__attribute__((noinline)) int route_resolve_xdp(struct xdp_md *xdp, struct flow *f)
{
	route_resolve(xdp, f, 1);
	return 0;
}

__attribute__((noinline)) int route_resolve_tc(struct __sk_buff *skb, struct flow *f)
{
	route_resolve(skb, f, 0);
	return 0;
}

/* XDP forwards to a device that takes redirected frames, else not at all. */
static __always_inline int forward_xdp_possible(const struct packet *p)
{
	return p->hop.route == ROUTE_NEXT_HOP && p->ttl > 1 && p->hop.port &&
	       p->hop.port_flags & IFACE_TAKES_REDIRECTS;
}

/* Asked while the packet is as it came: is there room for the tags that it is to get? */
static __always_inline int forward_xdp_fits(const struct packet *p)
{
	return likely(!(p->hop.port_flags & IFACE_VLAN)) ||
	       vlan_fits(packet_xdp(p), p->hop.port, p->l3_length);
}

/* The packet is translated: if the device has gone in this very moment, it goes with it. */
static __always_inline int forward_xdp(const struct packet *p)
{
	const struct next_hop *hop = &p->hop;
	struct ethhdr *eth;

	if (unlikely(hop->port_flags & IFACE_VLAN) && vlan_leave(packet_xdp(p), hop->port))
		return XDP_DROP;
	eth = packet_data(p);
	if ((void *)(eth + 1) > packet_end(p))
		return XDP_DROP;
	link_address_write(eth->h_dest, &hop->dmac);
	link_address_write(eth->h_source, &hop->smac);
	if (hop->ifindex == p->ifindex)
		return XDP_TX;
	if (p->frames == FRAMES_GENERIC)
		return bpf_redirect_map(&tx_ports_generic, hop->port, XDP_DROP);
	return bpf_redirect_map(&tx_ports, hop->port, XDP_DROP);
}

/*
 * The route was looked up for this packet just now: a flow keeps no next hop without its address. A
 * function of its own, for room on the stack.
 */
__attribute__((noinline)) int forward_neighbour(void)
{
	struct bpf_redir_neigh gateway = { 0 };
	const struct request *r = request_get();

	if (!r)
		return TC_ACT_SHOT;
	gateway.nh_family = r->gateway_is_ip4 ? AF_INET : AF_INET6;
	__builtin_memcpy(gateway.ipv6_nh, r->gateway, sizeof(gateway.ipv6_nh));
	return bpf_redirect_neigh(r->p.hop.ifindex, &gateway, sizeof(gateway), 0);
}

/*
 * As if the other end of the veth had received it, with nothing of what programs before this one may
 * have set here.
 */
static __always_inline int forward_peer(const struct packet *p)
{
	struct __sk_buff *skb = packet_skb(p);

	skb->mark = 0;
	skb->priority = 0;
	return bpf_redirect_peer(p->hop.ifindex, 0);
}

/*
 * tc: the link-layer addresses are written here where they are known; otherwise, and for a device
 * without any, the kernel's neighbour code does it. tc_egress of the target is told that the packet
 * is done; where there is none, nothing is left on the packet.
 */
static __always_inline int forward_tc(const struct packet *p)
{
	const struct next_hop *hop = &p->hop;
	struct __sk_buff *skb = packet_skb(p);
	const int to_peer = hop->port_flags & IFACE_TO_PEER;
	__u64 addresses[2];

	if (vlan_forget_priority(skb))
		return TC_ACT_SHOT;
	if (!to_peer && hop->port_flags & IFACE_ATTACHED_EGRESS)
		skb->tc_index = TC_INDEX_DONE;
	if (hop->route == ROUTE_NO_NEIGHBOUR || p->l3_offset != ETH_HLEN ||
	    hop->port_flags & IFACE_NO_ETHERNET)
		return forward_neighbour();
	link_addresses_join(addresses, &hop->dmac, &hop->smac);
	if (bpf_skb_store_bytes(skb, 0, addresses, 2 * ETH_ALEN, 0))
		return TC_ACT_SHOT;
	return to_peer ? forward_peer(p) : bpf_redirect(hop->ifindex, 0);
}

static __always_inline int forward(const struct packet *p)
{
	return packet_is_xdp(p) ? forward_xdp(p) : forward_tc(p);
}

#endif
