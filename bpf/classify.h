/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which rule covers a packet: tuple-space search over the ruleset in force. */
#ifndef XFWD_CLASSIFY_H
#define XFWD_CLASSIFY_H

#include "request.h"

/* What is asked of the classifier, and its answer. */
struct rule_query {
	struct flow_key tuple;
	__u32 ifindex;
	__u32 stage;
	__u32 active;
	__u32 rank; /* of the rule found; RANK_NONE: none yet */
	struct rule_action action; /* its */
	/* room to work in */
	struct rule_key key;
	struct rule_key masked;
};

#define RANK_NONE (~0U)

/* A packet may be under a rule of each stage, and its answer be asked for, all at one time. */
enum rule_room {
	ROOM_IN = STAGE_IN,
	ROOM_OUT = STAGE_OUT,
	ROOM_ANSWER,
	ROOM_COUNT,
	ROOM_NONE = ROOM_COUNT, /* no rule */
};

/* Off the stack, which is 512 bytes for a program and all that it calls. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROOM_COUNT);
	__type(key, __u32);
	__type(value, struct rule_query);
} rule_queries SEC(".maps");

static __always_inline int protocol_has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

static __always_inline void query_key(struct rule_key *key, const struct rule_query *query)
{
	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(key->saddr, query->tuple.saddr, sizeof(key->saddr));
	__builtin_memcpy(key->daddr, query->tuple.daddr, sizeof(key->daddr));
	key->ifindex = query->ifindex;
	key->proto = query->tuple.proto;
	key->stage = query->stage;
	if (protocol_has_ports(key->proto)) {
		key->sport = query->tuple.sport;
		key->dport = query->tuple.dport;
	}
}

/* Word by word: both are multiples of four bytes, and a byte loop costs the verifier dear. */
static __always_inline void key_mask(struct rule_key *masked, const struct rule_key *key,
				     const struct rule_mask *mask, __u16 position)
{
	const __u32 *from = (const __u32 *)key, *bits = (const __u32 *)&mask->bits;
	__u32 *to = (__u32 *)masked;

#pragma unroll
	for (int i = 0; i < (int)(sizeof(*key) / 4); i++)
		to[i] = from[i] & bits[i];
	masked->mask = position;
}

/* One of the two rulesets: `active` is the lowest bit of a generation. */
static __always_inline const struct ruleset *ruleset_get(__u32 active)
{
	void *inner = bpf_map_lookup_elem(&rulesets, &active);
	__u32 zero = 0;

	return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

/* The query of a room, the ruleset that it asks, and its index. 0: all of them are there. */
struct classification {
	struct rule_query *query;
	const struct ruleset *set;
	void *index;
};

static __always_inline int classification_open(struct classification *c, __u32 room)
{
	__u32 active;

	c->query = bpf_map_lookup_elem(&rule_queries, &room);
	if (!c->query)
		return -1;
	active = c->query->active;
	c->index = bpf_map_lookup_elem(&rule_indexes, &active);
	c->set = ruleset_get(active);
	return c->index && c->set ? 0 : -1;
}

/*
 * One mask. 1 ends the search: masks are in the order of their best rank, so no later one can win.
 * A function of its own to the verifier, which so looks at it once and not once a round.
 */
__attribute__((noinline)) int classify_mask(__u32 room, __u32 i)
{
	const struct rule_entry *found;
	const struct rule_mask *mask;
	struct rule_query *query;
	struct classification c;
	__u32 stage, family;

	if (classification_open(&c, room) || i >= XFWD_MASKS_MAX)
		return 1;
	query = c.query;
	stage = query->stage & 1;
	family = query->tuple.family & 1;
	if (i >= c.set->mask_count[stage][family])
		return 1;
	mask = &c.set->masks[stage][family][i];
	if (mask->best_rank > query->rank)
		return 1;
	key_mask(&query->masked, &query->key, mask, RULE_KEY_MASK(family, i));
	found = bpf_map_lookup_elem(c.index, &query->masked);
	if (!found || found->rank >= query->rank)
		return 0;
	query->rank = found->rank;
	query->action = found->action;
	return 0;
}

/* May any rule of the stage hold for such a packet? Most of what passes is told so from rules' own. */
static __always_inline int ruleset_holds(const struct ruleset *set, enum stage stage, __u32 ifindex,
					 __u8 proto, __be16 dport)
{
	__u32 port = bpf_ntohs(dport);

	/* To the verifier of Linux 6.1 a swap may give anything; to clang, a bound is then no news. */
	barrier_var(port);
	port &= 0xffff;
	if (!(set->interfaces[stage & 1] & RULESET_INTERFACE(ifindex)))
		return 0;
	return stage != STAGE_IN || !protocol_has_ports(proto) ||
	       set->ports[RULESET_PORT_WORD(port)] & RULESET_PORT_BIT(port);
}

/* Finds the first rule in the user's order that matches: 1, with its action in the query, or 0. */
__attribute__((noinline)) int classify(__u32 room)
{
	struct classification c;

	if (classification_open(&c, room) ||
	    !ruleset_holds(c.set, c.query->stage, c.query->ifindex, c.query->tuple.proto,
			   c.query->tuple.dport))
		return 0;
	c.query->rank = RANK_NONE;
	query_key(&c.query->key, c.query);
	for (__u32 i = 0; i < XFWD_MASKS_MAX; i++)
		if (classify_mask(room, i))
			break;
	return c.query->rank != RANK_NONE;
}

/* The i-th interface that has dnat rules for hosts inside, too; 0: there are no more. */
static __always_inline __u32 ruleset_hairpin(__u32 active, __u32 i)
{
	const struct ruleset *set = ruleset_get(active);

	return set && i < RULESET_HAIRPINS && i < set->hairpin_count ? set->hairpins[i] : 0;
}

/* Without a branch: the verifier would go both ways, again for every pool. */
static __always_inline __u64 is_below(__u64 a, __u64 b)
{
	return ((~a & b) | (~(a ^ b) & (a - b))) >> 63;
}

static __always_inline __u64 address_below(const __be32 a[4], const __be32 b[4])
{
	__u64 high = is_below(address6_half(&a[0]), address6_half(&b[0]));
	__u64 above = is_below(address6_half(&b[0]), address6_half(&a[0]));

	return high | (~above & is_below(address6_half(&a[2]), address6_half(&b[2])));
}

/* 1: the request's packet is for an address of that pool. 0: it is not. -1: there is no such pool. */
__attribute__((noinline)) int ruleset_pool_has(__u32 i)
{
	const struct request *r = request_get();
	const struct pool_range *pool;
	const struct ruleset *set;
	__u32 family;

	if (!r || i >= RULESET_POOLS)
		return -1;
	family = r->p.tuple.family & 1;
	set = ruleset_get(r->p.generation & 1);
	if (!set || i >= set->pool_count[family])
		return -1;
	pool = &set->pools[family][i];
	return !(address_below(r->p.tuple.daddr, pool->min) |
		 address_below(pool->max, r->p.tuple.daddr));
}

/* Is the request's packet for an address of a snat rule? */
static __always_inline int ruleset_pools(void)
{
	int has = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < RULESET_POOLS && !has; i++)
		has = ruleset_pool_has(i);
	return has > 0;
}

/* The action of the rule that covers the packet at this stage, or NULL. It stays in its room. */
static __always_inline const struct rule_action *rule_find_in(enum rule_room room,
							      const struct packet *p,
							      const struct flow_key *tuple,
							      enum stage stage, __u32 ifindex)
{
	__u32 at = room;
	struct rule_query *query = bpf_map_lookup_elem(&rule_queries, &at);

	if (!query)
		return NULL;
	query->tuple = *tuple;
	query->ifindex = ifindex;
	query->stage = stage;
	query->active = p->generation & 1;
	return classify(room) ? &query->action : NULL;
}

/* The rule that was found last in this room. */
static __always_inline const struct rule_action *rule_in_room(__u32 room)
{
	struct rule_query *query = bpf_map_lookup_elem(&rule_queries, &room);

	if (!query)
		return NULL;
	barrier_var(query); /* or newer clangs reckon first, which Linux 6.12 does not take */
	return &query->action;
}

static __always_inline const struct rule_action *
rule_find(const struct packet *p, const struct flow_key *tuple, enum stage stage, __u32 ifindex)
{
	return rule_find_in((enum rule_room)stage, p, tuple, stage, ifindex);
}

#endif
