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
#include "answer.h"
#include "fragment.h"
#include "parse.h"
#include "rewrite.h"
#include "uncovered.h"

/* tc only: a fragment gets its datagram's ports, or waits for them. */
static __always_inline enum verdict flow_fragment(struct packet *p)
{
	const struct request *r;
	enum verdict verdict;

	if (packet_skb(p)->tc_index == TC_INDEX_HALF)
		return VERDICT_CONTINUE; /* it has them */
	r = request_new(p);
	if (!r)
		return VERDICT_DROP_ERROR;
	verdict = fragment_admit(packet_skb(p));
	p->tuple.proto = r->p.tuple.proto;
	p->tuple.sport = r->p.tuple.sport;
	p->tuple.dport = r->p.tuple.dport;
	p->shape = r->p.shape;
	return verdict;
}

/* The packet has a flow then, or the verdict says why not. */
static __always_inline enum verdict flow_admit(struct packet *p, const struct request *r)
{
	enum verdict verdict = VERDICT_PASS_NO_RULE;

	if (packet_is_xdp(p)) {
		verdict = admit_xdp(packet_xdp(p));
	} else {
		if (unlikely(p->shape & PACKET_ICMP_ERROR))
			verdict = icmp_error(packet_skb(p));
		if (verdict != VERDICT_PASS_NO_RULE)
			return verdict;
		verdict = p->hook == HOOK_TC_EGRESS ? admit_tc_egress(packet_skb(p))
						    : admit_tc_ingress(packet_skb(p));
	}
	if (verdict != VERDICT_CONTINUE || r->claim == CLAIM_NONE)
		return verdict;
	return packet_is_xdp(p) ? claim_xdp(packet_xdp(p)) : claim_tc(packet_skb(p));
}

/*
 * May it have a flow? The port at this host's side is asked for: a service has few, but the other
 * side's is any.
 */
static __always_inline int flow_may_exist(const struct packet *p)
{
	if (!(p->shape & PACKET_PORTS))
		return 0;
	return p->hook == HOOK_TC_EGRESS ? port_is_source(p->tuple.sport)
					 : port_is_destination(p->tuple.dport);
}

/* The index is read from the context, or it would be kept over all that comes before and after. */
static __always_inline int egress_has_moved(const struct packet *p, const struct flow *f)
{
	return p->hook == HOOK_TC_EGRESS && flow_leaves_elsewhere(f, packet_skb(p)->ifindex);
}

/*
 * The packet's flow, once it is certain that it has one, and that the flow is alive and made under
 * the rules in force. What the flow table alone does not settle is looked at by admit(): a first
 * packet, a SYN or RST, a packet after a long silence or after a change of rules.
 */
static __always_inline enum verdict flow_lookup(struct packet *p, struct flow **found)
{
	struct flow *f = NULL;
	struct request *r;
	enum verdict verdict;

	*found = NULL;
	if (!packet_is_xdp(p) && unlikely(p->shape & PACKET_FRAGMENT)) {
		verdict = flow_fragment(p);
		if (verdict != VERDICT_CONTINUE)
			return verdict;
	}
	if (likely(flow_may_exist(p)))
		f = packet_flow(p);
	*found = f;
	if (likely(f && packet_now(p) - f->used <= settings.timeout_least &&
		   !(p->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_RST)) &&
		   (f->generation == (__u16)p->generation || f->flags & FLOW_REPLY) &&
		   !egress_has_moved(p, f)))
		return VERDICT_CONTINUE;
	if (!f && is_uncovered(p))
		return VERDICT_PASS_NO_RULE;

	r = request_new(p);
	if (!r)
		return VERDICT_DROP_ERROR;
	r->known = f != NULL;
	verdict = flow_admit(p, r);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	p->hop.route = r->p.hop.route;
	p->shape = r->p.shape;
	*found = r->stateless ? &r->entry.flow : packet_flow(p);
	return *found ? VERDICT_CONTINUE : VERDICT_DROP_ERROR;
}

/* The flow's counters and its rules'. */
static __always_inline void flow_account(const struct packet *p, struct flow *f)
{
	flow_seen(f, p);
	rule_count_packet(f->rule_in, p->l3_length);
	rule_count_packet(f->rule_out, p->l3_length);
}

/* Ends the flow that the request's packet has. A function of its own to the verifier, as it is rare. */
__attribute__((noinline)) int ingress_end(void)
{
	struct request *r = request_get();

	if (r && request_pair(r, &r->p.tuple))
		flow_end(0);
	return 0;
}

/*
 * A packet whose way is not by the interface that its flow is bound to. The stack takes it, as marks
 * may route it otherwise there, and tc_egress sees by which it leaves. Where its destination changes
 * the stack would take it for another's: that flow ends here, and the next packet begins another.
 */
static __always_inline enum verdict ingress_elsewhere(const struct flow *f)
{
	if (!(f->flags & FLOW_DNAT))
		return VERDICT_PASS_ELSEWHERE;
	ingress_end();
	return VERDICT_DROP_STRAY;
}

/* What is not simply forwarded. tc only: XDP has passed such a packet on. */
static __always_inline enum verdict ingress_exception(const struct packet *p, const struct flow *f)
{
	if (f->flags & FLOW_TO_LOCAL || route_is_local(p))
		return VERDICT_DELIVER;
	if (route_is_refused(p))
		return VERDICT_DROP_UNREACHABLE;
	if (p->ttl <= 1)
		return VERDICT_ANSWER_TTL;
	if (unlikely(p->hop.route == ROUTE_ELSEWHERE))
		return ingress_elsewhere(f);
	if (p->hop.route != ROUTE_TOO_BIG)
		return VERDICT_CONTINUE;
	if (p->shape & PACKET_DF)
		return VERDICT_ANSWER_MTU;
	/* tc_egress translates what the stack makes of it */
	return f->flags & FLOW_DNAT ? VERDICT_DELIVER : VERDICT_PASS_MTU;
}

/*
 * For the stack to fragment, which knows no way for packets that come from an address of this host:
 * the source is translated behind it.
 */
static __always_inline enum verdict ingress_half(struct packet *p, const struct flow *f)
{
	__be32 daddr = ((const struct flow4 *)f)->daddr;

	if (fragment_note_half(packet_skb(p), daddr) || rewrite_destination(p, daddr))
		return VERDICT_DROP_ERROR;
	packet_skb(p)->tc_index = TC_INDEX_HALF;
	return VERDICT_DELIVER;
}

/* Why the translation could not be written. */
static __always_inline enum verdict rewrite_failed(const struct packet *p)
{
	return p->shape & PACKET_FRAGMENT ? VERDICT_DROP_FRAGMENT : VERDICT_DROP_ERROR;
}

/* A segment of a flow that is not translated: its size may be lowered all the same. 1: it was. */
static __always_inline int tracked_rewrite(const struct packet *p)
{
	return !packet_is_xdp(p) && unlikely(p->tcp_flags & TCP_FLAG_SYN) &&
	       segment_clamp(packet_skb(p), p->l4_offset) > 0;
}

/* The packet again as it came in, but for the fragments that it is in now. */
static __always_inline enum verdict egress_half(struct packet *p)
{
	const struct request *r = request_new(p);
	__be32 routed = p->tuple.daddr[0];

	if (!r || fragment_recall_half(packet_skb(p)))
		return VERDICT_DROP_FRAGMENT;
	p->tuple.daddr[0] = r->p.tuple.daddr[0];
	p->tuple.sport = r->p.tuple.sport;
	p->tuple.dport = r->p.tuple.dport;
	p->shape = r->p.shape;
	p->ip_check = csum_replace(p->ip_check, csum_delta32(routed, p->tuple.daddr[0]));
	return VERDICT_CONTINUE;
}

/* Tells the packet's sender why it goes no further, if that may be. */
static __always_inline enum verdict ingress_answer(struct packet *p, enum verdict verdict,
						   int *action)
{
	*action = answer_send(packet_skb(p), verdict == VERDICT_ANSWER_TTL ? ANSWER_TIME_EXCEEDED
									   : ANSWER_TOO_BIG);
	if (*action != TC_ACT_SHOT)
		return verdict;
	return verdict == VERDICT_ANSWER_TTL ? VERDICT_DROP_TTL : VERDICT_DROP_MTU;
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

/*
 * Where a packet that has a flow goes: on (VERDICT_CONTINUE), to the stack, translated or not
 * (VERDICT_DELIVER, VERDICT_PASS_TRACKED), all of which are yet to be done; or another verdict, which is
 * done with.
 */
static __always_inline enum verdict ingress_way(struct packet *p, struct flow *f, int *action)
{
	enum verdict verdict;

	if (!(f->flags & (FLOW_SNAT | FLOW_DNAT)))
		return VERDICT_PASS_TRACKED;
	if (!(f->flags & FLOW_TO_LOCAL))
		ingress_route(p, f);
	if (packet_is_xdp(p))
		return forward_xdp_possible(p) && forward_xdp_fits(p) ? VERDICT_CONTINUE
								      : VERDICT_PASS_TO_TC;
	verdict = ingress_exception(p, f);
	if (unlikely(verdict == VERDICT_ANSWER_TTL || verdict == VERDICT_ANSWER_MTU))
		return ingress_answer(p, verdict, action);
	return verdict;
}

static __always_inline enum verdict ingress(struct packet *p, int *action)
{
	enum verdict verdict;
	struct flow *f;

	verdict = flow_lookup(p, &f);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	verdict = ingress_way(p, f, action);
	if (verdict != VERDICT_CONTINUE &&
	    (packet_is_xdp(p) || (verdict != VERDICT_DELIVER && verdict != VERDICT_PASS_TRACKED)))
		return verdict;
	if (!packet_is_xdp(p) && packet_is_ip4(p) && p->hop.route == ROUTE_TOO_BIG &&
	    verdict == VERDICT_DELIVER && f->flags & FLOW_SNAT)
		return ingress_half(p, f);
	flow_account(p, f);
	if (verdict == VERDICT_PASS_TRACKED)
		return tracked_rewrite(p) ? VERDICT_DELIVER : VERDICT_PASS_TRACKED;
	if (verdict == VERDICT_DELIVER)
		return rewrite(p, f, 0) ? rewrite_failed(p) : VERDICT_DELIVER;
	if (rewrite(p, f, 1))
		return rewrite_failed(p);
	*action = forward(p);
	return VERDICT_FORWARD;
}

/* Only its port changes: routing is none the wiser. */
static __always_inline int destination_stays(const struct packet *p, const struct flow *f)
{
	const struct flow6 *f6 = (const struct flow6 *)f;

	if (packet_is_ip4(p))
		return ((const struct flow4 *)f)->daddr == p->tuple.daddr[0];
	return address_equal(f6->daddr, p->tuple.daddr);
}

static __always_inline enum verdict egress(struct packet *p)
{
	struct __sk_buff *skb = packet_skb(p);
	enum verdict verdict;
	struct flow *f;
	int half = 0;

	p->came_from = skb->ingress_ifindex;
	if (!p->came_from)
		p->shape |= PACKET_LOCAL;
	if (packet_is_ip4(p) && unlikely(skb->tc_index == TC_INDEX_HALF)) {
		half = 1;
		verdict = egress_half(p);
		if (verdict != VERDICT_CONTINUE)
			return verdict;
	}
	verdict = flow_lookup(p, &f);
	if (half)
		skb->tc_index = 0;
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	if (!f) /* never; the verifier cannot tell */
		return VERDICT_DROP_ERROR;
	if (f->flags & FLOW_DNAT && !half && !destination_stays(p, f))
		return VERDICT_DROP_STRAY; /* routed for its old destination */
	flow_account(p, f);
	if (!(f->flags & (FLOW_SNAT | FLOW_DNAT)))
		return tracked_rewrite(p) ? VERDICT_TRANSLATE : VERDICT_PASS_TRACKED;
	return rewrite(p, f, 0) ? rewrite_failed(p) : VERDICT_TRANSLATE;
}

/*
 * Has tc_ingress sent it here, translated? A guest's own filters can mark what it sends likewise: where
 * tc_ingress runs, that is taken off first.
 */
static __always_inline int egress_is_done(const struct packet *p)
{
	const struct iface *in;

	if (p->hook != HOOK_TC_EGRESS || packet_skb(p)->tc_index != TC_INDEX_DONE)
		return 0;
	in = iface_find(packet_skb(p)->ingress_ifindex);
	return in && in->flags & IFACE_ATTACHED_EGRESS;
}

static __always_inline enum verdict egress_done(struct packet *p, const struct iface *out)
{
	struct __sk_buff *skb = packet_skb(p);

	skb->tc_index = 0;
	p->l3_length = skb->len - link_length(out);
	return VERDICT_PASS_DONE;
}

/* Loopback addresses on a wire, while route_localnet would let the stack take them. */
static __always_inline int loopback_on_wire(const struct packet *p)
{
	return packet_is_ip4(p) && settings.flags & SETTING_GUARD_LOOPBACK &&
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
	if (!packet_is_xdp(p) && p->shape & PACKET_OTHER_HOST)
		return VERDICT_PASS_OTHER_HOST;
	if (packet_is_xdp(p)) {
		if (p->shape & (PACKET_FRAGMENT | PACKET_ICMP_ERROR))
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
	const struct iface *on;
	enum verdict verdict;
	__be16 ethertype;

	if (packet_is_xdp(p)) {
		verdict = parse_tags(p);
		if (verdict != VERDICT_CONTINUE)
			return verdict;
	}
	on = iface_find(p->ifindex);
	if (!on)
		return VERDICT_PASS_NO_RULE;
	if (packet_is_xdp(p) && unlikely(!(on->flags & IFACE_XDP)))
		return VERDICT_PASS_TO_TC;
	if (egress_is_done(p))
		return egress_done(p, on);
	p->generation = settings.generation;
	p->clock = bpf_jiffies64();
	verdict = parse_link(p, on, &ethertype);
	if (verdict == VERDICT_CONTINUE)
		verdict = pipeline_family(p, ethertype, action);
	if (p->shape & PACKET_OTHER_HOST && verdict == VERDICT_DROP_MALFORMED)
		return VERDICT_PASS_OTHER_HOST;
	return verdict;
}

#endif
