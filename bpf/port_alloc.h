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

struct flow_request {
	struct flow_key4 orig; /* the first packet, as it came */
	struct flow_key4 want; /* and as it should leave, its source port being the first choice */
	__u16 port_min; /* the source ports allowed, host byte order */
	__u16 port_max;
	__u8 keep; /* try the first choice before any other */
	__u8 choose; /* there are others: port_min to port_max */
	__u8 to_local; /* FLOW_TO_LOCAL for the original direction */
	__u8 from_local; /* and for the reply direction */
	__u32 rule_in;
	__u32 rule_out;
	__u32 generation;
	__u32 serial;
	__u32 claimed; /* set where this request made the flow, and no other CPU's */
	/* room to work in */
	struct flow_key4 key;
	struct flow_key4 back;
	struct flow4 entry;
};

/* Off the stack, which is 512 bytes for a program and all that it calls. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_request);
} flow_requests SEC(".maps");

enum flow_claim {
	FLOW_CLAIMED,
	FLOW_EXISTS, /* another CPU made the same flow in the meantime */
	FLOW_NO_PORT,
	FLOW_TABLE_FULL,
};

static __always_inline void flow_set_source(struct flow_key4 *key, __u16 port)
{
	key->sport = bpf_htons(port);
	if (key->proto == IPPROTO_ICMP)
		key->dport = key->sport; /* one identifier, not two ports */
}

/* The entry under key `from` that rewrites to `to`. */
static __always_inline void flow_fill(struct flow4 *f, const struct flow_key4 *from,
				      const struct flow_key4 *to, const struct flow_request *req)
{
	struct flow *base = &f->flow;

	__builtin_memset(f, 0, sizeof(*f));
	f->saddr = to->saddr;
	f->daddr = to->daddr;
	base->sport = to->sport;
	base->dport = to->dport;
	base->addr_delta = csum_delta_add(csum_delta32(from->saddr, to->saddr),
					  csum_delta32(from->daddr, to->daddr));
	base->port_delta = csum_delta16(from->sport, to->sport);
	if (from->proto != IPPROTO_ICMP)
		base->port_delta =
			csum_delta_add(base->port_delta, csum_delta16(from->dport, to->dport));
	if (from->saddr != to->saddr || from->sport != to->sport)
		base->flags |= FLOW_SNAT;
	if (from->daddr != to->daddr || (from->dport != to->dport && from->proto != IPPROTO_ICMP))
		base->flags |= FLOW_DNAT;
	base->used = jiffies_now();
	base->generation = (__u16)req->generation;
	base->serial = req->serial;
	base->rule_in = req->rule_in;
	base->rule_out = req->rule_out;
}

static __always_inline int key_equal(const struct flow_key4 *a, const struct flow_key4 *b)
{
	return a->saddr == b->saddr && a->daddr == b->daddr && a->sport == b->sport &&
	       a->dport == b->dport;
}

/*
 * Claims the reply tuple that belongs to req->want. 0 or a negative errno of the map. A function of
 * its own to the verifier, so that the search for a port costs it one call a round.
 */
__attribute__((noinline)) int flow_claim_reply(struct flow_request *req)
{
	if (!req)
		return -ENOENT;
	key_reverse(&req->want, &req->key);
	key_reverse(&req->orig, &req->back);
	if (key_equal(&req->key, &req->orig))
		return -EEXIST; /* its own answer: another port is needed */
	flow_fill(&req->entry, &req->key, &req->back, req);
	req->entry.flow.flags |= FLOW_REPLY | req->from_local;
	return bpf_map_update_elem(&flows4, &req->key, &req->entry, BPF_NOEXIST);
}

/*
 * Sets req->want to the first translation whose reply tuple was free, now claimed. First the port
 * that the packet has, then others of the range from a random place on: all of a small range, so
 * that none stays unused, and a bounded part of a large one.
 */
static __always_inline enum flow_claim flow_claim_port(struct flow_request *req)
{
	__u32 width = req->port_max - req->port_min + 1U, start;
	int err = -EEXIST;

	if (req->keep)
		err = flow_claim_reply(req);
	if (!err)
		return FLOW_CLAIMED;
	if (err != -EEXIST)
		return FLOW_TABLE_FULL;
	if (!req->choose || req->port_max < req->port_min)
		return FLOW_NO_PORT;
	start = bpf_get_prandom_u32();
	for (__u32 i = 0; i < XFWD_PORT_TRIES && i < width; i++) {
		flow_set_source(&req->want, req->port_min + (start + i) % width);
		err = flow_claim_reply(req);
		if (!err)
			return FLOW_CLAIMED;
		if (err != -EEXIST)
			return FLOW_TABLE_FULL;
	}
	return FLOW_NO_PORT;
}

/* The entry of the original direction. 0 or a negative errno of the map. */
__attribute__((noinline)) int flow_insert_original(struct flow_request *req)
{
	if (!req)
		return -ENOENT;
	flow_fill(&req->entry, &req->orig, &req->want, req);
	req->entry.flow.flags |= req->to_local;
	return bpf_map_update_elem(&flows4, &req->orig, &req->entry, BPF_NOEXIST);
}

static __always_inline struct sweeper *sweeper_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sweepers, &zero);
}

/* Takes back what flow_create() claimed; the sweeper finds its key of no use. */
static __always_inline void flow_undo(struct flow_request *req)
{
	key_reverse(&req->want, &req->key);
	bpf_map_delete_elem(&flows4, &req->key);
	bpf_map_delete_elem(&flows4, &req->orig);
}

/*
 * Makes the pair of entries, or nothing: an enum flow_claim. On FLOW_CLAIMED and FLOW_EXISTS the
 * flow is in the table.
 */
__attribute__((noinline)) int flow_create(struct flow_request *req)
{
	struct sweeper *sweeper = sweeper_get();
	struct sweep_key4 queued = { 0 };
	int err;

	if (!req || !sweeper)
		return FLOW_TABLE_FULL;
	err = flow_claim_port(req);
	if (err != FLOW_CLAIMED)
		return err;
	queued.key = req->orig;
	queued.serial = bpf_get_prandom_u32();
	req->serial = queued.serial;
	err = flow_insert_original(req);
	if (err) {
		bpf_map_delete_elem(&flows4, &req->key);
		return err == -EEXIST ? FLOW_EXISTS : FLOW_TABLE_FULL;
	}
	if (bpf_map_push_elem(&sweep_queue4, &queued, BPF_ANY)) {
		bpf_map_delete_elem(&flows4, &req->key);
		bpf_map_delete_elem(&flows4, &req->orig);
		return FLOW_TABLE_FULL;
	}
	req->claimed = 1;
	__sync_fetch_and_add(&sweeper->flows, 1);
	rule_count_flow(req->rule_in);
	rule_count_flow(req->rule_out);
	return FLOW_CLAIMED;
}

#endif
