/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a router has to say of a packet that it cannot forward: time exceeded, fragmentation needed,
 * packet too big (RFC 1812 4.3, RFC 4443 3). The kernel cannot say it here: to it, the packet is for
 * this host. The packet itself is made into the answer, as it came and so as its sender knows it, and
 * goes back where it came from, in the name of the interface that it came in by. tc only.
 */
#ifndef XFWD_ANSWER_H
#define XFWD_ANSWER_H

#include "icmp_error.h"

/* Of the packet, an answer quotes what keeps it below the least MTU (RFC 1812 4.3.2.3, RFC 4443 2.4). */
#define ANSWER_QUOTE4  (576 - 20 - ICMP_HEADER)
#define ANSWER_QUOTE6  (1280 - 40 - ICMP_HEADER)

/*
 * Beyond the place in a packet where any checksum begins. A tunnel's, of whose inner packet checksum or
 * segments are still to be made (skb->encapsulation), is not among them: the kernel lets nobody change
 * its length, and its sender is not told.
 */
#define ANSWER_CUT     1024

/* For each CPU; Linux' own limits are 1000 a second for all and 50 at once. */
#define ANSWERS_SECOND 500
#define ANSWERS_BURST  50

enum answer {
	ANSWER_TIME_EXCEEDED,
	ANSWER_TOO_BIG,
};

struct answer_budget {
	__u32 left;
	__u32 filled; /* jiffies */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct answer_budget);
} answer_budgets SEC(".maps");

static __always_inline int answer_affordable(const struct request *r)
{
	struct answer_budget *budget;
	__u32 zero = 0, idle, more;

	budget = bpf_map_lookup_elem(&answer_budgets, &zero);
	if (!budget || !r->hz)
		return 0;
	idle = packet_now(&r->p) - budget->filled;
	if (idle > r->hz)
		idle = r->hz;
	more = idle * ANSWERS_SECOND / r->hz;
	if (more) {
		budget->filled = packet_now(&r->p);
		budget->left += more;
		if (budget->left > ANSWERS_BURST)
			budget->left = ANSWERS_BURST;
	}
	if (!budget->left)
		return 0;
	budget->left--;
	return 1;
}

/* RFC 1122 3.2.2, RFC 4443 2.4 (e): there are packets that no error may be about. */
static __always_inline int answer_allowed(const struct packet *p)
{
	return !(p->shape & (PACKET_ICMP_ERROR | PACKET_NO_L4 | PACKET_OTHER_HOST)) &&
	       !address_is_no_source(p->tuple.saddr, p->tuple.family);
}

/* The ICMP header's last four bytes, which `struct icmphdr` has for echo. */
static __always_inline void answer_word(struct icmphdr *icmp, __u32 high, __u32 low)
{
	icmp->id = bpf_htons(high);
	icmp->sequence = bpf_htons(low);
}

/* The first `length` bytes of the datagram behind an ICMP header of zeroes, as is q->head. */
static __always_inline int answer_quote(struct __sk_buff *skb, const struct packet *p,
					struct icmp_quote *q, __u32 length)
{
	if (quote_clear())
		return -1;
	if (!length_is_within(&length, sizeof(struct iphdr), ANSWER_QUOTE6))
		return -1;
	q->length = ICMP_HEADER + length;
	return bpf_skb_load_bytes(skb, p->l3_offset, q->bytes + ICMP_HEADER, length);
}

/*
 * Makes what the packet begins with, behind its link-layer header, into a datagram of so many bytes. Where
 * a device or the stack was still to put a checksum into the packet (CHECKSUM_PARTIAL, as GRO leaves it),
 * it would now go into the quote: once the place where that sum begins is cut off in front, it is
 * forgotten, at the latest when what is stored is taken into a sum of the whole (BPF_F_RECOMPUTE_CSUM).
 */
static __always_inline int answer_room(struct __sk_buff *skb, const struct packet *p, __u32 length)
{
	if (bpf_skb_change_tail(skb, p->l3_offset + ANSWER_CUT + length, 0))
		return -1;
	return bpf_skb_adjust_room(skb, -ANSWER_CUT, BPF_ADJ_ROOM_MAC, 0);
}

/* The IP header of `header` bytes is in q->head; the ICMP header and the quote go behind it. */
static __always_inline int answer_store(struct __sk_buff *skb, const struct packet *p,
					const struct icmp_quote *q, __u32 header)
{
	__u32 length = q->length;

	if (answer_room(skb, p, header + length) ||
	    bpf_skb_store_bytes(skb, p->l3_offset, q->head, header, BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (!length_is_within(&length, ICMP_HEADER, ICMP_HEADER + ANSWER_QUOTE6))
		return -1;
	return bpf_skb_store_bytes(skb, p->l3_offset + header, q->bytes, length,
				   BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int answer_ip4(struct __sk_buff *skb, const struct packet *p,
				      const struct iface *in, struct icmp_quote *q,
				      enum answer answer)
{
	struct icmphdr *icmp = (void *)q->bytes;
	struct iphdr *ip = (void *)q->head;
	__u32 quote = p->l3_length;

	if (quote > ANSWER_QUOTE4)
		quote = ANSWER_QUOTE4;
	if (quote < sizeof(struct iphdr) || !in->addr4 || answer_quote(skb, p, q, quote))
		return -1;
	icmp->type = ICMP_TIME_EXCEEDED;
	if (answer == ANSWER_TOO_BIG) {
		icmp->type = ICMP_DEST_UNREACH;
		icmp->code = ICMP_FRAG_NEEDED;
		answer_word(icmp, 0, p->hop.mtu);
	}
	icmp->checksum = ~csum_fold(quote_sum(q, 0));
	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tos = 0xc0; /* internetwork control */
	ip->tot_len = bpf_htons(sizeof(*ip) + q->length);
	ip->ttl = 64;
	ip->protocol = IPPROTO_ICMP;
	ip->saddr = in->addr4;
	ip->daddr = p->tuple.saddr[0];
	ip->check = ~csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)ip, sizeof(*ip), 0));
	return answer_store(skb, p, q, sizeof(*ip));
}

static __always_inline int answer_ip6(struct __sk_buff *skb, struct request *r,
				      const struct iface *in, struct icmp_quote *q,
				      enum answer answer)
{
	struct icmphdr *icmp = (void *)q->bytes;
	struct ipv6hdr *ip = (void *)q->head;
	const struct packet *p = &r->p;
	__u32 quote = p->l3_length;

	if (quote > ANSWER_QUOTE6)
		quote = ANSWER_QUOTE6;
	if (quote < sizeof(struct ipv6hdr) || !in->addr6[0] || answer_quote(skb, p, q, quote))
		return -1;
	icmp->type = ICMPV6_TIME_EXCEED;
	if (answer == ANSWER_TOO_BIG) {
		icmp->type = ICMPV6_PKT_TOOBIG;
		answer_word(icmp, p->hop.mtu >> 16, p->hop.mtu);
	}
	__builtin_memcpy(r->key.saddr, in->addr6, sizeof(r->key.saddr));
	__builtin_memcpy(r->key.daddr, p->tuple.saddr, sizeof(r->key.daddr));
	r->key.family = FAMILY_IP6;
	icmp->checksum = ~csum_fold(quote_sum(
		q, csum_pseudo(&r->key, bpf_htons(IPPROTO_ICMPV6), bpf_htons(q->length))));
	ip->flow = bpf_htonl(0x60000000);
	ip->payload_len = bpf_htons(q->length);
	ip->nexthdr = IPPROTO_ICMPV6;
	ip->hop_limit = 64;
	__builtin_memcpy(ip->saddr, r->key.saddr, sizeof(ip->saddr));
	__builtin_memcpy(ip->daddr, r->key.daddr, sizeof(ip->daddr));
	return answer_store(skb, p, q, sizeof(*ip));
}

/* Back to the link-layer address that it came from. */
static __always_inline int answer_link(struct __sk_buff *skb, const struct packet *p)
{
	struct link_address to, from;
	__u64 addresses[2] = { 0 };

	if (p->l3_offset != ETH_HLEN)
		return 0;
	if (bpf_skb_load_bytes(skb, 0, addresses, 2 * ETH_ALEN))
		return -1;
	link_addresses_split(addresses, &from, &to);
	link_addresses_join(addresses, &to, &from);
	return bpf_skb_store_bytes(skb, 0, addresses, 2 * ETH_ALEN, 0);
}

/* What the program is to return, or TC_ACT_SHOT where there is to be no answer. The packet is r->p. */
__attribute__((noinline)) int answer_send(struct __sk_buff *skb, int answer)
{
	struct icmp_quote *q = icmp_quote_get();
	struct request *r = request_get();
	const struct iface *in;
	int err;

	if (!r || !q || !answer_allowed(&r->p) || !answer_affordable(r))
		return TC_ACT_SHOT;
	in = iface_find(r->p.ifindex);
	if (!in)
		return TC_ACT_SHOT;
	if (packet_is_ip4(&r->p))
		err = answer_ip4(skb, &r->p, in, q, answer);
	else
		err = answer_ip6(skb, r, in, q, answer);
	if (err || answer_link(skb, &r->p) || vlan_forget_priority(skb))
		return TC_ACT_SHOT;
	if (in->flags & IFACE_ATTACHED_EGRESS)
		skb->tc_index = TC_INDEX_DONE;
	return bpf_redirect(r->p.ifindex, 0);
}

#endif
