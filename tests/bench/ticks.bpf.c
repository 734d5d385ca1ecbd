// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Times the expirations of one map's BPF timer, between the kernel's own tracepoints around them. */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "ticks.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct hrtimer {
	void *function;
} __attribute__((preserve_access_index));

struct bpf_map {
	__u32 id;
} __attribute__((preserve_access_index));

struct bpf_async_cb {
	struct bpf_map *map;
} __attribute__((preserve_access_index));

struct bpf_hrtimer {
	struct bpf_async_cb cb;
	struct hrtimer timer;
} __attribute__((preserve_access_index));

struct ticks ticks;
__u64 running; /* the timer that expires: one alone, and never on two CPUs */
__u64 began;

static __always_inline int timer_is_meant(const struct hrtimer *timer)
{
	const struct bpf_hrtimer *around;

	if ((__u64)BPF_CORE_READ(timer, function) != ticks.callback)
		return 0;
	around = (const void *)timer - bpf_core_field_offset(struct bpf_hrtimer, timer);
	return BPF_CORE_READ(around, cb.map, id) == ticks.map_id;
}

SEC("raw_tp/hrtimer_expire_entry")
int tick_begins(const __u64 *ctx)
{
	const struct hrtimer *timer = (const void *)ctx[0];

	if (!timer_is_meant(timer))
		return 0;
	running = ctx[0];
	began = bpf_ktime_get_ns();
	return 0;
}

SEC("raw_tp/hrtimer_expire_exit")
int tick_ends(const __u64 *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 at = ticks.count;

	if (!running || ctx[0] != running)
		return 0;
	running = 0;
	if (at >= TICKS_MAX)
		return 0;
	ticks.took[at] = now - began;
	ticks.count = at + 1;
	return 0;
}
