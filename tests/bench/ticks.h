/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long each expiration of one map's BPF timer took. */
#ifndef XFWD_BENCH_TICKS_H
#define XFWD_BENCH_TICKS_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define TICKS_MAX 16384

struct ticks {
	__u64 callback; /* address of the kernel's bpf_timer_cb() */
	__u32 map_id;
	__u32 count;
	__u32 took[TICKS_MAX]; /* nanoseconds */
};

#endif
