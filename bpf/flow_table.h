/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Flows: finding, ageing and ending pairs of entries. */
#ifndef XFWD_FLOW_TABLE_H
#define XFWD_FLOW_TABLE_H

#include "buckets.h"
#include "maps.h"
#include "packet.h"
#include "request.h"

static __always_inline int protocol_is_icmp(__u8 proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static __always_inline __u32 jiffies_now(void)
{
	return (__u32)bpf_jiffies64();
}

/* The packet's entry, if it has a flow. */
static __always_inline struct flow *packet_flow(const struct packet *p)
{
	void *bucket;

	if (packet_is_ip4(p)) {
		bucket = bucket_find_near(FAMILY_IP4, &p->tuple);
		return bucket ? bucket_flow(FAMILY_IP4, bucket) : NULL;
	}
	bucket = bucket_find_near(FAMILY_IP6, &p->tuple);
	return bucket ? bucket_flow(FAMILY_IP6, bucket) : NULL;
}

/* The entry in that bucket, of r->sought's family; NULL where there is none: at is below 0. */
static __always_inline struct flow *request_entry(const struct request *r, int at)
{
	void *bucket;

	if (at < 0)
		return NULL;
	if (r->sought.family == FAMILY_IP4) {
		bucket = bucket4_at(at);
		return bucket ? bucket_flow(FAMILY_IP4, bucket) : NULL;
	}
	bucket = bucket6_at(at);
	return bucket ? bucket_flow(FAMILY_IP6, bucket) : NULL;
}

/* The entry under a key that is in memory. */
static __always_inline struct flow *request_flow(struct request *r, const struct flow_key *key)
{
	r->sought = *key;
	return request_entry(r, bucket_find());
}

/*
 * Sets r->peer to the other key of the flow that has r->sought in that bucket. Not within bucket_find(),
 * for the stack's sake.
 */
__attribute__((noinline)) int bucket_peer(int at)
{
	struct request *r = request_get();
	struct flow_bucket4 *b4;
	struct flow_bucket6 *b6;

	if (!r || at < 0)
		return BUCKET_NONE;
	if (r->sought.family == FAMILY_IP4) {
		b4 = bucket4_at(at);
		if (b4)
			flow_peer_key4(&b4->entry, &r->sought, &r->peer);
		return at;
	}
	b6 = bucket6_at(at);
	if (b6)
		flow_peer_key6(&b6->entry, &r->sought, &r->peer);
	return at;
}

/* Which bucket has r->sought, or BUCKET_NONE; and sets r->peer. */
static __always_inline int bucket_find_pair(void)
{
	return bucket_peer(bucket_find());
}

static __always_inline int address_equal(const __be32 a[4], const __be32 b[4])
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

/* Of two keys of one protocol. */
static __always_inline int key_equal(const struct flow_key *a, const struct flow_key *b)
{
	return address_equal(a->saddr, b->saddr) && address_equal(a->daddr, b->daddr) &&
	       a->sport == b->sport && a->dport == b->dport;
}

/* The entry under a key, and r->peer set to the other key of its flow. */
static __always_inline struct flow *request_pair(struct request *r, const struct flow_key *key)
{
	r->sought = *key;
	return request_entry(r, bucket_find_pair());
}

/* 0, or -ENOENT: there is none, or somebody else has removed it. */
static __always_inline int request_remove(struct request *r, const struct flow_key *key)
{
	r->sought = *key;
	return bucket_remove();
}

/* Idle for longer than its lifetime, in both directions? Either entry of the pair will do. */
static __always_inline int flow_expired(__u8 proto, const struct flow *one,
					const struct flow *other, __u32 shorten)
{
	const struct flow *orig = one->flags & FLOW_REPLY ? other : one;
	const struct flow *reply = one->flags & FLOW_REPLY ? one : other;
	enum timeout which = flow_timeout(proto, orig, reply);
	__u32 now = jiffies_now(), idle = now - one->used, limit;

	if ((__s32)(other->used - one->used) > 0)
		idle = now - other->used;
	if ((__s32)idle < 0) /* used by another CPU since `now` was read */
		return 0;
	limit = settings.timeout[which & 7];
	if (shorten && !flow_has_packets(reply))
		limit >>= shorten;
	return idle > limit;
}

/*
 * A counter has come into its other half. Counted by what is there now: of two CPUs that both saw it
 * go there one counts, and what one CPU sets back is not counted again. What a bucket's halves say
 * belongs to a flow before, until this one is marked.
 */
static __always_inline void flow_wrap(struct flow *f, struct flow_halves *halves)
{
	if (!(f->seen & FLOW_SEEN_WRAP)) {
		halves->packets = 0;
		halves->bytes = 0;
		f->seen |= FLOW_SEEN_WRAP;
	}
	halves->packets += (halves->packets ^ f->packets >> 15) & 1;
	halves->bytes += (halves->bytes ^ f->bytes >> 31) & 1;
}

/* IPv4's halves are at the bucket's place. Functions of their own to the verifier, as they are rare. */
__attribute__((noinline)) int flow_wrap4(struct flow4 *f)
{
	const void *first = bucket4_at(0);
	struct flow_halves *halves;
	__u32 at;

	if (!f || !first)
		return 0;
	at = ((__u64)f - (__u64)first) / sizeof(struct flow_bucket4);
	halves = bpf_map_lookup_elem(&halves4, &at);
	if (halves)
		flow_wrap(&f->flow, halves);
	return 0;
}

__attribute__((noinline)) int flow_wrap6(struct flow6 *f)
{
	if (f)
		flow_wrap(&f->flow, &f->halves);
	return 0;
}

static __always_inline void flow_count(struct flow *f, const struct packet *p)
{
	__u32 bytes = f->bytes, packets = f->packets, changed;

	f->packets = packets + 1;
	f->bytes = bytes + p->l3_length;
	changed = (bytes ^ (bytes + p->l3_length)) >> 31 | ((packets ^ (packets + 1)) >> 15 & 1);
	if (likely(!changed))
		return;
	if (packet_is_ip4(p))
		flow_wrap4((struct flow4 *)f);
	else
		flow_wrap6((struct flow6 *)f);
}

/* What a TCP segment says about the connection. */
static __always_inline void flow_seen_tcp(struct flow *f, const struct packet *p)
{
	__u8 flags = p->tcp_flags, seen = flags & TCP_SEEN;

	if ((flags & (TCP_FLAG_ACK | TCP_FLAG_RST)) == TCP_FLAG_ACK)
		f->ack_high = packet_ack_high(p);
	if (unlikely(flags & TCP_FLAG_SYN))
		seen &= ~TCP_SEEN_ACK;
	seen |= f->seen;
	if (!(flags & TCP_FLAG_RST))
		seen &= ~TCP_SEEN_RST; /* the connection goes on: the RST was not taken */
	if (unlikely(seen != f->seen))
		f->seen = seen;
}

/* A packet of this direction. */
static __always_inline void flow_seen(struct flow *f, const struct packet *p)
{
	f->used = packet_now(p);
	flow_count(f, p);
	if (p->tuple.proto == IPPROTO_TCP && !(p->shape & (PACKET_NO_L4 | PACKET_BAD_RESET)))
		flow_seen_tcp(f, p);
}

#endif
