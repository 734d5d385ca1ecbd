/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table's shape: for each family an array of buckets, every one with room for one entry.
 *
 * An entry lies in the bucket that the hash of its key names, its home, or in one of those that
 * follow (linear probing). Each bucket says how far off the last entry is that has its home there:
 * its reach. Who looks for a key looks no further, and an entry that is removed leaves nothing
 * behind. Most searches end at home, and so wait for memory once: an IPv4 bucket is a cache line, an
 * IPv6 bucket two neighbours, which are read at once. In the kernel's hash map the line that says where
 * the entry is comes first, and is waited for.
 *
 * A bucket's tag says who may do what with it; there is no lock on the whole.
 * - Who sets BUCKET_TAKEN, by compare-and-swap, has the bucket to himself and fills it.
 * - With BUCKET_LIVE set it is found. Who clears that has removed the entry: no two can. Then
 *   BUCKET_TAKEN goes, but for a tick nobody takes the bucket, as other CPUs may still be looking.
 * - Keys are added under the lock of their home: one key is not added twice. It is held by programs
 *   that nothing on their CPU interrupts, for the time of a search.
 */
#ifndef XFWD_BUCKET_H
#define XFWD_BUCKET_H

#include "flow.h"
#include "hash.h"

#define BUCKET_PROTO      0xffU /* the key's protocol */
#define BUCKET_LIVE       (1U << 8)
#define BUCKET_TAKEN      (1U << 9)
#define BUCKET_LOCKED     (1U << 10) /* as a home */
#define BUCKET_REACH_ONE  (1U << 16) /* the rest of the bits count these */
#define BUCKET_REACH(tag) ((tag) / BUCKET_REACH_ONE)

/* The longest reach. Even in a full table hardly an entry finds nothing free as near as that. */
#define BUCKET_REACH_MAX  127

struct flow_bucket4 {
	__u32 tag;
	__be32 saddr; /* the key */
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	struct flow4 entry;
} __attribute__((aligned(64)));

struct flow_bucket6 {
	__u32 tag;
	__be16 sport;
	__be16 dport;
	__be32 saddr[4];
	__be32 daddr[4];
	struct flow6 entry;
} __attribute__((aligned(64)));

/*
 * Homes for so many flows, which are two entries each: in a full table, four of seven are in use. And
 * some for buckets that nobody takes for a tick: a small table can be ended and filled within one.
 */
static inline __u32 flow_homes(__u32 flows)
{
	return 3 * flows + flows / 2 + 256;
}

/* Buckets: the last homes are followed by some, too. */
static inline __u32 flow_buckets(__u32 flows)
{
	return flow_homes(flows) + BUCKET_REACH_MAX;
}

/* Of an IPv6 address, whose words anybody may choose: no difference in one undoes the other's. */
static __always_inline __u64 flow_hash_address(const __be32 a[4], __u64 secret)
{
	__u64 hash = hash64(secret ^ ((__u64)a[0] << 32 | a[1]));

	return hash64(hash ^ ((__u64)a[2] << 32 | a[3]));
}

/* Nobody outside knows the secret, and so nobody knows which keys have one home. */
static __always_inline __u32 flow_home(const struct flow_key *key, __u64 secret, __u32 flows)
{
	__u64 rest = (__u64)key->sport << 32 | (__u64)key->dport << 16 | key->proto, hash;

	if (key->family == FAMILY_IP4)
		hash = hash_word(secret, (__u64)key->saddr[0] << 32 | key->daddr[0]);
	else
		hash = flow_hash_address(key->saddr, secret) +
		       flow_hash_address(key->daddr, hash_word(secret, FAMILY_IP6));
	return (hash64(hash ^ rest) >> 32) * flow_homes(flows) >> 32;
}

/* Is it the entry under this key? (Of the key's family, both.) */
static __always_inline int bucket4_is(const struct flow_bucket4 *bucket, const struct flow_key *key)
{
	__u32 live = BUCKET_LIVE | key->proto;

	return !((bucket->saddr ^ key->saddr[0]) | (bucket->daddr ^ key->daddr[0]) |
		 (__u32)((bucket->sport ^ key->sport) | (bucket->dport ^ key->dport)) |
		 ((bucket->tag & (BUCKET_LIVE | BUCKET_PROTO)) ^ live));
}

static __always_inline int bucket6_is(const struct flow_bucket6 *bucket, const struct flow_key *key)
{
	__u32 differ = (bucket->tag & (BUCKET_LIVE | BUCKET_PROTO)) ^ (BUCKET_LIVE | key->proto);

	differ |= (bucket->sport ^ key->sport) | (bucket->dport ^ key->dport);
	for (int i = 0; i < 4; i++)
		differ |= (bucket->saddr[i] ^ key->saddr[i]) | (bucket->daddr[i] ^ key->daddr[i]);
	return !differ;
}

static inline void bucket4_key(const struct flow_bucket4 *bucket, struct flow_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->saddr[0] = bucket->saddr;
	key->daddr[0] = bucket->daddr;
	key->sport = bucket->sport;
	key->dport = bucket->dport;
	key->proto = bucket->tag & BUCKET_PROTO;
}

static inline void bucket6_key(const struct flow_bucket6 *bucket, struct flow_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(key->saddr, bucket->saddr, sizeof(key->saddr));
	__builtin_memcpy(key->daddr, bucket->daddr, sizeof(key->daddr));
	key->sport = bucket->sport;
	key->dport = bucket->dport;
	key->proto = bucket->tag & BUCKET_PROTO;
	key->family = FAMILY_IP6;
}

_Static_assert(sizeof(struct flow_bucket4) == 64, "one cache line");
_Static_assert(sizeof(struct flow_bucket6) == 128, "two cache lines");

#endif
