/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Headers into struct packet: reads and checks bounds, and writes nothing to the packet. */
#ifndef XFWD_PARSE_H
#define XFWD_PARSE_H

#include "extension.h"
#include "request.h"
#include "tags.h"

/* The longest part of a transport header that is read. */
#define PARSE_L4_LENGTH ((__u32)sizeof(struct tcphdr))

/*
 * XDP: what is not plain IP may be tagged, and then is of the VLAN interface that the tags name. What
 * that leaves of it is plain IP, like all else that goes on.
 */
static __always_inline enum verdict parse_tags(struct packet *p)
{
	struct ethhdr *eth = packet_data(p);
	__u32 ifindex;

	if ((void *)(eth + 1) > packet_end(p))
		return VERDICT_PASS_OTHER_PROTOCOL;
	if (likely(eth->h_proto == bpf_htons(ETH_P_IP) || eth->h_proto == bpf_htons(ETH_P_IPV6)))
		return VERDICT_CONTINUE;
	ifindex = vlan_enter(packet_xdp(p));
	if (!ifindex)
		return VERDICT_PASS_OTHER_PROTOCOL;
	p->ifindex = ifindex;
	return VERDICT_CONTINUE;
}

static __always_inline __u32 link_length(const struct iface *on)
{
	return on->flags & IFACE_NO_ETHERNET ? 0 : ETH_HLEN;
}

/* Is the frame meant for this interface, and what does it carry? Finds the IP header. */
static __always_inline enum verdict parse_link(struct packet *p, const struct iface *in,
					       __be16 *ethertype)
{
	struct link_address to, own;
	struct ethhdr *eth;

	p->l3_offset = packet_is_xdp(p) ? ETH_HLEN : link_length(in);
	if (!packet_is_xdp(p)) {
		struct __sk_buff *skb = packet_skb(p);

		if (skb->vlan_present &&
		    (p->hook == HOOK_TC_EGRESS || skb->vlan_tci & VLAN_VID_MASK))
			return VERDICT_PASS_OTHER_PROTOCOL;
		if (p->hook == HOOK_TC_INGRESS && skb->pkt_type != PACKET_HOST)
			p->shape |= PACKET_OTHER_HOST;
		*ethertype = skb->protocol;
		return VERDICT_CONTINUE;
	}
	eth = packet_data(p);
	if ((void *)(eth + 1) > packet_end(p))
		return VERDICT_PASS_OTHER_PROTOCOL;
	*ethertype = eth->h_proto;
	to = link_address_read(eth->h_dest);
	own = link_address_read(in->mac);
	return link_address_equal(&to, &own) ? VERDICT_CONTINUE : VERDICT_PASS_OTHER_HOST;
}

/* Bit n: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32 add up to n, and such a segment makes sense. */
#define TCP_WITH_PUSH(flags) (1ULL << (flags) | 1ULL << ((flags) | 8))
#define TCP_SANE_FLAGS \
	(TCP_WITH_PUSH(0x02) | TCP_WITH_PUSH(0x22) | TCP_WITH_PUSH(0x12) | TCP_WITH_PUSH(0x04) | \
	 TCP_WITH_PUSH(0x14) | TCP_WITH_PUSH(0x11) | TCP_WITH_PUSH(0x31) | TCP_WITH_PUSH(0x10) | \
	 TCP_WITH_PUSH(0x30))

static __always_inline void parse_tcp(struct packet *p, struct tcphdr *tcp, void *end, __u32 length)
{
	const __u8 opening = TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_RST | TCP_FLAG_FIN;
	const __be16 *ack;

	if ((void *)(tcp + 1) > end || tcp->doff < 5 || tcp->doff * 4U > length) {
		p->shape |= PACKET_BAD_L4;
		return;
	}
	p->tuple.sport = tcp->source;
	p->tuple.dport = tcp->dest;
	ack = (const __be16 *)&tcp->ack_seq;
	p->tcp_flags = tcp->flags | (__u32)*ack << 16;
	if (!(TCP_SANE_FLAGS >> (tcp->flags & 63) & 1)) {
		p->shape |= PACKET_BAD_L4; /* of no flow; a rule may cover it */
		return;
	}
	p->shape |= PACKET_PORTS;
	if ((tcp->flags & opening) == TCP_FLAG_SYN)
		p->shape |= PACKET_BEGINS;
}

static __always_inline void parse_udp(struct packet *p, struct udphdr *udp, void *end, __u32 length)
{
	if ((void *)(udp + 1) > end || length < sizeof(*udp) ||
	    bpf_ntohs(udp->len) < sizeof(*udp) ||
	    (!(p->shape & PACKET_FRAGMENT) && bpf_ntohs(udp->len) > length) ||
	    (!packet_is_ip4(p) && !udp->check)) { /* RFC 8200 8.1 */
		p->shape |= PACKET_BAD_L4;
		return;
	}
	p->tuple.sport = udp->source;
	p->tuple.dport = udp->dest;
	p->shape |= PACKET_PORTS | PACKET_BEGINS;
}

/* An association begins with INIT, alone and with no tag yet (RFC 9260 8.5.1). */
static __always_inline void parse_sctp(struct packet *p, struct sctphdr *sctp, void *end,
				       __u32 length)
{
	if ((void *)(sctp + 1) > end || length < sizeof(*sctp)) {
		p->shape |= PACKET_BAD_L4;
		return;
	}
	p->tuple.sport = sctp->source;
	p->tuple.dport = sctp->dest;
	p->shape |= PACKET_PORTS;
	if (sctp->chunk_type == SCTP_CHUNK_INIT && !sctp->vtag)
		p->shape |= PACKET_BEGINS;
}

/* Echo has an identifier, which stands for the requesting end's port. All else begins no flow. */
static __always_inline void parse_echo(struct packet *p, struct icmphdr *icmp, int request)
{
	p->shape |= PACKET_PORTS;
	if (request) {
		p->tuple.sport = icmp->id;
		p->shape |= PACKET_BEGINS;
	} else {
		p->tuple.dport = icmp->id;
	}
}

static __always_inline void parse_icmp4(struct packet *p, struct icmphdr *icmp)
{
	switch (icmp->type) {
	case ICMP_ECHO:
	case ICMP_ECHOREPLY:
		parse_echo(p, icmp, icmp->type == ICMP_ECHO);
		break;
	case ICMP_DEST_UNREACH:
	case ICMP_SOURCE_QUENCH:
	case ICMP_REDIRECT:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETERPROB:
		p->shape |= PACKET_ICMP_ERROR;
	}
}

/*
 * Multicast listeners, neighbours, routers: of one link alone (RFC 4890 4.4.1), with a hop limit of 255
 * or 1, or they are not what they say (RFC 4861 7.1, RFC 3810 5). Bit n: type 128 + n.
 */
#define ICMPV6_LINK_TYPES \
	(0xfcULL << 0 | 3ULL << 8 | 7ULL << (141 - 128) | 3ULL << (148 - 128) | 7ULL << (151 - 128))

/* Its hop limit is what its sender gave it: no router, as this host may be one, has lowered it. */
static __always_inline int hop_limit_is_unused(const struct packet *p)
{
	if (p->ttl == 255)
		return 1;
	return p->ttl == 1 && (p->hook != HOOK_TC_EGRESS || !packet_skb(p)->ingress_ifindex);
}

static __always_inline void parse_icmp6(struct packet *p, struct icmphdr *icmp)
{
	if (icmp->type == ICMPV6_ECHO_REQUEST || icmp->type == ICMPV6_ECHO_REPLY)
		parse_echo(p, icmp, icmp->type == ICMPV6_ECHO_REQUEST);
	else if (icmp->type >= ICMPV6_DEST_UNREACH && icmp->type <= ICMPV6_PARAMPROB)
		p->shape |= PACKET_ICMP_ERROR;
	else if (hop_limit_is_unused(p) && icmp->type >= 128 && icmp->type < 128 + 64 &&
		 ICMPV6_LINK_TYPES >> (icmp->type - 128) & 1)
		p->shape |= PACKET_LINK_ONLY;
}

static __always_inline void parse_icmp(struct packet *p, struct icmphdr *icmp, void *end,
				       __u32 length)
{
	if ((void *)(icmp + 1) > end || length < sizeof(*icmp))
		p->shape |= PACKET_BAD_L4;
	else if (packet_is_ip4(p))
		parse_icmp4(p, icmp);
	else
		parse_icmp6(p, icmp);
}

static __always_inline void parse_transport(struct packet *p, void *l4, void *end)
{
	__u32 length = packet_l4_length(p);
	__u8 proto = p->tuple.proto;

	if (proto == IPPROTO_TCP)
		parse_tcp(p, l4, end, length);
	else if (proto == IPPROTO_UDP)
		parse_udp(p, l4, end, length);
	else if (proto == IPPROTO_SCTP)
		parse_sctp(p, l4, end, length);
	else if (proto == (packet_is_ip4(p) ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		parse_icmp(p, l4, end, length);
	else if (protocol_is_static_only(proto) && length < sizeof(struct udphdr))
		p->shape |= PACKET_BAD_L4; /* its checksum is not there */
	else /* No ports: told apart by addresses and protocol alone. */
		p->shape |= PACKET_PORTS | PACKET_BEGINS;
}

/* gso_size of a super-packet of SCTP, whose datagrams are of different lengths. */
#define GSO_BY_FRAGS 0xffff

/*
 * One datagram of a GSO super-packet, as it will be on the wire: what the path's MTU is about.
 * gso_size counts payload, so headers come on top.
 */
static __always_inline __u32 parse_route_length(const struct packet *p, void *l4, void *end)
{
	__u32 headers = p->l4_offset - p->l3_offset;
	__u32 segment;

	if (packet_is_xdp(p))
		return p->l3_length;
	segment = packet_skb(p)->gso_size;
	if (!segment)
		return p->l3_length;
	if (segment == GSO_BY_FRAGS)
		return headers +
		       sizeof(struct sctphdr); /* made for the path that its sender knows */
	headers += sizeof(struct udphdr);
	if (p->tuple.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) <= end)
			headers += tcp->doff * 4U - sizeof(struct udphdr);
	}
	return headers + segment;
}

/* Each way through the parser leaves other constants; what follows need not know which it was. */
static __always_inline void parse_forget(struct packet *p)
{
	VERIFIER_FORGET(p, p->shape);
	VERIFIER_FORGET(p, p->l4_offset);
	VERIFIER_FORGET(p, p->tuple.proto);
	VERIFIER_FORGET(p, p->tuple.sport);
	VERIFIER_FORGET(p, p->tuple.dport);
	VERIFIER_FORGET(p, p->tcp_flags);
	VERIFIER_FORGET(p, p->l3_length);
	VERIFIER_FORGET(p, p->route_length);
	if (!packet_is_xdp(p))
		VERIFIER_FORGET(p, p->l3_offset);
}

/*
 * Is all of the datagram there? In XDP, a frame of several buffers seems to be cut short: tc sees
 * the whole of it.
 */
static __always_inline enum verdict parse_length(const struct packet *p)
{
	__u32 frame = packet_is_xdp(p) ? (__u32)(packet_end(p) - packet_data(p))
				       : packet_skb(p)->len;

	if (p->l3_offset + p->l3_length <= frame)
		return VERDICT_CONTINUE;
	return packet_is_xdp(p) ? VERDICT_PASS_TO_TC : VERDICT_DROP_MALFORMED;
}

/* The length that the header gives; a GSO super-packet may be longer than 16 bits can say. */
static __always_inline void parse_l3_length(struct packet *p, __u32 length)
{
	p->l3_length = length;
	if (!length && !packet_is_xdp(p) && packet_skb(p)->gso_size)
		p->l3_length = packet_skb(p)->len - p->l3_offset;
}

static __always_inline enum verdict parse_ip4(struct packet *p)
{
	enum verdict verdict;
	struct iphdr *ip;
	void *l4, *end;
	__u32 header;
	__u16 offset;

	p->tuple.family = FAMILY_IP4;
	packet_pull(p, p->l3_offset + sizeof(*ip) + PARSE_L4_LENGTH);
	ip = packet_data(p) + p->l3_offset;
	if ((void *)(ip + 1) > packet_end(p))
		return VERDICT_PASS_OTHER_PROTOCOL;
	header = ip->ihl * 4U;
	parse_l3_length(p, bpf_ntohs(ip->tot_len));
	if (ip->version != 4 || header < sizeof(*ip) || p->l3_length < header)
		return VERDICT_DROP_MALFORMED;
	verdict = parse_length(p);
	if (verdict != VERDICT_CONTINUE)
		return verdict;

	p->l4_offset = p->l3_offset + header;
	p->tuple.saddr[0] = ip->saddr;
	p->tuple.daddr[0] = ip->daddr;
	p->tuple.proto = ip->protocol;
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	p->ip_check = ip->check;
	offset = bpf_ntohs(ip->frag_off);
	if (offset & IP_DF)
		p->shape |= PACKET_DF;
	if (offset & (IP_MF | IP_OFFSET))
		p->shape |= PACKET_FRAGMENT;
	if (unlikely(header > sizeof(*ip)))
		packet_pull(p, p->l4_offset + PARSE_L4_LENGTH);
	end = packet_end(p);
	l4 = packet_l4(p);
	if (offset & IP_OFFSET)
		p->shape |= PACKET_NO_L4;
	else
		parse_transport(p, l4, end);
	p->route_length = parse_route_length(p, l4, end);
	parse_forget(p);
	return VERDICT_CONTINUE;
}

/*
 * tc only: the transport header behind extension headers. The protocol stays that of one of them where
 * it is not found.
 */
static __always_inline void parse_extended(struct packet *p)
{
	struct extensions x = { .offset = p->l4_offset, .next = p->tuple.proto };
	int err = extensions_read(packet_skb(p), &x);

	if (x.fragment) {
		struct request *r = request_get();

		p->shape |= PACKET_FRAGMENT;
		if (r)
			r->fragment_id = x.id;
	}
	if (x.fragment & bpf_htons(IP6_OFFSET))
		p->shape |= PACKET_NO_L4;
	VERIFIER_FORGET(p, p->shape);
	if (err || x.offset > p->l3_offset + p->l3_length) {
		p->shape |= PACKET_BAD_L4;
		return;
	}
	p->l4_offset = x.offset;
	p->tuple.proto = x.next;
	packet_pull(p, x.offset + PARSE_L4_LENGTH);
}

static __always_inline enum verdict parse_ip6(struct packet *p)
{
	enum verdict verdict;
	struct ipv6hdr *ip;
	void *l4, *end;

	p->tuple.family = FAMILY_IP6;
	packet_pull(p, p->l3_offset + sizeof(*ip) + PARSE_L4_LENGTH);
	ip = packet_data(p) + p->l3_offset;
	if ((void *)(ip + 1) > packet_end(p))
		return VERDICT_PASS_OTHER_PROTOCOL;
	if ((ip->flow & bpf_htonl(0xf0000000)) != bpf_htonl(0x60000000))
		return VERDICT_DROP_MALFORMED;
	parse_l3_length(p, ip->payload_len ? bpf_ntohs(ip->payload_len) + sizeof(*ip) : 0);
	if (!p->l3_length)
		p->l3_length = sizeof(*ip);
	verdict = parse_length(p);
	if (verdict != VERDICT_CONTINUE)
		return verdict;

	/* In registers of 8 bytes: alignment is no matter where eBPF programs are compiled. */
	__builtin_memcpy(p->tuple.saddr, __builtin_assume_aligned(ip->saddr, 8), sizeof(ip->saddr));
	__builtin_memcpy(p->tuple.daddr, __builtin_assume_aligned(ip->daddr, 8), sizeof(ip->daddr));
	p->tuple.proto = ip->nexthdr;
	p->l4_offset = p->l3_offset + sizeof(*ip);
	p->ttl = ip->hop_limit;
	p->flow_info = ip->flow & bpf_htonl(0x0fffffff);
	p->shape |= PACKET_DF;
	if (unlikely(extension_is(ip->nexthdr))) {
		if (packet_is_xdp(p))
			return VERDICT_PASS_TO_TC;
		parse_extended(p);
	}
	/* Read anew: more of the packet may have been pulled in. */
	end = packet_end(p);
	l4 = packet_data(p) + (p->l4_offset & EXTENSIONS_OFFSET_MAX);
	if (!(p->shape & (PACKET_NO_L4 | PACKET_BAD_L4)))
		parse_transport(p, l4, end);
	p->route_length = parse_route_length(p, l4, end);
	parse_forget(p);
	return VERDICT_CONTINUE;
}

#endif
