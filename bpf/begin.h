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

/* Does a rule translate what would answer a packet? */
static __always_inline int answer_is_translated(const struct packet *p,
						const struct flow_key4 *answer, enum stage stage,
						__u32 ifindex)
{
	const struct rule_action *rule = rule_find_in(ROOM_ANSWER, p, answer, stage, ifindex);

	return rule && rule->kind != RULE_ACCEPT && rule->kind != RULE_DROP;
}

/*
 * Has this host a socket of its own between these ends? TCP's established connections and listeners
 * both, UDP's connected sockets and the others.
 */
static __always_inline int socket_exists(struct packet *p, const struct flow_key4 *incoming)
{
	struct bpf_sock_tuple tuple = {
		.ipv4.saddr = incoming->saddr,
		.ipv4.daddr = incoming->daddr,
		.ipv4.sport = incoming->sport,
		.ipv4.dport = incoming->dport,
	};
	struct bpf_sock *sock = NULL;

	if (incoming->proto == IPPROTO_TCP)
		sock = bpf_skc_lookup_tcp(p->ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS,
					  0);
	else if (incoming->proto == IPPROTO_UDP)
		sock = bpf_sk_lookup_udp(p->ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS,
					 0);
	if (!sock)
		return 0;
	bpf_sk_release(sock);
	return 1;
}

/*
 * Would a rule take the answer to this packet for the beginning of a flow? conntrack knows better,
 * from tracking all that passes; here only what needs it is tracked:
 * - coming in: UDP to a socket of this host, whose answer a source-NAT rule covers. (Answers of TCP
 *   and echo begin nothing. Without a socket there will be no answer, and an outsider could make
 *   flows at will.)
 * - going out: what a dnat rule would send astray when it is answered; and what was forwarded, by
 *   the firewall's leave then, from an interface where a source-NAT rule covers the way back.
 */
static __always_inline int answer_is_taken(struct packet *p)
{
	struct flow_key4 answer;

	key_reverse(&p->tuple, &answer);
	if (p->hook == HOOK_TC_INGRESS) {
		if (p->tuple.proto != IPPROTO_UDP ||
		    !answer_is_translated(p, &answer, STAGE_OUT, p->ifindex))
			return 0;
		route_find(p, &p->tuple);
		return route_is_local(p) && socket_exists(p, &p->tuple);
	}
	if (p->came_from && answer_is_translated(p, &answer, STAGE_OUT, p->came_from))
		return 1;
	if (p->tuple.proto == IPPROTO_ICMP ||
	    (p->tuple.proto == IPPROTO_TCP && !(p->settings->flags & SETTING_TCP_LOOSE)))
		return 0;
	return answer_is_translated(p, &answer, STAGE_IN, p->ifindex);
}

/* A packet that no rule translates: a flow without translation, if its answer would be taken. */
static __always_inline enum verdict begin_tracked(struct packet *p)
{
	struct flow_request *req;

	if (packet_is_xdp(p) || begin_allowed(p) != VERDICT_CONTINUE ||
	    address_is_multicast(p->tuple.daddr) || !answer_is_taken(p))
		return VERDICT_PASS_NO_RULE;
	req = request_new(p);
	if (!req)
		return VERDICT_PASS_NO_RULE;
	req->keep = 1;
	return translate_claim(req) == VERDICT_CONTINUE ? VERDICT_CONTINUE : VERDICT_PASS_NO_RULE;
}

/* The same for a packet that an accept rule exempts. */
static __always_inline enum verdict begin_accepted(struct packet *p, const struct rule_action *rule)
{
	enum verdict verdict = begin_tracked(p);

	/* In XDP the packet is not counted yet: tc will see it too. */
	if (!packet_is_xdp(p))
		rule_count_packet(rule->slot, p->l3_length);
	return verdict == VERDICT_PASS_NO_RULE ? VERDICT_PASS_ACCEPT : verdict;
}

/* Ports drawn again because a socket of this host has them. */
#define SOCKET_TRIES 4

/*
 * Claims a flow whose answers no socket of this host is waiting for: answers go to the flow, and the
 * socket's own would with them. This host's own packets have their socket, of course.
 */
static __always_inline enum verdict claim_off_sockets(struct packet *p, struct flow_request *req)
{
	enum verdict verdict;
	struct flow_key4 answer;

	if (p->shape & PACKET_LOCAL || req->want.saddr == req->orig.saddr)
		return translate_claim(req);
	for (int i = 0; i < SOCKET_TRIES; i++) {
		key_reverse(&req->want, &answer);
		if (req->keep && socket_exists(p, &answer))
			req->keep = 0;
		req->claimed = 0;
		verdict = translate_claim(req);
		key_reverse(&req->want, &answer);
		if (!req->claimed || (req->keep && req->want.sport == req->orig.sport) ||
		    !socket_exists(p, &answer))
			return verdict;
		flow_undo(req);
		req->keep = 0;
	}
	return VERDICT_DROP_NO_PORT;
}

/* The stage out of a packet that stage in translated, when its route is known. */
static __always_inline enum verdict begin_out(struct packet *p, struct flow_request *req)
{
	const struct rule_action *rule = NULL;

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

	if (address_is_no_source(p->tuple.saddr))
		return VERDICT_DROP_MARTIAN;
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
	return claim_off_sockets(p, req);
}

/* Ingress: the stage in, as netfilter's PREROUTING. */
static __always_inline enum verdict begin_ingress(struct packet *p)
{
	const struct rule_action *rule = rule_find(p, &p->tuple, STAGE_IN, p->ifindex);

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
		return begin_accepted(p, rule);
	}
}

/* Its ports are unknown, and a source-NAT rule asks for some: it could be one that may not leave. */
static __always_inline int may_be_covered(const struct packet *p)
{
	return p->shape & (PACKET_NO_L4 | PACKET_BAD_L4) &&
	       !(p->shape & (PACKET_PORTS | PACKET_LOCAL)) &&
	       p->settings->flags & SETTING_PORTS_OUT;
}

/*
 * This host's own packet, to where a translated flow already gets its answers under the same port:
 * it steps aside to another port, or passes if it cannot begin a flow.
 */
static __always_inline enum verdict begin_aside(struct packet *p)
{
	struct flow_request *req;
	enum verdict verdict;

	if (begin_allowed(p) != VERDICT_CONTINUE)
		return VERDICT_PASS_STRAY;
	req = request_new(p);
	if (!req)
		return VERDICT_DROP_ERROR;
	req->from_local = FLOW_TO_LOCAL;
	verdict = translate_source(req, NULL, p->ifindex);
	return verdict == VERDICT_CONTINUE ? translate_claim(req) : verdict;
}

/*
 * Egress: the stage out, as netfilter's POSTROUTING. What a source-NAT rule covers and cannot be
 * translated does not leave, unless this host's own sockets made it: its source is no secret, and
 * it may belong to a connection older than the rule, or answer one from outside.
 */
static __always_inline enum verdict begin_egress(struct packet *p)
{
	const struct rule_action *rule;
	struct flow_request *req;
	struct flow_key4 answer;
	enum verdict verdict;

	key_reverse(&p->tuple, &answer);
	if (p->shape & PACKET_PORTS && flow_find(&answer))
		return p->shape & PACKET_LOCAL ? begin_aside(p) : VERDICT_PASS_DONE;
	rule = rule_find(p, &p->tuple, STAGE_OUT, p->ifindex);
	if (!rule && may_be_covered(p))
		return p->shape & PACKET_BAD_L4 ? VERDICT_DROP_MALFORMED : VERDICT_DROP_FRAGMENT;
	if (!rule)
		return begin_tracked(p);
	if (rule->kind == RULE_ACCEPT)
		return begin_accepted(p, rule);
	if (rule->kind == RULE_DROP) {
		rule_count_packet(rule->slot, p->l3_length);
		return VERDICT_DROP_RULE;
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
	return claim_off_sockets(p, req);
}

#endif
