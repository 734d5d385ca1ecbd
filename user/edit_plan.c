// SPDX-License-Identifier: GPL-2.0-or-later
/* What changing one rule in place comes to. */
#include "edit_plan.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "compile.h"
#include "late_maps.h"
#include "slots.h"
#include "sysctl.h"

/* Rules that may come to light when one goes, and pairs of entries: more are the long way's. */
#define HIDDEN_MAX         64
#define HIDDEN_WORK_MAX    (1 << 20)

/* Entries that are changed: each waits for the one before. Two protocols of both families are four. */
#define CHANGES_MAX        4

/* Behind so many masks a new rule may stand that is better than all that is behind them. */
#define MASKS_UNSORTED_MAX 16

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
	plan->takes_slot = !plan->old || !rule_equal(&plan->old->rule, rule);
	if (!plan->takes_slot)
		plan->new.rule.slot = plan->old->rule.slot;
	if (edit->kind == EDIT_INSERT)
		return rank_at_position(&plan->records, running, edit->number, &plan->new.rank);
	return edit->kind == EDIT_ADD ? rank_last(running, &plan->new.rank) : 0;
}

static int plan_slot(struct plan *plan, const struct running *running)
{
	struct slot_set *used = calloc(1, sizeof(*used));

	if (!used)
		return -ENOMEM;
	if (slots_came_round(running))
		slot_set_add_all(used, &plan->records);
	plan->new.rule.slot = slot_find(running, used);
	plan->clears_slot = plan->new.rule.slot <= running->last_slot;
	free(used);
	return plan->new.rule.slot ? 0 : -EAGAIN;
}

/* ---- is there more to it than the tables? ---- */

static bool coming_needs_more(const struct state *state, const struct pins *pins,
			      const struct settings *settings, const struct plan *plan)
{
	const struct rule *rule = &plan->new.rule;
	const struct netdev *dev = netdev_by_name(plan->devs, rule->ifname);

	if (rule->ifname[0] && (!dev || !attach_is_complete(state, pins, dev)))
		return true;
	if (late_maps_lack(state, rule))
		return true;
	return sysctl_is_needed(rule) || state->running.record_count >= XFWD_RULES_MAX ||
	       rule_ports_out(rule) & ~settings->flags;
}

/* Of what the rule makes necessary, does no other one? */
static bool going_needs_more(const struct plan *plan)
{
	const struct rule *rule = &plan->old->rule;
	unsigned int forwards = sysctl_rule_forwards(rule);
	uint32_t ports = rule_ports_out(rule);
	bool names = rule->ifname[0];

	if (plan->new.rule.handle) {
		forwards &= ~sysctl_rule_forwards(&plan->new.rule);
		ports &= ~rule_ports_out(&plan->new.rule);
		names = names && !plan->new.rule.ifname[0];
	}
	for (size_t i = 0; i < plan->records.count && (forwards || ports || names); i++) {
		const struct rule *other = &plan->records.list[i].rule;

		if (!other->handle || other == rule)
			continue;
		forwards &= ~sysctl_rule_forwards(other);
		ports &= ~rule_ports_out(other);
		names = names && !other->ifname[0];
	}
	return forwards || ports || names || sysctl_rule_loops_back(rule);
}

/* ---- index entries ---- */

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

/* What the key of an entry is masked with. */
static const struct rule_key *bits_of(const struct tables *tables, const struct rule_key *key)
{
	enum family family = rule_key_family(key);

	return &tables->ruleset->masks[key->stage][family][rule_key_position(key)].bits;
}

static int mask_find(const struct ruleset *set, enum stage stage, enum family family,
		     const struct rule_key *bits)
{
	const struct rule_mask *masks = set->masks[stage][family];

	for (__u32 at = 0; at < set->mask_count[stage][family]; at++)
		if (rule_key_equal(&masks[at].bits, bits))
			return at;
	return -1;
}

/*
 * Position of the mask, which is added where it is new. The search ends at the first mask that says
 * it has no better rule, and masks cannot change places: so all up to this one say that they might
 * have one of this rank. -EAGAIN where there is no room, or where that would cost the search dear.
 */
static int mask_merge(struct plan *plan, enum stage stage, enum family family,
		      const struct rule_key *bits, __u32 rank)
{
	struct rule_mask *masks = plan->set->masks[stage][family];
	__u32 *count = &plan->set->mask_count[stage][family];
	int at = mask_find(plan->set, stage, family, bits);

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
	enum family family;
	int at;

	*key = tables->keys[entry];
	family = rule_key_family(key);
	at = mask_find(plan->set, key->stage, family, bits_of(tables, key));
	key->mask = RULE_KEY_MASK(family, at);
	return at >= 0;
}

/* Is it in lists that change with the whole ruleset? They do not tell which rules they are of. */
static bool is_listed(const struct ruleset *set)
{
	return set->hairpin_count || set->pool_count[FAMILY_IP4] || set->pool_count[FAMILY_IP6];
}

/*
 * The entries of the old rule go. All its keys must be there, its own or those of a rule that hides
 * it: else an interface was exchanged since they were written, and what is in force is not known.
 */
static int plan_old(struct plan *plan, const struct tables *tables)
{
	struct rule_key key;
	struct store *store;

	if (is_listed(tables->ruleset))
		return -EAGAIN;
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

/* Bits of the ruleset only come: what one more says is searched, and not found. */
static void bits_merge(struct plan *plan, __u64 *bits, __u64 more)
{
	if (~*bits & more)
		plan->set_changed = true;
	*bits |= more;
}

/* Those of the new one come, but where a rule before it hides them. */
static int plan_new(struct plan *plan, const struct tables *tables)
{
	__u32 rank = plan->new.rank;
	int at;

	if (is_listed(tables->ruleset))
		return -EAGAIN;
	for (size_t i = 0; i < tables->entry_count; i++) {
		struct rule_key key = tables->keys[i];
		enum family family = rule_key_family(&key);
		struct store *store;

		at = mask_merge(plan, key.stage, family, bits_of(tables, &key), rank);
		if (at < 0)
			return at;
		key.mask = RULE_KEY_MASK(family, at);
		store = store_add(plan, &key);
		if (!store)
			return -ENOMEM;
		if (store->was && store->before.rank < rank)
			continue;
		store->is = true;
		store->after = tables->entries[i];
		store->after.rank = rank;
	}
	for (int stage = 0; stage < STAGE_COUNT; stage++)
		bits_merge(plan, &plan->set->interfaces[stage], tables->ruleset->interfaces[stage]);
	for (int i = 0; i < RULESET_PORT_WORDS; i++)
		bits_merge(plan, &plan->set->ports[i], tables->ruleset->ports[i]);
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

/* Whom the rule is for in a stage: a static one is in both. False: nobody. */
static bool rule_ends(const struct rule *rule, enum stage stage, struct endpoint *from,
		      struct endpoint *to)
{
	const struct endpoint any = { 0 };

	*from = rule->from;
	*to = rule->to;
	if (rule->kind != RULE_STATIC)
		return rule->stage == stage;
	if (stage == STAGE_OUT) {
		*from = rule->to;
		from->prefix.addr = rule->target.addr_min;
		*to = any;
	}
	return true;
}

static bool ends_meet(const struct endpoint *a, const struct endpoint *b)
{
	return prefix_same(&a->prefix, &b->prefix) && ports_meet(a->ports, b->ports);
}

/* May the two have a key in common? */
static bool rules_meet(const struct plan *plan, const struct rule *a, const struct rule *b)
{
	struct endpoint from[2], to[2];
	bool meet = false;

	for (int stage = 0; stage < STAGE_COUNT && !meet; stage++)
		meet = rule_ends(a, stage, &from[0], &to[0]) &&
		       rule_ends(b, stage, &from[1], &to[1]) && ends_meet(&from[0], &from[1]) &&
		       ends_meet(&to[0], &to[1]);
	return meet && (!a->family || !b->family || a->family == b->family) &&
	       !a->protocols == !b->protocols && (!a->protocols || a->protocols & b->protocols) &&
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

static int plan_count(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct store *store = &plan->stores[i];

		plan->comes += !store->was && store->is;
		plan->goes += store->was && !store->is;
		plan->changes += store->was && store->is && !store_stays(store);
	}
	return plan->changes > CHANGES_MAX ? -EAGAIN : 0;
}

/* Only a rule whose every key is there already can be there itself. */
static bool may_be_double(const struct plan *plan)
{
	size_t old = 0;

	for (size_t i = 0; i < plan->count; i++)
		old += plan->stores[i].was;
	return plan->new.rule.handle &&old == plan->count;
}

int plan_make(struct plan *plan, const struct state *state, const struct pins *pins,
	      const struct settings *settings, const struct edit *edit)
{
	int err = plan_rules(plan, &state->running, edit);

	if (!err && plan->takes_slot)
		err = plan_slot(plan, &state->running);
	if (err)
		return err;
	if (!attachments_are_current(state, plan->devs) ||
	    (plan->new.rule.handle &&coming_needs_more(state, pins, settings, plan)) ||
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
