/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP's maximum segment size: what SYN and SYN-ACK say of it is lowered to what a flow's rules allow,
 * for paths that swallow what ICMP has to say of longer packets. tc only: XDP leaves such segments.
 */
#ifndef XFWD_SEGMENT_H
#define XFWD_SEGMENT_H

#include "forward.h"
#include "request.h"

#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2
#define TCP_OPTIONS    40 /* bytes at the most */

/* A rule that the flow is under; of several, the one that allows least. */
static __always_inline void segment_rule(struct request *r, const struct rule_action *rule)
{
	if (r->p.tuple.proto != IPPROTO_TCP || !rule->mss)
		return;
	if (rule->mss == RULE_MSS_AUTO)
		r->mss_auto = 1;
	if (!r->mss || rule->mss < r->mss)
		r->mss = rule->mss;
}

/* Has a rule a say in it? XDP then leaves the flow's beginning to tc. */
static __always_inline int segment_is_tc(const struct request *r)
{
	return packet_is_xdp(&r->p) && r->mss;
}

/*
 * The MTU of the route from one address to another; 0: none, it ends here. Asked for a packet that is
 * too long for any route: the answer then does not depend on whether the neighbour is known.
 */
static __always_inline __u32 segment_mtu(struct __sk_buff *skb, struct request *r,
					 const __be32 from[4], const __be32 to[4], __u32 ifindex,
					 __u32 flags)
{
	struct bpf_fib_lookup *fib = &r->fib;

	__builtin_memset(fib, 0, sizeof(*fib));
	fib->family = packet_is_ip4(&r->p) ? AF_INET : AF_INET6;
	fib->l4_protocol = IPPROTO_TCP;
	fib->tot_len = 0xffff;
	fib->ifindex = ifindex;
	__builtin_memcpy(fib->ipv6_src, from, sizeof(fib->ipv6_src));
	__builtin_memcpy(fib->ipv6_dst, to, sizeof(fib->ipv6_dst));
	return bpf_fib_lookup(skb, fib, sizeof(*fib), flags) == ROUTE_TOO_BIG ? fib->mtu_result : 0;
}

static __always_inline void segment_limit(struct request *r, __u32 mtu)
{
	__u32 headers = packet_is_ip4(&r->p) ? 40 : 60;

	if (mtu > headers && mtu - headers < r->mss)
		r->mss = mtu - headers;
}

/* For a flow that is about to be made: `auto` becomes the number that the routes of now leave. */
__attribute__((noinline)) int segment_settle(struct __sk_buff *skb)
{
	struct request *r = request_get();
	__u32 mtu = 0, way_back;
	struct packet *p;

	if (!r || !r->mss_auto)
		return 0;
	p = &r->p;
	if (p->hook == HOOK_TC_EGRESS) {
		segment_limit(r, segment_mtu(skb, r, p->tuple.saddr, p->tuple.daddr, p->ifindex,
					     BPF_FIB_LOOKUP_OUTPUT));
		bpf_check_mtu(skb, p->ifindex, &mtu, 0, 0);
		segment_limit(r, mtu);
		way_back = segment_mtu(skb, r, p->tuple.daddr, p->tuple.saddr, p->ifindex, 0);
	} else {
		segment_limit(r, segment_mtu(skb, r, p->tuple.saddr, r->want.daddr, p->ifindex, 0));
		if (route_is_local(p))
			way_back = segment_mtu(skb, r, r->want.daddr, p->tuple.saddr, p->ifindex,
					       BPF_FIB_LOOKUP_OUTPUT);
		else
			way_back = segment_mtu(skb, r, r->want.daddr, p->tuple.saddr,
					       p->hop.ifindex, 0);
	}
	segment_limit(r, way_back);
	if (r->mss == RULE_MSS_AUTO)
		r->mss = 0;
	return 0;
}

struct tcp_option {
	__u8 kind;
	__u8 length;
	__be16 mss;
};

/* One that says more than it may. The checksum's words begin at even bytes of the segment. */
static __always_inline int segment_lower(struct __sk_buff *skb, __u32 tcp, __u32 at, __be16 from,
					 __be16 to)
{
	const __u32 value = at + __builtin_offsetof(struct tcp_option, mss);

	if (bpf_skb_store_bytes(skb, value, &to, sizeof(to), 0))
		return -1;
	if ((value - tcp) & 1) {
		from = __builtin_bswap16(from);
		to = __builtin_bswap16(to);
	}
	return bpf_l4_csum_replace(skb, tcp + __builtin_offsetof(struct tcphdr, check), from, to,
				   sizeof(to));
}

/* An option's length says so besides. */
#define SEGMENT_LOWERED 0x100

/*
 * The option at `at` of the segment that begins at `tcp`. Its length; 0: no more are to be read.
 * -1: a helper failed. A function of its own to the verifier.
 */
__attribute__((noinline)) int segment_option(struct __sk_buff *skb, __u32 tcp, __u32 at, __u32 end)
{
	const struct request *r = request_get();
	struct tcp_option option;

	if (!r || at + sizeof(option) > end ||
	    bpf_skb_load_bytes(skb, at, &option, sizeof(option)) || option.kind == TCP_OPTION_END)
		return 0;
	if (option.kind == TCP_OPTION_NOP)
		return 1;
	if (option.length < 2 || at + option.length > end)
		return 0;
	if (option.kind != TCP_OPTION_MSS || option.length != sizeof(option) ||
	    bpf_ntohs(option.mss) <= r->mss)
		return option.length;
	if (segment_lower(skb, tcp, at, option.mss, bpf_htons(r->mss)))
		return -1;
	return option.length | SEGMENT_LOWERED;
}

/*
 * The segment that begins at `tcp`, if it is of a flow under such a rule. 1: it says less now.
 * -1: a helper failed. What is malformed is left to its receiver, from there on. A function of its
 * own to the verifier.
 */
__attribute__((noinline)) int segment_clamp(struct __sk_buff *skb, __u32 tcp)
{
	const struct request *r = request_get();
	__u32 at = tcp + sizeof(struct tcphdr);
	int step, changed = 0;
	__u8 doff;

	if (!r || !r->mss ||
	    bpf_skb_load_bytes(skb, tcp + __builtin_offsetof(struct tcphdr, flags) - 1, &doff, 1))
		return 0;
	for (int i = 0; i < TCP_OPTIONS; i++) {
		step = segment_option(skb, tcp, at, tcp + (doff >> 4) * 4);
		if (step < 0)
			return -1;
		if (!step)
			break;
		if (step & SEGMENT_LOWERED)
			changed = 1;
		at += step & 0xff;
	}
	return changed;
}

#endif
