// SPDX-License-Identifier: GPL-2.0-or-later
/* Counter slots: which rule has which, and the chunks of counters behind them. */
#include "slots.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "verdict.h"

/*
 * Zeroed chunks from `first` on, in place of what is there. All in one call: the kernel waits for
 * every running program once a call, not once a chunk.
 */
static int chunks_create(const struct state *state, __u32 first, __u32 count)
{
	__u32 *keys = calloc(count + 1, sizeof(*keys)), made = 0, sent;
	int *fds = calloc(count + 1, sizeof(*fds)), err = -ENOMEM;

	for (; keys && fds && made < count; made++) {
		keys[made] = first + made;
		fds[made] = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "rule_counters",
					   sizeof(__u32), sizeof(struct rule_counter_group),
					   XFWD_COUNTER_CHUNK / XFWD_COUNTER_GROUP, NULL);
		if (fds[made] < 0)
			break;
	}
	if (keys && fds)
		err = made < count ? -errno : 0;
	sent = made;
	if (!err && count)
		err = bpf_map_update_batch(state->map[MAP_rule_counters], keys, fds, &sent, NULL);
	while (made-- > 0)
		close(fds[made]);
	free(keys);
	free(fds);
	return err;
}

/* How many chunks there are: they are only ever added at the end. */
static __u32 chunks_count(const struct state *state)
{
	__u32 count = 0, id;

	while (count < XFWD_COUNTER_CHUNKS &&
	       !bpf_map_lookup_elem(state->map[MAP_rule_counters], &count, &id))
		count++;
	return count;
}

static int slot_compare(const void *a, const void *b)
{
	__u32 x = *(const __u32 *)a, y = *(const __u32 *)b;

	return x < y ? -1 : x > y;
}

/*
 * Slots are not given again while there are new ones: flows of a deleted rule go on counting in
 * its slot. When the new ones run out, the unused old ones come round.
 */
int slots_give(struct state *state, struct config *config)
{
	__u32 *used = calloc(config->rule_count + 1, sizeof(*used)), free_slot = 1;
	size_t count = 0, passed = 0;

	if (!used)
		return -ENOMEM;
	for (size_t i = 0; i < config->rule_count; i++)
		if (config->rules[i].slot)
			used[count++] = config->rules[i].slot;
	qsort(used, count, sizeof(*used), slot_compare);
	for (size_t i = 0; i < config->rule_count; i++) {
		struct rule *rule = &config->rules[i];

		if (!rule->handle)
			rule->handle = state->running.next_handle++;
		if (rule->slot)
			continue;
		if (state->running.next_slot < XFWD_RULES_MAX) {
			rule->slot = state->running.next_slot++;
			continue;
		}
		for (; passed < count && used[passed] <= free_slot; passed++)
			if (used[passed] == free_slot)
				free_slot++;
		rule->slot = free_slot++;
	}
	free(used);
	return 0;
}

int slots_make_room(const struct state *state)
{
	__u32 want = (state->running.next_slot + XFWD_COUNTER_CHUNK - 1) / XFWD_COUNTER_CHUNK;
	__u32 have = chunks_count(state);

	return want > have ? chunks_create(state, have, want - have) : 0;
}

static int zero_verdicts(const struct state *state)
{
	int cpus = libbpf_num_possible_cpus(), err = 0;
	struct verdict_counter *zeroes;

	if (cpus < 0)
		return cpus;
	zeroes = calloc(cpus, sizeof(*zeroes));
	if (!zeroes)
		return -ENOMEM;
	for (__u32 i = 0; i < HOOK_COUNT * VERDICT_COUNT && !err; i++)
		err = bpf_map_update_elem(state->map[MAP_verdict_counters], &i, zeroes, BPF_ANY);
	free(zeroes);
	return err;
}

int slots_zero(const struct state *state)
{
	int err = zero_verdicts(state);

	return err ? err : chunks_create(state, 0, chunks_count(state));
}
