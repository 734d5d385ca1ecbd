/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ending idle flows with no process running: one timer that takes a bounded slice of the queue of
 * flow keys per tick, ends what has expired and puts the rest back. A timer per flow would be two
 * allocations per flow in softirq, which fail under load.
 */
#ifndef XFWD_SWEEP_H
#define XFWD_SWEEP_H

#include "admit.h"
#include "port_alloc.h"

#define SWEEP_TICK_NS    (10 * 1000 * 1000ULL)
#define SWEEP_IDLE_NS    (1000 * 1000 * 1000ULL) /* nothing in the queue */
#define SWEEP_SLICE_MIN  32
#define SWEEP_SLICE_MAX  56 /* about 100 microseconds, one percent of a tick's time */
#define SWEEP_SLICE_RUSH 144 /* nearly full */
#define SWEEP_BATCH      8 /* slices are multiples of it */
#define SWEEP_HELD_TICKS 64 /* between looks at the fragments that are held */
#define SWEEP_ROUND      3000 /* ticks for one round where slices are larger than the least */

/* Nearly full: flows that nobody ever answered live an eighth as long. */
#define SWEEP_SHORTEN    3

enum sweep_outcome {
	SWEEP_STAYS,
	SWEEP_ENDS,
	SWEEP_GONE, /* somebody else has ended it: the key stands for nothing */
};

/*
 * The flow that a key in the queue stands for: r->p.tuple is that key, r->peer will be the other one.
 * An original entry without its answering one was made by an interrupted removal.
 */
static __always_inline enum sweep_outcome sweep_look(struct request *r, __u32 serial, __u32 shorten)
{
	const struct flow *orig = request_pair(r, &r->p.tuple), *peer;
	const struct settings *set = settings_get();

	if (!orig || !set || orig->flags & FLOW_REPLY || orig->serial != serial)
		return SWEEP_GONE;
	peer = request_flow(r, &r->peer);
	if (!peer || flow_expired(set, r->p.tuple.proto, orig, peer, shorten))
		return SWEEP_ENDS;
	return SWEEP_STAYS;
}

static __always_inline long sweep_pop4(struct request *r)
{
	long err = bpf_map_pop_elem(&sweep_queue4, &r->queued4);

	flow_key_from4(&r->queued4.key, &r->p.tuple);
	return err;
}

static __always_inline long sweep_pop6(struct request *r)
{
	long err = bpf_map_pop_elem(&sweep_queue6, &r->queued6);

	r->p.tuple = r->queued6.key;
	return err;
}

/* One mapping, likewise: those that nobody has held for a while end. */
__attribute__((noinline)) int sweep_mapping(void)
{
	struct sweeper *sweeper = sweeper_get();
	const struct settings *set = settings_get();
	struct request *r = request_get();
	struct mapping *m;

	if (!sweeper || !set || !r || bpf_map_pop_elem(&mapping_queue, &r->mapping_key))
		return 1;
	m = bpf_map_lookup_elem(&mappings, &r->mapping_key);
	if (m &&
	    (m->flows || jiffies_now() - m->idle < MAPPING_QUARANTINE_SECONDS * set->hz ||
	     mapping_end(r, m)) &&
	    !bpf_map_push_elem(&mapping_queue, &r->mapping_key, BPF_ANY))
		return 0;
	__sync_fetch_and_add(&sweeper->mappings, -1);
	return 0;
}

/*
 * One key. 1 ends the slice. A key that there is no room for any more, though it was just taken out,
 * has its flow ended rather than lost. Functions of their own to the verifier, which so looks at them
 * once and not once a round.
 */
__attribute__((noinline)) int sweep_one(__u32 family)
{
	struct sweeper *sweeper = sweeper_get();
	struct request *r = request_get();
	enum sweep_outcome outcome;

	if (!sweeper || !r || (family == FAMILY_IP4 ? sweep_pop4(r) : sweep_pop6(r)))
		return 1;
	sweeper->looked_at++;
	outcome = sweep_look(r, family == FAMILY_IP4 ? r->queued4.serial : r->queued6.serial,
			     sweeper->shorten);
	if (outcome == SWEEP_STAYS &&
	    !(family == FAMILY_IP4 ? bpf_map_push_elem(&sweep_queue4, &r->queued4, BPF_ANY)
				   : bpf_map_push_elem(&sweep_queue6, &r->queued6, BPF_ANY)))
		return 0;
	if (outcome != SWEEP_GONE) {
		flow_end(r, 0);
		sweeper->expired++;
	}
	__sync_fetch_and_add(&sweeper->queued[family & 1], -1);
	return 0;
}

/* A few at a time, in functions of their own: loops of loops cost the verifier their sum, not their product. */
__attribute__((noinline)) int sweep_some(__u32 family)
{
	for (int i = 0; i < SWEEP_BATCH; i++)
		if (sweep_one(family))
			return 1;
	return 0;
}

__attribute__((noinline)) int sweep_mappings(void)
{
	for (int i = 0; i < SWEEP_BATCH; i++)
		if (sweep_mapping())
			return 1;
	return 0;
}

/* Nearly full: those that were never answered have to hurry. */
static __always_inline __u32 sweep_shorten(__u64 flows)
{
	const struct settings *set = settings_get();

	return set && flows > set->flow_max - set->flow_max / 8 ? SWEEP_SHORTEN : 0;
}

/* How many of so many keys to look at in one tick. */
static __always_inline __u32 sweep_slice(__u64 keys, __u32 rush)
{
	__u32 count = keys / SWEEP_ROUND;

	if (count < SWEEP_SLICE_MIN)
		count = SWEEP_SLICE_MIN;
	if (count > SWEEP_SLICE_MAX)
		count = SWEEP_SLICE_MAX;
	if (rush)
		count = SWEEP_SLICE_RUSH;
	if (count > keys)
		count = keys;
	barrier_var(count); /* or clang, which knows its bound, leaves that out where it is used */
	return count;
}

static __always_inline void sweep_family(struct sweeper *sweeper, enum family family)
{
	__u32 count;

	sweeper->shorten = sweep_shorten(sweeper->flows[family]);
	count = sweep_slice(sweeper->queued[family], sweep_shorten(sweeper->queued[family]));
	for (__u32 i = 0; i < SWEEP_SLICE_RUSH && i < count; i += SWEEP_BATCH)
		if (sweep_some(family))
			break;
}

/* Long enough for packets to overtake each other, on any path. */
#define HELD_SECONDS 2

static long sweep_held(void *map, struct held_key *key, struct held *held,
		       void *context __attribute__((unused)))
{
	const struct settings *set = settings_get();

	if (set && jiffies_now() - held->seen > HELD_SECONDS * set->hz)
		bpf_map_delete_elem(map, key);
	return 0;
}

static int sweep_tick(void *map __attribute__((unused)), __u32 *zero __attribute__((unused)),
		      struct sweeper *sweeper)
{
	__u64 next = SWEEP_IDLE_NS;
	__u32 count;

	if (sweeper->queued[FAMILY_IP4] || sweeper->queued[FAMILY_IP6])
		next = SWEEP_TICK_NS;
	if (!(sweeper->ticks++ % SWEEP_HELD_TICKS))
		bpf_for_each_map_elem(&held_fragments, sweep_held, NULL, 0);
	sweeper->tick_ns = bpf_ktime_get_ns();
	sweeper->tick_jiffies = jiffies_now();
	sweep_family(sweeper, FAMILY_IP4);
	sweep_family(sweeper, FAMILY_IP6);
	count = sweep_slice(sweeper->mappings, 0);
	for (__u32 i = 0; i < SWEEP_SLICE_RUSH && i < count; i += SWEEP_BATCH)
		if (sweep_mappings())
			break;
	bpf_timer_start(&sweeper->timer, next, 0);
	return 0;
}

/*
 * Ends one flow, for user space: run with the key of its original direction as the packet. Returns
 * how many it ended.
 */
SEC("tc")
int flow_forget(struct __sk_buff *skb)
{
	struct request *r = request_get();
	struct flow *f;

	if (!r || bpf_skb_load_bytes(skb, 0, &r->p.tuple, sizeof(r->p.tuple)))
		return 0;
	f = request_pair(r, &r->p.tuple);
	if (!f || f->flags & FLOW_REPLY)
		return 0;
	flow_end(r, 0);
	return 1;
}

/* Run once, by user space, when the maps are new: the timer then lives as long as they do. */
SEC("tc")
int sweep_start(struct __sk_buff *skb __attribute__((unused)))
{
	struct sweeper *sweeper = sweeper_get();

	if (!sweeper)
		return 1;
	if (bpf_timer_init(&sweeper->timer, &sweepers, CLOCK_MONOTONIC))
		return 2;
	if (bpf_timer_set_callback(&sweeper->timer, sweep_tick))
		return 3;
	sweeper->tick_ns = bpf_ktime_get_ns();
	sweeper->tick_jiffies = jiffies_now();
	return bpf_timer_start(&sweeper->timer, SWEEP_TICK_NS, 0) ? 4 : 0;
}

#endif
