/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet's way, top to bottom: parse, flow lookup, (miss) classify and create, rewrite, forward,
 * account. One text for XDP and tc, both directions and every protocol.
 *
 * XDP finishes a packet or passes it exactly as it came: the tc program behind it is complete.
 */
#ifndef XFWD_PIPELINE_H
#define XFWD_PIPELINE_H

#include "admit.h"
#include "fragment.h"
#include "parse.h"
#include "rewrite.h"

/*
 * The packet's flow, once it is certain that it has one, and that the flow is alive and made under
 * the rules in force. What the flow table alone does not settle is looked at by admit(): a first
 * packet, a SYN, a packet after a long silence or after a change of rules.
 */
static __always_inline enum verdict flow_lookup(struct packet *p, struct flow **found)
{
	struct flow *f = NULL;
	struct request *r;
	enum verdict verdict;

	if (unlikely(p->shape & PACKET_FRAGMENT)) {
		if (p->shape & PACKET_NO_L4)
			fragment_resolve(p);
		else if (p->shape & PACKET_PORTS)
			fragment_remember(p);
	}
	if (likely(p->shape & PACKET_PORTS))
		f = flow_find(&p->tuple);
	*found = f;
	if (likely(f && p->now - f->used <= p->settings->timeout_least &&
		   !(p->tcp_flags & TCP_FLAG_SYN) &&
		   (f->generation == (__u16)p->generation || f->flags & FLOW_REPLY)))
		return VERDICT_CONTINUE;

	r = request_new(p);
	if (!r)
		return VERDICT_DROP_ERROR;
	if (packet_is_xdp(p))
		verdict = admit_xdp(packet_xdp(p));
	else
		verdict = admit_tc(packet_skb(p));
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	p->hop.route = r->p.hop.route;
	*found = flow_find(&p->tuple);
	return *found ? VERDICT_CONTINUE : VERDICT_DROP_ERROR;
}

/* The flow's counters and its rules'. */
static __always_inline void flow_account(const struct packet *p, struct flow *f)
{
	flow_seen(f, p);
	rule_count_packet(f->rule_in, p->l3_length);
	rule_count_packet(f->rule_out, p->l3_length);
}

/* What is not simply forwarded. tc only: XDP has passed such a packet on. */
static __always_inline enum verdict ingress_exception(const struct packet *p, const struct flow *f)
{
	if (f->flags & FLOW_TO_LOCAL || route_is_local(p))
		return VERDICT_DELIVER;
	if (route_is_refused(p))
		return VERDICT_DROP_UNREACHABLE;
	if (p->hop.route == ROUTE_TOO_BIG) {
		if (!(f->flags & FLOW_DNAT))
			return VERDICT_PASS_MTU; /* tc_egress translates what the stack makes of it */
		if (p->shape & PACKET_DF || f->flags & FLOW_SNAT)
			return VERDICT_DROP_MTU;
		return VERDICT_DELIVER; /* the stack fragments it */
	}
	if (p->ttl <= 1)
		return f->flags & FLOW_DNAT ? VERDICT_DROP_TTL : VERDICT_PASS_TTL;
	return VERDICT_CONTINUE;
}

/* The next hop: the one that the flow keeps, or what routing says now. */
static __always_inline void ingress_route(struct packet *p, struct flow *f)
{
	struct request *r;

	if (p->hop.route == ROUTE_UNKNOWN) {
		if (route_recall(p, f))
			return;
		r = request_new(p);
		if (!r)
			return;
		route_target(p, f, &r->want);
	} else {
		r = request_get();
		if (!r)
			return;
	}
	if (packet_is_xdp(p))
		route_resolve_xdp(packet_xdp(p), f);
	else
		route_resolve_tc(packet_skb(p), f);
	p->hop.route = r->p.hop.route;
	p->hop.ifindex = r->p.hop.ifindex;
	p->hop.port = r->p.hop.port;
	p->hop.port_flags = r->p.hop.port_flags;
	p->hop.dmac = r->p.hop.dmac;
	p->hop.smac = r->p.hop.smac;
}

static __always_inline enum verdict ingress(struct packet *p, int *action)
{
	enum verdict verdict;
	struct flow *f;

	verdict = flow_lookup(p, &f);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	if (!(f->flags & (FLOW_SNAT | FLOW_DNAT))) {
		if (!packet_is_xdp(p))
			flow_account(p, f);
		return VERDICT_PASS_TRACKED;
	}
	if (!(f->flags & FLOW_TO_LOCAL))
		ingress_route(p, f);
	if (packet_is_xdp(p)) {
		if (!forward_xdp_possible(p))
			return VERDICT_PASS_TO_TC;
	} else {
		verdict = ingress_exception(p, f);
		if (verdict != VERDICT_CONTINUE && verdict != VERDICT_DELIVER)
			return verdict;
	}
	flow_account(p, f);
	if (verdict == VERDICT_DELIVER)
		return rewrite(p, f, 0) ? VERDICT_DROP_ERROR : VERDICT_DELIVER;
	if (rewrite(p, f, 1))
		return VERDICT_DROP_ERROR;
	*action = forward(p);
	return VERDICT_FORWARD;
}

static __always_inline enum verdict egress(struct packet *p)
{
	struct __sk_buff *skb = packet_skb(p);
	enum verdict verdict;
	struct flow *f;

	if (skb->tc_index == TC_INDEX_DONE) {
		skb->tc_index = 0;
		return VERDICT_PASS_DONE;
	}
	p->came_from = skb->ingress_ifindex;
	if (!p->came_from)
		p->shape |= PACKET_LOCAL;
	verdict = flow_lookup(p, &f);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	if (f->flags & FLOW_DNAT)
		return VERDICT_DROP_STRAY; /* routed for its old destination */
	flow_account(p, f);
	if (!(f->flags & FLOW_SNAT))
		return VERDICT_PASS_TRACKED;
	return rewrite(p, f, 0) ? VERDICT_DROP_ERROR : VERDICT_TRANSLATE;
}

/* Loopback addresses on a wire, while route_localnet would let the stack take them. */
static __always_inline int loopback_on_wire(const struct packet *p)
{
	return packet_is_ip4(p) && p->settings->flags & SETTING_GUARD_LOOPBACK &&
	       (address_is_loopback(p->tuple.saddr[0]) || address_is_loopback(p->tuple.daddr[0]));
}

/* The packet is IP, and parsed. */
static __always_inline enum verdict pipeline_ip(struct packet *p, int *action)
{
	enum verdict verdict;

	if (unlikely(p->shape & PACKET_LINK_ONLY))
		return VERDICT_PASS_NO_RULE;
	if (p->hook == HOOK_TC_EGRESS) {
		verdict = egress(p);
		/* an answer of a loopback service whose flow is gone */
		if (verdict != VERDICT_TRANSLATE && unlikely(loopback_on_wire(p)))
			return VERDICT_DROP_MARTIAN;
		return verdict;
	}
	/* Broadcast frames too: the stack would take what they carry. */
	if (unlikely(loopback_on_wire(p)))
		return VERDICT_DROP_MARTIAN;
	if (p->shape & PACKET_OTHER_HOST)
		return VERDICT_PASS_OTHER_HOST;
	if (packet_is_xdp(p)) {
		if (p->shape & PACKET_FRAGMENT)
			return VERDICT_PASS_TO_TC;
		if (p->frames != FRAMES_WIRE && checksum_is_partial(p))
			return VERDICT_PASS_PARTIAL;
	}
	return ingress(p, action);
}

/* The two families are one text, compiled twice: `tuple.family` is a constant in each. */
static __always_inline enum verdict pipeline_family(struct packet *p, __be16 ethertype, int *action)
{
	enum verdict verdict;

	if (ethertype == bpf_htons(ETH_P_IP)) {
		verdict = parse_ip4(p);
		return verdict == VERDICT_CONTINUE ? pipeline_ip(p, action) : verdict;
	}
	if (ethertype == bpf_htons(ETH_P_IPV6)) {
		verdict = parse_ip6(p);
		return verdict == VERDICT_CONTINUE ? pipeline_ip(p, action) : verdict;
	}
	return VERDICT_PASS_OTHER_PROTOCOL;
}

/* `action`: set with VERDICT_FORWARD, to what the program has to return. */
static __always_inline enum verdict pipeline(struct packet *p, int *action)
{
	const struct settings *set = settings_get();
	const struct iface *on = iface_find(p->ifindex);
	enum verdict verdict;
	__be16 ethertype;

	if (!set || !on)
		return VERDICT_PASS_NO_RULE;
	p->generation = set->generation;
	p->settings = set;
	p->clock = bpf_jiffies64();
	p->now = (__u32)p->clock;
	verdict = parse_link(p, on, &ethertype);
	if (verdict == VERDICT_CONTINUE)
		verdict = pipeline_family(p, ethertype, action);
	if (p->shape & PACKET_OTHER_HOST && verdict == VERDICT_DROP_MALFORMED)
		return VERDICT_PASS_OTHER_HOST;
	return verdict;
}

#endif
