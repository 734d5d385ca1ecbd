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
static __always_inline enum verdict begin_allowed(const struct packet *p)
{
	if (p->shape & PACKET_BAD_L4)
		return VERDICT_DROP_MALFORMED;
	if (protocol_is_unsupported(p->tuple.proto))
		return VERDICT_DROP_UNSUPPORTED;
	if (p->shape & PACKET_NO_L4)
		return VERDICT_DROP_FRAGMENT;
	if (p->shape & PACKET_BEGINS)
		return VERDICT_CONTINUE;
	if (p->tuple.proto == IPPROTO_TCP && p->settings->flags & SETTING_TCP_LOOSE &&
	    !(p->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_FIN)) &&
	    p->tcp_flags & TCP_FLAG_ACK)
		return VERDICT_CONTINUE;
	return VERDICT_DROP_STRAY;
}

/* This CPU's request, filled in for the packet as it came. */
static __always_inline struct flow_request *request_new(const struct packet *p)
{
	struct flow_request *req;
	__u32 zero = 0;

	req = bpf_map_lookup_elem(&flow_requests, &zero);
	if (!req)
		return NULL;
	__builtin_memset(req, 0, sizeof(*req));
	req->orig = p->tuple;
	req->want = p->tuple;
	req->generation = p->generation;
	return req;
}

/*
 * A packet that no rule translates, but whose answer a source-NAT rule would: the answer belongs to
 * a connection from outside and must go back as it is (conntrack knows this from tracking all that
 * passes). So it becomes a flow that is not translated.
 */
static __always_inline enum verdict begin_tracked(struct packet *p)
{
	struct flow_request *req;
	struct flow_key4 answer;
	struct rule_action *rule;

	if (packet_is_xdp(p) || begin_allowed(p) != VERDICT_CONTINUE ||
	    address_is_multicast(p->tuple.daddr))
		return VERDICT_PASS_NO_RULE;
	key_reverse(&p->tuple, &answer);
	rule = rule_find(p, &answer, STAGE_OUT, p->ifindex);
	if (!rule || (rule->kind != RULE_SNAT && rule->kind != RULE_MASQUERADE))
		return VERDICT_PASS_NO_RULE;
	req = request_new(p);
	if (!req)
		return VERDICT_PASS_NO_RULE;
	req->keep = 1;
	return translate_claim(req) == VERDICT_CONTINUE ? VERDICT_CONTINUE : VERDICT_PASS_NO_RULE;
}

/* The stage out of a packet that stage in translated, when its route is known. */
static __always_inline enum verdict begin_out(struct packet *p, struct flow_request *req)
{
	struct rule_action *rule = NULL;

	if (route_is_local(p)) {
		req->to_local = FLOW_TO_LOCAL;
	} else {
		rule = rule_find(p, &req->want, STAGE_OUT, p->hop.ifindex);
		if (rule && rule->kind == RULE_DROP) {
			rule_count_packet(rule->slot, p->l3_length);
			return VERDICT_DROP_RULE;
		}
		if (rule && rule->kind == RULE_ACCEPT) {
			rule_count_packet(rule->slot, p->l3_length);
			rule = NULL;
		}
	}
	if (rule)
		req->rule_out = rule->slot;
	return translate_source(req, rule, p->hop.ifindex);
}

/* dnat and redirect: the new destination decides the route, and the route the stage out. */
static __always_inline enum verdict begin_destination(struct packet *p,
						      const struct rule_action *rule)
{
	struct flow_request *req;
	enum verdict verdict = begin_allowed(p);

	if (verdict == VERDICT_DROP_STRAY)
		return VERDICT_PASS_STRAY; /* may be of a connection older than the rule */
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	req = request_new(p);
	if (!req)
		return VERDICT_DROP_ERROR;
	req->rule_in = rule->slot;
	verdict = translate_destination(p, rule, &req->want);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	route_find(p, &req->want);
	if (packet_is_xdp(p) && !forward_xdp_possible(p))
		return VERDICT_PASS_TO_TC;
	if (route_is_refused(p))
		return VERDICT_DROP_UNREACHABLE;
	verdict = begin_out(p, req);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	return translate_claim(req);
}

/* Ingress: the stage in, as netfilter's PREROUTING. */
static __always_inline enum verdict begin_ingress(struct packet *p)
{
	struct rule_action *rule = rule_find(p, &p->tuple, STAGE_IN, p->ifindex);
	enum verdict verdict;

	if (!rule)
		return begin_tracked(p);
	switch (rule->kind) {
	case RULE_DROP:
		rule_count_packet(rule->slot, p->l3_length);
		return VERDICT_DROP_RULE;
	case RULE_DNAT:
	case RULE_REDIRECT:
		return begin_destination(p, rule);
	default:
		/* In XDP the packet is not counted yet: tc will see it too. */
		if (!packet_is_xdp(p))
			rule_count_packet(rule->slot, p->l3_length);
		verdict = begin_tracked(p);
		return verdict == VERDICT_PASS_NO_RULE ? VERDICT_PASS_ACCEPT : verdict;
	}
}

/*
 * Egress: the stage out, as netfilter's POSTROUTING. What a source-NAT rule covers and cannot be
 * translated does not leave, unless this host's own sockets made it: its source is no secret, and
 * it may belong to a connection older than the rule, or answer one from outside.
 */
static __always_inline enum verdict begin_egress(struct packet *p)
{
	struct rule_action *rule;
	struct flow_request *req;
	struct flow_key4 answer;
	enum verdict verdict;

	key_reverse(&p->tuple, &answer);
	if (!(p->shape & PACKET_LOCAL) && p->shape & PACKET_PORTS && flow_find(&answer))
		return VERDICT_PASS_DONE;
	rule = rule_find(p, &p->tuple, STAGE_OUT, p->ifindex);
	if (!rule)
		return VERDICT_PASS_NO_RULE;
	if (rule->kind == RULE_DROP || rule->kind == RULE_ACCEPT) {
		rule_count_packet(rule->slot, p->l3_length);
		return rule->kind == RULE_DROP ? VERDICT_DROP_RULE : VERDICT_PASS_ACCEPT;
	}
	if (address_is_multicast(p->tuple.daddr) || !p->tuple.saddr)
		return VERDICT_PASS_NO_RULE; /* of this link alone: DHCP, routing protocols */
	verdict = begin_allowed(p);
	if (verdict != VERDICT_CONTINUE)
		return p->shape & PACKET_LOCAL ? VERDICT_PASS_STRAY : verdict;
	req = request_new(p);
	if (!req)
		return VERDICT_DROP_ERROR;
	req->rule_out = rule->slot;
	if (p->shape & PACKET_LOCAL)
		req->from_local = FLOW_TO_LOCAL;
	verdict = translate_source(req, rule, p->ifindex);
	if (verdict != VERDICT_CONTINUE)
		return verdict;
	return translate_claim(req);
}

#endif
