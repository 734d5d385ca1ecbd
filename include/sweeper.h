/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the timer that ends idle flows keeps. */
#ifndef XFWD_SWEEPER_H
#define XFWD_SWEEPER_H

#ifndef __bpf__
#include <linux/bpf.h>
#include <linux/types.h>
#endif

#include "flow.h"

/* What sweep_start returns where it could not have a timer. */
#define SWEEP_NO_TIMER 2

struct sweep_timer {
	struct bpf_timer timer; /* reads as zero in user space */
};

struct sweeper {
	__u64 flows[FAMILY_COUNT];
	__u64 mappings; /* keys of them in their queue */
	__u64 looked_at; /* flows that were idle for a while */
	__u64 expired;
	__u64 tick_ns; /* CLOCK_MONOTONIC and jiffies at the last tick: one as the other */
	__u64 ticks;
	__u32 at[FAMILY_COUNT]; /* the bucket that the next slice begins with */
	__u32 tick_jiffies;
	__u32 shorten; /* lifetimes of unanswered flows, to the right by so many bits, for this slice */
	__u32 least; /* of the lifetimes, so shortened */
	__u32 longest;
};

_Static_assert(sizeof(struct sweeper) == 80, "no hidden padding");

#endif
