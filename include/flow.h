/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table's keys and values.
 *
 * A flow is two entries: one under the tuple that its first packet had (original), one under the
 * tuple that answers to it have (reply). Each holds the whole rewrite of its direction, so an
 * established packet costs one lookup. The two are found from each other without a link: the key of
 * the other entry is this entry's rewritten tuple with its two ends exchanged.
 *
 * Addresses and ports are in network byte order. For ICMP and ICMPv6 echo, the requesting end's
 * port is the identifier, and the other's is 0: a request is no answer.
 * For protocols without ports both are 0. Times are the low 32 bits of jiffies.
 */
#ifndef XFWD_FLOW_H
#define XFWD_FLOW_H

#ifndef __bpf__
#include <linux/types.h>
#endif

enum family {
	FAMILY_IP4,
	FAMILY_IP6,
	FAMILY_COUNT,
};

/* A tuple of either family. An IPv4 address is in the first word. */
struct flow_key {
	__be32 saddr[4];
	__be32 daddr[4];
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 family; /* enum family */
	__u8 pad[2];
} __attribute__((aligned(8))); /* it is copied a lot */

/* flow.flags: how this entry's direction is rewritten, and which direction it is. */
#define FLOW_REPLY       (1U << 0)
#define FLOW_SNAT        (1U << 1) /* source address or port changes */
#define FLOW_DNAT        (1U << 2) /* destination address or port changes */
#define FLOW_TO_LOCAL    (1U << 3) /* this direction ends at this host */
#define FLOW_MASQUERADED (1U << 6) /* with the address of the interface at `port`, to leave by it */
/* What the flow holds, in both of its entries (see mapping.h). */
#define FLOW_MAPPED      (1U << 4) /* its source's mapping */
#define FLOW_MAPPED_BACK (1U << 5) /* its destination's mapping, under which it came in */
#define FLOW_LIMITED     (1U << 7) /* counted in its source's limit */
#define FLOW_HOLDS       (FLOW_MAPPED | FLOW_MAPPED_BACK | FLOW_LIMITED)

/* flow.seen, of packets in this entry's direction. Each where it stands in a segment (RFC 9293 3.1): */
#define TCP_SEEN_FIN     (1U << 0)
#define TCP_SEEN_SYN     (1U << 1)
#define TCP_SEEN_RST     (1U << 2)
#define TCP_SEEN_ACK     (1U << 4) /* an acknowledgement that carries no SYN */
#define TCP_SEEN         (TCP_SEEN_SYN | TCP_SEEN_ACK | TCP_SEEN_FIN | TCP_SEEN_RST)
#define FLOW_SEEN_WRAP   (1U << 7) /* so many that a counter has come into another half: see below */

/* What the entries of every address family share. An IPv4 entry and its key are one cache line. */
struct flow {
	__be16 sport; /* rewritten ports */
	__be16 dport;
	__u32 used; /* jiffies of this direction's last packet, or of its creation */
	__u32 rule_in : 24; /* counter slots; 0: none */
	__u32 flags : 8;
	__u32 rule_out : 24;
	__u32 seen : 8;
	__u32 bytes; /* of layer 3; updated without a lock: exact while one CPU serves a direction */
	__u16 packets;
	__u16 addr_delta; /* RFC 1624: ones' complement sum of ~old + new over the addresses */
	__u8 dmac[6]; /* the next hop, while hop_generation and the lease say so; read as 8 bytes */
	__be16 ack_high; /* upper half of the last acknowledgement in this direction, if there is one */
	__u16 port; /* position in `ports`, of the next hop; with FLOW_MASQUERADED also without one */
	__u16 hop_generation; /* low bits of hop_lease.generation; 0: no next hop known */
	__u16 generation; /* low bits of the ruleset's generation that made or confirmed it */
	__u16 mss; /* answering: the largest TCP segment that either end may be told; 0: any */
};

/*
 * How many halves of its range an entry's counter has gone through. The lowest bit is the counter's
 * highest, once the half is counted.
 */
struct flow_halves {
	__u32 packets;
	__u32 bytes;
};

/* bucket.h puts it beside its key. */
struct flow4 {
	struct flow flow;
	__be32 saddr; /* rewritten addresses */
	__be32 daddr;
};

struct flow6 {
	struct flow flow;
	__be32 saddr[4];
	__be32 daddr[4];
	struct flow_halves halves;
};

/*
 * What the first fragment of a datagram says: its ports if it has any, and its protocol. An id is
 * unique for addresses and protocol (RFC 791); of IPv6 for addresses alone, as there a later fragment
 * need not tell the protocol.
 */
struct fragment_key {
	__be32 saddr[4];
	__be32 daddr[4];
	__be32 id; /* of IPv4, 16 bits */
	__u8 proto; /* IPv4 */
	__u8 family;
	__u8 pad[2];
};

struct fragment {
	__be16 sport;
	__be16 dport;
	__u32 seen; /* jiffies */
	__be32 daddr; /* IPv4: where it was for, before this host changed that to have it fragmented */
	__u8 proto;
	__u8 has_ports; /* the first fragment does */
	__u8 hook; /* where bytes are counted, with the interface */
	__u8 pad;
	__u32 ifindex;
	__u32 missing; /* IPv4: 0 when all bytes have passed; see fragment_count() */
};

/*
 * Fragments that came before the first of their datagram, whole frames: those of one datagram are
 * numbered from 0.
 */
struct held_key {
	struct fragment_key datagram;
	__u32 number;
};

#define HELD_FRAME 2048 /* a power of two */

struct held {
	__u32 seen; /* jiffies */
	__u32 length;
	__u8 frame[HELD_FRAME];
};

/*
 * All that a counter of so many bits has counted. Between a counter's change and the half's being
 * counted one or the other is ahead: a counter at a half's beginning; or it was set back, to the end of
 * the half before, by another CPU that counted at the same time.
 */
static inline __u64 flow_total(__u32 counter, unsigned int bits, __u32 halves)
{
	__u32 half = 1U << (bits - 1), low = counter & (half - 1);
	__u64 counted = halves;

	if ((counter >> (bits - 1) ^ halves) & 1)
		counted += low < half / 2 ? 1 : -1;
	return counted * half + low;
}

/*
 * Lifetimes, in jiffies in `struct settings` and in seconds in the configuration.
 * X(NAME, "name", default seconds): RFC 4787 R5, RFC 5382 R5, RFC 5508 R2 give the least values.
 */
#define XFWD_TIMEOUTS(X) \
	X(TCP_OPENING, "tcp-opening", 240) \
	X(TCP_ESTABLISHED, "tcp", 7440) \
	X(TCP_CLOSING, "tcp-closing", 240) \
	X(UDP, "udp", 300) \
	X(SCTP, "sctp", 7440) \
	X(ICMP, "icmp", 60) \
	X(OTHER, "other", 600) \
	X(UNANSWERED, "unanswered", 120)

enum timeout {
#define XFWD_TIMEOUT_ENUM(name, text, seconds) TIMEOUT_##name,
	XFWD_TIMEOUTS(XFWD_TIMEOUT_ENUM)
#undef XFWD_TIMEOUT_ENUM
		TIMEOUT_COUNT,
};

/* Has there been any in this direction? A counter that has begun anew may be 0 again. */
static inline int flow_has_packets(const struct flow *f)
{
	return f->packets || f->seen & FLOW_SEEN_WRAP;
}

/*
 * Which lifetime a flow is under. RFC 5382 R5 and RFC 7857 2.2: a connection is established from
 * the third step of its handshake until both sides have sent FIN or one RST.
 */
static inline enum timeout flow_timeout(__u8 proto, const struct flow *orig,
					const struct flow *reply)
{
	__u8 either = orig->seen | reply->seen;
	__u8 both = orig->seen & reply->seen;

	switch (proto) {
	case 6: /* TCP */
		if ((either & TCP_SEEN_RST) || (both & TCP_SEEN_FIN))
			return TIMEOUT_TCP_CLOSING;
		if ((orig->seen & TCP_SEEN_ACK) && (reply->seen & (TCP_SEEN_SYN | TCP_SEEN_ACK)))
			return TIMEOUT_TCP_ESTABLISHED;
		return TIMEOUT_TCP_OPENING;
	case 17: /* UDP */
		return flow_has_packets(reply) ? TIMEOUT_UDP : TIMEOUT_UNANSWERED;
	case 132: /* SCTP */
		return flow_has_packets(reply) ? TIMEOUT_SCTP : TIMEOUT_UNANSWERED;
	case 1: /* ICMP */
	case 58: /* ICMPv6 */
		return TIMEOUT_ICMP;
	default:
		return flow_has_packets(reply) ? TIMEOUT_OTHER : TIMEOUT_UNANSWERED;
	}
}

/* Has TCP acknowledged anything in this entry's direction? An answering SYN does, too. */
static inline int flow_has_acknowledged(const struct flow *f)
{
	return f->seen & (f->flags & FLOW_REPLY ? TCP_SEEN_SYN | TCP_SEEN_ACK : TCP_SEEN_ACK);
}

/* The tuple with its two ends exchanged: what answers to it. */
static inline void flow_key_reverse(const struct flow_key *key, struct flow_key *reverse)
{
	__builtin_memset(reverse, 0, sizeof(*reverse));
	__builtin_memcpy(reverse->saddr, key->daddr, sizeof(reverse->saddr));
	__builtin_memcpy(reverse->daddr, key->saddr, sizeof(reverse->daddr));
	reverse->sport = key->dport;
	reverse->dport = key->sport;
	reverse->proto = key->proto;
	reverse->family = key->family;
}

/* The key of the pair's other entry: the rewritten tuple with its ends exchanged. */
static inline void flow_peer_key4(const struct flow4 *f, const struct flow_key *key,
				  struct flow_key *peer)
{
	__builtin_memset(peer, 0, sizeof(*peer));
	peer->saddr[0] = f->daddr;
	peer->daddr[0] = f->saddr;
	peer->sport = f->flow.dport;
	peer->dport = f->flow.sport;
	peer->proto = key->proto;
	peer->family = FAMILY_IP4;
}

static inline void flow_peer_key6(const struct flow6 *f, const struct flow_key *key,
				  struct flow_key *peer)
{
	__builtin_memset(peer, 0, sizeof(*peer));
	__builtin_memcpy(peer->saddr, f->daddr, sizeof(peer->saddr));
	__builtin_memcpy(peer->daddr, f->saddr, sizeof(peer->daddr));
	peer->sport = f->flow.dport;
	peer->dport = f->flow.sport;
	peer->proto = key->proto;
	peer->family = FAMILY_IP6;
}

static inline void flow_peer_key(const struct flow *f, const struct flow_key *key,
				 struct flow_key *peer)
{
	if (key->family == FAMILY_IP4)
		flow_peer_key4((const struct flow4 *)f, key, peer);
	else
		flow_peer_key6((const struct flow6 *)f, key, peer);
}

_Static_assert(sizeof(struct flow) == 40, "no hidden padding");
_Static_assert(sizeof(struct flow4) == 48, "no hidden padding");
_Static_assert(sizeof(struct flow_key) == 40, "no hidden padding");
_Static_assert(sizeof(struct flow6) == 80, "no hidden padding");
_Static_assert(sizeof(struct fragment_key) == 40, "no hidden padding");
_Static_assert(sizeof(struct fragment) == 24, "no hidden padding");
_Static_assert(sizeof(struct held_key) == 44, "no hidden padding");

#endif
