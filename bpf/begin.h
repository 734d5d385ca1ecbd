/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet that belongs to no flow: what the rules make of it. Each function returns
 * VERDICT_CONTINUE when the packet asks for a flow, which is then claimed (claim.h), else the packet's
 * verdict.
 */
#ifndef XFWD_BEGIN_H
#define XFWD_BEGIN_H

#include "extension.h"
#include "inbound.h"

/* Does a rule translate what would answer a packet? */
static __always_inline int answer_is_translated(const struct packet *p,
						const struct flow_key *answer, enum stage stage,
						__u32 ifindex)
{
	const struct rule_action *rule = rule_find_in(ROOM_ANSWER, p, answer, stage, ifindex);

	return rule && rule->kind != RULE_ACCEPT && rule->kind != RULE_DROP;
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

/*
 * A packet that no rule translates: a flow without translation, if its answer would be taken. A
 * function of its own, for room on the stack.
 */
__attribute__((noinline)) int begin_tracked(struct __sk_buff *skb)
{
	struct request *r = request_get();

	if (!r)
		return VERDICT_DROP_ERROR;
	if (begin_allowed(r) != VERDICT_CONTINUE ||
	    address_is_multicast(r->p.tuple.daddr, r->p.tuple.family) || !answer_is_taken(skb))
		return VERDICT_PASS_NO_RULE;
	r->keep = 1;
	r->claim = CLAIM_IF_FREE;
	r->unclaimed = VERDICT_PASS_NO_RULE;
	return VERDICT_CONTINUE;
}

/* The same for a packet that an accept rule exempts. */
static __always_inline enum verdict begin_accepted(void *ctx, struct request *r,
						   const struct rule_action *rule)
{
	enum verdict verdict = begin_tracked(ctx);

	rule_count(rule->slot, r->p.l3_length);
	r->unclaimed = VERDICT_PASS_ACCEPT;
	return verdict == VERDICT_PASS_NO_RULE ? VERDICT_PASS_ACCEPT : verdict;
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
			rule_count(rule->slot, r->p.l3_length);
			return VERDICT_DROP_RULE;
		}
		if (rule && rule->kind == RULE_ACCEPT) {
			rule_count(rule->slot, r->p.l3_length);
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
 * The request's own translation, without a flow: of a static rule. An ICMP error that comes here
 * quotes what is not known (icmp_error.h), and may tell an inside address.
 */
static __always_inline enum verdict begin_stateless(struct request *r)
{
	if (r->p.shape & PACKET_ICMP_ERROR)
		return VERDICT_DROP_STRAY;
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
	/* may be of a connection older than the rule; so may what follows a fragment that began no flow */
	if (keeps && (verdict == VERDICT_DROP_STRAY ||
		      (verdict == VERDICT_DROP_FRAGMENT && p->shape & PACKET_PORTS)))
		return VERDICT_PASS_STRAY;
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
	r->claim = CLAIM_UNOWNED;
	verdict = begin_allowed(r); /* again: to remember it would cost room on the stack */
	if (verdict != VERDICT_CONTINUE)
		flow_unheld();
	return verdict;
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
	r->claim = CLAIM_PLAIN;
	verdict = begin_inbound(ctx);
	if (verdict != VERDICT_PASS_NO_RULE)
		return verdict;
	if (protocol_has_ports(r->p.tuple.proto) && ruleset_pools() && is_nobodys(ctx, r))
		return VERDICT_DROP_UNSOLICITED;
	return begin_tracked(ctx);
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
		rule_count(rule->slot, r->p.l3_length);
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

/* Has the interface any rule of IPv6, and so perhaps one for the protocol that was not found? */
static __always_inline int protocol_may_be_covered(const struct packet *p)
{
	const struct ruleset *set = ruleset_get(p->generation & 1);

	return set && set->mask_count[STAGE_OUT][FAMILY_IP6] &&
	       set->interfaces[STAGE_OUT] & RULESET_INTERFACE(p->ifindex);
}

/*
 * It has ports that are unknown, and a source-NAT rule of its family asks for some, or even its protocol
 * is: it may have to stay.
 */
static __always_inline int may_be_covered(const struct request *r)
{
	const struct packet *p = &r->p;
	__u32 ports_out = packet_is_ip4(p) ? SETTING_PORTS_OUT4 : SETTING_PORTS_OUT6;

	if (!(p->shape & (PACKET_NO_L4 | PACKET_BAD_L4)) ||
	    p->shape & (PACKET_PORTS | PACKET_LOCAL))
		return 0;
	if (!packet_is_ip4(p) && extension_is(p->tuple.proto))
		return protocol_may_be_covered(p);
	return protocol_has_ports(p->tuple.proto) && r->setting_flags & ports_out;
}

/*
 * This host's own packet, to where a translated flow already gets its answers under the same port:
 * it steps aside to another port, or passes if it cannot begin a flow.
 */
static __always_inline enum verdict begin_aside(struct request *r)
{
	if (begin_allowed(r) != VERDICT_CONTINUE)
		return VERDICT_PASS_STRAY;
	r->from_local = FLOW_TO_LOCAL;
	r->claim = CLAIM_PLAIN;
	return translate_source(ROOM_NONE, 0);
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

	if (packet_is_ip4(p) && skb->tc_index == TC_INDEX_HALF)
		return VERDICT_DROP_STRAY; /* the rest of its translation, which has ended meanwhile */
	flow_key_reverse(&p->tuple, &r->sought);
	if (p->shape & PACKET_PORTS && bucket_find() >= 0)
		return p->shape & PACKET_LOCAL ? begin_aside(r) : VERDICT_PASS_DONE;
	rule = rule_find(p, &p->tuple, STAGE_OUT, p->ifindex);
	if (!rule && may_be_covered(r))
		return p->shape & PACKET_BAD_L4 ? VERDICT_DROP_MALFORMED : VERDICT_DROP_FRAGMENT;
	if (!rule)
		return begin_tracked(skb);
	if (rule->kind == RULE_ACCEPT)
		return begin_accepted(skb, r, rule);
	if (rule->kind == RULE_DROP) {
		rule_count(rule->slot, p->l3_length);
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
	r->claim = CLAIM_UNOWNED;
	return translate_source(ROOM_OUT, p->ifindex);
}

#endif
