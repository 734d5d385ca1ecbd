// SPDX-License-Identifier: GPL-2.0-or-later
/* Adding one rule behind the others, in place. */
#include "append.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "compile.h"
#include "msg.h"
#include "slots.h"
#include "sysctl.h"

/* The inner maps of the set in force. */
struct in_force {
	int ruleset;
	int index;
	int records;
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

static unsigned int ifindex_given(const char *name, void *context)
{
	(void)name;
	return *(unsigned int *)context;
}

/* A packet is of one family: with one entry for each it meets the rule, or does not. */
static bool is_one_entry_each(const struct tables *tables)
{
	unsigned int seen = 0, family;

	for (size_t i = 0; i < tables->entry_count; i++) {
		family = 1U << rule_key_family(&tables->keys[i]);
		if (seen & family)
			return false;
		seen |= family;
	}
	return seen;
}

/* The rule alone, compiled. -EAGAIN where it takes more than one store for any packet. */
static int compile_one(const struct rule *rule, unsigned int ifindex, struct tables *tables)
{
	struct config config = { .rules = (struct rule *)rule, .rule_count = 1 };
	size_t at;
	int err = compile(&config, ifindex_given, &ifindex, tables, &at);

	if (!err && !is_one_entry_each(tables)) {
		tables_free(tables);
		err = -EAGAIN;
	}
	return err;
}

/*
 * The position of the key's mask in `one` among those in force, to which it is added where it is
 * new: last, as its best rank is the highest of all. Notes it where the ruleset is changed.
 */
static int mask_merge(struct ruleset *set, const struct ruleset *one, const struct rule_key *key,
		      __u32 rank, bool *changed)
{
	enum family family = rule_key_family(key);
	struct rule_mask *masks = set->masks[key->stage][family];
	__u32 *count = &set->mask_count[key->stage][family], at;
	const struct rule_mask *mask = &one->masks[key->stage][family][rule_key_position(key)];

	if ((set->interfaces[key->stage] | one->interfaces[key->stage]) !=
	    set->interfaces[key->stage])
		*changed = true;
	set->interfaces[key->stage] |= one->interfaces[key->stage];
	for (at = 0; at < *count; at++)
		if (rule_key_equal(&masks[at].bits, &mask->bits))
			return at;
	if (at == XFWD_MASKS_MAX)
		return -EAGAIN;
	masks[at] = *mask;
	masks[at].best_rank = rank;
	++*count;
	*changed = true;
	return at;
}

/* Another rule has the key already: is it the same one? Else it hides the new one, which is legal. */
static int check_same(const struct in_force *maps, const struct rule_entry *entry,
		      const struct rule *rule)
{
	struct rule other;
	__u32 at = entry->rank;
	int err = bpf_map_lookup_elem(maps->records, &at, &other);

	if (err || !rule_equal(&other, rule))
		return err;
	msg_error("the same rule is there already, with handle %u", other.handle);
	return -EEXIST;
}

/* What the new rule comes to among those in force; nothing is written yet. */
struct addition {
	struct in_force maps;
	struct tables tables; /* of the rule alone; the keys as they will be among the others */
	struct ruleset *set; /* as it will be */
	bool set_changed;
	bool hidden[FAMILY_COUNT]; /* by an earlier rule of the same match */
};

/* Where one of its entries belongs, and whether it has a place there. */
static int entry_plan(struct addition *new, size_t i, const struct rule *rule, __u32 rank)
{
	struct rule_key *key = &new->tables.keys[i];
	struct rule_entry there;
	int at = mask_merge(new->set, new->tables.ruleset, key, rank, &new->set_changed);

	if (at < 0)
		return at;
	key->mask = RULE_KEY_MASK(rule_key_family(key), at);
	new->tables.entries[i].rank = rank;
	new->hidden[i] = !bpf_map_lookup_elem(new->maps.index, key, &there);
	return new->hidden[i] ? check_same(&new->maps, &there, rule) : 0;
}

static int addition_plan(const struct state *state, struct addition *new, const struct rule *rule)
{
	__u32 zero = 0;
	int err;

	new->set = malloc(sizeof(*new->set));
	if (!new->set)
		return -ENOMEM;
	err = bpf_map_lookup_elem(new->maps.ruleset, &zero, new->set);
	for (size_t i = 0; i < new->tables.entry_count && !err; i++)
		err = entry_plan(new, i, rule, state->running.rule_count);
	return err;
}

/* All that no packet looks at before the index has the rule. -EAGAIN where a map is full. */
static int write_rule(struct state *state, const struct addition *new, const struct rule *rule)
{
	__u32 at = state->running.rule_count;
	int err = slots_make_room(state);

	if (!err)
		err = bpf_map_update_elem(new->maps.records, &at, rule, BPF_ANY);
	return err == -E2BIG ? -EAGAIN : err;
}

/* One store puts the rule in force for a family: that of its index entry. */
static int write_entries(const struct addition *new)
{
	const struct tables *tables = &new->tables;
	__u32 zero = 0;
	size_t done;
	int err = 0;

	if (new->set_changed)
		err = bpf_map_update_elem(new->maps.ruleset, &zero, new->set, BPF_ANY);
	for (done = 0; done < tables->entry_count && !err; done += !err)
		if (!new->hidden[done])
			err = bpf_map_update_elem(new->maps.index, &tables->keys[done],
						  &tables->entries[done], BPF_NOEXIST);
	while (err && done--) /* all of them or none */
		if (!new->hidden[done])
			bpf_map_delete_elem(new->maps.index, &tables->keys[done]);
	return err == -E2BIG ? -EAGAIN : err;
}

/* Flows are judged once more; by two, as the lowest bit says which set is in force. */
static int generation_raise(const struct state *state, struct settings *settings)
{
	__u32 zero = 0;

	settings->generation += 2;
	return bpf_map_update_elem(state->map[MAP_settings], &zero, settings, BPF_ANY);
}

/*
 * Between the two writings of `running` the rule is listed, but perhaps not in force: `pending` has
 * the next change take the long way, should this process end there.
 */
static int addition_write(struct state *state, struct settings *settings,
			  const struct addition *new, const struct rule *rule)
{
	struct running *running = &state->running;
	int err = write_rule(state, new, rule);

	if (err)
		return err;
	running->rule_count++;
	running->pending = 1;
	err = state_write_running(state, settings_active(settings));
	if (!err)
		err = write_entries(new);
	if (err) {
		running->rule_count--;
		running->pending = 0;
		state_write_running(state, settings_active(settings));
		return err;
	}
	running->pending = 0;
	err = state_write_running(state, settings_active(settings));
	return err ? err : generation_raise(state, settings);
}

/* Is there more to do for the rule than to put it into the tables? */
static bool needs_more(const struct state *state, const struct settings *settings,
		       const struct rule *rule)
{
	return state->running.pending || sysctl_is_needed(rule) ||
	       state->running.next_slot >= XFWD_RULES_MAX ||
	       state->running.rule_count >= XFWD_RULES_MAX ||
	       (rule_source_has_ports(rule) && !(settings->flags & SETTING_PORTS_OUT));
}

int append(struct state *state, const struct pins *pins, const struct netdevs *devs,
	   struct rule *rule)
{
	const struct netdev *dev = netdev_by_name(devs, rule->ifname);
	struct addition new = { .maps = { -1, -1, -1 } };
	struct settings settings;
	int err = state_settings(state, &settings);

	if (err)
		return err;
	if (!dev || !attach_is_complete(state, pins, dev) || needs_more(state, &settings, rule))
		return -EAGAIN;
	rule->handle = state->running.next_handle++;
	rule->slot = state->running.next_slot++;
	err = compile_one(rule, dev->ifindex, &new.tables);
	if (err)
		return err;
	err = in_force_open(state, &settings, &new.maps);
	if (!err)
		err = addition_plan(state, &new, rule);
	if (!err)
		err = addition_write(state, &settings, &new, rule);
	in_force_close(&new.maps);
	tables_free(&new.tables);
	free(new.set);
	return err;
}
