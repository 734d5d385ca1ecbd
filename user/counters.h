/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters, summed over all CPUs. */
#ifndef XFWD_COUNTERS_H
#define XFWD_COUNTERS_H

#include "ruleset.h"
#include "slots.h"
#include "state.h"
#include "verdict.h"

/*
 * Opens the chunks as slots are asked for, and reads the counters of a whole group at a time: for one
 * listing. counter_reader_close() lets go of them.
 */
struct counter_reader {
	const struct state *state;
	struct rule_counter_group *percpu;
	int cpus;
	int fd; /* of the chunk last asked for; -1: none */
	__u32 chunk;
	__s64 group; /* that `percpu` is of, within the chunk; -1: none */
};

int counter_reader_open(struct counter_reader *reader, const struct state *state);
int counter_read(struct counter_reader *reader, __u32 slot, struct rule_counter *sum);
void counter_reader_close(struct counter_reader *reader);

/* Those of the slots in the set. 0 or -errno. */
int counters_zero(const struct state *state, const struct slot_set *slots);

int counters_verdicts(const struct state *state,
		      struct verdict_counter sums[HOOK_COUNT][VERDICT_COUNT]);

#endif
