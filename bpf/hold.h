/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What flows hold: endpoint-independent mappings, the leave to answer that address-dependent
 * filtering gives, and their place in a source's limits. mapping.h of the public headers says what
 * the entries are.
 *
 * The outside endpoint is claimed with BPF_NOEXIST, as reply tuples are. A mapping that no flow holds
 * keeps its port for a while, so that what comes late reaches nobody else (RFC 6888 R8).
 */
#ifndef XFWD_HOLD_H
#define XFWD_HOLD_H

#include "flow_table.h"

#define MAPPING_QUARANTINE_SECONDS 120

/* request.mapping */
#define MAPPING_NONE               0 /* the flow has a port for this destination alone */
#define MAPPING_KNOWN              1 /* held already: r->want has its port */
#define MAPPING_NEW                2 /* to be made with the port that the flow gets */

/* 0: held. -1: it is being taken away. */
static __always_inline int mapping_hold(struct mapping *m)
{
	if (!(__sync_fetch_and_add(&m->flows, 1) & MAPPING_DEAD))
		return 0;
	__sync_fetch_and_add(&m->flows, -1);
	return -1;
}

static __always_inline void mapping_release(const struct mapping_key *key)
{
	struct mapping *m = bpf_map_lookup_elem(&mappings, key);

	if (!m)
		return;
	m->idle = jiffies_now();
	__sync_fetch_and_add(&m->flows, -1);
}

static __always_inline void endpoint_set(struct endpoint_key *key, const struct flow_key *flow,
					 const __be32 addr[4], __be16 port)
{
	__builtin_memcpy(key->addr, addr, sizeof(key->addr));
	key->port = port;
	key->proto = flow->proto;
	key->family = flow->family;
}

/* Both halves of a mapping, if no flow holds it. 0: done. -1: one does, again. */
static __always_inline int mapping_remove(struct mapping *m, const struct mapping_key *key,
					  const struct endpoint_key *outside)
{
	if (__sync_val_compare_and_swap(&m->flows, 0, MAPPING_DEAD))
		return -1;
	bpf_map_delete_elem(&outsides, outside);
	bpf_map_delete_elem(&mappings, key);
	return 0;
}

/* r->taken_key: of the mapping that `o` is the outside half of, found under r->outside_key. */
static __always_inline void taken_key_set(struct request *r, const struct outside *o)
{
	r->taken_key.inside = r->outside_key;
	__builtin_memcpy(r->taken_key.inside.addr, o->addr, sizeof(o->addr));
	r->taken_key.inside.port = o->port;
	__builtin_memcpy(r->taken_key.outside, r->outside_key.addr, sizeof(r->taken_key.outside));
}

/* Ends a mapping that no flow holds. 0: done. -1: one does, again. r->mapping_key is its key. */
static __always_inline int mapping_end(struct request *r, struct mapping *m)
{
	r->outside_key = r->mapping_key.inside;
	__builtin_memcpy(r->outside_key.addr, r->mapping_key.outside, sizeof(r->outside_key.addr));
	r->outside_key.port = m->port;
	return mapping_remove(m, &r->mapping_key, &r->outside_key);
}

/* The key of the mapping that the packet's source has at the outside address that is r->want's. */
static __always_inline void mapping_key_set(struct request *r)
{
	endpoint_set(&r->mapping_key.inside, &r->p.tuple, r->p.tuple.saddr, r->p.tuple.sport);
	__builtin_memcpy(r->mapping_key.outside, r->want.saddr, sizeof(r->mapping_key.outside));
}

/* For a new flow whose outside address is r->want's source: the mapping that its source has there. */
static __always_inline void mapping_begin(struct request *r, const struct rule_action *rule,
					  __u32 ifindex)
{
	struct mapping *m;

	r->mapping = MAPPING_NEW;
	mapping_key_set(r);
	endpoint_set(&r->outside_key, &r->p.tuple, r->want.saddr, 0);
	__builtin_memcpy(r->outside.addr, r->p.tuple.saddr, sizeof(r->outside.addr));
	r->outside.port = r->p.tuple.sport;
	r->outside.filter = rule->flags & (RULE_FILTER_ADDRESS | RULE_FILTER_NONE);
	r->outside.slot = rule->slot;
	r->outside.ifindex = ifindex;
	m = bpf_map_lookup_elem(&mappings, &r->mapping_key);
	if (!m || mapping_hold(m))
		return;
	r->mapping = MAPPING_KNOWN;
	r->want.sport = m->port;
	r->keep = 1;
	r->choose = 0;
}

/* Ends the mapping of r->mapping_key at once, if nobody holds it. */
static __always_inline void mapping_forget(struct request *r)
{
	struct mapping *m = bpf_map_lookup_elem(&mappings, &r->mapping_key);

	if (m)
		mapping_end(r, m);
}

/* Takes the port from a mapping that no flow holds, if that is what has it. 0: it is free now. */
static __always_inline int outside_take_over(struct request *r)
{
	const struct outside *o = bpf_map_lookup_elem(&outsides, &r->outside_key);
	struct mapping *m;

	if (!o)
		return 0;
	taken_key_set(r, o);
	m = bpf_map_lookup_elem(&mappings, &r->taken_key);
	return m ? mapping_remove(m, &r->taken_key, &r->outside_key) : -1;
}

/* Has the mapping that is to be made been begun, by another CPU, with this port? */
static __always_inline int outside_is_begun(struct request *r)
{
	const struct outside *o = bpf_map_lookup_elem(&outsides, &r->outside_key);

	return o && o->port == r->outside.port && address_equal(o->addr, r->outside.addr);
}

#define JOIN_ROUNDS 64 /* many times what it takes from a mapping's one half to the other */

/* 0, or -EEXIST: it is not there. A function of its own to the verifier, which looks at it once. */
__attribute__((noinline)) int mapping_join_try(void)
{
	struct request *r = request_get();
	struct mapping *m = r ? bpf_map_lookup_elem(&mappings, &r->mapping_key) : NULL;

	if (!m || mapping_hold(m))
		return -EEXIST;
	r->mapping = MAPPING_KNOWN;
	r->want.sport = m->port;
	return 0;
}

/*
 * Holds the mapping that another CPU makes for the same source, for a flow to another destination, and
 * has r->want's port from it. 0, or -EEXIST: it does not come to be.
 */
static __always_inline int mapping_join(void)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < JOIN_ROUNDS; i++) {
		if (!mapping_join_try())
			return 0;
		pause();
	}
	return -EEXIST;
}

/*
 * Claims the outside endpoint with r->want's source port. 0, or -EEXIST where another one has it.
 * Without room for it the flow goes without a mapping.
 */
static __always_inline int outside_claim(struct request *r)
{
	int err;

	r->outside_key.port = r->want.sport;
	err = bpf_map_update_elem(&outsides, &r->outside_key, &r->outside, BPF_NOEXIST);
	if (err == -EEXIST && outside_is_begun(r))
		return mapping_join();
	if (err == -EEXIST && r->take_over && !outside_take_over(r))
		err = bpf_map_update_elem(&outsides, &r->outside_key, &r->outside, BPF_NOEXIST);
	if (err && err != -EEXIST) {
		r->mapping = MAPPING_NONE;
		err = 0;
	}
	return err;
}

/*
 * The other half of a new mapping, whose outside endpoint is claimed. -EEXIST: another CPU was first,
 * with another port. Without room for it the flow goes without a mapping.
 */
static __always_inline int mapping_make(struct request *r)
{
	struct mapping m = { .flows = 1, .port = r->want.sport };
	int err = bpf_map_update_elem(&mappings, &r->mapping_key, &m, BPF_NOEXIST);

	if (!err && !bpf_map_push_elem(&mapping_queue, &r->mapping_key, BPF_ANY)) {
		__sync_fetch_and_add(&sweeper.mappings, 1);
		return 0;
	}
	if (!err)
		bpf_map_delete_elem(&mappings, &r->mapping_key);
	bpf_map_delete_elem(&outsides, &r->outside_key);
	r->mapping = MAPPING_NONE;
	return err == -EEXIST ? err : 0;
}

/*
 * Address-dependent filtering: the flow's remote end may answer from any port, while this flow lives.
 * Of another mapping's host, it is the address that it has outside.
 */
static __always_inline void permit_add(struct request *r)
{
	void *map = late_map(&permits);
	__u32 *known, one = 1;

	if (!map)
		return;
	r->permit_key.outside = r->outside_key;
	r->permit_key.outside.port = r->want.sport;
	__builtin_memcpy(r->permit_key.remote,
			 r->flags & FLOW_MAPPED_BACK ? r->p.tuple.daddr : r->want.daddr,
			 sizeof(r->permit_key.remote));
	known = bpf_map_lookup_elem(map, &r->permit_key);
	if (!known && bpf_map_update_elem(map, &r->permit_key, &one, BPF_NOEXIST) == -EEXIST)
		known = bpf_map_lookup_elem(map, &r->permit_key); /* another CPU was first */
	if (known)
		__sync_fetch_and_add(known, 1);
}

static __always_inline void permit_remove(struct request *r, const __be32 remote[4])
{
	void *map = late_map(&permits);
	__u32 *known;

	if (!map)
		return;
	r->permit_key.outside = r->outside_key;
	__builtin_memcpy(r->permit_key.remote, remote, sizeof(r->permit_key.remote));
	known = bpf_map_lookup_elem(map, &r->permit_key);
	if (known && __sync_fetch_and_add(known, -1) <= 1)
		bpf_map_delete_elem(map, &r->permit_key);
}

/* ---- limits ---- */

static __always_inline struct source *source_get(struct request *r, __u32 slot,
						 const __be32 addr[4], int make)
{
	const struct source none = { 0 };
	void *map = late_map(&sources);
	struct source *s;

	if (!map)
		return NULL;
	__builtin_memcpy(r->source_key.addr, addr, sizeof(r->source_key.addr));
	r->source_key.slot = slot;
	r->source_key.family = r->p.tuple.family;
	s = bpf_map_lookup_elem(map, &r->source_key);
	if (s || !make)
		return s;
	bpf_map_update_elem(map, &r->source_key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, &r->source_key);
}

/* A second's worth at the most. Two CPUs at once may give one token twice. */
static __always_inline int source_affords(const struct request *r, struct source *s, __u32 rate)
{
	__u32 idle = packet_now(&r->p) - s->filled, more;

	if (!s->filled || idle >= r->hz) {
		s->tokens = rate;
		s->filled = packet_now(&r->p);
	} else {
		more = (__u64)idle * rate / r->hz;
		if (more) {
			s->filled = packet_now(&r->p);
			s->tokens = s->tokens + more > rate ? rate : s->tokens + more;
		}
	}
	if (!s->tokens)
		return 0;
	s->tokens--;
	return 1;
}

/*
 * May the packet's source begin another flow under its rules, which have a limit? 0: yes, and it is
 * counted. A function of its own, for room on the stack.
 */
__attribute__((noinline)) int limit_hold(void)
{
	struct request *r = request_get();
	const struct request_limit *limit;
	struct source *s;

	if (!r)
		return 0;
	limit = &r->limit;
	s = source_get(r, limit->slot, r->p.tuple.saddr, 1);
	if (!s)
		return 0;
	if (limit->rate && !source_affords(r, s, limit->rate))
		return -1;
	if (!limit->flows)
		return 0;
	if (__sync_fetch_and_add(&s->flows, 1) >= limit->flows) {
		__sync_fetch_and_add(&s->flows, -1);
		return -1;
	}
	r->flags |= FLOW_LIMITED;
	return 0;
}

/* Of the flow whose original key is r->key, under the rule in that slot. 1: it was counted there. */
__attribute__((noinline)) int limit_release(__u32 slot)
{
	struct request *r = request_get();
	struct source *s = slot && r ? source_get(r, slot, r->key.saddr, 0) : NULL;

	if (!s || !s->flows)
		return 0;
	__sync_fetch_and_add(&s->flows, -1);
	return 1;
}

/*
 * A flow is gone: what it held is free. r->key and r->back are its keys, original and answering;
 * r->rule_in and r->rule_out its rules.
 */
__attribute__((noinline)) int flow_gone(__u32 flags)
{
	struct request *r = request_get();
	const struct outside *o;

	if (!r)
		return 0;
	if (flags & FLOW_MAPPED) {
		endpoint_set(&r->mapping_key.inside, &r->key, r->key.saddr, r->key.sport);
		__builtin_memcpy(r->mapping_key.outside, r->back.daddr,
				 sizeof(r->mapping_key.outside));
		endpoint_set(&r->outside_key, &r->back, r->back.daddr, r->back.dport);
		o = bpf_map_lookup_elem(&outsides, &r->outside_key);
		if (o && o->filter & RULE_FILTER_ADDRESS)
			permit_remove(r, flags & FLOW_MAPPED_BACK ? r->key.daddr : r->back.saddr);
		mapping_release(&r->mapping_key);
	}
	if (flags & FLOW_MAPPED_BACK) {
		endpoint_set(&r->mapping_key.inside, &r->back, r->back.saddr, r->back.sport);
		__builtin_memcpy(r->mapping_key.outside, r->key.daddr,
				 sizeof(r->mapping_key.outside));
		mapping_release(&r->mapping_key);
	}
	if (flags & FLOW_LIMITED) {
		/* in the last rule's that has a limit: see translate_limit() */
		if (!limit_release(r->rule_out))
			limit_release(r->rule_in);
	}
	return 0;
}

/* The entry under `key`, if it is of the flow that has that other key. Sets r->peer. */
static __always_inline struct flow *flow_half(struct request *r, const struct flow_key *key,
					      const struct flow_key *other)
{
	struct flow *f = request_pair(r, key);

	return f && key_equal(&r->peer, other) ? f : NULL;
}

/*
 * Removes both entries of a flow, whose keys are r->key, original, and r->back. The answering one
 * first: should the second step never come, what is left is an original entry, which the sweeper
 * looks at and ends. Who removes the original entry frees what the flow held: no two can.
 */
static __always_inline void flow_remove(struct request *r, __u32 holds)
{
	if (flow_half(r, &r->back, &r->key))
		request_remove(r, &r->back);
	if (request_remove(r, &r->key))
		return;
	__sync_fetch_and_add(&sweeper.flows[r->key.family & 1], -1);
	if (holds)
		flow_gone(holds);
}

/*
 * Ends a flow of which r->p.tuple is one of the two keys, and r->peer the other. Another CPU may have
 * ended it, and made it again with another port: of that one nothing is taken away. A function of its
 * own to the verifier, as it is rare.
 */
__attribute__((noinline)) int flow_end(int is_reply)
{
	struct request *r = request_get();
	const struct flow *f;

	if (!r)
		return 0;
	r->key = is_reply ? r->peer : r->p.tuple;
	r->back = is_reply ? r->p.tuple : r->peer;
	f = flow_half(r, &r->key, &r->back);
	if (f) {
		r->rule_in = f->rule_in;
		r->rule_out = f->rule_out;
		flow_remove(r, f->flags & FLOW_HOLDS);
		r->rule_in = 0;
		r->rule_out = 0;
	} else if (is_reply) {
		request_remove(r, &r->back); /* half a flow */
	}
	return 0;
}

#endif
