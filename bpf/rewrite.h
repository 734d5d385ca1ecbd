/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writing a flow's translation into the packet, checksums included (RFC 1624, RFC 3022 4.1).
 *
 * XDP writes in place. On an skb the transport checksum goes through bpf_l4_csum_replace(), which
 * knows whether the field holds a checksum, or only the pseudo header's sum (CHECKSUM_PARTIAL).
 */
#ifndef XFWD_REWRITE_H
#define XFWD_REWRITE_H

#include "crc32c.h"
#include "packet.h"
#include "segment.h"

/* struct iphdr from ttl on: all that changes, in one piece. */
struct ip4_tail {
	__u8 ttl;
	__u8 protocol;
	__u16 check;
	__be32 saddr;
	__be32 daddr;
};

_Static_assert(sizeof(struct ip4_tail) == 12, "the last 12 bytes of an IPv4 header");

static __always_inline int rewrite_ip4(const struct packet *p, const struct flow4 *f, int forwarded)
{
	struct ip4_tail tail = {
		.ttl = p->ttl,
		.protocol = p->tuple.proto,
		.saddr = f->saddr,
		.daddr = f->daddr,
	};
	const __u32 offset = __builtin_offsetof(struct iphdr, ttl);
	__u32 delta = f->flow.addr_delta;

	if (forwarded) {
		tail.ttl--;
		delta += CSUM_DELTA_TTL;
	}
	tail.check = csum_replace(p->ip_check, delta);
	if (packet_is_xdp(p)) {
		struct iphdr *ip = packet_l3(p);

		if ((void *)(ip + 1) > packet_end(p))
			return -1;
		*(struct ip4_tail *)((void *)ip + offset) = tail;
		return 0;
	}
	return bpf_skb_store_bytes(packet_skb(p), p->l3_offset + offset, &tail, sizeof(tail), 0);
}

/*
 * No header checksum makes up for what changes here: where a device has summed up the whole packet
 * (CHECKSUM_COMPLETE), that sum has to follow. What bpf_l4_csum_replace() changes by the addresses it
 * takes for made up for, and takes from the sum.
 */
static __always_inline int rewrite_ip6(const struct packet *p, const struct flow6 *f, int forwarded)
{
	const __u32 at_hop_limit = __builtin_offsetof(struct ipv6hdr, hop_limit);
	__u8 hop_limit = p->ttl - !!forwarded;
	struct __sk_buff *skb = packet_skb(p);
	int err;

	if (packet_is_xdp(p)) {
		struct ipv6hdr *ip = packet_l3(p);

		if ((void *)(ip + 1) > packet_end(p))
			return -1;
		ip->hop_limit = hop_limit;
		__builtin_memcpy(ip->saddr, f->saddr, sizeof(ip->saddr) + sizeof(ip->daddr));
		return 0;
	}
	err = bpf_skb_store_bytes(skb, p->l3_offset + __builtin_offsetof(struct ipv6hdr, saddr),
				  f->saddr, sizeof(f->saddr) + sizeof(f->daddr),
				  BPF_F_RECOMPUTE_CSUM);
	if (!err && forwarded)
		err = bpf_skb_store_bytes(skb, p->l3_offset + at_hop_limit, &hop_limit,
					  sizeof(hop_limit), BPF_F_RECOMPUTE_CSUM);
	return err;
}

/*
 * SCTP's checksum covers the ports, no addresses, and all that follows. A field of 0 holds none: it
 * is still to be computed (CHECKSUM_PARTIAL), or the two ends have agreed to do without (RFC 9653).
 */

/* A function of its own to the verifier. */
__attribute__((noinline)) __u32 sctp_change(__u32 from, __u32 to, __u32 length)
{
	return crc32c_change(from, to, length);
}

/* What the checksum is of; 0 where that is not known, and so nothing of how it changes. */
static __always_inline __u32 sctp_length(const struct packet *p)
{
	return p->shape & PACKET_FRAGMENT ? 0 : packet_l4_length(p);
}

static __always_inline int rewrite_sctp_xdp(const struct packet *p, __u32 to)
{
	struct sctphdr *sctp = packet_l4(p);
	__u32 change;

	if ((void *)(sctp + 1) > packet_end(p))
		return -1;
	change = sctp_change(*(__u32 *)&sctp->source, to, sctp_length(p));
	sctp = packet_l4(p);
	if ((void *)(sctp + 1) > packet_end(p))
		return -1;
	*(__u32 *)&sctp->source = to;
	if (sctp->checksum)
		sctp->checksum ^= change;
	return 0;
}

__attribute__((noinline)) int rewrite_sctp_tc(struct __sk_buff *skb, __u32 at, __u32 to,
					      __u32 length)
{
	struct {
		__u32 ports;
		__be32 vtag;
		__u32 checksum;
	} head;

	if (bpf_skb_load_bytes(skb, at, &head, sizeof(head)))
		return -1;
	if (head.ports == to)
		return 0;
	if (head.checksum && !length)
		return -1;
	if (head.checksum)
		head.checksum ^= crc32c_change(head.ports, to, length);
	head.ports = to;
	return bpf_skb_store_bytes(skb, at, &head, sizeof(head), BPF_F_RECOMPUTE_CSUM);
}

/*
 * UDP-Lite's and DCCP's checksums, which are where UDP has its own, cover the addresses. Functions of
 * their own to the verifier.
 */
__attribute__((noinline)) int rewrite_other_xdp(struct xdp_md *xdp, __u32 at, __u32 proto,
						__u32 delta)
{
	struct udphdr *udp = (void *)(long)xdp->data + (at & 127);

	if (!protocol_is_static_only(proto))
		return 0;
	if ((void *)(udp + 1) > (void *)(long)xdp->data_end)
		return -1;
	udp->check = proto == IPPROTO_UDPLITE ? csum_replace_udp(udp->check, delta)
					      : csum_replace(udp->check, delta);
	return 0;
}

__attribute__((noinline)) int rewrite_other_tc(struct __sk_buff *skb, __u32 at, __u32 proto,
					       __u32 delta)
{
	__u64 mangled = proto == IPPROTO_UDPLITE ? BPF_F_MARK_MANGLED_0 : 0;

	if (!protocol_is_static_only(proto))
		return 0;
	return bpf_l4_csum_replace(skb, at + __builtin_offsetof(struct udphdr, check), 0, delta,
				   BPF_F_PSEUDO_HDR | mangled);
}

static __always_inline __u32 ports_word(const struct flow *f)
{
	__be16 pair[2] = { f->sport, f->dport };
	__u32 word;

	__builtin_memcpy(&word, pair, sizeof(word));
	return word;
}

static __always_inline int rewrite_transport_xdp(const struct packet *p, const struct flow *f)
{
	__u32 port_delta = csum_delta_ports(&p->tuple, f->sport, f->dport);
	__u32 both = f->addr_delta + port_delta;
	void *end = packet_end(p);

	if (p->tuple.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = packet_l4(p);

		if ((void *)(tcp + 1) > end)
			return -1;
		tcp->source = f->sport;
		tcp->dest = f->dport;
		tcp->check = csum_replace(tcp->check, both);
	} else if (p->tuple.proto == IPPROTO_UDP) {
		struct udphdr *udp = packet_l4(p);

		if ((void *)(udp + 1) > end)
			return -1;
		udp->source = f->sport;
		udp->dest = f->dport;
		udp->check = csum_replace_udp(udp->check, both);
	} else if (p->tuple.proto == (packet_is_ip4(p) ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		struct icmphdr *icmp = packet_l4(p);

		if ((void *)(icmp + 1) > end)
			return -1;
		if (p->shape & PACKET_PORTS)
			icmp->id = f->sport | f->dport; /* one of them is 0 */
		/* only ICMPv6 has a pseudo header */
		icmp->checksum = csum_replace(
			icmp->checksum,
			packet_is_ip4(p) ? csum_delta_none(csum_fold(port_delta)) : both);
	} else if (p->tuple.proto == IPPROTO_SCTP) {
		return rewrite_sctp_xdp(p, ports_word(f));
	} else {
		return rewrite_other_xdp(packet_xdp(p), p->l4_offset, p->tuple.proto,
					 f->addr_delta);
	}
	return 0;
}

static __always_inline int rewrite_transport_skb(const struct packet *p, const struct flow *f)
{
	struct __sk_buff *skb = packet_skb(p);
	__be16 pair[2] = { f->sport, f->dport };
	__u16 port_delta = csum_fold(csum_delta_ports(&p->tuple, f->sport, f->dport));
	__u32 at = p->l4_offset, check;
	__u64 mangled = 0;
	int err;

	if (p->tuple.proto == (packet_is_ip4(p) ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		pair[0] |= pair[1]; /* one of them is 0 */
		check = at + __builtin_offsetof(struct icmphdr, checksum);
		err = 0;
		if (p->shape & PACKET_PORTS)
			err = bpf_skb_store_bytes(skb, at + __builtin_offsetof(struct icmphdr, id),
						  pair, sizeof(pair[0]), 0);
		if (!err && !packet_is_ip4(p)) /* only ICMPv6 has a pseudo header */
			err = bpf_l4_csum_replace(skb, check, 0, f->addr_delta, BPF_F_PSEUDO_HDR);
		if (!err && csum_delta_none(port_delta))
			err = bpf_l4_csum_replace(skb, check, 0, port_delta, 0);
		return err;
	}
	if (p->tuple.proto == IPPROTO_TCP) {
		check = at + __builtin_offsetof(struct tcphdr, check);
	} else if (p->tuple.proto == IPPROTO_UDP) {
		check = at + __builtin_offsetof(struct udphdr, check);
		mangled = BPF_F_MARK_MANGLED_0;
	} else if (p->tuple.proto == IPPROTO_SCTP) {
		return rewrite_sctp_tc(skb, at, ports_word(f), sctp_length(p));
	} else {
		return rewrite_other_tc(skb, at, p->tuple.proto, f->addr_delta);
	}
	err = bpf_skb_store_bytes(skb, at, pair, sizeof(pair), 0);
	if (!err)
		err = bpf_l4_csum_replace(skb, check, 0, f->addr_delta, BPF_F_PSEUDO_HDR | mangled);
	if (!err)
		err = bpf_l4_csum_replace(skb, check, 0, port_delta, mangled);
	if (!err && unlikely(p->tcp_flags & TCP_FLAG_SYN) && segment_clamp(skb, at) < 0)
		err = -1;
	return err;
}

/* tc, IPv4: the destination address alone; ports and the transport's checksum stay as they are. */
static __always_inline int rewrite_destination(const struct packet *p, __be32 daddr)
{
	struct ip4_tail tail = {
		.ttl = p->ttl,
		.protocol = p->tuple.proto,
		.check = csum_replace(p->ip_check, csum_delta32(p->tuple.daddr[0], daddr)),
		.saddr = p->tuple.saddr[0],
		.daddr = daddr,
	};

	return bpf_skb_store_bytes(packet_skb(p),
				   p->l3_offset + __builtin_offsetof(struct iphdr, ttl), &tail,
				   sizeof(tail), 0);
}

/* The whole translation. `forwarded`: the packet passes this host, so its time to live goes down. */
static __always_inline int rewrite(const struct packet *p, const struct flow *f, int forwarded)
{
	int err;

	if (packet_is_ip4(p))
		err = rewrite_ip4(p, (const struct flow4 *)f, forwarded);
	else
		err = rewrite_ip6(p, (const struct flow6 *)f, forwarded);
	if (err || (p->shape & PACKET_NO_L4))
		return err;
	if (packet_is_xdp(p))
		return rewrite_transport_xdp(p, f);
	return rewrite_transport_skb(p, f);
}

/*
 * Does the field hold only the pseudo header's sum (SCTP: nothing), as in a CHECKSUM_PARTIAL skb that a device runs
 * XDP on? One computed checksum in 65536 looks the same, and takes the tc path with no harm.
 */
static __always_inline int checksum_is_partial(const struct packet *p)
{
	void *end = packet_end(p);
	__u16 check, length = packet_l4_length(p);

	if (p->tuple.proto == IPPROTO_TCP) {
		struct tcphdr *tcp = packet_l4(p);

		if ((void *)(tcp + 1) > end)
			return 1;
		check = tcp->check;
	} else if (p->tuple.proto == IPPROTO_UDP) {
		struct udphdr *udp = packet_l4(p);

		if ((void *)(udp + 1) > end)
			return 1;
		check = udp->check;
	} else if (p->tuple.proto == IPPROTO_SCTP) {
		struct sctphdr *sctp = packet_l4(p);

		return (void *)(sctp + 1) > end || !sctp->checksum;
	} else {
		return 0;
	}
	return check == csum_pseudo(&p->tuple, bpf_htons(p->tuple.proto), bpf_htons(length));
}

#endif
