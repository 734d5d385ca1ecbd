// SPDX-License-Identifier: GPL-2.0-or-later
/* Counter slots: which rule has which, and the chunks of counters behind them. */
#include "slots.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "counters.h"
#include "endpoint.h"
#include "msg.h"
#include "verdict.h"

#define SOURCES_AT_ONCE 4096

_Static_assert(XFWD_COUNTER_GROUP == 64, "a word of a slot_set");
_Static_assert(RULE_COUNTER_CHUNK(XFWD_RULES_MAX) < XFWD_COUNTER_CHUNKS, "all slots have counters");

static __u32 slot_after(__u32 slot)
{
	return slot % XFWD_RULES_MAX + 1;
}

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

void slot_set_add_all(struct slot_set *set, const struct records *records)
{
	for (size_t i = 0; i < records->count; i++)
		if (records->list[i].rule.handle)
			slot_set_add(set, records->list[i].rule.slot);
}

__u32 slot_find(const struct running *running, const struct slot_set *used)
{
	__u32 slot = running->next_slot;

	for (__u32 i = 0; i < XFWD_RULES_MAX; i++) {
		if (slot > running->last_slot || !slot_set_has(used, slot))
			return slot;
		slot = slot_after(slot);
	}
	return 0;
}

void slot_take(struct running *running, __u32 slot)
{
	running->next_slot = slot_after(slot);
	if (slot > running->last_slot)
		running->last_slot = slot;
}

/* In batches: what comes and goes meanwhile leads no search back to the beginning. */
static int sources_forget(const struct state *state, const struct slot_set *slots)
{
	struct source_key *keys = calloc(SOURCES_AT_ONCE, sizeof(*keys));
	struct source *values = calloc(SOURCES_AT_ONCE, sizeof(*values));
	int err = keys && values ? 0 : -ENOMEM, map = state_inner(state, MAP_sources, 0);
	__u32 place, *from = NULL, count;

	if (map < 0) /* no rule has had a limit */
		err = map;
	while (!err) {
		count = SOURCES_AT_ONCE;
		err = bpf_map_lookup_batch(map, from, &place, keys, values, &count, NULL);
		from = &place;
		for (__u32 i = 0; i < count && (!err || err == -ENOENT); i++)
			if (slot_set_has(slots, keys[i].slot))
				bpf_map_delete_elem(map, &keys[i]);
	}
	if (map >= 0)
		close(map);
	free(keys);
	free(values);
	return err == -ENOENT ? 0 : err;
}

int slots_clear(const struct state *state, const struct slot_set *slots)
{
	int err = counters_zero(state, slots);

	return err ? err : sources_forget(state, slots);
}

/* What is given: all of it, and that of it which was before. */
struct giving {
	struct slot_set used;
	struct slot_set again;
	bool clears; /* there is any */
};

/* A commit may still fail: until then the rules in force count there, those too that go with it. */
static int add_in_force(const struct state *state, struct slot_set *used)
{
	struct records records;
	int err = records_open(state, state->slot, &records);

	slot_set_add_all(used, &records);
	records_close(&records);
	return err;
}

static int give_all(struct running *running, struct config *config, struct giving *giving)
{
	const __u32 last = running->last_slot;

	for (size_t i = 0; i < config->rule_count; i++)
		slot_set_add(&giving->used, config->rules[i].slot);
	for (size_t i = 0; i < config->rule_count; i++) {
		struct rule *rule = &config->rules[i];

		if (!rule->handle)
			rule->handle = running->next_handle++;
		if (rule->slot)
			continue;
		rule->slot = slot_find(running, &giving->used);
		if (!rule->slot)
			return -E2BIG;
		slot_take(running, rule->slot);
		slot_set_add(&giving->used, rule->slot);
		if (rule->slot <= last) {
			slot_set_add(&giving->again, rule->slot);
			giving->clears = true;
		}
	}
	return 0;
}

int slots_give(struct state *state, struct config *config)
{
	struct giving *giving = calloc(1, sizeof(*giving));
	int err = giving ? add_in_force(state, &giving->used) : -ENOMEM;

	if (!err)
		err = give_all(&state->running, config, giving);
	if (err == -E2BIG) { /* only those of rules that go are left */
		memset(&giving->used, 0, sizeof(giving->used));
		err = give_all(&state->running, config, giving);
	}
	if (!err && giving->clears)
		err = slots_clear(state, &giving->again);
	if (err == -E2BIG)
		msg_error("more than %d rules", XFWD_RULES_MAX);
	else if (err)
		msg_error("cannot give the rules their counters: %s", strerror(-err));
	free(giving);
	return err;
}

int slots_make_room(const struct state *state)
{
	__u32 want = RULE_COUNTER_CHUNK(state->running.last_slot) + 1, have = chunks_count(state);

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
