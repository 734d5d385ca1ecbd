/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether a packet may begin a flow at all, whether its source may come in there, and claiming the
 * flow, whose answers nobody else may get.
 */
#ifndef XFWD_CLAIM_H
#define XFWD_CLAIM_H

#include "account.h"
#include "classify.h"
#include "segment.h"
#include "translate.h"

/*
 * request.claim: what begins a flow (begin.h) asks for it, and it is claimed after that, not from
 * within, for room on the stack.
 */
#define CLAIM_NONE    0
#define CLAIM_UNOWNED 1 /* of those that nobody else's answers come to */
#define CLAIM_PLAIN   2
#define CLAIM_IF_FREE 3 /* or the packet goes on without, with the verdict `unclaimed` */

/* May the packet begin a flow? VERDICT_CONTINUE, or what keeps it from being translated. */
static __always_inline enum verdict begin_allowed(const struct request *r)
{
	const struct packet *p = &r->p;

	if (p->shape & PACKET_BAD_L4)
		return VERDICT_DROP_MALFORMED;
	if (protocol_is_static_only(p->tuple.proto))
		return VERDICT_DROP_UNSUPPORTED;
	if (p->shape & PACKET_NO_L4)
		return VERDICT_DROP_FRAGMENT;
	if (p->shape & PACKET_BEGINS)
		return VERDICT_CONTINUE;
	if (p->tuple.proto == IPPROTO_TCP && r->setting_flags & SETTING_TCP_LOOSE &&
	    !(p->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_FIN)) &&
	    p->tcp_flags & TCP_FLAG_ACK)
		return VERDICT_CONTINUE;
	return VERDICT_DROP_STRAY;
}

/*
 * Has this host a socket of its own between these ends? TCP's established connections and listeners
 * both, UDP's connected sockets and the others.
 */
static __always_inline int socket_exists(void *ctx, struct request *r,
					 const struct flow_key *incoming)
{
	struct bpf_sock_tuple *tuple = &r->sock;
	__u32 size = sizeof(tuple->ipv4);
	struct bpf_sock *sock = NULL;

	if (incoming->family == FAMILY_IP4) {
		tuple->ipv4.saddr = incoming->saddr[0];
		tuple->ipv4.daddr = incoming->daddr[0];
		tuple->ipv4.sport = incoming->sport;
		tuple->ipv4.dport = incoming->dport;
	} else {
		size = sizeof(tuple->ipv6);
		__builtin_memcpy(tuple->ipv6.saddr, incoming->saddr, sizeof(incoming->saddr));
		__builtin_memcpy(tuple->ipv6.daddr, incoming->daddr, sizeof(incoming->daddr));
		tuple->ipv6.sport = incoming->sport;
		tuple->ipv6.dport = incoming->dport;
	}
	if (incoming->proto == IPPROTO_TCP)
		sock = bpf_skc_lookup_tcp(ctx, tuple, size, BPF_F_CURRENT_NETNS, 0);
	else if (incoming->proto == IPPROTO_UDP)
		sock = bpf_sk_lookup_udp(ctx, tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return 0;
	bpf_sk_release(sock);
	return 1;
}

/* Ports drawn again because somebody else answers there. */
#define OWNER_TRIES 4

/*
 * The interface by which the routing table leads back to the packet's source, from an address that
 * differs from the packet's destination in these of its last bits. 0: no way. Where forwarding is off
 * nothing can be asked, and nothing is forwarded: the stack looks at what is delivered.
 */
static __always_inline int way_back(void *ctx, __u32 ifindex, __u32 differ, __u32 flags)
{
	struct request *r = request_get();
	struct bpf_fib_lookup *fib;
	long route;

	if (!r)
		return 0;
	fib = &r->fib;
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->family = packet_is_ip4(&r->p) ? AF_INET : AF_INET6;
	fib->l4_protocol = r->p.tuple.proto;
	fib->tot_len = 1; /* without, this packet's would be compared with the MTU there */
	fib->ifindex = ifindex;
	__builtin_memcpy(fib->ipv6_src, r->p.tuple.daddr, sizeof(fib->ipv6_src));
	if (packet_is_ip4(&r->p))
		fib->ipv4_src ^= bpf_htonl(differ);
	else
		fib->ipv6_src[3] ^= bpf_htonl(differ);
	__builtin_memcpy(fib->ipv6_dst, r->p.tuple.saddr, sizeof(fib->ipv6_dst));
	route = bpf_fib_lookup(ctx, fib, sizeof(*fib), flags);
	if (route == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return ifindex;
	if (route != BPF_FIB_LKUP_RET_SUCCESS && route != BPF_FIB_LKUP_RET_NO_NEIGH)
		return 0;
	return fib->ifindex;
}

/* Functions of their own to the verifier, one for each kind of context. */
__attribute__((noinline)) int way_back_xdp(struct xdp_md *xdp, __u32 ifindex, __u32 differ,
					   __u32 flags)
{
	return way_back(xdp, ifindex, differ, flags);
}

__attribute__((noinline)) int way_back_tc(struct __sk_buff *skb, __u32 ifindex, __u32 differ,
					  __u32 flags)
{
	return way_back(skb, ifindex, differ, flags);
}

static __always_inline __u32 source_way(void *ctx, int xdp, __u32 ifindex, __u32 differ,
					__u32 flags)
{
	return xdp ? way_back_xdp(ctx, ifindex, differ, flags)
		   : way_back_tc(ctx, ifindex, differ, flags);
}

/* A next hop that has as much weight as the others together is missed but once in 2^32 times. */
#define NEXT_HOP_TRIES   32
/*
 * Such lookups in a second, a quarter of a CPU's time: in a flood of forged sources, which take all
 * tries, the first one settles the rest of a jiffy.
 */
#define NEXT_HOP_LOOKUPS 1600000

static __always_inline int next_hop_may_draw(struct request *r)
{
	if (r->drew_at != packet_now(&r->p)) {
		r->drew_at = packet_now(&r->p);
		r->draws = 0;
	}
	return r->draws++ < NEXT_HOP_LOOKUPS / r->hz;
}

/*
 * A lookup tells one of a route's next hops, by a hash of both addresses, but a source may come from
 * any of them (fib_info_nh_uses_dev()). Asked for one by this interface, IPv6 takes no other route for
 * its sake. IPv4 would, a less specific one; and what is asked so is under other rules of policy
 * routing. Then the other address is varied, in what its own network has it for.
 */
static __always_inline int source_has_next_hop(void *ctx, struct request *r, __u32 ifindex, int xdp)
{
	if (!packet_is_ip4(&r->p) &&
	    source_way(ctx, xdp, ifindex, 0, BPF_FIB_LOOKUP_OUTPUT) == ifindex)
		return 1;
#pragma clang loop unroll(disable)
	for (int i = 0; i < NEXT_HOP_TRIES && next_hop_may_draw(r); i++)
		if (source_way(ctx, xdp, ifindex, bpf_get_prandom_u32() & 0xff, 0) == ifindex)
			return 1;
	return 0;
}

/*
 * Is the source one that may not come in there? One of this host's own, or one that the routing table
 * has another way back to: RFC 3704's strict reverse path, as rp_filter has it.
 */
static __always_inline int source_forged(void *ctx, __u32 ifindex, int xdp)
{
	const struct iface *in = iface_find(ifindex);
	struct request *r = request_get();
	__u32 way;

	if (!r)
		return 1;
	if (!(r->setting_flags & SETTING_SOURCE_CHECK) || !in)
		return 0;
	way = source_way(ctx, xdp, ifindex, 0, 0);
	if (!way || way == ifindex || in->flags & IFACE_LOOSE_SOURCE)
		return !way;
	return !source_has_next_hop(ctx, r, ifindex, xdp);
}

/* Functions of their own to the verifier, likewise. */
__attribute__((noinline)) int source_forged_xdp(struct xdp_md *xdp, __u32 ifindex)
{
	return source_forged(xdp, ifindex, 1);
}

__attribute__((noinline)) int source_forged_tc(struct __sk_buff *skb, __u32 ifindex)
{
	return source_forged(skb, ifindex, 0);
}

static __always_inline int source_is_forged(void *ctx, __u32 ifindex, int xdp)
{
	return xdp ? source_forged_xdp(ctx, ifindex) : source_forged_tc(ctx, ifindex);
}

/*
 * Would the flow's answers be taken for another's? A socket of this host waits for them; or, where
 * others will be sent to the same port, a dnat rule has it for a server.
 */
static __always_inline int answer_is_owned(void *ctx, int with_rules)
{
	struct request *r = request_get();
	const struct rule_action *rule;
	__u32 ifindex;

	if (!r)
		return 1;
	ifindex = r->p.hook == HOOK_TC_EGRESS ? r->p.ifindex : r->p.hop.ifindex;
	flow_key_reverse(&r->want, &r->back);
	if (socket_exists(ctx, r, &r->back))
		return 1;
	if (!with_rules || r->mapping != MAPPING_NEW)
		return 0;
	rule = rule_find_in(ROOM_ANSWER, &r->p, &r->back, STAGE_IN, ifindex);
	return rule && rule->kind != RULE_ACCEPT && rule->flags & RULE_TO_PORTS;
}

/* Functions of their own to the verifier, one for each kind of context. */
__attribute__((noinline)) int answer_is_owned_xdp(struct xdp_md *xdp, int with_rules)
{
	return answer_is_owned(xdp, with_rules);
}

__attribute__((noinline)) int answer_is_owned_tc(struct __sk_buff *skb, int with_rules)
{
	return answer_is_owned(skb, with_rules);
}

static __always_inline int owned(void *ctx, int xdp, int with_rules)
{
	return xdp ? answer_is_owned_xdp(ctx, with_rules) : answer_is_owned_tc(ctx, with_rules);
}

/*
 * Claims a flow whose answers nobody else gets. This host's own packets have their socket, of course;
 * and a mapping that is in use has its port.
 */
static __always_inline enum verdict claim_unowned(void *ctx, int xdp)
{
	struct request *r = request_get();
	enum verdict verdict;

	if (!r)
		return VERDICT_DROP_ERROR;
	if (r->p.shape & PACKET_LOCAL || address_equal(r->want.saddr, r->p.tuple.saddr) ||
	    r->mapping == MAPPING_KNOWN)
		return translate_claim(r);
	flow_expect_reply();
	r->mapping_asked = r->mapping;
#pragma clang loop unroll(disable)
	for (int i = 1; i <= OWNER_TRIES; i++) {
		if (r->keep && r->choose && owned(ctx, xdp, 1))
			r->keep = 0;
		r->claimed = 0;
		verdict = translate_claim(r);
		if (!r->claimed || (r->keep && r->want.sport == r->p.tuple.sport))
			return verdict;
		r->mapping = r->mapping_asked;
		if (!owned(ctx, xdp, i < OWNER_TRIES))
			return verdict;
		flow_undo();
		r->keep = 0;
	}
	return VERDICT_DROP_NO_PORT;
}

__attribute__((noinline)) int claim_xdp(struct xdp_md *xdp)
{
	return claim_unowned(xdp, 1);
}

__attribute__((noinline)) int claim_tc(struct __sk_buff *skb)
{
	struct request *r = request_get();
	enum verdict verdict;

	if (!r)
		return VERDICT_DROP_ERROR;
	if (r->claim == CLAIM_UNOWNED) {
		segment_settle(skb);
		return claim_unowned(skb, 0);
	}
	verdict = translate_claim(r);
	if (r->refused)
		return VERDICT_DROP_UNSOLICITED;
	return r->claim == CLAIM_IF_FREE && verdict != VERDICT_CONTINUE ? r->unclaimed : verdict;
}

#endif
