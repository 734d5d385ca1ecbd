/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows that begin with a packet to an address of ours from where a mapping leads: from outside, as
 * its filtering allows, and from other hosts inside, which are led back (hairpin).
 */
#ifndef XFWD_INBOUND_H
#define XFWD_INBOUND_H

#include "claim.h"

/*
 * A host inside has sent to the outside address of another, or of itself: the other sees the
 * sender's own outside address (RFC 4787 R9), what the rules would make of it on its way out there,
 * or the address that was sent to. Otherwise the answer would go by a shorter way, untranslated.
 */
__attribute__((noinline)) int begin_hairpin(void)
{
	const struct rule_action *rule = NULL;
	struct request *r = request_get();
	enum verdict verdict;

	if (!r)
		return VERDICT_DROP_ERROR;
	if (r->hairpin)
		rule = rule_find(&r->p, &r->p.tuple, STAGE_OUT, r->hairpin);
	if (rule && (rule->kind == RULE_SNAT || rule->kind == RULE_MASQUERADE)) {
		r->rule_out = rule->slot;
		segment_rule(r, rule);
		if (segment_is_tc(r))
			return VERDICT_PASS_TO_TC;
		verdict = translate_source(ROOM_OUT, r->hairpin);
		r->masquerade = 0; /* it does not leave by that interface */
		return verdict;
	}
	__builtin_memcpy(r->want.saddr, r->p.tuple.daddr, sizeof(r->want.saddr));
	return translate_source(ROOM_NONE, 0);
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
	void *map;

	if (o->filter & RULE_FILTER_NONE)
		return 1;
	if (!(o->filter & RULE_FILTER_ADDRESS))
		return 0;
	map = late_map(&permits);
	if (!map)
		return 0;
	endpoint_set(&r->permit_key.outside, &r->p.tuple, r->p.tuple.daddr, r->p.tuple.dport);
	__builtin_memcpy(r->permit_key.remote, r->want.saddr, sizeof(r->permit_key.remote));
	return bpf_map_lookup_elem(map, &r->permit_key) != NULL;
}

/*
 * The mapping whose outside endpoint the packet is for, or NULL. None is for an echo from outside: a
 * request names no identifier here, and an answer begins nothing.
 */
static __always_inline const struct outside *outside_of(struct request *r)
{
	const struct flow_key *key = &r->p.tuple;

	if (!(r->p.shape & PACKET_PORTS) || protocol_is_icmp(key->proto))
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

	if (r->mapping != MAPPING_KNOWN)
		return 0;
	r->back = r->p.tuple;
	__builtin_memcpy(r->back.saddr, r->want.saddr, sizeof(r->back.saddr));
	r->back.sport = r->want.sport;
	f = request_pair(r, &r->back);
	if (!f || !(f->flags & FLOW_REPLY))
		return 0;
	r->key = r->peer;
	flow_remove(r, f->flags & FLOW_HOLDS);
	mapping_key_set(r); /* it was the other one's meanwhile */
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
		r->refused = 1;
		return VERDICT_CONTINUE;
	}
	if (r->mapping == MAPPING_KNOWN)
		mapping_release(&r->mapping_key);
	return VERDICT_DROP_UNSOLICITED;
}

/*
 * A packet that is of no flow and under no rule, to an outside endpoint that is mapped: where the
 * filtering lets it in, it begins a flow under the mapping (VERDICT_CONTINUE). What is kept out is met
 * with silence, so that both sides may open at once (RFC 5382 R4).
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
	taken_key_set(r, o);
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
	return VERDICT_CONTINUE;
}

#endif
