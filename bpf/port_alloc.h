/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * New flows: choosing a source port and claiming both entries.
 *
 * The reply tuple is claimed with BPF_NOEXIST. That claim is the port's allocation: two CPUs can
 * never hold one port towards one destination, and no lock is needed.
 */
#ifndef XFWD_PORT_ALLOC_H
#define XFWD_PORT_ALLOC_H

#include "account.h"
#include "checksum.h"
#include "flow_table.h"
#include "request.h"

enum flow_claim {
	FLOW_CLAIMED,
	FLOW_EXISTS, /* another CPU made the same flow in the meantime */
	FLOW_NO_PORT,
	FLOW_TABLE_FULL,
};

static __always_inline int protocol_is_icmp(__u8 proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static __always_inline void flow_set_source(struct flow_key *key, __u16 port)
{
	key->sport = bpf_htons(port);
	if (protocol_is_icmp(key->proto))
		key->dport = key->sport; /* one identifier, not two ports */
}

static __always_inline int address_equal(const __be32 a[4], const __be32 b[4])
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

#define ADDRESSES (2 * (__u32)sizeof(((struct flow_key *)0)->saddr)) /* one behind the other */

static __always_inline __u16 csum_delta_address(struct flow_key *from, struct flow_key *to)
{
	return csum_fold(bpf_csum_diff(from->saddr, ADDRESSES, to->saddr, ADDRESSES, 0));
}

/* r->entry: the flow of direction `flags` that is found under `from` and rewrites to `to`. */
static __always_inline void flow_fill(struct request *r, const struct flow_key *from,
				      const struct flow_key *to, __u8 flags)
{
	struct flow *f = &r->entry.flow;
	int icmp = protocol_is_icmp(from->proto);

	__builtin_memset(&r->entry, 0, sizeof(r->entry));
	if (from->family == FAMILY_IP4) {
		r->entry.flow4.saddr = to->saddr[0];
		r->entry.flow4.daddr = to->daddr[0];
	} else {
		__builtin_memcpy(r->entry.flow6.saddr, to->saddr, sizeof(to->saddr));
		__builtin_memcpy(r->entry.flow6.daddr, to->daddr, sizeof(to->daddr));
	}
	f->sport = to->sport;
	f->dport = to->dport;
	f->addr_delta = csum_fold(
		bpf_csum_diff((__be32 *)from->saddr, ADDRESSES, (__be32 *)to->saddr, ADDRESSES, 0));
	f->port_delta = csum_delta16(from->sport, to->sport);
	if (!icmp)
		f->port_delta = csum_delta_add(f->port_delta, csum_delta16(from->dport, to->dport));
	if (!address_equal(from->saddr, to->saddr) || from->sport != to->sport)
		flags |= FLOW_SNAT;
	if (!address_equal(from->daddr, to->daddr) || (from->dport != to->dport && !icmp))
		flags |= FLOW_DNAT;
	f->flags = flags;
	f->used = jiffies_now();
	f->generation = (__u16)r->p.generation;
	f->serial = r->serial;
	f->rule_in = r->rule_in;
	f->rule_out = r->rule_out;
}

static __always_inline int key_equal(const struct flow_key *a, const struct flow_key *b)
{
	return address_equal(a->saddr, b->saddr) && address_equal(a->daddr, b->daddr) &&
	       a->sport == b->sport && a->dport == b->dport;
}

/* 0 or a negative errno of the map; -EEXIST: the key is taken. */
static __always_inline int flow_insert(struct request *r, const struct flow_key *key)
{
	if (key->family != FAMILY_IP4)
		return bpf_map_update_elem(&flows6, key, &r->entry.flow6, BPF_NOEXIST);
	flow_key_to4(key, &r->key4);
	return bpf_map_update_elem(&flows4, &r->key4, &r->entry.flow4, BPF_NOEXIST);
}

/*
 * Claims the reply tuple that belongs to r->want. 0 or a negative errno of the map. A function of
 * its own to the verifier, so that the search for a port costs it one call a round.
 */
__attribute__((noinline)) int flow_claim_reply(void)
{
	struct request *r = request_get();

	if (!r)
		return -ENOENT;
	flow_key_reverse(&r->want, &r->key);
	flow_key_reverse(&r->p.tuple, &r->back);
	if (key_equal(&r->key, &r->p.tuple))
		return -EEXIST; /* its own answer: another port is needed */
	flow_fill(r, &r->key, &r->back, FLOW_REPLY | r->from_local);
	return flow_insert(r, &r->key);
}

/*
 * Sets r->want to the first translation whose reply tuple was free, now claimed. First the port
 * that the packet has, then others of the range from a random place on: all of a small range, so
 * that none stays unused, and a bounded part of a large one.
 */
static __always_inline enum flow_claim flow_claim_port(struct request *r)
{
	__u32 width = r->port_max - r->port_min + 1U, start;
	int err = -EEXIST;

	if (r->keep)
		err = flow_claim_reply();
	if (!err)
		return FLOW_CLAIMED;
	if (err != -EEXIST)
		return FLOW_TABLE_FULL;
	if (!r->choose || r->port_max < r->port_min)
		return FLOW_NO_PORT;
	start = bpf_get_prandom_u32();
	for (__u32 i = 0; i < XFWD_PORT_TRIES && i < width; i++) {
		flow_set_source(&r->want, r->port_min + (start + i) % width);
		err = flow_claim_reply();
		if (!err)
			return FLOW_CLAIMED;
		if (err != -EEXIST)
			return FLOW_TABLE_FULL;
	}
	return FLOW_NO_PORT;
}

/* The entry of the original direction. 0 or a negative errno of the map. */
__attribute__((noinline)) int flow_insert_original(void)
{
	struct request *r = request_get();

	if (!r)
		return -ENOENT;
	flow_fill(r, &r->p.tuple, &r->want, r->to_local);
	return flow_insert(r, &r->p.tuple);
}

static __always_inline struct sweeper *sweeper_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sweepers, &zero);
}

/* The key's place in the sweeper's queue. 0 or a negative errno of the map. */
static __always_inline int flow_queue(struct request *r)
{
	if (r->p.tuple.family == FAMILY_IP4) {
		flow_key_to4(&r->p.tuple, &r->queued4.key);
		r->queued4.serial = r->serial;
		return bpf_map_push_elem(&sweep_queue4, &r->queued4, BPF_ANY);
	}
	r->queued6.key = r->p.tuple;
	r->queued6.serial = r->serial;
	return bpf_map_push_elem(&sweep_queue6, &r->queued6, BPF_ANY);
}

/* Takes back what flow_create() claimed; the sweeper finds its key of no use. */
static __always_inline void flow_undo(struct request *r)
{
	flow_key_reverse(&r->want, &r->key);
	request_delete(r, &r->key);
	request_delete(r, &r->p.tuple);
}

/*
 * Makes the pair of entries, or nothing: an enum flow_claim. On FLOW_CLAIMED and FLOW_EXISTS the
 * flow is in the table.
 */
__attribute__((noinline)) int flow_create(void)
{
	struct sweeper *sweeper = sweeper_get();
	struct request *r = request_get();
	int err;

	if (!r || !sweeper)
		return FLOW_TABLE_FULL;
	r->serial = bpf_get_prandom_u32();
	err = flow_claim_port(r);
	if (err != FLOW_CLAIMED)
		return err;
	err = flow_insert_original();
	if (err) {
		request_delete(r, &r->key);
		return err == -EEXIST ? FLOW_EXISTS : FLOW_TABLE_FULL;
	}
	if (flow_queue(r)) {
		flow_undo(r);
		return FLOW_TABLE_FULL;
	}
	r->claimed = 1;
	__sync_fetch_and_add(&sweeper->flows[r->p.tuple.family & 1], 1);
	rule_count_flow(r->rule_in);
	rule_count_flow(r->rule_out);
	return FLOW_CLAIMED;
}

#endif
