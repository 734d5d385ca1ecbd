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

/* Is the pair to go? An original entry without its answering one was made by an interrupted delete. */
static __always_inline int sweep_expired(const struct sweeper *sweeper, __u8 proto,
					 const struct flow *orig, const struct flow *peer)
{
	const struct settings *set = settings_get();

	return !peer || !set || flow_expired(set, proto, orig, peer, sweeper->shorten);
}

/* Is it the flow that the key in the queue stands for? */
static __always_inline int sweep_is_of(const struct flow *orig, __u32 serial)
{
	return orig && !(orig->flags & FLOW_REPLY) && orig->serial == serial;
}

/* What the flow holds; its rules go to the request, for what they are to be freed of. */
static __always_inline __u32 sweep_holds(const struct flow *orig)
{
	struct request *r = request_get();

	if (!r)
		return 0;
	r->rule_in = orig->rule_in;
	r->rule_out = orig->rule_out;
	return orig->flags & FLOW_HOLDS;
}

static __always_inline void sweep_free(const struct flow_key *orig, const struct flow_key *reply,
				       __u32 flags)
{
	struct request *r = request_get();

	if (!r)
		return;
	r->key = *orig;
	r->back = *reply;
	r->p.tuple.family = orig->family;
	flow_gone(flags);
}

static __always_inline void sweep_free4(const struct flow_key4 *orig, const struct flow_key4 *reply,
					__u32 flags)
{
	struct request *r = request_get();

	if (!r)
		return;
	flow_key_from4(orig, &r->key);
	flow_key_from4(reply, &r->back);
	r->p.tuple.family = FAMILY_IP4;
	flow_gone(flags);
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
__attribute__((noinline)) int sweep_one4(void)
{
	struct sweeper *sweeper = sweeper_get();
	struct sweep_key4 queued;
	struct flow_key4 peer_key = { 0 };
	struct flow4 *orig, *peer;
	__u32 flags;

	if (!sweeper || bpf_map_pop_elem(&sweep_queue4, &queued))
		return 1;
	sweeper->looked_at++;
	orig = bpf_map_lookup_elem(&flows4, &queued.key);
	if (sweep_is_of((struct flow *)orig, queued.serial)) {
		peer_key.saddr = orig->daddr;
		peer_key.daddr = orig->saddr;
		peer_key.sport = orig->flow.dport;
		peer_key.dport = orig->flow.sport;
		peer_key.proto = queued.key.proto;
		peer = bpf_map_lookup_elem(&flows4, &peer_key);
		if (!sweep_expired(sweeper, queued.key.proto, &orig->flow, (struct flow *)peer) &&
		    !bpf_map_push_elem(&sweep_queue4, &queued, BPF_ANY))
			return 0;
		flags = sweep_holds(&orig->flow);
		bpf_map_delete_elem(&flows4, &peer_key);
		if (!bpf_map_delete_elem(&flows4, &queued.key) && flags)
			sweep_free4(&queued.key, &peer_key, flags);
		sweeper->expired++;
	}
	__sync_fetch_and_add(&sweeper->flows[FAMILY_IP4], -1);
	return 0;
}

__attribute__((noinline)) int sweep_one6(void)
{
	struct sweeper *sweeper = sweeper_get();
	struct sweep_key6 queued;
	struct flow6 *orig, *peer;
	struct flow_key peer_key;
	__u32 flags;

	if (!sweeper || bpf_map_pop_elem(&sweep_queue6, &queued))
		return 1;
	sweeper->looked_at++;
	orig = bpf_map_lookup_elem(&flows6, &queued.key);
	if (sweep_is_of((struct flow *)orig, queued.serial)) {
		flow_peer_key6(orig, &queued.key, &peer_key);
		peer = bpf_map_lookup_elem(&flows6, &peer_key);
		if (!sweep_expired(sweeper, queued.key.proto, &orig->flow, (struct flow *)peer) &&
		    !bpf_map_push_elem(&sweep_queue6, &queued, BPF_ANY))
			return 0;
		flags = sweep_holds(&orig->flow);
		bpf_map_delete_elem(&flows6, &peer_key);
		if (!bpf_map_delete_elem(&flows6, &queued.key) && flags)
			sweep_free(&queued.key, &peer_key, flags);
		sweeper->expired++;
	}
	__sync_fetch_and_add(&sweeper->flows[FAMILY_IP6], -1);
	return 0;
}

/* A few at a time, in functions of their own: loops of loops cost the verifier their sum, not their product. */
__attribute__((noinline)) int sweep_some4(void)
{
	for (int i = 0; i < SWEEP_BATCH; i++)
		if (sweep_one4())
			return 1;
	return 0;
}

__attribute__((noinline)) int sweep_some6(void)
{
	for (int i = 0; i < SWEEP_BATCH; i++)
		if (sweep_one6())
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
static __always_inline __u32 sweep_slice(__u64 flows)
{
	__u32 count = flows / SWEEP_ROUND;

	if (count < SWEEP_SLICE_MIN)
		count = SWEEP_SLICE_MIN;
	if (count > SWEEP_SLICE_MAX)
		count = SWEEP_SLICE_MAX;
	if (sweep_shorten(flows))
		count = SWEEP_SLICE_RUSH;
	return count > flows ? flows : count;
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
	__u64 of_ip4 = sweeper->flows[FAMILY_IP4], of_ip6 = sweeper->flows[FAMILY_IP6];
	__u32 count = sweep_slice(of_ip4);

	if (!(sweeper->ticks++ % SWEEP_HELD_TICKS))
		bpf_for_each_map_elem(&held_fragments, sweep_held, NULL, 0);
	sweeper->tick_ns = bpf_ktime_get_ns();
	sweeper->tick_jiffies = jiffies_now();
	sweeper->shorten = sweep_shorten(of_ip4);
	for (__u32 i = 0; i < SWEEP_SLICE_RUSH && i < count; i += SWEEP_BATCH)
		if (sweep_some4())
			break;
	count = sweep_slice(of_ip6);
	sweeper->shorten = sweep_shorten(of_ip6);
	for (__u32 i = 0; i < SWEEP_SLICE_RUSH && i < count; i += SWEEP_BATCH)
		if (sweep_some6())
			break;
	count = sweep_slice(sweeper->mappings);
	for (__u32 i = 0; i < SWEEP_SLICE_RUSH && i < count; i += SWEEP_BATCH)
		if (sweep_mappings())
			break;
	bpf_timer_start(&sweeper->timer, of_ip4 || of_ip6 ? SWEEP_TICK_NS : SWEEP_IDLE_NS, 0);
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
