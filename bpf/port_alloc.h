/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * New flows: choosing a source port and claiming both entries.
 *
 * The reply tuple is claimed, if nobody has it. That claim is the port's allocation: two CPUs can
 * never hold one port towards one destination.
 */
#ifndef XFWD_PORT_ALLOC_H
#define XFWD_PORT_ALLOC_H

#include "account.h"
#include "checksum.h"
#include "hold.h"

enum flow_claim {
	FLOW_CLAIMED,
	FLOW_EXISTS, /* another CPU made the same flow in the meantime */
	FLOW_NO_PORT,
	FLOW_TABLE_FULL,
};

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
	f->addr_delta =
		csum_delta_none(csum_delta_address((struct flow_key *)from, (struct flow_key *)to));
	if (!address_equal(from->saddr, to->saddr) || from->sport != to->sport)
		flags |= FLOW_SNAT;
	if (!address_equal(from->daddr, to->daddr) || from->dport != to->dport)
		flags |= FLOW_DNAT;
	f->flags = flags;
	f->used = jiffies_now();
	f->generation = (__u16)r->p.generation;
	if (flags & FLOW_REPLY)
		f->mss = r->mss;
	f->rule_in = r->rule_in;
	f->rule_out = r->rule_out;
}

/*
 * The i-th port to try. All of a range come up, those of the wanted port's parity first (RFC 4787
 * R4), from a place that nobody outside can know (RFC 6056).
 */
static __always_inline __u16 port_candidate(const struct request *r, __u32 i, __u32 start)
{
	__u32 width = r->port_max - r->port_min + 1U, even = (width + 1) / 2, odd = width / 2;
	__u32 other = (r->port_min ^ bpf_ntohs(r->p.tuple.sport)) & 1;
	__u32 alike = other ? odd : even;

	if (i >= alike || i >= XFWD_PORT_TRIES / 2) {
		i -= alike < XFWD_PORT_TRIES / 2 ? alike : XFWD_PORT_TRIES / 2;
		other = !other;
		alike = width - alike;
	}
	if (!alike)
		return r->port_min;
	return r->port_min + other + 2 * ((start + i) % alike);
}

/* What the flow holds, as its entries say it. */
static __always_inline __u8 holds(const struct request *r)
{
	return r->flags | (r->mapping == MAPPING_NONE ? 0 : FLOW_MAPPED);
}

#define PORT_KEPT (~0U) /* no candidate: r->want as it is */

/*
 * Claims the outside endpoint of a mapping to be made, and has r->sought, r->home and r->entry ready
 * for the answering entry that belongs to r->want. 0 or a negative errno. A function of its own to the
 * verifier, so that the search for a port costs it a few calls a round.
 */
__attribute__((noinline)) int flow_want_reply(__u32 candidate, __u32 start)
{
	struct request *r = request_get();
	int err;

	if (!r)
		return -ENOENT;
	if (candidate != PORT_KEPT)
		r->want.sport = bpf_htons(port_candidate(r, candidate, start));
	flow_key_reverse(&r->want, &r->key);
	flow_key_reverse(&r->p.tuple, &r->back);
	if (key_equal(&r->key, &r->p.tuple))
		return -EEXIST; /* its own answer: another port is needed */
	bucket_seek_soon(r, &r->key);
	if (r->mapping == MAPPING_NEW) {
		err = outside_claim(r);
		if (err)
			return err;
		if (r->want.sport != r->key.dport) { /* of a mapping that another CPU has made */
			flow_key_reverse(&r->want, &r->key);
			bucket_seek_soon(r, &r->key);
		}
	}
	flow_fill(r, &r->key, &r->back, FLOW_REPLY | r->from_local | holds(r));
	return 0;
}

/*
 * The answering entry of r->want as it is, the port that is tried first, will be asked for soon: its
 * bucket, which is hardly ever in a cache, comes here while other things are asked.
 */
__attribute__((noinline)) int flow_expect_reply(void)
{
	struct request *r = request_get();

	if (!r)
		return 0;
	flow_key_reverse(&r->want, &r->key);
	bucket_seek_soon(r, &r->key);
	return 0;
}

__attribute__((noinline)) int flow_unwant_reply(void)
{
	struct request *r = request_get();

	if (r && r->mapping == MAPPING_NEW)
		bpf_map_delete_elem(&outsides, &r->outside_key);
	return 0;
}

/* Claims the reply tuple, and all that goes with it. 0 or a negative errno; -EEXIST: it is taken. */
__attribute__((noinline)) int flow_claim_reply(__u32 candidate, __u32 start)
{
	int err = flow_want_reply(candidate, start);

	if (err)
		return err;
	err = bucket_lock();
	if (!err)
		err = bucket_add();
	if (err)
		flow_unwant_reply();
	return err;
}

/* Of a large range, what was in use a moment ago mostly is so still. */
#define TAKE_OVER_TRIES 16

/*
 * How many candidates are tried: in the request, as the verifier would go through the search once for
 * each number that there may be.
 */
static __always_inline void search_limit(struct request *r)
{
	r->tries = r->port_max - r->port_min + 1U;
	if (r->tries > XFWD_PORT_TRIES)
		r->tries = r->take_over ? TAKE_OVER_TRIES : XFWD_PORT_TRIES;
}

/* Goes through the candidates. 0, -EEXIST where all are taken, or a negative errno. */
__attribute__((noinline)) int flow_search_port(void)
{
	struct request *r = request_get();
	int err = -EEXIST;
	__u32 start;

	if (!r)
		return -ENOENT;
	start = (__u32)hash64(((__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32()) ^
			      settings.secret);
	for (__u32 i = 0; i < XFWD_PORT_TRIES && i < r->tries; i++) {
		err = flow_claim_reply(i, start);
		if (err != -EEXIST || r->mapping == MAPPING_KNOWN)
			break;
	}
	return err;
}

/* What a search for a port is for; of a mapping, no destination. Never 0. */
static __always_inline __u64 search_subject(const struct request *r)
{
	const struct flow_key *want = &r->want;
	__u64 subject = (__u64)r->port_min << 8 | want->proto;

	for (int i = 0; i < 4; i += 2)
		subject = hash64(subject ^ ((__u64)want->saddr[i] << 32 | want->saddr[i + 1]));
	if (r->mapping == MAPPING_NEW)
		return subject | 1;
	for (int i = 0; i < 4; i += 2)
		subject = hash64(subject ^ ((__u64)want->daddr[i] << 32 | want->daddr[i + 1]));
	return hash64(subject ^ want->dport) | 1;
}

/*
 * Where there was no port a moment ago there is none now: a flood of new flows must not have the
 * ports searched for each of them, but for one a jiffy, on each CPU.
 */
static __always_inline int search_port(struct request *r)
{
	__u64 subject = search_subject(r);
	int err;

	if (r->vain_at == packet_now(&r->p) && r->vain_subject == subject)
		return -EEXIST;
	search_limit(r);
	err = flow_search_port();
	if (err == -EEXIST && r->mapping == MAPPING_NEW) {
		r->take_over = 1;
		search_limit(r);
		err = flow_search_port();
	}
	if (err == -EEXIST && r->mapping != MAPPING_KNOWN) {
		r->vain_at = packet_now(&r->p);
		r->vain_subject = subject;
	}
	return err;
}

/*
 * The mapping's port leads to this destination for another flow: of the same source, to another
 * address or port that a dnat rule sends there, too. 1: this one may have a port of its own. 0: it is
 * this one, which another CPU makes.
 */
__attribute__((noinline)) int flow_leave_mapping(void)
{
	struct request *r = request_get();

	if (!r)
		return 0;
	flow_key_reverse(&r->want, &r->key);
	r->sought = r->key;
	if (bucket_find_pair() < 0 || key_equal(&r->peer, &r->p.tuple))
		return 0;
	mapping_release(&r->mapping_key);
	r->mapping = MAPPING_NONE;
	r->choose = 1;
	return 1;
}

/*
 * Sets r->want to the first translation whose reply tuple was free, now claimed. First the port
 * that the packet has, then others of the range: all of a small one, so that none stays unused, and
 * a bounded part of a large one. Ports that are kept from use for a while come last.
 */
static __always_inline enum flow_claim flow_claim_port(struct request *r)
{
	int err = -EEXIST;

	if (r->keep)
		err = flow_claim_reply(PORT_KEPT, 0);
	if (err == -EEXIST && r->mapping == MAPPING_KNOWN && !flow_leave_mapping())
		return FLOW_NO_PORT;
	if (err == -EEXIST && r->choose && r->port_max >= r->port_min)
		err = search_port(r);
	if (!err)
		return FLOW_CLAIMED;
	return err == -EEXIST ? FLOW_NO_PORT : FLOW_TABLE_FULL;
}

/*
 * Has r->sought, r->home and r->entry ready for the original entry. A function of its own, for room on
 * the stack.
 */
__attribute__((noinline)) int flow_want_original(void)
{
	struct request *r = request_get();

	if (!r)
		return -ENOENT;
	bucket_seek_soon(r, &r->p.tuple);
	flow_fill(r, &r->p.tuple, &r->want, r->to_local | holds(r));
	/* what keeps its source is bound to nothing: it may go through several devices that are attached */
	if (r->masquerade && r->entry.flow.flags & FLOW_SNAT) {
		r->entry.flow.flags |= FLOW_MASQUERADED;
		r->entry.flow.port = r->masquerade;
	}
	return 0;
}

/* The entry of the original direction. 0 or a negative errno. */
static __always_inline int flow_add_original(void)
{
	int err = flow_want_original();

	if (!err)
		err = bucket_lock();
	return err ? err : bucket_add();
}

/* Takes back what flow_create() made. */
__attribute__((noinline)) int flow_undo(void)
{
	struct request *r = request_get();
	__u32 in, out;

	if (!r)
		return 0;
	in = r->rule_in;
	out = r->rule_out;
	flow_key_reverse(&r->want, &r->peer);
	flow_end(0);
	r->rule_in = in;
	r->rule_out = out;
	r->flags = 0;
	if (r->mapping != MAPPING_NONE)
		mapping_forget(r);
	return 0;
}

__attribute__((noinline)) int flow_appears(void)
{
	struct request *r = request_get();

	if (!r)
		return 0;
	r->sought = r->p.tuple;
	return bucket_find() >= 0;
}

/* Is the packet's flow there, or begun by another CPU? The answering entry comes first. */
__attribute__((noinline)) int flow_is_coming(void)
{
	struct request *r = request_get();

	if (!r)
		return 0;
	flow_key_reverse(&r->want, &r->sought);
	return bucket_find_pair() >= 0 && key_equal(&r->peer, &r->p.tuple);
}

#define AWAIT_ROUNDS 64 /* many times what it takes from the first entry to the second */

/*
 * Waits for a flow that another CPU makes. 1: it is there. What does not come to be is half of a flow
 * that two CPUs have ended and made again at once: it makes way for the next packet's.
 */
static __always_inline int flow_await(struct request *r)
{
	if (!flow_is_coming())
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < AWAIT_ROUNDS; i++) {
		if (flow_appears())
			return 1;
		pause();
	}
	if (!request_remove(r, &r->key) && flow_appears()) {
		flow_key_reverse(&r->want, &r->peer);
		flow_end(0); /* it has come in the meantime: half of it is no use */
	}
	return 0;
}

/* The flow is not made after all: what was held for it is free. Who may answer it was not noted yet. */
__attribute__((noinline)) int flow_unheld(void)
{
	struct request *r = request_get();

	if (!r)
		return 0;
	if (r->mapping == MAPPING_KNOWN)
		mapping_release(&r->mapping_key);
	r->key = r->p.tuple;
	flow_key_reverse(&r->want, &r->back);
	return flow_gone(r->flags);
}

/* The claim failed, or another CPU made the flow. */
static __always_inline int flow_give_up(struct request *r, int claim)
{
	flow_unheld();
	flow_key_reverse(&r->want, &r->key);
	return claim == FLOW_NO_PORT && flow_await(r) ? FLOW_EXISTS : claim;
}

/* Both entries are there. */
__attribute__((noinline)) int flow_made(void)
{
	struct request *r = request_get();

	if (!r)
		return FLOW_CLAIMED;
	__sync_fetch_and_add(&sweeper.flows[r->p.tuple.family & 1], 1);
	if (r->mapping != MAPPING_NONE && r->outside.filter & RULE_FILTER_ADDRESS)
		permit_add(r);
	r->claimed = 1;
	rule_count_flow(r->rule_in, r->rule_out);
	return FLOW_CLAIMED;
}

/* Another CPU has ended what was just made, and counted it as one less. */
static __always_inline int flow_taken(struct request *r)
{
	__sync_fetch_and_add(&sweeper.flows[r->p.tuple.family & 1], 1);
	r->mapping = MAPPING_NONE;
	r->flags = 0;
	return FLOW_TABLE_FULL;
}

static __always_inline int flow_table_full(const struct request *r)
{
	/* signed: a flow may end before it is counted */
	return (__s64)sweeper.flows[r->p.tuple.family & 1] >= settings.flow_max;
}

/*
 * The answering entry has one port, and the mapping, which another CPU has made in the meantime for a
 * flow to another destination, has another one: the flow takes that. 0, or a negative errno.
 */
static __always_inline int flow_join_mapping(struct request *r)
{
	flow_key_reverse(&r->want, &r->key);
	request_remove(r, &r->key);
	return mapping_join() ? -EEXIST : flow_claim_reply(PORT_KEPT, 0);
}

/* The answering entry is there, of a mapping its outside half, too. An enum flow_claim. */
static __always_inline int flow_complete(struct request *r)
{
	int err;

	if (r->mapping == MAPPING_NEW && mapping_make(r) && flow_join_mapping(r))
		return FLOW_NO_PORT;
	err = flow_add_original();
	if (!err && flow_is_coming())
		return flow_made();
	/* Who ended the flow before has taken the new answering entry; and if the other, what it held. */
	if (!err && request_remove(r, &r->p.tuple))
		return flow_taken(r);
	flow_key_reverse(&r->want, &r->key);
	request_remove(r, &r->key);
	if (r->mapping != MAPPING_NONE)
		r->mapping = MAPPING_KNOWN;
	return err == -EEXIST ? FLOW_EXISTS : FLOW_TABLE_FULL;
}

/*
 * Makes the pair of entries, or nothing: an enum flow_claim. On FLOW_CLAIMED and FLOW_EXISTS the
 * flow is in the table.
 */
__attribute__((noinline)) int flow_create(void)
{
	struct request *r = request_get();
	int claim;

	if (!r)
		return FLOW_TABLE_FULL;
	claim = flow_table_full(r) ? FLOW_TABLE_FULL : flow_claim_port(r);
	if (claim == FLOW_CLAIMED)
		claim = flow_complete(r);
	return claim == FLOW_CLAIMED ? claim : flow_give_up(r, claim);
}

#endif
