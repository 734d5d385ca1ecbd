/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counters: per verdict and hook, and per rule. All per CPU. */
#ifndef XFWD_ACCOUNT_H
#define XFWD_ACCOUNT_H

#include "maps.h"
#include "packet.h"

static __always_inline struct rule_counter *rule_counter(__u32 slot)
{
	__u32 chunk = RULE_COUNTER_CHUNK(slot), at = RULE_COUNTER_GROUP(slot);
	void *inner = bpf_map_lookup_elem(&rule_counters, &chunk);
	struct rule_counter_group *group = inner ? bpf_map_lookup_elem(inner, &at) : NULL;

	return group ? &group->of[RULE_COUNTER_PLACE(slot)] : NULL;
}

static __always_inline void rule_count_packet(__u32 slot, __u32 bytes)
{
	struct rule_counter *counter;

	if (!slot)
		return;
	counter = rule_counter(slot);
	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
}

/* The same, where it is rare: a function of its own, so that programs are shorter. */
__attribute__((noinline)) int rule_count(__u32 slot, __u32 bytes)
{
	rule_count_packet(slot, bytes);
	return 0;
}

/* A flow under these rules. */
__attribute__((noinline)) int rule_count_flow(__u32 in, __u32 out)
{
	struct rule_counter *counter = in ? rule_counter(in) : NULL;

	if (counter)
		counter->flows++;
	counter = out ? rule_counter(out) : NULL;
	if (counter)
		counter->flows++;
	return 0;
}

static __always_inline void verdict_count(const struct packet *p, enum verdict verdict)
{
	__u32 at = p->hook * VERDICT_COUNT + verdict;
	struct verdict_counter *counter = bpf_map_lookup_elem(&verdict_counters, &at);

	if (counter) {
		counter->packets++;
		counter->bytes += p->l3_length;
	}
}

#endif
