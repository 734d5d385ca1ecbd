/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ending idle flows with no process running: one timer that takes a bounded slice of the queue of
 * flow keys per tick, ends what has expired and puts the rest back. A timer per flow would be two
 * allocations per flow in softirq, which fail under load.
 */
#ifndef XFWD_SWEEP_H
#define XFWD_SWEEP_H

#include "flow_table.h"
#include "loop.h"
#include "port_alloc.h"

#define SWEEP_TICK_NS   (10 * 1000 * 1000ULL)
#define SWEEP_IDLE_NS   (1000 * 1000 * 1000ULL) /* nothing in the queue */
#define SWEEP_SLICE_MIN 32
#define SWEEP_SLICE_MAX 500 /* about 130 microseconds */
#define SWEEP_SLICE_FEW 64 /* without bpf_loop(): as much as the verifier follows */
#define SWEEP_ROUND     3000 /* ticks for one round where slices are larger than the least */

/* Nearly full: flows that nobody ever answered live an eighth as long. */
#define SWEEP_SHORTEN   3

struct sweep_slice {
	struct settings *settings;
	struct sweeper *sweeper;
	__u32 shorten;
	__u32 count;
};

/* Is the pair to go? An original entry without its answering one was made by an interrupted delete. */
static __always_inline int sweep_expired(const struct sweep_slice *slice,
					 const struct flow_key4 *key, const struct flow4 *orig)
{
	struct flow_key4 peer_key;
	struct flow4 *peer;

	flow_peer_key(orig, key->proto, &peer_key);
	peer = flow_find(&peer_key);
	return !peer ||
	       flow_expired(slice->settings, key->proto, &orig->flow, &peer->flow, slice->shorten);
}

/* One key. 1 ends the slice. */
static long sweep_one(__u32 i, struct sweep_slice *slice)
{
	struct sweep_key4 queued;
	struct flow4 *orig;

	if (i >= slice->count || bpf_map_pop_elem(&sweep_queue4, &queued))
		return 1;
	slice->sweeper->looked_at++;
	orig = flow_find(&queued.key);
	if (orig && !(orig->flow.flags & FLOW_REPLY) && orig->flow.serial == queued.serial) {
		if (!sweep_expired(slice, &queued.key, orig)) {
			if (!bpf_map_push_elem(&sweep_queue4, &queued, BPF_ANY))
				return 0;
			/* no room for a key that was just taken out: end it rather than lose it */
		}
		flow_end(&queued.key, orig);
		slice->sweeper->expired++;
	}
	__sync_fetch_and_add(&slice->sweeper->flows, -1);
	return 0;
}

static int sweep_tick(void *map __attribute__((unused)), __u32 *zero __attribute__((unused)),
		      struct sweeper *sweeper)
{
	struct sweep_slice slice = { .settings = settings_get(), .sweeper = sweeper };
	__u64 flows = sweeper->flows;
	__u32 count = flows / SWEEP_ROUND;

	if (!slice.settings)
		return 0;
	sweeper->tick_ns = bpf_ktime_get_ns();
	sweeper->tick_jiffies = jiffies_now();
	if (count < SWEEP_SLICE_MIN)
		count = SWEEP_SLICE_MIN;
	if (count > flows)
		count = flows;
	if (count > SWEEP_SLICE_MAX)
		count = SWEEP_SLICE_MAX;
	if (flows > slice.settings->flow_max - slice.settings->flow_max / 8)
		slice.shorten = SWEEP_SHORTEN;
	slice.count = count;
	loop(SWEEP_SLICE_MAX, SWEEP_SLICE_FEW, sweep_one, &slice);
	bpf_timer_start(&sweeper->timer, flows ? SWEEP_TICK_NS : SWEEP_IDLE_NS, 0);
	return 0;
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

/* Jiffies, for user space to find out how many make a second. */
SEC("tc")
int clock_read(struct __sk_buff *skb __attribute__((unused)))
{
	return (int)(bpf_jiffies64() & 0x7fffffff);
}

#endif
