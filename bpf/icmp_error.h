/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors about translated packets (RFC 5508 R3 to R5, RFC 5382 R10): the packet that one quotes
 * is put back into the form in which its sender knows it, and the error takes the flow's way back.
 * It makes, refreshes and ends no flow (RFC 4787 R12). tc only: XDP passes errors on.
 */
#ifndef XFWD_ICMP_ERROR_H
#define XFWD_ICMP_ERROR_H

#include "extension.h"
#include "translate.h"

#define ICMP_HEADER 8
/* What is checked of an error, in pieces that one helper call sums up. Real ones have 1280 at most. */
#define ERROR_MAX   2048
#define ERROR_PIECE 512
/* What may change of the quoted packet: its headers, up to TCP's checksum. */
#define QUOTE_HEAD  128

struct icmp_quote {
	__u8 bytes[ERROR_MAX + QUOTE_HEAD]; /* of the error, from its ICMP header on; then zeroes */
	__u8 head[QUOTE_HEAD]; /* of the quoted packet, as it will be */
	__u32 length; /* of the error */
	__u32 l4; /* of the quoted transport header, from the beginning of the quoted packet */
	__u32 shape; /* of the quoted packet: PACKET_PORTS, PACKET_NO_L4 */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct icmp_quote);
} icmp_quotes SEC(".maps");

static __always_inline struct icmp_quote *icmp_quote_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&icmp_quotes, &zero);
}

/* Nothing is ever written to it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct icmp_quote);
} icmp_quote_none SEC(".maps");

/* Zeroes this CPU's quote. As an update of a map: of a loop the verifier would count each round. */
static __always_inline long quote_clear(void)
{
	__u32 zero = 0;
	const struct icmp_quote *none = bpf_map_lookup_elem(&icmp_quote_none, &zero);

	return none ? bpf_map_update_elem(&icmp_quotes, &zero, none, BPF_ANY) : -1;
}

static __always_inline __u32 quote_sum(const struct icmp_quote *q, __u32 sum)
{
	for (int i = 0; i < ERROR_MAX / ERROR_PIECE; i++)
		sum = bpf_csum_diff(NULL, 0, (__be32 *)(q->bytes + i * ERROR_PIECE), ERROR_PIECE,
				    sum);
	return sum;
}

/* Reads the error. 0, or -1 where it is too short to quote anything. */
static __always_inline int quote_load(struct __sk_buff *skb, const struct packet *p,
				      struct icmp_quote *q)
{
	__u32 length = packet_l4_length(p);

	if (length < ICMP_HEADER + sizeof(struct iphdr))
		return -1;
	if (length > ERROR_MAX)
		length = ERROR_MAX;
	if (quote_clear())
		return -1;
	q->length = length;
	return bpf_skb_load_bytes(skb, p->l4_offset, q->bytes, length) ? -1 : 0;
}

static __always_inline int quote_checksum_right(const struct packet *p, const struct icmp_quote *q)
{
	__u32 sum = quote_sum(q, 0);

	if (!packet_is_ip4(p))
		sum = csum_add(sum, csum_pseudo(&p->tuple, bpf_htons(IPPROTO_ICMPV6),
						bpf_htons(q->length)));
	return csum_fold(sum) == 0xffff;
}

/* RFC 5508 R3 (a). */
static __always_inline int quote_header_right(const struct packet *p, const struct icmp_quote *q)
{
	__u32 length = q->l4 & 60;

	if (!packet_is_ip4(p) || !length)
		return 1;
	return csum_fold(bpf_csum_diff(NULL, 0, (__be32 *)(q->bytes + ICMP_HEADER), length, 0)) ==
	       0xffff;
}

/* The quoted IPv4 header into the tuple. 0, or -1 where it is none. */
static __always_inline int quote_ip4(struct icmp_quote *q, struct flow_key *tuple)
{
	const struct iphdr *ip = (const void *)(q->bytes + ICMP_HEADER);

	q->l4 = ip->ihl * 4U & 60;
	if (ip->version != 4 || q->l4 < sizeof(*ip))
		return -1;
	if (ip->frag_off & bpf_htons(IP_OFFSET))
		q->shape |= PACKET_NO_L4;
	tuple->saddr[0] = ip->saddr;
	tuple->daddr[0] = ip->daddr;
	tuple->proto = ip->protocol;
	return 0;
}

/* Extension headers that one may quote; more leave no room for the transport header. */
#define QUOTE_EXTENSIONS 3

static __always_inline int quote_ip6(struct icmp_quote *q, struct flow_key *tuple)
{
	const struct ipv6hdr *ip = (const void *)(q->bytes + ICMP_HEADER);
	__u8 next = ip->nexthdr;
	__u32 at = sizeof(*ip);

	if (q->length < ICMP_HEADER + sizeof(*ip) ||
	    (ip->flow & bpf_htonl(0xf0000000)) != bpf_htonl(0x60000000))
		return -1;
	__builtin_memcpy(tuple->saddr, ip->saddr, sizeof(tuple->saddr));
	__builtin_memcpy(tuple->daddr, ip->daddr, sizeof(tuple->daddr));
	for (int i = 0; i < QUOTE_EXTENSIONS && extension_is(next); i++) {
		const __u8 *header = q->bytes + ICMP_HEADER + (at & 127);

		if (next == EXTENSION_FRAGMENT && (header[2] || header[3] & 0xf8))
			break;
		at += extension_length(next, header[1]);
		next = header[0];
		if (at > QUOTE_HEAD - 24)
			break;
	}
	if (extension_is(next) || at > QUOTE_HEAD - 24)
		q->shape |= PACKET_NO_L4; /* of a later fragment, or too far behind */
	q->l4 = at;
	tuple->proto = next;
	return 0;
}

/* Ports or identifier of the quoted packet, where it has what a flow could be under. */
static __always_inline void quote_ports(struct icmp_quote *q, struct flow_key *tuple)
{
	const __u8 *l4 = q->bytes + ICMP_HEADER + (q->l4 & 127);
	__u8 type = l4[0];

	if (q->shape & PACKET_NO_L4)
		return;
	if (!protocol_has_ports(tuple->proto) && !protocol_is_icmp(tuple->proto)) {
		q->shape |= PACKET_PORTS;
		return;
	}
	if (q->length < ICMP_HEADER + q->l4 + 8)
		return;
	if (protocol_has_ports(tuple->proto)) {
		tuple->sport = *(const __be16 *)l4;
		tuple->dport = *(const __be16 *)(l4 + 2);
	} else if (type == (tuple->proto == IPPROTO_ICMP ? ICMP_ECHO : ICMPV6_ECHO_REQUEST)) {
		tuple->sport = *(const __be16 *)(l4 + 4);
	} else if (type == (tuple->proto == IPPROTO_ICMP ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY)) {
		tuple->dport = *(const __be16 *)(l4 + 4);
	} else {
		return;
	}
	q->shape |= PACKET_PORTS;
}

/* The quoted packet's tuple into r->key. 0, or -1: see above. A function of its own to the verifier. */
__attribute__((noinline)) int quote_parse(void)
{
	struct icmp_quote *q = icmp_quote_get();
	struct request *r = request_get();

	if (!r || !q)
		return -1;
	__builtin_memset(&r->key, 0, sizeof(r->key));
	r->key.family = r->p.tuple.family;
	if (packet_is_ip4(&r->p) ? quote_ip4(q, &r->key) : quote_ip6(q, &r->key))
		return -1;
	quote_ports(q, &r->key);
	return 0;
}

/* A checksum field of the quoted transport header, where the quote is long enough to have it. */
static __always_inline void quote_checksum(struct icmp_quote *q, __u32 at, __u32 delta, int udp)
{
	__u16 *check = (__u16 *)(q->head + ((q->l4 + at) & 127 & ~1U));

	if (q->length < ICMP_HEADER + q->l4 + at + 2 || q->l4 + at > QUOTE_HEAD - 2)
		return;
	*check = udp ? csum_replace_udp(*check, delta) : csum_replace(*check, delta);
}

static __always_inline void quote_rewrite_transport(struct icmp_quote *q, const struct flow_key *to,
						    __u16 addr_delta, __u16 port_delta)
{
	__u32 both = (__u32)addr_delta + port_delta;
	__u8 *l4 = q->head + (q->l4 & 124);

	if (q->shape & PACKET_NO_L4 || q->l4 > QUOTE_HEAD - 8 ||
	    q->length < ICMP_HEADER + q->l4 + 8)
		return;
	if (protocol_has_ports(to->proto)) {
		*(__be16 *)l4 = to->sport;
		*(__be16 *)((__u8 *)l4 + 2) = to->dport;
	}
	switch (to->proto) {
	case IPPROTO_TCP:
		quote_checksum(q, 16, both, 0);
		break;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
		quote_checksum(q, 6, both, 1);
		break;
	case IPPROTO_DCCP:
		quote_checksum(q, 6, both, 0);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (q->shape & PACKET_PORTS)
			*(__be16 *)((__u8 *)l4 + 4) = to->sport | to->dport; /* one is 0 */
		quote_checksum(q, 2, to->proto == IPPROTO_ICMP ? csum_delta_none(port_delta) : both,
			       0);
	}
}

/* q->head: the quoted packet as `to`, with the sums that its headers have. */
static __always_inline void quote_rewrite(struct icmp_quote *q, const struct flow_key *to,
					  __u16 addr_delta, __u16 port_delta)
{
	struct ipv6hdr *ip6 = (void *)q->head;
	struct iphdr *ip4 = (void *)q->head;

	__builtin_memcpy(q->head, q->bytes + ICMP_HEADER, sizeof(q->head));
	if (to->family == FAMILY_IP4) {
		ip4->saddr = to->saddr[0];
		ip4->daddr = to->daddr[0];
		ip4->check = csum_replace(ip4->check, addr_delta);
	} else {
		__builtin_memcpy(ip6->saddr, to->saddr, sizeof(ip6->saddr));
		__builtin_memcpy(ip6->daddr, to->daddr, sizeof(ip6->daddr));
	}
	quote_rewrite_transport(q, to, addr_delta, port_delta);
}

/* Writes it to the packet, and the error's own checksum; `outer`: what its pseudo header changes by. */
static __always_inline int quote_store(struct __sk_buff *skb, const struct packet *p,
				       struct icmp_quote *q, __u16 outer)
{
	__u32 length = q->length - ICMP_HEADER;
	__u16 check = *(__u16 *)(q->bytes + 2);
	__u32 delta;

	delta = csum_fold(bpf_csum_diff((__be32 *)(q->bytes + ICMP_HEADER), QUOTE_HEAD,
					(__be32 *)q->head, QUOTE_HEAD, 0));
	if (!packet_is_ip4(p))
		delta += outer;
	check = csum_replace(check, delta);
	if (length > QUOTE_HEAD)
		length = QUOTE_HEAD;
	if (!length_is_within(&length, sizeof(struct iphdr), QUOTE_HEAD) ||
	    bpf_skb_store_bytes(skb, p->l4_offset + ICMP_HEADER, q->head, length,
				BPF_F_RECOMPUTE_CSUM))
		return -1;
	return bpf_skb_store_bytes(skb, p->l4_offset + 2, &check, sizeof(check),
				   BPF_F_RECOMPUTE_CSUM);
}

/*
 * A static rule's translation, on the way out: of the error's source, if a rule covers it, or it is
 * seen as the host that the quoted packet was for. That host stays as it is where no rule covers it, as
 * behind a router that alone has one; a quote without ports does not tell.
 */
static __always_inline int error_static_out(struct request *r, const struct icmp_quote *q)
{
	const struct rule_action *rule;

	rule = rule_find(&r->p, &r->p.tuple, STAGE_OUT, r->p.ifindex);
	if (rule && (rule->kind == RULE_ACCEPT || rule->kind == RULE_DROP))
		return 0;
	if (rule && rule->kind == RULE_STATIC)
		translate_prefix(rule, r->want.family, r->want.saddr);
	rule = rule_find(&r->p, &r->back, STAGE_OUT, r->p.ifindex);
	if (!rule || rule->kind == RULE_ACCEPT)
		return q->shape & PACKET_PORTS && !address_equal(r->want.saddr, r->p.tuple.saddr);
	if (rule->kind != RULE_STATIC)
		return 0;
	translate_prefix(rule, r->peer.family, r->peer.daddr);
	if (address_equal(r->want.saddr, r->p.tuple.saddr))
		__builtin_memcpy(r->want.saddr, r->peer.daddr, sizeof(r->want.saddr));
	return 1;
}

/*
 * What a static rule translates: r->peer is the quoted packet as it will be. Of its ends, the one
 * inside changes, for which its ports need not be known.
 */
static __always_inline int error_static(struct request *r, const struct icmp_quote *q)
{
	const struct rule_action *rule;

	r->peer = r->key;
	if (r->p.hook == HOOK_TC_EGRESS)
		return error_static_out(r, q);
	rule = rule_find(&r->p, &r->p.tuple, STAGE_IN, r->p.ifindex);
	if (!rule || rule->kind != RULE_STATIC)
		return 0;
	translate_prefix(rule, r->want.family, r->want.daddr);
	translate_prefix(rule, r->peer.family, r->peer.saddr);
	return 1;
}

/* The flow's translation of the error's own addresses, into r->want: of those that it changes. */
static __always_inline void error_addresses(struct request *r)
{
	if (!address_equal(r->peer.daddr, r->key.daddr))
		__builtin_memcpy(r->want.saddr, r->peer.daddr, sizeof(r->want.saddr));
	if (!address_equal(r->peer.saddr, r->key.saddr))
		__builtin_memcpy(r->want.daddr, r->peer.saddr, sizeof(r->want.daddr));
}

/*
 * VERDICT_CONTINUE: the quote is rewritten, and r->entry translates the error's own addresses, as if
 * it were its flow. The source, too, where the flow's changes: a router on the inside is as little to
 * be seen as a host. VERDICT_PASS_NO_RULE: it is about no flow.
 */
__attribute__((noinline)) int icmp_error(struct __sk_buff *skb)
{
	struct icmp_quote *q = icmp_quote_get();
	struct request *r = request_get();
	const struct flow *f;
	__u8 flags = 0;

	if (!r || !q || quote_load(skb, &r->p, q) || quote_parse())
		return VERDICT_PASS_NO_RULE;
	flow_key_reverse(&r->key, &r->back);
	/* r->peer: the quoted packet as it will be */
	f = q->shape & PACKET_PORTS ? request_pair(r, &r->back) : NULL;
	if (f) {
		flags = f->flags;
		if (!(flags & (FLOW_SNAT | FLOW_DNAT)))
			return VERDICT_PASS_TRACKED;
		error_addresses(r);
	} else if (!error_static(r, q)) {
		return VERDICT_PASS_NO_RULE;
	}
	/* names a router that only its sender knows: a host heeds none from farther (RFC 1122 3.2.2.2) */
	if (packet_is_ip4(&r->p) && q->bytes[0] == ICMP_REDIRECT)
		return VERDICT_DROP_STRAY;
	/* it goes to whoever sent what it quotes, or somebody made it up */
	if (!quote_header_right(&r->p, q) || !quote_checksum_right(&r->p, q) ||
	    !address_equal(r->p.tuple.daddr, r->key.saddr))
		return VERDICT_DROP_MALFORMED;
	quote_rewrite(q, &r->peer, csum_delta_address(&r->key, &r->peer),
		      csum_fold(csum_delta_ports(&r->key, r->peer.sport, r->peer.dport)));
	flow_fill(r, &r->p.tuple, &r->want, flags & FLOW_TO_LOCAL);
	r->entry.flow.flags |= FLOW_DNAT; /* also where only ports change, which the quote has */
	if (quote_store(skb, &r->p, q, r->entry.flow.addr_delta))
		return VERDICT_DROP_ERROR;
	r->p.shape |= PACKET_NO_L4; /* nothing is left to change there */
	r->stateless = 1;
	return VERDICT_CONTINUE;
}

#endif
