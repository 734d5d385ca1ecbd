/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which rule covers a packet: tuple-space search over the ruleset in force. */
#ifndef XFWD_CLASSIFY_H
#define XFWD_CLASSIFY_H

#include "loop.h"
#include "maps.h"
#include "packet.h"

/* What is asked of the classifier, and its answer. */
struct rule_query {
	struct flow_key4 tuple;
	__u32 ifindex;
	__u32 stage;
	__u32 active;
	__u32 pad;
	struct rule_action action; /* of the rule found */
};

/* A packet may be under a rule of each stage, and its answer be asked for, all at one time. */
enum rule_room {
	ROOM_IN = STAGE_IN,
	ROOM_OUT = STAGE_OUT,
	ROOM_ANSWER,
	ROOM_COUNT,
};

/* Off the stack, which is 512 bytes for a program and all that it calls. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ROOM_COUNT);
	__type(key, __u32);
	__type(value, struct rule_query);
} rule_queries SEC(".maps");

static __always_inline void query_key(struct rule_key *key, const struct rule_query *query)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->saddr[0] = query->tuple.saddr;
	key->daddr[0] = query->tuple.daddr;
	key->ifindex = query->ifindex;
	key->proto = query->tuple.proto;
	key->stage = query->stage;
	if (key->proto == IPPROTO_TCP || key->proto == IPPROTO_UDP) {
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

/* A search under way. */
struct classification {
	const struct ruleset *set;
	void *index;
	const struct rule_entry *best; /* NULL: none yet */
	struct rule_key key;
};

/* One mask. 1 ends the search: masks are in the order of their best rank, so no later one can win. */
static long classify_mask(__u32 i, struct classification *c)
{
	const struct rule_mask *mask;
	const struct rule_entry *found;
	struct rule_key masked;
	__u32 stage = c->key.stage & 1;

	if (i >= XFWD_MASKS_MAX || i >= c->set->mask_count[stage][FAMILY_IP4])
		return 1;
	mask = &c->set->masks[stage][FAMILY_IP4][i];
	if (c->best && mask->best_rank > c->best->rank)
		return 1;
	key_mask(&masked, &c->key, mask, RULE_KEY_MASK(FAMILY_IP4, i));
	found = bpf_map_lookup_elem(c->index, &masked);
	if (found && (!c->best || found->rank < c->best->rank))
		c->best = found;
	return 0;
}

/*
 * Finds the first rule in the user's order that matches: 1, with its action in the query, or 0. A
 * function of its own to the verifier: it is checked once, not in every place that calls it. Such a
 * function returns numbers only, which is why the action is copied.
 */
__attribute__((noinline)) int classify(struct rule_query *query)
{
	struct classification c;
	__u32 zero = 0, active;
	void *inner;

	if (!query)
		return 0;
	active = query->active;
	inner = bpf_map_lookup_elem(&rulesets, &active);
	c.index = bpf_map_lookup_elem(&rule_indexes, &active);
	if (!inner || !c.index)
		return 0;
	c.set = bpf_map_lookup_elem(inner, &zero);
	if (!c.set)
		return 0;
	if (!(c.set->interfaces[query->stage & 1] & RULESET_INTERFACE(query->ifindex)))
		return 0;
	c.best = NULL;
	query_key(&c.key, query);
	loop(XFWD_MASKS_MAX, XFWD_MASKS_MAX, classify_mask, &c);
	if (!c.best)
		return 0;
	query->action = c.best->action;
	return 1;
}

/* The action of the rule that covers the packet at this stage, or NULL. It stays in its room. */
static __always_inline const struct rule_action *rule_find_in(enum rule_room room,
							      const struct packet *p,
							      const struct flow_key4 *tuple,
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
	return classify(query) ? &query->action : NULL;
}

static __always_inline const struct rule_action *
rule_find(const struct packet *p, const struct flow_key4 *tuple, enum stage stage, __u32 ifindex)
{
	return rule_find_in((enum rule_room)stage, p, tuple, stage, ifindex);
}

#endif
