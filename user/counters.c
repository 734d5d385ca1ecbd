// SPDX-License-Identifier: GPL-2.0-or-later
/* Counters, summed over all CPUs. */
#include "counters.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int counter_reader_open(struct counter_reader *reader, const struct state *state)
{
	reader->state = state;
	reader->fd = -1;
	reader->chunk = 0;
	reader->group = -1;
	reader->percpu = NULL;
	reader->cpus = libbpf_num_possible_cpus();
	if (reader->cpus < 0)
		return reader->cpus;
	reader->percpu = calloc(reader->cpus, sizeof(*reader->percpu));
	return reader->percpu ? 0 : -ENOMEM;
}

static int chunk_open(struct counter_reader *reader, __u32 chunk)
{
	if (reader->fd >= 0 && reader->chunk == chunk)
		return 0;
	if (reader->fd >= 0)
		close(reader->fd);
	reader->fd = -1;
	reader->fd = state_inner(reader->state, MAP_rule_counters, chunk);
	reader->chunk = chunk;
	reader->group = -1;
	return reader->fd < 0 ? reader->fd : 0;
}

static int group_read(struct counter_reader *reader, __u32 group)
{
	int err;

	if (reader->group == group)
		return 0;
	err = bpf_map_lookup_elem(reader->fd, &group, reader->percpu);
	reader->group = err ? -1 : (__s64)group;
	return err;
}

int counter_read(struct counter_reader *reader, __u32 slot, struct rule_counter *sum)
{
	int err = chunk_open(reader, RULE_COUNTER_CHUNK(slot));

	memset(sum, 0, sizeof(*sum));
	if (!err)
		err = group_read(reader, RULE_COUNTER_GROUP(slot));
	for (int cpu = 0; cpu < reader->cpus && !err; cpu++) {
		const struct rule_counter *part = &reader->percpu[cpu].of[RULE_COUNTER_PLACE(slot)];

		sum->flows += part->flows;
		sum->packets += part->packets;
		sum->bytes += part->bytes;
	}
	return err;
}

/* Of each: `which` has their bits. What others of the group count between the two calls is lost. */
static int group_zero(struct counter_reader *reader, __u32 first, __u64 which)
{
	__u32 group = RULE_COUNTER_GROUP(first);
	int err = chunk_open(reader, RULE_COUNTER_CHUNK(first));

	if (!err)
		err = group_read(reader, group);
	for (int cpu = 0; cpu < reader->cpus && !err; cpu++)
		for (int place = 0; place < XFWD_COUNTER_GROUP; place++)
			if (which >> place & 1)
				reader->percpu[cpu].of[place] = (struct rule_counter){ 0 };
	return err ? err : bpf_map_update_elem(reader->fd, &group, reader->percpu, BPF_ANY);
}

int counters_zero(const struct state *state, const struct slot_set *slots)
{
	const size_t groups = sizeof(slots->group) / sizeof(slots->group[0]);
	struct counter_reader reader;
	int err = counter_reader_open(&reader, state);

	for (size_t i = 0; i < groups && !err; i++)
		if (slots->group[i])
			err = group_zero(&reader, i * XFWD_COUNTER_GROUP, slots->group[i]);
	counter_reader_close(&reader);
	return err;
}

void counter_reader_close(struct counter_reader *reader)
{
	if (reader->fd >= 0)
		close(reader->fd);
	free(reader->percpu);
}

int counters_verdicts(const struct state *state,
		      struct verdict_counter sums[HOOK_COUNT][VERDICT_COUNT])
{
	int cpus = libbpf_num_possible_cpus(), err = 0;
	struct verdict_counter *percpu;

	if (cpus < 0)
		return cpus;
	percpu = calloc(cpus, sizeof(*percpu));
	if (!percpu)
		return -ENOMEM;
	memset(sums, 0, sizeof(sums[0]) * HOOK_COUNT);
	for (__u32 i = 0; i < HOOK_COUNT * VERDICT_COUNT && !err; i++) {
		struct verdict_counter *sum = &sums[i / VERDICT_COUNT][i % VERDICT_COUNT];

		err = bpf_map_lookup_elem(state->map[MAP_verdict_counters], &i, percpu);
		for (int cpu = 0; cpu < cpus && !err; cpu++) {
			sum->packets += percpu[cpu].packets;
			sum->bytes += percpu[cpu].bytes;
		}
	}
	free(percpu);
	return err;
}
