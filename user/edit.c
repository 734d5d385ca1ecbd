// SPDX-License-Identifier: GPL-2.0-or-later
/* Changing one rule in place. */
#include "edit.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "compile.h"
#include "records.h"
#include "slots.h"
#include "sysctl.h"

/* Rules that may come to light when one goes, and pairs of entries: more are the long way's. */
#define HIDDEN_MAX         64
#define HIDDEN_WORK_MAX    (1 << 20)

/* Behind so many masks a new rule may stand that is better than all that is behind them. */
#define MASKS_UNSORTED_MAX 16

/* The inner maps of the set in force. */
struct in_force {
	int ruleset;
	int index;
	int records;
};

/* What becomes of one index entry. */
struct store {
	struct rule_key key;
	bool was, is;
	struct rule_entry before, after;
};

/* An edit, worked out: nothing is written yet. */
struct plan {
	const struct netdevs *devs;
	struct in_force maps;
	struct records records;
	struct ruleset *set; /* as it will be */
	bool set_changed;
	const struct rule_record *old; /* goes, or is replaced; NULL: none */
	struct rule_record new; /* handle 0: none */
	struct store *stores;
	size_t count;
	size_t room;
	__u32 comes, changes, goes; /* entries */
};

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

/* ---- which rule, and where ---- */

static const struct rule_record *find_handle(const struct records *records, unsigned long handle)
{
	for (size_t i = 0; i < records->count && handle; i++)
		if (records->list[i].rule.handle == handle)
			return &records->list[i];
	return NULL;
}

static const struct rule_record *find_equal(const struct records *records, const struct rule *rule,
					    const struct rule_record *but)
{
	for (size_t i = 0; i < records->count; i++) {
		const struct rule_record *record = &records->list[i];

		if (record != but && record->rule.handle && rule_equal(&record->rule, rule))
			return record;
	}
	return NULL;
}

/* The rank of a rule behind all others. */
static int rank_last(const struct running *running, __u32 *rank)
{
	if (!running->last_rank || running->last_rank > UINT32_MAX - RANK_STEP)
		return -EAGAIN;
	*rank = running->last_rank + RANK_STEP;
	return 0;
}

/* The rank of a rule before the one that `next` is the place of. */
static int rank_before(const struct rule_record *const *order, size_t next, __u32 *rank)
{
	__u32 high = order[next]->rank, low = next ? order[next - 1]->rank : high - 2 * RANK_STEP;

	if (high < 3 * RANK_STEP)
		return -EAGAIN;
	*rank = low + (high - low) / 2;
	return *rank == low ? -EAGAIN : 0;
}

/* For the position, from 1. */
static int rank_at_position(const struct records *records, const struct running *running,
			    unsigned long position, __u32 *rank)
{
	const struct rule_record **order;
	size_t count;
	int err = records_order(records, &order, &count);

	if (!err && position > count + 1)
		err = -EAGAIN;
	else if (!err)
		err = position > count ? rank_last(running, rank)
				       : rank_before(order, position - 1, rank);
	free(order);
	return err;
}

static int plan_rules(struct plan *plan, const struct running *running, const struct edit *edit)
{
	const struct rule *rule = edit->rule;

	if (edit->kind == EDIT_DELETE)
		plan->old = rule ? find_equal(&plan->records, rule, NULL)
				 : find_handle(&plan->records, edit->number);
	if (edit->kind == EDIT_REPLACE)
		plan->old = find_handle(&plan->records, edit->number);
	if (edit->kind == EDIT_DELETE || edit->kind == EDIT_REPLACE) {
		if (!plan->old)
			return -EAGAIN;
		plan->new.rank = plan->old->rank;
	}
	if (edit->kind == EDIT_DELETE)
		return 0;
	plan->new.rule = *rule;
	plan->new.rule.handle = plan->old ? plan->old->rule.handle : running->next_handle;
	plan->new.rule.slot = running->next_slot;
	if (plan->old && rule_equal(&plan->old->rule, rule))
		plan->new.rule.slot = plan->old->rule.slot;
	if (edit->kind == EDIT_INSERT)
		return rank_at_position(&plan->records, running, edit->number, &plan->new.rank);
	return edit->kind == EDIT_ADD ? rank_last(running, &plan->new.rank) : 0;
}

/* ---- is there more to it than the tables? ---- */

static bool coming_needs_more(const struct state *state, const struct pins *pins,
			      const struct settings *settings, const struct plan *plan)
{
	const struct rule *rule = &plan->new.rule;
	const struct netdev *dev = netdev_by_name(plan->devs, rule->ifname);

	if (rule->ifname[0] && (!dev || !attach_is_complete(state, pins, dev)))
		return true;
	return sysctl_is_needed(rule) || state->running.next_slot >= XFWD_RULES_MAX ||
	       state->running.record_count >= XFWD_RULES_MAX ||
	       (rule_source_has_ports(rule) && !(settings->flags & SETTING_PORTS_OUT));
}

/* Of what the rule makes necessary, does no other one? */
static bool going_needs_more(const struct plan *plan)
{
	const struct rule *rule = &plan->old->rule;
	bool forwards = sysctl_rule_forwards(rule), ports = rule_source_has_ports(rule);
	bool names = rule->ifname[0];

	if (plan->new.rule.handle) {
		forwards = forwards && !sysctl_rule_forwards(&plan->new.rule);
		ports = ports && !rule_source_has_ports(&plan->new.rule);
		names = names && !plan->new.rule.ifname[0];
	}
	for (size_t i = 0; i < plan->records.count && (forwards || ports || names); i++) {
		const struct rule *other = &plan->records.list[i].rule;

		if (!other->handle || other == rule)
			continue;
		forwards = forwards && !sysctl_rule_forwards(other);
		ports = ports && !rule_source_has_ports(other);
		names = names && !other->ifname[0];
	}
	return forwards || ports || names || sysctl_rule_loops_back(rule);
}

/* ---- index entries ---- */

static bool store_stays(const struct store *store)
{
	return store->was == store->is &&
	       (!store->is || !memcmp(&store->before, &store->after, sizeof(store->after)));
}

static struct store *store_find(const struct plan *plan, const struct rule_key *key)
{
	for (size_t i = 0; i < plan->count; i++)
		if (rule_key_equal(&plan->stores[i].key, key))
			return &plan->stores[i];
	return NULL;
}

/* With the entry as it is. */
static struct store *store_add(struct plan *plan, const struct rule_key *key)
{
	struct store *store = store_find(plan, key), *grown;

	if (store)
		return store;
	if (plan->count == plan->room) {
		plan->room = plan->room ? 2 * plan->room : 8;
		grown = reallocarray(plan->stores, plan->room, sizeof(*plan->stores));
		if (!grown)
			return NULL;
		plan->stores = grown;
	}
	store = &plan->stores[plan->count++];
	memset(store, 0, sizeof(*store));
	store->key = *key;
	store->was = !bpf_map_lookup_elem(plan->maps.index, key, &store->before);
	store->is = store->was;
	store->after = store->before;
	return store;
}

static int mask_find(const struct ruleset *set, enum stage stage, const struct rule_key *bits)
{
	const struct rule_mask *masks = set->masks[stage][FAMILY_IP4];

	for (__u32 at = 0; at < set->mask_count[stage][FAMILY_IP4]; at++)
		if (rule_key_equal(&masks[at].bits, bits))
			return at;
	return -1;
}

/*
 * Position of the mask, which is added where it is new. The search ends at the first mask that says
 * it has no better rule, and masks cannot change places: so all up to this one say that they might
 * have one of this rank. -EAGAIN where there is no room, or where that would cost the search dear.
 */
static int mask_merge(struct plan *plan, enum stage stage, const struct rule_key *bits, __u32 rank)
{
	struct rule_mask *masks = plan->set->masks[stage][FAMILY_IP4];
	__u32 *count = &plan->set->mask_count[stage][FAMILY_IP4];
	int at = mask_find(plan->set, stage, bits);

	if (at < 0 && *count == XFWD_MASKS_MAX)
		return -EAGAIN;
	if (at < 0) {
		at = (*count)++;
		masks[at] = (struct rule_mask){ .bits = *bits, .best_rank = UINT32_MAX };
	}
	for (int i = at; i >= 0 && masks[i].best_rank > rank; i--) {
		if (at >= MASKS_UNSORTED_MAX)
			return -EAGAIN;
		masks[i].best_rank = rank;
		plan->set_changed = true;
	}
	return at;
}

static int compile_rules(const struct plan *plan, struct rule *rules, size_t count,
			 struct tables *tables)
{
	struct config config = { .rules = rules, .rule_count = count };
	size_t at;
	int err = compile(&config, netdevs_ifindex, (void *)plan->devs, tables, &at);

	return err == -E2BIG ? -EAGAIN : err;
}

/* The key as it is in the index in force; false: none there has its mask. */
static bool key_in_force(const struct plan *plan, const struct tables *tables, size_t entry,
			 struct rule_key *key)
{
	const struct rule_mask *masks;
	int at;

	*key = tables->keys[entry];
	masks = tables->ruleset->masks[key->stage][FAMILY_IP4];
	at = mask_find(plan->set, key->stage, &masks[key->mask % XFWD_MASKS_MAX].bits);
	key->mask = RULE_KEY_MASK(FAMILY_IP4, at);
	return at >= 0;
}

/*
 * The entries of the old rule go. All its keys must be there, its own or those of a rule that hides
 * it: else an interface was exchanged since they were written, and what is in force is not known.
 */
static int plan_old(struct plan *plan, const struct tables *tables)
{
	struct rule_key key;
	struct store *store;

	for (size_t i = 0; i < tables->entry_count; i++) {
		if (!key_in_force(plan, tables, i, &key))
			return -EAGAIN;
		store = store_add(plan, &key);
		if (!store)
			return -ENOMEM;
		if (!store->was || store->before.rank > plan->old->rank)
			return -EAGAIN;
		store->is = store->before.rank < plan->old->rank;
	}
	return 0;
}

/* Those of the new one come, but where a rule before it hides them. */
static int plan_new(struct plan *plan, const struct tables *tables)
{
	__u32 rank = plan->new.rank;
	int stage = plan->new.rule.stage, at;

	for (size_t i = 0; i < tables->entry_count; i++) {
		const struct rule_mask *masks = tables->ruleset->masks[stage][FAMILY_IP4];
		struct rule_key key = tables->keys[i];
		struct store *store;

		at = mask_merge(plan, stage, &masks[key.mask % XFWD_MASKS_MAX].bits, rank);
		if (at < 0)
			return at;
		key.mask = RULE_KEY_MASK(FAMILY_IP4, at);
		store = store_add(plan, &key);
		if (!store)
			return -ENOMEM;
		if (store->was && store->before.rank < rank)
			continue;
		store->is = true;
		store->after = tables->entries[i];
		store->after.rank = rank;
	}
	if (~plan->set->interfaces[stage] & tables->ruleset->interfaces[stage]) {
		plan->set->interfaces[stage] |= tables->ruleset->interfaces[stage];
		plan->set_changed = true;
	}
	return 0;
}

/* ---- rules that come to light ---- */

static bool prefix_same(const struct prefix *a, const struct prefix *b)
{
	return a->len == b->len && !memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

static bool ports_meet(struct port_range a, struct port_range b)
{
	if (!a.min && !a.max)
		return !b.min && !b.max;
	return a.min <= b.max && b.min <= a.max && (b.min || b.max);
}

/* May the two have a key in common? */
static bool rules_meet(const struct plan *plan, const struct rule *a, const struct rule *b)
{
	return a->stage == b->stage && !a->protocols == !b->protocols &&
	       (!a->protocols || a->protocols & b->protocols) &&
	       prefix_same(&a->from.prefix, &b->from.prefix) &&
	       prefix_same(&a->to.prefix, &b->to.prefix) &&
	       ports_meet(a->from.ports, b->from.ports) && ports_meet(a->to.ports, b->to.ports) &&
	       !a->ifname[0] == !b->ifname[0] &&
	       netdevs_ifindex(a->ifname, (void *)plan->devs) ==
		       netdevs_ifindex(b->ifname, (void *)plan->devs);
}

/* Those behind the old rule that it may hide, by rank. How many, or -EAGAIN. */
static int hidden_find(const struct plan *plan, const struct rule_record *hidden[HIDDEN_MAX])
{
	int count = 0, at;

	for (size_t i = 0; i < plan->records.count; i++) {
		const struct rule_record *record = &plan->records.list[i];

		if (!record->rule.handle || record->rank <= plan->old->rank ||
		    !rules_meet(plan, &plan->old->rule, &record->rule))
			continue;
		if (count == HIDDEN_MAX)
			return -EAGAIN;
		for (at = count++; at && hidden[at - 1]->rank > record->rank; at--)
			hidden[at] = hidden[at - 1];
		hidden[at] = record;
	}
	return count;
}

/* Entries that would go have other rules behind them, which take them over. */
static int plan_hidden(struct plan *plan)
{
	const struct rule_record *hidden[HIDDEN_MAX];
	int count = hidden_find(plan, hidden), err;
	struct rule rules[HIDDEN_MAX];
	struct tables tables;

	if (count <= 0)
		return count;
	for (int i = 0; i < count; i++)
		rules[i] = hidden[i]->rule;
	err = compile_rules(plan, rules, count, &tables);
	if (err)
		return err;
	if (tables.entry_count * plan->count > HIDDEN_WORK_MAX) {
		tables_free(&tables);
		return -EAGAIN;
	}
	for (size_t i = 0; i < tables.entry_count; i++) {
		struct store *store;
		struct rule_key key;

		if (!key_in_force(plan, &tables, i, &key))
			continue;
		store = store_find(plan, &key);
		if (!store || store->is)
			continue;
		store->is = true;
		store->after = tables.entries[i];
		store->after.rank = hidden[tables.entries[i].rank]->rank;
	}
	tables_free(&tables);
	return 0;
}

static int plan_entries(struct plan *plan)
{
	struct tables tables;
	bool uncovers = false;
	__u32 zero = 0;
	int err;

	plan->set = malloc(sizeof(*plan->set));
	if (!plan->set)
		return -ENOMEM;
	err = bpf_map_lookup_elem(plan->maps.ruleset, &zero, plan->set);
	if (!err && plan->old) {
		struct rule rule = plan->old->rule;

		err = compile_rules(plan, &rule, 1, &tables);
		if (!err)
			err = plan_old(plan, &tables);
		tables_free(&tables);
	}
	if (!err && plan->new.rule.handle) {
		err = compile_rules(plan, &plan->new.rule, 1, &tables);
		if (!err)
			err = plan_new(plan, &tables);
		tables_free(&tables);
	}
	for (size_t i = 0; i < plan->count; i++)
		uncovers = uncovers || !plan->stores[i].is;
	return err || !uncovers ? err : plan_hidden(plan);
}

/* For the second entry that is changed, the memory of the first would be used: see below. */
static int plan_count(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct store *store = &plan->stores[i];

		plan->comes += !store->was && store->is;
		plan->goes += store->was && !store->is;
		plan->changes += store->was && store->is && !store_stays(store);
	}
	return plan->changes > 1 ? -EAGAIN : 0;
}

/* Only a rule whose every key is there already can be there itself. */
static bool may_be_double(const struct plan *plan)
{
	size_t old = 0;

	for (size_t i = 0; i < plan->count; i++)
		old += plan->stores[i].was;
	return plan->new.rule.handle &&old == plan->count;
}

static int plan_make(struct plan *plan, const struct state *state, const struct pins *pins,
		     const struct settings *settings, const struct edit *edit)
{
	int err = plan_rules(plan, &state->running, edit);

	if (err)
		return err;
	if ((plan->new.rule.handle &&coming_needs_more(state, pins, settings, plan)) ||
	    (plan->old && going_needs_more(plan)))
		return -EAGAIN;
	err = plan_entries(plan);
	if (!err)
		err = plan_count(plan);
	if (err || !may_be_double(plan))
		return err;
	if (!plan->records.list)
		err = records_open(state, settings_active(settings), &plan->records);
	if (!err && find_equal(&plan->records, &plan->new.rule, plan->old))
		err = -EAGAIN;
	return err;
}

/* ---- writing ---- */

static int entries_update(const struct plan *plan, bool back)
{
	struct rule_key *keys = calloc(plan->count + 1, sizeof(*keys));
	struct rule_entry *entries = calloc(plan->count + 1, sizeof(*entries));
	int err = keys && entries ? 0 : -ENOMEM;
	__u32 count = 0;

	/* The one that is changed last: where there is no room for others, it is as it was. */
	for (size_t i = 0; i < 2 * plan->count && !err; i++) {
		const struct store *store = &plan->stores[i % plan->count];

		if (!(back ? store->was : store->is) || store_stays(store) ||
		    store->was != (i >= plan->count))
			continue;
		keys[count] = store->key;
		entries[count++] = back ? store->before : store->after;
	}
	if (!err && count)
		err = bpf_map_update_batch(plan->maps.index, keys, entries, &count, NULL);
	free(keys);
	free(entries);
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
static void entries_undo(const struct plan *plan)
{
	entries_update(plan, true);
	for (size_t i = 0; i < plan->count; i++)
		if (!plan->stores[i].was && plan->stores[i].is)
			bpf_map_delete_elem(plan->maps.index, &plan->stores[i].key);
}

static int entries_write(const struct plan *plan)
{
	__u32 zero = 0;
	int err = 0;

	if (plan->set_changed)
		err = bpf_map_update_elem(plan->maps.ruleset, &zero, plan->set, BPF_ANY);
	if (err)
		return err;
	err = entries_update(plan, false);
	if (!err)
		err = entries_delete(plan);
	if (err)
		entries_undo(plan);
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

/* What no packet looks at before the index leads there. */
static int write_beside(const struct state *state, const struct plan *plan, __u32 place)
{
	int err = plan->new.rule.handle ? slots_make_room(state) : 0;

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
		err = entries_write(plan);
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
 * it: once an edit has freed any, the next that needs some waits until no program that was running
 * still runs, which replacing an inner map, if only by itself, does.
 */
static int wait_for_readers(struct state *state, __u32 slot, const struct plan *plan)
{
	struct running *running = &state->running;
	int err = 0;

	if (running->freed && (plan->comes || plan->changes)) {
		err = bpf_map_update_elem(state->map[MAP_rule_records], &slot, &plan->maps.records,
					  BPF_ANY);
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

	if (plan->new.rule.handle) {
		running->next_slot += plan->new.rule.slot == running->next_slot;
		running->next_handle += !plan->old;
		running->record_count += !plan->old;
		if (plan->new.rank > running->last_rank)
			running->last_rank = plan->new.rank;
	}
	err = write_beside(state, plan, place);
	if (!err)
		err = wait_for_readers(state, settings_active(settings), plan);
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
	if (!err && edit->kind != EDIT_ADD)
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
