/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ending idle flows with no process running: one timer that goes through a slice of the flow table per
 * tick and ends what has expired. A timer per flow would be two allocations per flow in softirq, which
 * fail under load; and neighbouring buckets are read far faster than those that a list would name.
 */
#ifndef XFWD_SWEEP_H
#define XFWD_SWEEP_H

#include "admit.h"
#include "port_alloc.h"

#define SWEEP_TICK_NS      (10 * 1000 * 1000ULL)
#define SWEEP_IDLE_NS      (1000 * 1000 * 1000ULL) /* there are no flows */
#define SWEEP_STEP         16 /* buckets */
#define SWEEP_STEPS        144 /* a tick, at most: the default table in two seconds */
#define SWEEP_IDLE_FLOWS   64 /* a tick, at most: about 50 microseconds, half a percent of its time */
#define SWEEP_RUSH         144 /* nearly full */
#define SWEEP_SLICE_NS     (80 * 1000ULL) /* a tick and family, at most, where memory is slow */
#define SWEEP_MAPPINGS     32 /* a tick, at least */
#define SWEEP_MAPPINGS_MAX 64 /* a tick, at most */
#define SWEEP_BATCH        8 /* of mappings: their numbers are multiples of it */
#define SWEEP_ROUND        3000 /* ticks for a round of more mappings */
#define SWEEP_HELD_TICKS   64 /* between looks at the fragments that are held */

/* Nearly full: flows that nobody ever answered live an eighth as long. */
#define SWEEP_SHORTEN      3

/*
 * The flow that has an entry in that bucket which has not been used for a while. What lacks its other
 * entry is left of a flow that was ended, and made again, by two CPUs at once. Functions of their own
 * to the verifier, which so looks at them once and not once a round.
 */
__attribute__((noinline)) int sweep_flow(__u32 family, __u32 at)
{
	__u32 *tag = bucket_tag(family, at);
	struct request *r = request_get();
	const struct flow *f, *peer;
	int is_reply;

	if (!tag || !r)
		return 0;
	if (family == FAMILY_IP4)
		bucket4_key((const void *)tag, &r->p.tuple);
	else
		bucket6_key((const void *)tag, &r->p.tuple);
	sweeper.looked_at++;
	f = request_pair(r, &r->p.tuple);
	if (!f)
		return 0;
	is_reply = f->flags & FLOW_REPLY;
	r->key = r->peer;
	peer = flow_half(r, &r->key, &r->p.tuple);
	r->peer = r->key;
	if (peer && (is_reply || !flow_expired(r->p.tuple.proto, f, peer, sweeper.shorten)))
		return 0;
	flow_end(is_reply);
	sweeper.expired++;
	return 0;
}

/*
 * Live, and idle for so long that the flow may have expired; an answering entry, that nothing can have
 * kept it: the original entry is the one that tells.
 */
static __always_inline int sweep_is_idle(enum family family, __u32 *tag, __u32 now)
{
	const struct flow *f = bucket_flow(family, tag);

	return *tag & BUCKET_LIVE &&
	       now - f->used > (f->flags & FLOW_REPLY ? sweeper.longest : sweeper.least);
}

/* A few buckets from there on. How many flows were looked at. */
static __always_inline int sweep_step_of(enum family family, __u32 from)
{
	__u32 now = jiffies_now(), *tag;
	int looked_at = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < SWEEP_STEP; i++) {
		tag = bucket_tag(family, from + i);
		if (tag && unlikely(sweep_is_idle(family, tag, now))) {
			sweep_flow(family, from + i);
			looked_at++;
		}
	}
	return looked_at;
}

__attribute__((noinline)) int sweep4_step(__u32 from)
{
	return sweep_step_of(FAMILY_IP4, from);
}

__attribute__((noinline)) int sweep6_step(__u32 from)
{
	return sweep_step_of(FAMILY_IP6, from);
}

/* One mapping, likewise: those that nobody has held for a while end. */
__attribute__((noinline)) int sweep_mapping(void)
{
	struct request *r = request_get();
	struct mapping *m;

	if (!r || bpf_map_pop_elem(&mapping_queue, &r->mapping_key))
		return 1;
	m = bpf_map_lookup_elem(&mappings, &r->mapping_key);
	if (m &&
	    (m->flows || jiffies_now() - m->idle < MAPPING_QUARANTINE_SECONDS * settings.hz ||
	     mapping_end(r, m)) &&
	    !bpf_map_push_elem(&mapping_queue, &r->mapping_key, BPF_ANY))
		return 0;
	__sync_fetch_and_add(&sweeper.mappings, -1);
	return 0;
}

/* A few at a time: loops of loops cost the verifier their sum, not their product. */
__attribute__((noinline)) int sweep_mappings(void)
{
	for (int i = 0; i < SWEEP_BATCH; i++)
		if (sweep_mapping())
			return 1;
	return 0;
}

static __always_inline __u32 sweep_longest(void)
{
	__u32 longest = 0;

	for (int i = 0; i < TIMEOUT_COUNT; i++)
		if (settings.timeout[i] > longest)
			longest = settings.timeout[i];
	return longest;
}

/* From where the last tick has come to, as far as one may go, and no further than the table's end. */
static __always_inline void sweep_family(enum family family)
{
	__s64 flows = sweeper.flows[family]; /* one may end before it is counted */
	__u32 at = sweeper.at[family], idle = 0, most = SWEEP_IDLE_FLOWS;
	__u64 began = bpf_ktime_get_ns(), slice = SWEEP_SLICE_NS;

	if (flows <= 0)
		return;
	sweeper.shorten = 0;
	if (flows > settings.flow_max - settings.flow_max / 8) {
		sweeper.shorten = SWEEP_SHORTEN;
		most = SWEEP_RUSH;
		slice = 2 * SWEEP_SLICE_NS;
	}
	sweeper.least = settings.timeout_least >> sweeper.shorten;
	sweeper.longest = sweep_longest();
	for (__u32 i = 0; i < SWEEP_STEPS && idle < most; i++) {
		idle += family == FAMILY_IP4 ? sweep4_step(at) : sweep6_step(at);
		at += SWEEP_STEP;
		if (at >= flow_buckets(settings.flow_max) || bpf_ktime_get_ns() - began > slice)
			break;
	}
	sweeper.at[family] = at < flow_buckets(settings.flow_max) ? at : 0;
}

/* How many of so many mappings to look at in one tick. */
static __always_inline __u32 sweep_slice(__u64 keys)
{
	__u32 count = keys / SWEEP_ROUND;

	if (count < SWEEP_MAPPINGS)
		count = SWEEP_MAPPINGS;
	if (count > SWEEP_MAPPINGS_MAX)
		count = SWEEP_MAPPINGS_MAX;
	if (count > keys)
		count = keys;
	barrier_var(count); /* or clang, which knows its bound, leaves that out where it is used */
	return count;
}

/* Long enough for packets to overtake each other, on any path. */
#define HELD_SECONDS 2

static long sweep_held(void *map, struct held_key *key, struct held *held,
		       void *context __attribute__((unused)))
{
	if (jiffies_now() - held->seen > HELD_SECONDS * settings.hz)
		bpf_map_delete_elem(map, key);
	return 0;
}

static int sweep_tick(void *map __attribute__((unused)), __u32 *zero __attribute__((unused)),
		      struct sweep_timer *timer)
{
	__u64 next = SWEEP_IDLE_NS;
	__u32 count;

	if (sweeper.flows[FAMILY_IP4] || sweeper.flows[FAMILY_IP6] || sweeper.mappings)
		next = SWEEP_TICK_NS;
	if (!(sweeper.ticks++ % SWEEP_HELD_TICKS))
		bpf_for_each_map_elem(&held_fragments, sweep_held, NULL, 0);
	sweeper.tick_ns = bpf_ktime_get_ns();
	sweeper.tick_jiffies = jiffies_now();
	sweep_family(FAMILY_IP4);
	sweep_family(FAMILY_IP6);
	count = sweep_slice(sweeper.mappings);
	for (__u32 i = 0; i < SWEEP_MAPPINGS_MAX && i < count; i += SWEEP_BATCH)
		if (sweep_mappings())
			break;
	bpf_timer_start(&timer->timer, next, 0);
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
	flow_end(0);
	return 1;
}

/* Run once, by user space, when the maps are new: the timer then lives as long as they do. */
SEC("tc")
int sweep_start(struct __sk_buff *skb __attribute__((unused)))
{
	__u32 zero = 0;
	struct sweep_timer *timer = bpf_map_lookup_elem(&sweep_timers, &zero);

	if (!timer)
		return 1;
	if (bpf_timer_init(&timer->timer, &sweep_timers, CLOCK_MONOTONIC))
		return SWEEP_NO_TIMER;
	if (bpf_timer_set_callback(&timer->timer, sweep_tick))
		return 3;
	sweeper.tick_ns = bpf_ktime_get_ns();
	sweeper.tick_jiffies = jiffies_now();
	return bpf_timer_start(&timer->timer, SWEEP_TICK_NS, 0) ? 4 : 0;
}

#endif
