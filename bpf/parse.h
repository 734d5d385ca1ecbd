/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Headers into struct packet: reads and checks bounds, and writes nothing to the packet. */
#ifndef XFWD_PARSE_H
#define XFWD_PARSE_H

#include "packet.h"

/* Ethernet, IPv4 with all its options, and the longest transport header part that is read. */
#define PARSE_LENGTH (ETH_HLEN + 60 + (__u32)sizeof(struct tcphdr))

static __always_inline int address_is_equal(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

/* Is the frame meant for this interface, and does it carry untagged IPv4? Finds the IP header. */
static __always_inline enum verdict parse_link(struct packet *p, const struct iface *in)
{
	struct ethhdr *eth;
	void *end;

	p->l3_offset = in->flags & IFACE_NO_ETHERNET ? 0 : ETH_HLEN;
	if (!packet_is_xdp(p)) {
		struct __sk_buff *skb = packet_skb(p);

		if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present)
			return VERDICT_PASS_OTHER_PROTOCOL;
		if (p->hook == HOOK_TC_INGRESS && skb->pkt_type != PACKET_HOST)
			p->shape |= PACKET_OTHER_HOST;
		packet_pull(p, PARSE_LENGTH);
		return VERDICT_CONTINUE;
	}
	eth = packet_data(p);
	end = packet_end(p);
	if ((void *)(eth + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return VERDICT_PASS_OTHER_PROTOCOL;
	if (!address_is_equal(eth->h_dest, in->mac))
		return VERDICT_PASS_OTHER_HOST;
	return VERDICT_CONTINUE;
}

static __always_inline void parse_tcp(struct packet *p, struct tcphdr *tcp, void *end, __u32 length)
{
	const __u8 opening = TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_RST | TCP_FLAG_FIN;

	if ((void *)(tcp + 1) > end || tcp->doff < 5 || tcp->doff * 4U > length) {
		p->shape |= PACKET_BAD_L4;
		return;
	}
	p->tuple.sport = tcp->source;
	p->tuple.dport = tcp->dest;
	p->tcp_flags = tcp->flags;
	p->shape |= PACKET_PORTS;
	if ((tcp->flags & opening) == TCP_FLAG_SYN)
		p->shape |= PACKET_BEGINS;
}

static __always_inline void parse_udp(struct packet *p, struct udphdr *udp, void *end, __u32 length)
{
	if ((void *)(udp + 1) > end || length < sizeof(*udp) ||
	    bpf_ntohs(udp->len) < sizeof(*udp) ||
	    (!(p->shape & PACKET_FRAGMENT) && bpf_ntohs(udp->len) > length)) {
		p->shape |= PACKET_BAD_L4;
		return;
	}
	p->tuple.sport = udp->source;
	p->tuple.dport = udp->dest;
	p->shape |= PACKET_PORTS | PACKET_BEGINS;
}

/* Echo has an identifier, which stands for both ports. Everything else begins no flow. */
static __always_inline void parse_icmp(struct packet *p, struct icmphdr *icmp, void *end,
				       __u32 length)
{
	if ((void *)(icmp + 1) > end || length < sizeof(*icmp)) {
		p->shape |= PACKET_BAD_L4;
		return;
	}
	if (icmp->type != ICMP_ECHO && icmp->type != ICMP_ECHOREPLY)
		return;
	p->tuple.sport = icmp->id;
	p->tuple.dport = icmp->id;
	p->shape |= PACKET_PORTS;
	if (icmp->type == ICMP_ECHO)
		p->shape |= PACKET_BEGINS;
}

static __always_inline void parse_transport(struct packet *p, void *l4, void *end)
{
	__u32 length = p->l3_length - (p->l4_offset - p->l3_offset);

	switch (p->tuple.proto) {
	case IPPROTO_TCP:
		parse_tcp(p, l4, end, length);
		break;
	case IPPROTO_UDP:
		parse_udp(p, l4, end, length);
		break;
	case IPPROTO_ICMP:
		parse_icmp(p, l4, end, length);
		break;
	default:
		/* No ports: told apart by addresses and protocol alone. */
		p->shape |= PACKET_PORTS | PACKET_BEGINS;
	}
}

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

static __always_inline enum verdict parse_ip4(struct packet *p)
{
	void *data = packet_data(p), *end = packet_end(p), *l4;
	struct iphdr *ip = data + p->l3_offset;
	__u32 frame, header;
	__u16 offset;

	if ((void *)(ip + 1) > end)
		return VERDICT_PASS_OTHER_PROTOCOL;
	header = ip->ihl * 4U;
	p->l3_length = bpf_ntohs(ip->tot_len);
	if (!p->l3_length && !packet_is_xdp(p) && packet_skb(p)->gso_size)
		p->l3_length = packet_skb(p)->len - p->l3_offset; /* more than 16 bits can say */
	if (ip->version != 4 || header < sizeof(*ip) || p->l3_length < header)
		return VERDICT_DROP_MALFORMED;
	frame = packet_is_xdp(p) ? (__u32)(end - data) : packet_skb(p)->len;
	if (p->l3_offset + p->l3_length > frame)
		/* Cut short; or, in XDP, a frame of several buffers: tc sees all of it. */
		return packet_is_xdp(p) ? VERDICT_PASS_TO_TC : VERDICT_DROP_MALFORMED;

	l4 = (void *)ip + header;
	p->l4_offset = p->l3_offset + header;
	p->tuple.saddr = ip->saddr;
	p->tuple.daddr = ip->daddr;
	p->tuple.proto = ip->protocol;
	p->id = ip->id;
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	p->ip_check = ip->check;
	offset = bpf_ntohs(ip->frag_off);
	if (offset & IP_DF)
		p->shape |= PACKET_DF;
	if (offset & (IP_MF | IP_OFFSET))
		p->shape |= PACKET_FRAGMENT;
	if (offset & IP_OFFSET)
		p->shape |= PACKET_NO_L4;
	else
		parse_transport(p, l4, end);
	p->route_length = parse_route_length(p, l4, end);
	parse_forget(p);
	return VERDICT_CONTINUE;
}

#endif
