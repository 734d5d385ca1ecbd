/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet on its way, and the thin layer that hides xdp_md and __sk_buff.
 *
 * `hook` is a constant in each program: what the other hooks need is compiled away.
 */
#ifndef XFWD_PACKET_H
#define XFWD_PACKET_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "flow.h"
#include "ruleset.h"
#include "verdict.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/*
 * Takes from the verifier what it knows of a scalar, which keeps its value. Where a flag word is made
 * of constants on many ways through the code, the verifier would follow each combination separately
 * through all that comes after. The clock is of 64 bits and nothing is known of it: sum and
 * difference have no bounds.
 */
#define VERIFIER_FORGET(p, scalar) \
	asm volatile("%0 += %1\n\t%0 -= %1" : "+r"(scalar) : "r"((p)->clock))

/* A tc program that redirects says so here to tc_egress of the target, which clears it. */
#define TC_INDEX_DONE     0x7866
/* The same where only the destination is translated, and tc_egress has to do the rest. */
#define TC_INDEX_HALF     0x7867

/* packet.shape */
#define PACKET_FRAGMENT   (1U << 0) /* some fragment */
#define PACKET_NO_L4      (1U << 1) /* not its first: no transport header */
#define PACKET_PORTS      (1U << 2) /* tuple has the real ports (or echo id) */
#define PACKET_BEGINS     (1U << 3) /* may begin a flow */
#define PACKET_BAD_L4     (1U << 4) /* transport header cut short or contradictory */
#define PACKET_LOCAL      (1U << 5) /* made by this host's own sockets */
#define PACKET_DF         (1U << 6) /* routers may not fragment it */
#define PACKET_OTHER_HOST (1U << 7) /* its link-layer destination is not this interface */
#define PACKET_ICMP_ERROR (1U << 8) /* it reports on another packet */
#define PACKET_LINK_ONLY  (1U << 9) /* of this link: neighbour discovery and the like */
#define PACKET_BAD_RESET  (1U << 10) /* RST that its receiver will not take: nothing changes */

/* What the frames that XDP sees were before. */
enum frames {
	FRAMES_WIRE,
	FRAMES_VIRTUAL, /* of a device that passes skbs on: checksums may be partial */
	FRAMES_GENERIC, /* skbs, all of them */
};

/* What the kernel's routing says of a translated packet: bpf_fib_lookup()'s own answers. */
#define ROUTE_UNKNOWN      (-1)
#define ROUTE_NEXT_HOP     BPF_FIB_LKUP_RET_SUCCESS /* interface and both link addresses known */
#define ROUTE_NO_NEIGHBOUR BPF_FIB_LKUP_RET_NO_NEIGH /* the kernel has to ask for the address */
#define ROUTE_TOO_BIG      BPF_FIB_LKUP_RET_FRAG_NEEDED
#define ROUTE_ELSEWHERE    0x100 /* not by the interface that its flow is bound to */

/*
 * Is the length within these bounds, as the verifier sees it, too? It is asked just before its use, as
 * Linux 6.1 forgets over a call what it knew; and newer clangs would ask of a difference, or of a copy.
 */
static __always_inline int length_is_within(__u32 *length, __u32 least, __u32 most)
{
	barrier_var(*length);
	if (*length < least)
		return 0;
	barrier_var(*length);
	return *length <= most;
}

/*
 * A link-layer address as it lies in memory, in one register; the last two of the eight bytes are of
 * no meaning. Read from the maps at once, so that no half of another CPU's writing is seen.
 */
struct link_address {
	__u64 bytes;
};

static __always_inline struct link_address link_address_read(const __u8 *from)
{
	struct link_address address = { .bytes = *(const volatile __u64 *)from };

	return address;
}

/* To where there is room for six bytes. */
static __always_inline void link_address_write(void *to, const struct link_address *address)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	*(__u32 *)to = (__u32)address->bytes;
	*(__u16 *)(to + 4) = (__u16)(address->bytes >> 32);
#else
	*(__u32 *)to = (__u32)(address->bytes >> 32);
	*(__u16 *)(to + 4) = (__u16)(address->bytes >> 16);
#endif
}

/* To a map's eight bytes at once, the last two of which are another's. */
static __always_inline void link_address_keep(__u8 *to, const struct link_address *address)
{
	volatile __u64 *word = (volatile __u64 *)to;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	const __u64 mask = 0xffffffffffffULL;
#else
	const __u64 mask = ~0xffffULL;
#endif

	*word = (address->bytes & mask) | (*word & ~mask);
}

static __always_inline int link_address_equal(const struct link_address *a,
					      const struct link_address *b)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return !((a->bytes ^ b->bytes) << 16);
#else
	return !((a->bytes ^ b->bytes) >> 16);
#endif
}

/* Both of an Ethernet header, one behind the other. */
static __always_inline void link_addresses_join(__u64 to[2], const struct link_address *first,
						const struct link_address *second)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	to[0] = (first->bytes & 0xffffffffffffULL) | second->bytes << 48;
	to[1] = second->bytes >> 16;
#else
	to[0] = (first->bytes & ~0xffffULL) | second->bytes >> 48;
	to[1] = second->bytes << 16;
#endif
}

/* And back; the ends of what they hold do not matter. */
static __always_inline void link_addresses_split(const __u64 from[2], struct link_address *first,
						 struct link_address *second)
{
	first->bytes = from[0];
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	second->bytes = from[0] >> 48 | from[1] << 16;
#else
	second->bytes = from[0] << 48 | from[1] >> 16;
#endif
}

struct next_hop {
	__s32 route;
	__u32 ifindex;
	__u32 port; /* position in `ports`; 0: the interface has none */
	__u32 port_flags;
	__u32 mtu; /* of the route */
	__u32 generation; /* of next hops, when it was looked up; 0: not to be kept */
	struct link_address dmac;
	struct link_address smac;
};

struct packet {
	void *ctx; /* struct xdp_md or struct __sk_buff */
	enum hook hook;
	__u32 ifindex; /* came in there; at tc_egress: goes out there */
	__u32 came_from; /* at tc_egress; 0: made by this host */
	__u32 generation; /* read once: the packet sees one ruleset, whatever changes meanwhile */
	__u64 clock; /* jiffies; see packet_now() */
	struct flow_key tuple;
	struct next_hop hop;
	__u32 shape;
	__u32 l3_offset;
	__u32 l4_offset;
	__u32 l3_length; /* bytes from the IP header on */
	__u32 route_length; /* the longest datagram this will be on the wire: for GSO, one segment */
	__be32 flow_info; /* IPv6: traffic class and flow label, where the header has them */
	__u32 tcp_flags; /* TCP_FLAG_…; the upper 16 bits: see packet_ack_high() */
	__u16 ip_check;
	__u8 ttl;
	__u8 tos;
	__u8 frames; /* enum frames; XDP only */
};

/* The upper half of TCP's acknowledgement number. In one word with the flags it costs no room. */
static __always_inline __be16 packet_ack_high(const struct packet *p)
{
	return p->tcp_flags >> 16;
}

/* No route forwards it, for any reason: it is this host's, or the stack's to refuse. */
static __always_inline int route_is_local(const struct packet *p)
{
	return p->hop.route == BPF_FIB_LKUP_RET_NOT_FWDED ||
	       p->hop.route == BPF_FIB_LKUP_RET_FWD_DISABLED ||
	       p->hop.route == BPF_FIB_LKUP_RET_UNSUPP_LWT || p->hop.route < 0;
}

static __always_inline int route_is_refused(const struct packet *p)
{
	return p->hop.route == BPF_FIB_LKUP_RET_BLACKHOLE ||
	       p->hop.route == BPF_FIB_LKUP_RET_UNREACHABLE ||
	       p->hop.route == BPF_FIB_LKUP_RET_PROHIBIT;
}

static __always_inline int packet_is_xdp(const struct packet *p)
{
	return p->hook == HOOK_XDP_INGRESS;
}

static __always_inline struct xdp_md *packet_xdp(const struct packet *p)
{
	return p->ctx;
}

static __always_inline struct __sk_buff *packet_skb(const struct packet *p)
{
	return p->ctx;
}

static __always_inline void *packet_data(const struct packet *p)
{
	if (packet_is_xdp(p))
		return (void *)(long)packet_xdp(p)->data;
	return (void *)(long)packet_skb(p)->data;
}

static __always_inline void *packet_end(const struct packet *p)
{
	if (packet_is_xdp(p))
		return (void *)(long)packet_xdp(p)->data_end;
	return (void *)(long)packet_skb(p)->data_end;
}

/* As times are kept everywhere else. */
static __always_inline __u32 packet_now(const struct packet *p)
{
	return (__u32)p->clock;
}

static __always_inline int packet_is_ip4(const struct packet *p)
{
	return p->tuple.family == FAMILY_IP4;
}

/*
 * UDP-Lite and DCCP: their ports are not known here, and so none of their flows. Static rules translate
 * them, as these change addresses alone.
 */
static __always_inline int protocol_is_static_only(__u8 proto)
{
	return proto == IPPROTO_UDPLITE || proto == IPPROTO_DCCP;
}

/*
 * The headers, read anew. Pointers are not kept from the parser on: each way through it would leave
 * the verifier with others. The offset is at most that of the longest IPv4 header:
 * XDP leaves IPv6 extension headers to tc.
 */
static __always_inline void *packet_l3(const struct packet *p)
{
	return packet_data(p) + ETH_HLEN;
}

static __always_inline void *packet_l4(const struct packet *p)
{
	return packet_data(p) + (p->l4_offset & 127);
}

/* Bytes from the transport header on, or of a fragment without one, from its payload. */
static __always_inline __u32 packet_l4_length(const struct packet *p)
{
	return p->l3_length - (p->l4_offset - p->l3_offset);
}

/*
 * Brings the first `length` bytes into the linear part, where the frame has that many. It is to be no
 * more than what is read: of a sent segment the headers alone are there, and for what comes after
 * them the kernel copies the headers, and the receiver has one more piece to handle. Pointers into
 * the packet are to be read anew afterwards.
 */
static __always_inline void packet_pull(const struct packet *p, __u32 length)
{
	struct __sk_buff *skb = packet_skb(p);

	if (packet_is_xdp(p))
		return;
	if (length > skb->len)
		length = skb->len;
	if (unlikely(packet_data(p) + length > packet_end(p)))
		bpf_skb_pull_data(skb, length);
	barrier(); /* or clang keeps those that it had, as numbers */
}

static __always_inline __u64 address6_half(const __be32 *words)
{
	return (__u64)bpf_ntohl(words[0]) << 32 | bpf_ntohl(words[1]);
}

#endif
