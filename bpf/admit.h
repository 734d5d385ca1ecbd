/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet that the flow table alone does not settle: its flow is missing, may be over, or was made
 * under other rules. Functions of their own to the verifier, one for each kind of context; what they
 * need of the packet is in the request.
 */
#ifndef XFWD_ADMIT_H
#define XFWD_ADMIT_H

#include "begin.h"

/* The rule that translates this tuple now, as its slot (0: none). VERDICT_DROP_RULE if one drops it. */
static __always_inline enum verdict judge_stage(void *ctx, struct request *r,
						const struct flow_key *tuple, enum stage stage,
						__u32 *slot)
{
	struct packet *p = &r->p;
	__u32 ifindex = p->ifindex;
	const struct rule_action *rule;

	*slot = 0;
	if (stage == STAGE_OUT && p->hook != HOOK_TC_EGRESS) {
		route_find(ctx, r, tuple, 0);
		if (route_is_local(p))
			return VERDICT_CONTINUE;
		ifindex = p->hop.ifindex;
	}
	rule = rule_find(p, tuple, stage, ifindex);
	if (!rule || rule->kind == RULE_ACCEPT)
		return VERDICT_CONTINUE;
	if (rule->kind == RULE_DROP) {
		rule_count(rule->slot, p->l3_length);
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
__attribute__((noinline)) int flow_judge(struct __sk_buff *ctx)
{
	enum verdict verdict = VERDICT_CONTINUE;
	struct request *r = request_get();
	const struct flow_key *key;
	__u32 in = 0, out = 0;
	struct packet *p;
	struct flow *f;

	if (!r)
		return VERDICT_DROP_ERROR;
	f = request_pair(r, &r->p.tuple);
	if (!f)
		return VERDICT_PASS_NO_RULE;
	key = &r->p.tuple;
	p = &r->p;
	if (f->flags & FLOW_MAPPED_BACK) { /* it is under a mapping, which no rule need cover */
		f->generation = (__u16)p->generation;
		return VERDICT_CONTINUE;
	}
	/* as it is routed: to the new destination, which the other entry answers from */
	r->key = *key;
	if (p->hook != HOOK_TC_EGRESS) {
		verdict = judge_stage(ctx, r, key, STAGE_IN, &in);
		/* made at egress: the stack takes this one packet to where the rest is judged */
		if (verdict == VERDICT_CONTINUE && !in && !f->rule_in && f->rule_out)
			return VERDICT_PASS_STRAY;
		__builtin_memcpy(r->key.daddr, r->peer.saddr, sizeof(r->key.daddr));
		r->key.dport = r->peer.sport;
	}
	if (verdict == VERDICT_CONTINUE)
		verdict = judge_stage(ctx, r, &r->key, STAGE_OUT, &out);
	if (verdict == VERDICT_CONTINUE &&
	    (key->proto == IPPROTO_TCP || (in == f->rule_in && out == f->rule_out))) {
		f->generation = (__u16)p->generation;
		return VERDICT_CONTINUE;
	}
	flow_end(0);
	return verdict == VERDICT_CONTINUE ? VERDICT_PASS_NO_RULE : verdict;
}

/*
 * A SYN that opens a connection anew on the tuple of one that has closed (RFC 5382 R2): both
 * directions begin again, under the translation that they have.
 */
static __always_inline void flow_reopen(const struct packet *p, struct flow *f, struct flow *peer)
{
	if (p->tuple.proto != IPPROTO_TCP || !(p->shape & PACKET_BEGINS) ||
	    flow_timeout(IPPROTO_TCP, f, peer) != TIMEOUT_TCP_CLOSING)
		return;
	f->seen &= ~TCP_SEEN;
	peer->seen &= ~TCP_SEEN;
	rule_count_flow(f->rule_in, f->rule_out);
}

/* How far an RST may be ahead of what its receiver has acknowledged last: so many times 64 KiB. */
#define RESET_AHEAD 16

/*
 * RFC 5961, RFC 7857 2.2: an RST that is out of the receiver's window ends nothing. The window is not
 * tracked: what the receiver has acknowledged, in its upper half, stands for it.
 */
static __always_inline int reset_is_bad(void *ctx, const struct request *r,
					const struct flow *receiver, int xdp)
{
	const __u32 at = __builtin_offsetof(struct tcphdr, seq);
	__be16 seq, *in_packet;
	__u16 ahead;

	if (!(r->p.tcp_flags & TCP_FLAG_RST) || !flow_has_acknowledged(receiver))
		return 0;
	if (xdp) {
		struct xdp_md *frame = ctx;

		in_packet = (void *)(long)frame->data + (r->p.l4_offset & 127) + at;
		if ((void *)(in_packet + 1) > (void *)(long)frame->data_end)
			return 1;
		seq = *in_packet;
	} else if (bpf_skb_load_bytes(ctx, r->p.l4_offset + at, &seq, sizeof(seq))) {
		return 1;
	}
	ahead = bpf_ntohs(seq) - bpf_ntohs(receiver->ack_high);
	return ahead > RESET_AHEAD;
}

/* Looks at the flow together with its other direction, which r->peer is the key of. */
static __always_inline int flow_is_over(void *ctx, struct request *r, struct flow *f, int xdp)
{
	struct flow *peer = request_flow(r, &r->peer);

	if (!peer || flow_expired(r->p.tuple.proto, f, peer, 0))
		return 1;
	r->mss = f->flags & FLOW_REPLY ? f->mss : peer->mss;
	if (!(f->flags & FLOW_REPLY))
		flow_reopen(&r->p, f, peer);
	if (reset_is_bad(ctx, r, peer, xdp))
		r->p.shape |= PACKET_BAD_RESET;
	return 0;
}

/*
 * Is the interface another than the one that the flow is bound to? A function of its own to the
 * verifier, as it is asked for each packet that leaves.
 */
__attribute__((noinline)) int flow_leaves_elsewhere(const struct flow *f, __u32 ifindex)
{
	const struct iface *out;

	if (!f || !(f->flags & FLOW_MASQUERADED))
		return 0;
	out = iface_find(ifindex);
	return out && flow_has_moved(f, out->port);
}

/*
 * The flow that the packet has: VERDICT_CONTINUE when it may go on by it, VERDICT_PASS_TO_TC when that
 * is for tc to judge, VERDICT_PASS_NO_RULE where it is over.
 */
static __always_inline enum verdict flow_known(void *ctx, int xdp)
{
	struct request *r = request_get();
	struct flow *f;
	int is_reply;

	if (!r)
		return VERDICT_DROP_ERROR;
	f = request_pair(r, &r->p.tuple);
	if (!f)
		return VERDICT_PASS_NO_RULE;
	is_reply = f->flags & FLOW_REPLY;
	if (flow_is_over(ctx, r, f, xdp) ||
	    (!xdp && r->p.hook == HOOK_TC_EGRESS && flow_leaves_elsewhere(f, r->p.ifindex))) {
		flow_end(is_reply);
		return VERDICT_PASS_NO_RULE;
	}
	if (xdp && r->mss && r->p.tcp_flags & TCP_FLAG_SYN)
		return VERDICT_PASS_TO_TC;
	if (f->generation == (__u16)r->p.generation || is_reply)
		return VERDICT_CONTINUE;
	return VERDICT_PASS_TO_TC;
}

/* Functions of their own, for room on the stack: what begins a flow is called without theirs. */
__attribute__((noinline)) int flow_known_xdp(struct xdp_md *xdp)
{
	return flow_known(xdp, 1);
}

__attribute__((noinline)) int flow_known_tc(struct __sk_buff *skb)
{
	return flow_known(skb, 0);
}

/* The same, if it has any, and after tc has judged what is for it to judge. */
static __always_inline enum verdict admit_known(void *ctx, struct request *r, int xdp)
{
	enum verdict verdict;

	r->mss = 0;
	r->mss_auto = 0;
	if (!r->known)
		return VERDICT_PASS_NO_RULE;
	verdict = xdp ? flow_known_xdp(ctx) : flow_known_tc(ctx);
	return verdict == VERDICT_PASS_TO_TC && !xdp ? flow_judge(ctx) : verdict;
}

/*
 * VERDICT_CONTINUE: the packet has a flow now, or `stateless` says that r->entry is all it has; and
 * hop.route says whether its route is known.
 */
static __always_inline enum verdict admit_ingress(void *ctx, int xdp)
{
	struct request *r = request_get();
	enum verdict verdict;

	if (!r)
		return VERDICT_DROP_ERROR;
	verdict = admit_known(ctx, r, xdp);
	if (verdict != VERDICT_PASS_NO_RULE)
		return verdict;
	r->p.hop.route = ROUTE_UNKNOWN;
	return begin_ingress(ctx, r, xdp);
}

__attribute__((noinline)) int admit_xdp(struct xdp_md *xdp)
{
	return admit_ingress(xdp, 1);
}

__attribute__((noinline)) int admit_tc_ingress(struct __sk_buff *skb)
{
	return admit_ingress(skb, 0);
}

__attribute__((noinline)) int admit_tc_egress(struct __sk_buff *skb)
{
	struct request *r = request_get();
	enum verdict verdict;

	if (!r)
		return VERDICT_DROP_ERROR;
	verdict = admit_known(skb, r, 0);
	return verdict == VERDICT_PASS_NO_RULE ? begin_egress(skb, r) : verdict;
}

#endif
