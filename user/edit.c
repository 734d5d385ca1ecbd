// SPDX-License-Identifier: GPL-2.0-or-later
/* Changing one rule in place: writing what was worked out. */
#include "edit.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "edit_plan.h"
#include "records.h"
#include "slots.h"

static int in_force_open(const struct state *state, const struct settings *settings,
			 struct in_force *maps)
{
	__u32 slot = settings_active(settings);

	maps->ruleset = state_inner(state, MAP_rulesets, slot);
	maps->index = state_inner(state, MAP_rule_indexes, slot);
	maps->records = state_inner(state, MAP_rule_records, slot);
	return maps->ruleset < 0 || maps->index < 0 || maps->records < 0 ? -EAGAIN : 0;
}

static void in_force_close(const struct in_force *maps)
{
	const int fds[] = { maps->ruleset, maps->index, maps->records };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int entries_come(const struct plan *plan)
{
	struct rule_key *keys = calloc(plan->count + 1, sizeof(*keys));
	struct rule_entry *entries = calloc(plan->count + 1, sizeof(*entries));
	int err = keys && entries ? 0 : -ENOMEM;
	__u32 count = 0;

	for (size_t i = 0; i < plan->count && !err; i++) {
		if (plan->stores[i].was || !plan->stores[i].is)
			continue;
		keys[count] = plan->stores[i].key;
		entries[count++] = plan->stores[i].after;
	}
	if (!err && count)
		err = bpf_map_update_batch(plan->maps.index, keys, entries, &count, NULL);
	free(keys);
	free(entries);
	return err;
}

/*
 * Until no program that was running still runs: replacing an inner map, if only by itself, takes
 * that long.
 */
static int wait_for_programs(const struct state *state, const struct settings *settings,
			     const struct plan *plan)
{
	__u32 slot = settings_active(settings);

	return bpf_map_update_elem(state->map[MAP_rule_records], &slot, &plan->maps.records,
				   BPF_ANY);
}

/* One by one: the memory of the one before is used for the next. */
static int entries_change(const struct state *state, const struct settings *settings,
			  const struct plan *plan, bool back)
{
	bool first = true;
	int err = 0;

	for (size_t i = 0; i < plan->count && !err; i++) {
		const struct store *store = &plan->stores[i];

		if (!store->was || !store->is || store_stays(store))
			continue;
		if (!first)
			err = wait_for_programs(state, settings, plan);
		if (!err)
			err = bpf_map_update_elem(plan->maps.index, &store->key,
						  back ? &store->before : &store->after, BPF_ANY);
		first = false;
	}
	return err;
}

static int entries_delete(const struct plan *plan)
{
	struct rule_key *keys = calloc(plan->count + 1, sizeof(*keys));
	int err = keys ? 0 : -ENOMEM;
	__u32 count = 0;

	for (size_t i = 0; i < plan->count && !err; i++)
		if (plan->stores[i].was && !plan->stores[i].is)
			keys[count++] = plan->stores[i].key;
	if (!err && count)
		err = bpf_map_delete_batch(plan->maps.index, keys, &count, NULL);
	free(keys);
	return err;
}

/* As far as they were written. */
static void entries_undo(const struct state *state, const struct settings *settings,
			 const struct plan *plan)
{
	entries_change(state, settings, plan, true);
	for (size_t i = 0; i < plan->count; i++) {
		const struct store *store = &plan->stores[i];

		if (store->was && !store->is)
			bpf_map_update_elem(plan->maps.index, &store->key, &store->before, BPF_ANY);
		else if (!store->was && store->is)
			bpf_map_delete_elem(plan->maps.index, &store->key);
	}
}

/* Those that come are first: where there is no room for them, the others are as they were. */
static int entries_write(const struct state *state, const struct settings *settings,
			 const struct plan *plan)
{
	__u32 zero = 0;
	int err = 0;

	if (plan->set_changed)
		err = bpf_map_update_elem(plan->maps.ruleset, &zero, plan->set, BPF_ANY);
	if (err)
		return err;
	err = entries_come(plan);
	if (!err)
		err = entries_change(state, settings, plan, false);
	if (!err)
		err = entries_delete(plan);
	if (err)
		entries_undo(state, settings, plan);
	return err;
}

/* The record's place: a new rule's is behind all others, where it is not listed yet. */
static __u32 record_place(const struct state *state, const struct plan *plan)
{
	return plan->old ? plan->old - plan->records.list : state->running.record_count;
}

static int record_write(const struct plan *plan, __u32 at, const struct rule_record *record)
{
	return bpf_map_update_elem(plan->maps.records, &at, record, BPF_ANY);
}

static int slot_clear(const struct state *state, __u32 slot)
{
	struct slot_set *slots = calloc(1, sizeof(*slots));
	int err;

	if (!slots)
		return -ENOMEM;
	slot_set_add(slots, slot);
	err = slots_clear(state, slots);
	free(slots);
	return err;
}

/* What no packet looks at before the index leads there. */
static int write_beside(const struct state *state, const struct plan *plan, __u32 place)
{
	int err = plan->takes_slot ? slots_make_room(state) : 0;

	if (!err && plan->clears_slot)
		err = slot_clear(state, plan->new.rule.slot);
	if (!err && !plan->old)
		err = record_write(plan, place, &plan->new);
	return err;
}

/* Flows are judged once more; by two, as the lowest bit says which set is in force. */
static int generation_raise(const struct state *state, struct settings *settings)
{
	__u32 zero = 0;

	settings->generation += 2;
	return bpf_map_update_elem(state->map[MAP_settings], &zero, settings, BPF_ANY);
}

/* Between the two writings of `running`: rules that come are listed first, those that go, last. */
static int write_listed(const struct state *state, struct settings *settings,
			const struct plan *plan, __u32 place)
{
	const struct rule_record none = { 0 };
	struct rule_record old = none;
	int err = 0;

	if (plan->old)
		old = *plan->old;
	if (plan->old && plan->new.rule.handle)
		err = record_write(plan, place, &plan->new);
	if (!err) {
		err = entries_write(state, settings, plan);
		if (err && plan->old)
			record_write(plan, place, &old);
	}
	if (!err)
		err = generation_raise(state, settings);
	if (!err && !plan->new.rule.handle)
		err = record_write(plan, place, &none);
	return err;
}

/*
 * What an entry had before lies in memory that the next one is written to. A packet may still read
 * it: once an edit has freed any, the next that needs some waits.
 */
static int wait_for_readers(struct state *state, const struct settings *settings,
			    const struct plan *plan)
{
	struct running *running = &state->running;
	int err = 0;

	if (running->freed && (plan->comes || plan->changes)) {
		err = wait_for_programs(state, settings, plan);
		running->freed = 0;
	}
	if (plan->changes || plan->goes)
		running->freed = 1;
	return err;
}

static int plan_write(struct state *state, struct settings *settings, const struct plan *plan)
{
	struct running *running = &state->running, before = *running;
	__u32 place = record_place(state, plan);
	int err;

	if (plan->takes_slot)
		slot_take(running, plan->new.rule.slot);
	if (plan->new.rule.handle) {
		running->next_handle += !plan->old;
		running->record_count += !plan->old;
		if (plan->new.rank > running->last_rank)
			running->last_rank = plan->new.rank;
	}
	err = write_beside(state, plan, place);
	if (!err)
		err = wait_for_readers(state, settings, plan);
	running->pending = 1;
	if (!err)
		err = state_write_running(state, settings_active(settings));
	if (!err)
		err = write_listed(state, settings, plan, place);
	if (err) {
		*running = before;
		running->freed = 1;
	}
	running->pending = 0;
	state_write_running(state, settings_active(settings));
	return err == -E2BIG ? -EAGAIN : err;
}

int edit(struct state *state, const struct pins *pins, const struct netdevs *devs,
	 struct edit *edit)
{
	struct plan plan = { .devs = devs, .maps = { -1, -1, -1 } };
	struct settings settings;
	int err = state_settings(state, &settings);

	if (err || state->running.pending)
		return err ? err : -EAGAIN;
	err = in_force_open(state, &settings, &plan.maps);
	if (!err && (edit->kind != EDIT_ADD || slots_came_round(&state->running)))
		err = records_open(state, settings_active(&settings), &plan.records);
	if (!err)
		err = plan_make(&plan, state, pins, &settings, edit);
	if (!err)
		err = plan_write(state, &settings, &plan);
	if (!err && plan.new.rule.handle)
		*edit->rule = plan.new.rule;
	records_close(&plan.records);
	in_force_close(&plan.maps);
	free(plan.set);
	free(plan.stores);
	return err;
}
