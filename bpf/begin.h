/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet that belongs to no flow: what the rules make of it. Each function returns
 * VERDICT_CONTINUE when the packet now has a flow, else the packet's verdict.
 */
#ifndef XFWD_BEGIN_H
#define XFWD_BEGIN_H

#include "account.h"
#include "classify.h"
#include "segment.h"
#include "translate.h"

/* May the packet begin a flow? VERDICT_CONTINUE, or what keeps it from being translated. */
static __always_inline enum verdict begin_allowed(const struct request *r)
{
	const struct packet *p = &r->p;

	if (p->shape & PACKET_BAD_L4)
		return VERDICT_DROP_MALFORMED;
	if (protocol_is_unsupported(p->tuple.proto))
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

/* Does a rule translate what would answer a packet? */
static __always_inline int answer_is_translated(const struct packet *p,
						const struct flow_key *answer, enum stage stage,
						__u32 ifindex)
{
	const struct rule_action *rule = rule_find_in(ROOM_ANSWER, p, answer, stage, ifindex);

	return rule && rule->kind != RULE_ACCEPT && rule->kind != RULE_DROP;
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

/*
 * Would a rule take the answer to this packet for the beginning of a flow? conntrack knows better,
 * from tracking all that passes; here only what needs it is tracked:
 * - coming in: UDP to a socket of this host, whose answer a source-NAT rule covers. (Answers of TCP,
 *   SCTP and echo begin nothing. Without a socket there will be no answer, and an outsider could make
 *   flows at will.)
 * - going out: what a dnat rule would send astray when it is answered; and what was forwarded, by
 *   the firewall's leave then, from an interface where a source-NAT rule covers the way back.
 */
__attribute__((noinline)) int answer_is_taken(struct __sk_buff *ctx)
{
	struct request *r = request_get();
	struct packet *p;

	if (!r)
		return 0;
	p = &r->p;
	flow_key_reverse(&p->tuple, &r->back);
	if (p->hook == HOOK_TC_INGRESS) {
		if (p->tuple.proto != IPPROTO_UDP ||
		    !answer_is_translated(p, &r->back, STAGE_OUT, p->ifindex))
			return 0;
		route_find(ctx, r, &p->tuple, 0);
		return route_is_local(p) && socket_exists(ctx, r, &p->tuple);
	}
	if (p->came_from && answer_is_translated(p, &r->back, STAGE_OUT, p->came_from))
		return 1;
	if (protocol_is_icmp(p->tuple.proto) || p->tuple.proto == IPPROTO_SCTP ||
	    (p->tuple.proto == IPPROTO_TCP && !(r->setting_flags & SETTING_TCP_LOOSE)))
		return 0;
	return answer_is_translated(p, &r->back, STAGE_IN, p->ifindex);
}

/* A packet that no rule translates: a flow without translation, if its answer would be taken. */
static __always_inline enum verdict begin_tracked(struct __sk_buff *skb, struct request *r)
{
	if (begin_allowed(r) != VERDICT_CONTINUE ||
	    address_is_multicast(r->p.tuple.daddr, r->p.tuple.family) || !answer_is_taken(skb))
		return VERDICT_PASS_NO_RULE;
	r->keep = 1;
	return translate_claim(r) == VERDICT_CONTINUE ? VERDICT_CONTINUE : VERDICT_PASS_NO_RULE;
}

/* The same for a packet that an accept rule exempts. */
static __always_inline enum verdict begin_accepted(void *ctx, struct request *r,
						   const struct rule_action *rule)
{
	enum verdict verdict = begin_tracked(ctx, r);

	rule_count_packet(rule->slot, r->p.l3_length);
	return verdict == VERDICT_PASS_NO_RULE ? VERDICT_PASS_ACCEPT : verdict;
}

/* Ports drawn again because somebody else answers there. */
#define OWNER_TRIES 4

/*
 * Is the source one that may not come in there? One of this host's own, or one that the routing table
 * has another way back to: RFC 3704's strict reverse path, as rp_filter has it. Where forwarding is
 * off nothing can be asked, and nothing is forwarded: the stack looks at what is delivered.
 */
static __always_inline int source_forged(void *ctx, __u32 ifindex)
{
	const struct iface *in = iface_find(ifindex);
	struct request *r = request_get();
	struct bpf_fib_lookup *fib;
	long route;

	if (!r)
		return 1;
	fib = &r->fib;
	if (!(r->setting_flags & SETTING_SOURCE_CHECK) || !in)
		return 0;
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->family = packet_is_ip4(&r->p) ? AF_INET : AF_INET6;
	fib->l4_protocol = r->p.tuple.proto;
	fib->ifindex = ifindex;
	__builtin_memcpy(fib->ipv6_src, r->p.tuple.daddr, sizeof(fib->ipv6_src));
	__builtin_memcpy(fib->ipv6_dst, r->p.tuple.saddr, sizeof(fib->ipv6_dst));
	route = bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	if (route == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return 0;
	if (route != BPF_FIB_LKUP_RET_SUCCESS && route != BPF_FIB_LKUP_RET_NO_NEIGH)
		return 1;
	return fib->ifindex != ifindex && !(in->flags & IFACE_LOOSE_SOURCE);
}

/* Functions of their own to the verifier, one for each kind of context. */
__attribute__((noinline)) int source_forged_xdp(struct xdp_md *xdp, __u32 ifindex)
{
	return source_forged(xdp, ifindex);
}

__attribute__((noinline)) int source_forged_tc(struct __sk_buff *skb, __u32 ifindex)
{
	return source_forged(skb, ifindex);
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
	__u8 mapping;

	if (!r)
		return VERDICT_DROP_ERROR;
	mapping = r->mapping;
	if (r->p.shape & PACKET_LOCAL || address_equal(r->want.saddr, r->p.tuple.saddr) ||
	    mapping == MAPPING_KNOWN)
		return translate_claim(r);
#pragma clang loop unroll(disable)
	for (int i = 1; i <= OWNER_TRIES; i++) {
		if (r->keep && r->choose && owned(ctx, xdp, 1))
			r->keep = 0;
		r->claimed = 0;
		verdict = translate_claim(r);
		if (!r->claimed || (r->keep && r->want.sport == r->p.tuple.sport))
			return verdict;
		r->mapping = mapping;
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
	segment_settle(skb);
	return claim_unowned(skb, 0);
}

/*
 * The stage out of a packet that stage in translated, when its route is known. *keeps: a rule asks
 * for a flow.
 */
static __always_inline enum verdict begin_out(struct request *r, int *keeps)
{
	const struct rule_action *rule = NULL;

	if (route_is_local(&r->p)) {
		r->to_local = FLOW_TO_LOCAL;
	} else {
		rule = rule_find(&r->p, &r->want, STAGE_OUT, r->p.hop.ifindex);
		if (rule && rule->kind == RULE_DROP) {
			rule_count_packet(rule->slot, r->p.l3_length);
			return VERDICT_DROP_RULE;
		}
		if (rule && rule->kind == RULE_ACCEPT) {
			rule_count_packet(rule->slot, r->p.l3_length);
			rule = NULL;
		}
	}
	if (!rule)
		return translate_source(ROOM_NONE, 0);
	r->rule_out = rule->slot;
	if (rule->kind == RULE_STATIC) {
		translate_prefix(rule, r->want.family, r->want.saddr);
		return VERDICT_CONTINUE;
	}
	*keeps = 1;
	translate_limit(r, rule);
	segment_rule(r, rule);
	if (segment_is_tc(r))
		return VERDICT_PASS_TO_TC;
	return translate_source(ROOM_OUT, r->p.hop.ifindex);
}

/*
 * A host inside has sent to the outside address of another, or of itself: the other sees the
 * sender's own outside address (RFC 4787 R9), what the rules would make of it on its way out there,
 * or the address that was sent to. Otherwise the answer would go by a shorter way, untranslated.
 */
__attribute__((noinline)) int begin_hairpin(void)
{
	const struct rule_action *rule = NULL;
	struct request *r = request_get();

	if (!r)
		return VERDICT_DROP_ERROR;
	if (r->hairpin)
		rule = rule_find(&r->p, &r->p.tuple, STAGE_OUT, r->hairpin);
	if (rule && (rule->kind == RULE_SNAT || rule->kind == RULE_MASQUERADE)) {
		r->rule_out = rule->slot;
		segment_rule(r, rule);
		if (segment_is_tc(r))
			return VERDICT_PASS_TO_TC;
		return translate_source(ROOM_OUT, r->hairpin);
	}
	__builtin_memcpy(r->want.saddr, r->p.tuple.daddr, sizeof(r->want.saddr));
	return translate_source(ROOM_NONE, 0);
}

/* The request's own translation, without a flow: of a static rule. */
static __always_inline enum verdict begin_stateless(struct request *r)
{
	flow_fill(r, &r->p.tuple, &r->want, r->to_local);
	r->stateless = 1;
	return VERDICT_CONTINUE;
}

/*
 * dnat, redirect, static: the new destination decides the route, and the route the stage out. What
 * only static rules change needs no flow, and need not be its beginning.
 */
static __always_inline enum verdict begin_destination(void *ctx, struct request *r,
						      const struct rule_action *rule, int xdp)
{
	int keeps = rule->kind != RULE_STATIC;
	struct packet *p = &r->p;
	enum verdict verdict = begin_allowed(r);

	if (address_is_no_source(p->tuple.saddr, p->tuple.family))
		return VERDICT_DROP_MARTIAN;
	if (keeps && verdict == VERDICT_DROP_STRAY)
		return VERDICT_PASS_STRAY; /* may be of a connection older than the rule */
	if (verdict != VERDICT_CONTINUE && (keeps || verdict == VERDICT_DROP_MALFORMED))
		return verdict;
	if (source_is_forged(ctx, p->ifindex, xdp))
		return VERDICT_DROP_MARTIAN;
	r->rule_in = rule->slot;
	if (!keeps)
		translate_prefix(rule, r->want.family, r->want.daddr);
	else if (translate_destination() != VERDICT_CONTINUE)
		return VERDICT_DROP_NO_ADDRESS;
	translate_limit(r, rule);
	segment_rule(r, rule);
	route_find(ctx, r, &r->want, xdp);
	if (xdp && (!forward_xdp_possible(p) || r->mss))
		return VERDICT_PASS_TO_TC;
	if (route_is_refused(p))
		return VERDICT_DROP_UNREACHABLE;
	verdict = begin_out(r, &keeps);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	if (!r->rule_out && !r->to_local && rule->flags & RULE_HAIRPIN &&
	    (r->hairpin || p->hop.ifindex == p->ifindex)) {
		verdict = begin_hairpin();
		if (verdict != VERDICT_CONTINUE)
			return verdict;
	}
	if (!keeps)
		return begin_stateless(r);
	if (begin_allowed(r) != VERDICT_CONTINUE)
		return begin_allowed(r);
	return xdp ? claim_xdp(ctx) : claim_tc(ctx);
}

/* Does a dnat rule of an outside interface lead a packet from inside back? It is in ROOM_IN then. */
__attribute__((noinline)) int hairpin_find(void)
{
	struct request *r = request_get();
	const struct rule_action *rule;

	if (!r)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < RULESET_HAIRPINS; i++) {
		__u32 ifindex = ruleset_hairpin(r->p.generation & 1, i);

		if (!ifindex)
			break;
		if (ifindex == r->p.ifindex)
			continue;
		rule = rule_find(&r->p, &r->p.tuple, STAGE_IN, ifindex);
		if (!rule || !(rule->flags & RULE_HAIRPIN))
			continue;
		__builtin_memset(r->back.saddr, 0, sizeof(r->back.saddr));
		if (!(rule->flags & RULE_TO_ADDRESS) &&
		    (translate_to_own(ifindex, r->p.tuple.family, r->back.saddr) ||
		     !address_equal(r->back.saddr, r->p.tuple.daddr)))
			continue;
		r->hairpin = ifindex;
		return 1;
	}
	return 0;
}

/* May the packet's source use the mapping? */
static __always_inline int inbound_permitted(struct request *r, const struct outside *o)
{
	if (o->filter & RULE_FILTER_NONE)
		return 1;
	if (!(o->filter & RULE_FILTER_ADDRESS))
		return 0;
	r->permit_key.outside = r->outside_key;
	__builtin_memcpy(r->permit_key.remote, r->want.saddr, sizeof(r->permit_key.remote));
	return bpf_map_lookup_elem(&permits, &r->permit_key) != NULL;
}

/* The mapping whose outside endpoint the packet is for, or NULL. */
static __always_inline const struct outside *outside_of(struct request *r)
{
	const struct flow_key *key = &r->p.tuple;

	if (!(r->p.shape & PACKET_PORTS))
		return NULL;
	endpoint_set(&r->outside_key, key, key->daddr, key->dport);
	return bpf_map_lookup_elem(&outsides, &r->outside_key);
}

/*
 * The rule that made the mapping says what TCP may be told. A function of its own to the verifier,
 * for the stack's sake.
 */
__attribute__((noinline)) int segment_inbound(struct __sk_buff *skb)
{
	struct request *r = request_get();
	const struct rule_action *rule;

	if (!r || r->p.tuple.proto != IPPROTO_TCP)
		return 0;
	flow_key_reverse(&r->want, &r->back);
	rule = rule_find_in(ROOM_ANSWER, &r->p, &r->back, STAGE_OUT, r->outside.ifindex);
	if (rule && rule->slot == r->outside.slot)
		segment_rule(r, rule);
	return segment_settle(skb);
}

/*
 * Between two hosts inside, whom filtering has each send first: has the other one? What it sent was
 * refused, and left a flow as if it had gone out, whose answer this packet is. That flow makes way.
 */
static __always_inline int inbound_asked(struct request *r)
{
	const struct flow *f;
	__u32 flags;

	if (r->mapping != MAPPING_KNOWN)
		return 0;
	r->back = r->p.tuple;
	__builtin_memcpy(r->back.saddr, r->want.saddr, sizeof(r->back.saddr));
	r->back.sport = r->want.sport;
	f = request_pair(r, &r->back);
	if (!f || !(f->flags & FLOW_REPLY))
		return 0;
	flags = f->flags & FLOW_HOLDS;
	r->key = r->peer;
	request_delete(r, &r->back);
	if (!request_delete(r, &r->key) && flags)
		flow_gone(flags);
	return 1;
}

/* Refused, but noted where it is a host inside that asks, and its packets could go no further anyway. */
static __always_inline enum verdict inbound_refuse(struct __sk_buff *skb, struct request *r)
{
	route_find(skb, r, &r->p.tuple, 0);
	if (r->hairpin && route_is_local(&r->p)) {
		__builtin_memcpy(r->want.daddr, r->p.tuple.daddr, sizeof(r->want.daddr));
		r->want.dport = r->p.tuple.dport;
		r->to_local = FLOW_TO_LOCAL;
		translate_claim(r);
	} else if (r->mapping == MAPPING_KNOWN) {
		mapping_release(&r->mapping_key);
	}
	return VERDICT_DROP_UNSOLICITED;
}

/*
 * A packet that is of no flow and under no rule, to an outside endpoint that is mapped: where the
 * filtering lets it in, it begins a flow under the mapping. What is kept out is met with silence, so
 * that both sides may open at once (RFC 5382 R4).
 */
__attribute__((noinline)) int begin_inbound(struct __sk_buff *skb)
{
	struct request *r = request_get();
	const struct outside *o;
	enum verdict verdict;
	struct mapping *m;
	struct packet *p;

	if (!r)
		return VERDICT_DROP_ERROR;
	p = &r->p;
	o = outside_of(r);
	if (!o)
		return VERDICT_PASS_NO_RULE;
	if (begin_allowed(r) != VERDICT_CONTINUE || socket_exists(skb, r, &p->tuple))
		return VERDICT_PASS_NO_RULE;
	if (address_is_no_source(p->tuple.saddr, p->tuple.family))
		return VERDICT_DROP_MARTIAN;
	if (source_is_forged(skb, p->ifindex, 0))
		return VERDICT_DROP_MARTIAN;
	r->outside = *o;
	__builtin_memcpy(r->want.daddr, o->addr, sizeof(r->want.daddr));
	r->want.dport = o->port;
	r->taken_key.inside = r->outside_key;
	__builtin_memcpy(r->taken_key.inside.addr, o->addr, sizeof(o->addr));
	r->taken_key.inside.port = o->port;
	__builtin_memcpy(r->taken_key.outside, p->tuple.daddr, sizeof(r->taken_key.outside));
	r->rule_out = o->slot;
	verdict = translate_source(ROOM_NONE, 0);
	if (o->ifindex != p->ifindex) {
		r->hairpin = o->ifindex;
		verdict = begin_hairpin();
	}
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	if (!inbound_permitted(r, o) && !(r->hairpin && inbound_asked(r)))
		return inbound_refuse(skb, r);
	route_find(skb, r, &r->want, 0);
	if (route_is_local(p))
		r->to_local = FLOW_TO_LOCAL;
	m = bpf_map_lookup_elem(&mappings, &r->taken_key);
	if (m && !mapping_hold(m))
		r->flags |= FLOW_MAPPED_BACK;
	segment_inbound(skb);
	return translate_claim(r);
}

/* Has no place outside its link: DHCP, routing protocols, addresses without a router. */
static __always_inline int stays_on_link(const struct flow_key *key)
{
	if (address_is_multicast(key->daddr, key->family))
		return 1;
	if (key->family == FAMILY_IP4)
		return !key->saddr[0];
	return address6_is_link_local(key->saddr) || address6_is_below(key->saddr, 0);
}

/* RFC 1812 5.3.7: the stack would not take it either, but say nothing of it. Not DHCP's, nor IPv6's. */
static __always_inline int is_martian(const struct flow_key *key)
{
	return address_is_no_source(key->saddr, key->family) && !stays_on_link(key);
}

/*
 * To an address that is lent out: would the stack refuse a connection, which another may be opening
 * from inside at the same time, or send the packet on, to where it came from?
 */
static __always_inline int is_nobodys(void *ctx, struct request *r)
{
	const struct flow_key *key = &r->p.tuple;

	if (key->proto == IPPROTO_TCP && r->p.shape & PACKET_BEGINS)
		return !socket_exists(ctx, r, key);
	route_find(ctx, r, key, 0);
	return !route_is_local(&r->p) && r->p.hop.ifindex == r->p.ifindex;
}

/*
 * What no rule covers. What belongs to nobody, at an address that a snat rule lends out, is met with
 * silence, whether it is mapped or not, and whether the stack knows the address or would send it on.
 */
static __always_inline enum verdict begin_uncovered(void *ctx, struct request *r, int xdp)
{
	enum verdict verdict;

	if (xdp)
		return outside_of(r) ? VERDICT_PASS_TO_TC : VERDICT_PASS_NO_RULE;
	if (is_martian(&r->p.tuple))
		return VERDICT_DROP_MARTIAN;
	verdict = begin_inbound(ctx);
	if (verdict != VERDICT_PASS_NO_RULE)
		return verdict;
	if (protocol_has_ports(r->p.tuple.proto) && ruleset_pools() && is_nobodys(ctx, r))
		return VERDICT_DROP_UNSOLICITED;
	return begin_tracked(ctx, r);
}

/* Ingress: the stage in, as netfilter's PREROUTING. */
static __always_inline enum verdict begin_ingress(void *ctx, struct request *r, int xdp)
{
	const struct rule_action *rule;

	rule = rule_find(&r->p, &r->p.tuple, STAGE_IN, r->p.ifindex);
	if (!rule && hairpin_find())
		rule = rule_in_room(ROOM_IN);
	if (!rule)
		return begin_uncovered(ctx, r, xdp);
	switch (rule->kind) {
	case RULE_DROP:
		rule_count_packet(rule->slot, r->p.l3_length);
		return VERDICT_DROP_RULE;
	case RULE_DNAT:
	case RULE_REDIRECT:
	case RULE_STATIC:
		return begin_destination(ctx, r, rule, xdp);
	default:
		/* in XDP it is not counted yet: tc will see it, too */
		return xdp ? VERDICT_PASS_ACCEPT : begin_accepted(ctx, r, rule);
	}
}

/* Its ports are unknown, and a source-NAT rule asks for some: it could be one that may not leave. */
static __always_inline int may_be_covered(const struct request *r)
{
	const struct packet *p = &r->p;

	return p->shape & (PACKET_NO_L4 | PACKET_BAD_L4) &&
	       !(p->shape & (PACKET_PORTS | PACKET_LOCAL)) && r->setting_flags & SETTING_PORTS_OUT;
}

/*
 * This host's own packet, to where a translated flow already gets its answers under the same port:
 * it steps aside to another port, or passes if it cannot begin a flow.
 */
static __always_inline enum verdict begin_aside(struct request *r)
{
	enum verdict verdict;

	if (begin_allowed(r) != VERDICT_CONTINUE)
		return VERDICT_PASS_STRAY;
	r->from_local = FLOW_TO_LOCAL;
	verdict = translate_source(ROOM_NONE, 0);
	return verdict == VERDICT_CONTINUE ? translate_claim(r) : verdict;
}

/*
 * Egress: the stage out, as netfilter's POSTROUTING. What a source-NAT rule covers and cannot be
 * translated does not leave, unless this host's own sockets made it: its source is no secret, and
 * it may belong to a connection older than the rule, or answer one from outside.
 */
static __always_inline enum verdict begin_egress(struct __sk_buff *skb, struct request *r)
{
	struct packet *p = &r->p;
	const struct rule_action *rule;
	enum verdict verdict;

	flow_key_reverse(&p->tuple, &r->back);
	if (p->shape & PACKET_PORTS && request_flow(r, &r->back))
		return p->shape & PACKET_LOCAL ? begin_aside(r) : VERDICT_PASS_DONE;
	rule = rule_find(p, &p->tuple, STAGE_OUT, p->ifindex);
	if (!rule && may_be_covered(r))
		return p->shape & PACKET_BAD_L4 ? VERDICT_DROP_MALFORMED : VERDICT_DROP_FRAGMENT;
	if (!rule)
		return begin_tracked(skb, r);
	if (rule->kind == RULE_ACCEPT)
		return begin_accepted(skb, r, rule);
	if (rule->kind == RULE_DROP) {
		rule_count_packet(rule->slot, p->l3_length);
		return VERDICT_DROP_RULE;
	}
	if (stays_on_link(&p->tuple))
		return VERDICT_PASS_NO_RULE;
	verdict = begin_allowed(r);
	r->rule_out = rule->slot;
	if (rule->kind == RULE_STATIC && verdict != VERDICT_DROP_MALFORMED) {
		translate_prefix(rule, p->tuple.family, r->want.saddr);
		return begin_stateless(r);
	}
	if (verdict != VERDICT_CONTINUE)
		return p->shape & PACKET_LOCAL ? VERDICT_PASS_STRAY : verdict;
	if (p->shape & PACKET_LOCAL)
		r->from_local = FLOW_TO_LOCAL;
	else if (source_is_forged(skb, p->came_from, 0))
		return VERDICT_DROP_MARTIAN;
	translate_limit(r, rule);
	segment_rule(r, rule);
	verdict = translate_source(ROOM_OUT, p->ifindex);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	return claim_tc(skb);
}

#endif
