/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet that belongs to no flow: what the rules make of it. Each function returns
 * VERDICT_CONTINUE when the packet now has a flow, else the packet's verdict.
 */
#ifndef XFWD_BEGIN_H
#define XFWD_BEGIN_H

#include "account.h"
#include "classify.h"
#include "forward.h"
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
static __always_inline int answer_is_taken(void *ctx, struct request *r)
{
	struct packet *p = &r->p;

	flow_key_reverse(&p->tuple, &r->back);
	if (p->hook == HOOK_TC_INGRESS) {
		if (p->tuple.proto != IPPROTO_UDP ||
		    !answer_is_translated(p, &r->back, STAGE_OUT, p->ifindex))
			return 0;
		route_find(ctx, r, &p->tuple);
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
static __always_inline enum verdict begin_tracked(void *ctx, struct request *r)
{
	if (packet_is_xdp(&r->p) || begin_allowed(r) != VERDICT_CONTINUE ||
	    address_is_multicast(r->p.tuple.daddr, r->p.tuple.family) || !answer_is_taken(ctx, r))
		return VERDICT_PASS_NO_RULE;
	r->keep = 1;
	return translate_claim() == VERDICT_CONTINUE ? VERDICT_CONTINUE : VERDICT_PASS_NO_RULE;
}

/* The same for a packet that an accept rule exempts. */
static __always_inline enum verdict begin_accepted(void *ctx, struct request *r,
						   const struct rule_action *rule)
{
	enum verdict verdict = begin_tracked(ctx, r);

	/* In XDP the packet is not counted yet: tc will see it too. */
	if (!packet_is_xdp(&r->p))
		rule_count_packet(rule->slot, r->p.l3_length);
	return verdict == VERDICT_PASS_NO_RULE ? VERDICT_PASS_ACCEPT : verdict;
}

/* Ports drawn again because a socket of this host has them. */
#define SOCKET_TRIES 4

/*
 * Claims a flow whose answers no socket of this host is waiting for: answers go to the flow, and the
 * socket's own would with them. This host's own packets have their socket, of course.
 */
static __always_inline enum verdict claim_off_sockets(void *ctx, struct request *r)
{
	enum verdict verdict;

	if (r->p.shape & PACKET_LOCAL || address_equal(r->want.saddr, r->p.tuple.saddr))
		return translate_claim();
	for (int i = 0; i < SOCKET_TRIES; i++) {
		flow_key_reverse(&r->want, &r->back);
		if (r->keep && socket_exists(ctx, r, &r->back))
			r->keep = 0;
		r->claimed = 0;
		verdict = translate_claim();
		flow_key_reverse(&r->want, &r->back);
		if (!r->claimed || (r->keep && r->want.sport == r->p.tuple.sport) ||
		    !socket_exists(ctx, r, &r->back))
			return verdict;
		flow_undo(r);
		r->keep = 0;
	}
	return VERDICT_DROP_NO_PORT;
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
		return translate_source(r, NULL, 0);
	r->rule_out = rule->slot;
	if (rule->kind == RULE_STATIC) {
		translate_prefix(rule, r->want.family, r->want.saddr);
		return VERDICT_CONTINUE;
	}
	*keeps = 1;
	return translate_source(r, rule, r->p.hop.ifindex);
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
						      const struct rule_action *rule)
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
	r->rule_in = rule->slot;
	if (!keeps)
		translate_prefix(rule, r->want.family, r->want.daddr);
	else if (translate_destination(r, rule) != VERDICT_CONTINUE)
		return VERDICT_DROP_NO_ADDRESS;
	route_find(ctx, r, &r->want);
	if (packet_is_xdp(p) && !forward_xdp_possible(p))
		return VERDICT_PASS_TO_TC;
	if (route_is_refused(p))
		return VERDICT_DROP_UNREACHABLE;
	verdict = begin_out(r, &keeps);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	return keeps ? claim_off_sockets(ctx, r) : begin_stateless(r);
}

/* Ingress: the stage in, as netfilter's PREROUTING. */
static __always_inline enum verdict begin_ingress(void *ctx, struct request *r)
{
	const struct rule_action *rule;

	rule = rule_find(&r->p, &r->p.tuple, STAGE_IN, r->p.ifindex);
	if (!rule)
		return begin_tracked(ctx, r);
	switch (rule->kind) {
	case RULE_DROP:
		rule_count_packet(rule->slot, r->p.l3_length);
		return VERDICT_DROP_RULE;
	case RULE_DNAT:
	case RULE_REDIRECT:
	case RULE_STATIC:
		return begin_destination(ctx, r, rule);
	default:
		return begin_accepted(ctx, r, rule);
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
	verdict = translate_source(r, NULL, r->p.ifindex);
	return verdict == VERDICT_CONTINUE ? translate_claim() : verdict;
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

/*
 * Egress: the stage out, as netfilter's POSTROUTING. What a source-NAT rule covers and cannot be
 * translated does not leave, unless this host's own sockets made it: its source is no secret, and
 * it may belong to a connection older than the rule, or answer one from outside.
 */
static __always_inline enum verdict begin_egress(void *ctx, struct request *r)
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
		return begin_tracked(ctx, r);
	if (rule->kind == RULE_ACCEPT)
		return begin_accepted(ctx, r, rule);
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
	verdict = translate_source(r, rule, p->ifindex);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	return claim_off_sockets(ctx, r);
}

#endif
