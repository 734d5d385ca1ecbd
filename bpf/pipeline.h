/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet's way, top to bottom: parse, flow lookup, (miss) classify and create, rewrite, forward,
 * account. One text for XDP and tc, both directions and every protocol.
 *
 * XDP finishes a packet or passes it exactly as it came: the tc program behind it is complete.
 */
#ifndef XFWD_PIPELINE_H
#define XFWD_PIPELINE_H

#include "begin.h"
#include "fragment.h"
#include "parse.h"
#include "rewrite.h"

/* The rule that translates this tuple now, as its slot (0: none). VERDICT_DROP_RULE if one drops it. */
static __always_inline enum verdict judge_stage(struct packet *p, const struct flow_key4 *tuple,
						enum stage stage, __u32 *slot)
{
	__u32 ifindex = p->ifindex;
	const struct rule_action *rule;

	*slot = 0;
	if (stage == STAGE_OUT && p->hook != HOOK_TC_EGRESS) {
		route_find(p, tuple);
		if (route_is_local(p))
			return VERDICT_CONTINUE;
		ifindex = p->hop.ifindex;
	}
	rule = rule_find(p, tuple, stage, ifindex);
	if (!rule || rule->kind == RULE_ACCEPT)
		return VERDICT_CONTINUE;
	if (rule->kind == RULE_DROP) {
		rule_count_packet(rule->slot, p->l3_length);
		return VERDICT_DROP_RULE;
	}
	*slot = rule->slot;
	return VERDICT_CONTINUE;
}

/*
 * After a change of rules a flow is judged once more, on the next packet of its own direction. What
 * a rule now drops ends. TCP keeps its translation: moving a connection would break it. Others
 * follow the new rules: with no flow left (VERDICT_PASS_NO_RULE), the packet begins one under the
 * rules that cover it now.
 */
static __always_inline enum verdict flow_judge(struct packet *p, struct flow4 *f)
{
	__u32 in = 0, out = 0;
	enum verdict verdict = VERDICT_CONTINUE;
	struct flow_key4 routed = p->tuple;

	if (p->hook != HOOK_TC_EGRESS) {
		verdict = judge_stage(p, &p->tuple, STAGE_IN, &in);
		/* made at egress: the stack takes this one packet to where the rest is judged */
		if (verdict == VERDICT_CONTINUE && !in && !f->flow.rule_in && f->flow.rule_out)
			return VERDICT_PASS_STRAY;
		routed.daddr = f->daddr;
		if (routed.proto != IPPROTO_ICMP)
			routed.dport = f->flow.dport;
	}
	if (verdict == VERDICT_CONTINUE)
		verdict = judge_stage(p, &routed, STAGE_OUT, &out);
	if (verdict == VERDICT_CONTINUE &&
	    (p->tuple.proto == IPPROTO_TCP || (in == f->flow.rule_in && out == f->flow.rule_out))) {
		f->flow.generation = (__u16)p->generation;
		return VERDICT_CONTINUE;
	}
	flow_end(&p->tuple, f);
	return verdict == VERDICT_CONTINUE ? VERDICT_PASS_NO_RULE : verdict;
}

/*
 * A SYN that opens a connection anew on the tuple of one that has closed (RFC 5382 R2): both
 * directions begin again, under the translation that they have.
 */
static __always_inline void flow_reopen(const struct packet *p, struct flow4 *f, struct flow4 *peer)
{
	if (p->tuple.proto != IPPROTO_TCP || !(p->shape & PACKET_BEGINS) ||
	    flow_timeout(IPPROTO_TCP, &f->flow, &peer->flow) != TIMEOUT_TCP_CLOSING)
		return;
	f->flow.tcp_seen = 0;
	peer->flow.tcp_seen = 0;
	rule_count_flow(f->flow.rule_in);
	rule_count_flow(f->flow.rule_out);
}

/* Is the flow to be looked at together with its other direction? Rarely: a SYN, or a long silence. */
static __always_inline int flow_is_over(const struct packet *p, struct flow4 *f)
{
	struct flow_key4 key;
	struct flow4 *peer;

	if (likely(p->now - f->flow.used <= p->settings->timeout_least &&
		   !(p->tcp_flags & TCP_FLAG_SYN)))
		return 0;
	flow_peer_key(f, p->tuple.proto, &key);
	peer = flow_find(&key);
	if (!peer || flow_expired(p->settings, p->tuple.proto, &f->flow, &peer->flow, 0))
		return 1;
	if (!(f->flow.flags & FLOW_REPLY))
		flow_reopen(p, f, peer);
	return 0;
}

/*
 * The packet's flow, if it has one that is alive and current. NULL with VERDICT_CONTINUE: none.
 */
static __always_inline enum verdict flow_lookup(struct packet *p, struct flow4 **found)
{
	enum verdict verdict = VERDICT_CONTINUE;
	struct flow4 *f = NULL;

	*found = NULL;
	if (unlikely(p->shape & PACKET_FRAGMENT)) {
		if (p->shape & PACKET_NO_L4)
			fragment_resolve(p);
		else if (p->shape & PACKET_PORTS)
			fragment_remember(p);
	}
	if (likely(p->shape & PACKET_PORTS))
		f = flow_find(&p->tuple);
	if (!f)
		return VERDICT_CONTINUE;
	if (unlikely(flow_is_over(p, f))) {
		flow_end(&p->tuple, f);
		return VERDICT_CONTINUE;
	}
	if (unlikely(f->flow.generation != (__u16)p->generation && !(f->flow.flags & FLOW_REPLY))) {
		if (packet_is_xdp(p))
			return VERDICT_PASS_TO_TC;
		verdict = flow_judge(p, f);
		if (verdict == VERDICT_PASS_NO_RULE)
			return VERDICT_CONTINUE;
	}
	*found = f;
	return verdict;
}

/* The flow's counters and its rules'. */
static __always_inline void flow_account(const struct packet *p, struct flow4 *f)
{
	flow_seen(&f->flow, p);
	rule_count_packet(f->flow.rule_in, p->l3_length);
	rule_count_packet(f->flow.rule_out, p->l3_length);
}

/* What is not simply forwarded. tc only: XDP has passed such a packet on. */
static __always_inline enum verdict ingress_exception(const struct packet *p, const struct flow4 *f)
{
	if (f->flow.flags & FLOW_TO_LOCAL || route_is_local(p))
		return VERDICT_DELIVER;
	if (route_is_refused(p))
		return VERDICT_DROP_UNREACHABLE;
	if (p->hop.route == ROUTE_TOO_BIG) {
		if (!(f->flow.flags & FLOW_DNAT))
			return VERDICT_PASS_MTU; /* tc_egress translates what the stack makes of it */
		if (p->shape & PACKET_DF || f->flow.flags & FLOW_SNAT)
			return VERDICT_DROP_MTU;
		return VERDICT_DELIVER; /* the stack fragments it */
	}
	if (p->ttl <= 1)
		return f->flow.flags & FLOW_DNAT ? VERDICT_DROP_TTL : VERDICT_PASS_TTL;
	return VERDICT_CONTINUE;
}

/* The next hop: the one that the flow keeps, or what routing says now. */
static __always_inline void ingress_route(struct packet *p, struct flow4 *f)
{
	struct flow_key4 to = { .daddr = f->daddr,
				.dport = f->flow.dport,
				.proto = p->tuple.proto };

	if (p->hop.route == ROUTE_UNKNOWN) {
		if (route_recall(p, &f->flow))
			return;
		route_find(p, &to);
	}
	route_keep(p, &f->flow);
	VERIFIER_FORGET(p, p->hop.route);
}

static __always_inline enum verdict ingress(struct packet *p, int *action)
{
	enum verdict verdict;
	struct flow4 *f;

	verdict = flow_lookup(p, &f);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	if (!f) {
		verdict = begin_ingress(p);
		if (verdict != VERDICT_CONTINUE)
			return verdict;
		f = flow_find(&p->tuple);
		if (!f)
			return VERDICT_DROP_ERROR;
	}
	if (!(f->flow.flags & (FLOW_SNAT | FLOW_DNAT))) {
		if (!packet_is_xdp(p))
			flow_account(p, f);
		return VERDICT_PASS_TRACKED;
	}
	if (!(f->flow.flags & FLOW_TO_LOCAL))
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
	struct flow4 *f;

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
	if (!f) {
		verdict = begin_egress(p);
		if (verdict != VERDICT_CONTINUE)
			return verdict;
		f = flow_find(&p->tuple);
		if (!f)
			return VERDICT_DROP_ERROR;
	}
	if (f->flow.flags & FLOW_DNAT)
		return VERDICT_DROP_STRAY; /* routed for its old destination */
	flow_account(p, f);
	if (!(f->flow.flags & FLOW_SNAT))
		return VERDICT_PASS_TRACKED;
	return rewrite(p, f, 0) ? VERDICT_DROP_ERROR : VERDICT_TRANSLATE;
}

/* Loopback addresses on a wire, while route_localnet would let the stack take them. */
static __always_inline int loopback_on_wire(const struct packet *p)
{
	return p->settings->flags & SETTING_GUARD_LOOPBACK &&
	       (address_is_loopback(p->tuple.saddr) || address_is_loopback(p->tuple.daddr));
}

/* The packet is IPv4, and parsed. */
static __always_inline enum verdict pipeline_ip4(struct packet *p, int *action)
{
	enum verdict verdict;

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

/* `action`: set with VERDICT_FORWARD, to what the program has to return. */
static __always_inline enum verdict pipeline(struct packet *p, int *action)
{
	const struct iface *on;
	enum verdict verdict;

	p->settings = settings_get();
	on = iface_find(p->ifindex);
	if (!p->settings || !on)
		return VERDICT_PASS_NO_RULE;
	p->generation = p->settings->generation;
	p->clock = bpf_jiffies64();
	p->now = (__u32)p->clock;
	verdict = parse_link(p, on);
	if (verdict == VERDICT_CONTINUE)
		verdict = parse_ip4(p);
	if (verdict != VERDICT_CONTINUE)
		return p->shape & PACKET_OTHER_HOST ? VERDICT_PASS_OTHER_HOST : verdict;
	return pipeline_ip4(p, action);
}

#endif
