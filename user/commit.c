// SPDX-License-Identifier: GPL-2.0-or-later
/* Making the running state equal a configuration. */
#include "commit.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "compile.h"
#include "ifaces.h"
#include "msg.h"
#include "records.h"
#include "slots.h"
#include "sysctl.h"

/* Names that no interface has: once each, where they follow each other. */
static void note_missing(const struct config *config, const struct netdevs *devs)
{
	const char *last = "";

	for (size_t i = 0; i < config->rule_count; i++) {
		const char *name = config->rules[i].ifname;

		if (!*name || !strcmp(name, last) || netdev_by_name(devs, name))
			continue;
		msg_note("there is no interface \"%s\" now: its rules rest until it is back and "
			 "the rules are applied again",
			 name);
		last = name;
	}
}

/* The compiler's ranks are positions: they get gaps, for rules that are put in between. */
static void ranks_spread(struct tables *tables)
{
	for (size_t i = 0; i < tables->entry_count; i++)
		tables->refs[i].rank = rank_at(tables->refs[i].rank);
	for (int stage = 0; stage < STAGE_COUNT; stage++) {
		for (int family = 0; family < FAMILY_COUNT; family++) {
			struct rule_mask *masks = tables->ruleset->masks[stage][family];

			for (__u32 i = 0; i < tables->ruleset->mask_count[stage][family]; i++)
				masks[i].best_rank = rank_at(masks[i].best_rank);
		}
	}
}

static int compile_rules(const struct config *config, const struct netdevs *devs,
			 struct tables *tables)
{
	size_t at = 0;
	int err = compile(config, netdevs_ifindex, (void *)devs, tables, &at);

	if (err == -E2BIG)
		msg_error("rule %zu is one combination of prefix lengths, port ranges and "
			  "interfaces too many (%d are possible)",
			  at + 1, XFWD_MASKS_MAX);
	else if (err)
		msg_error("cannot compile the rules: %s", strerror(-err));
	else
		ranks_spread(tables);
	return err;
}

/* Entries for `count`, and for some that may be added in place. */
static __u32 with_room(size_t count)
{
	return count + count / 8 + 64;
}

/* The inner maps of one set of rules, to be put into the outer ones. */
struct inner_maps {
	int records;
	int ruleset;
	int index;
	int actions;
};

static int inner_create(const char *name, enum bpf_map_type type, const __u32 sizes[2], __u32 room,
			__u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(type, name, sizes[0], sizes[1], room, &opts);

	return fd < 0 ? -errno : fd;
}

static int inner_create_all(struct inner_maps *inner, const struct config *config,
			    const struct tables *tables)
{
	static const __u32 records[] = { sizeof(__u32), sizeof(struct rule_record) };
	static const __u32 ruleset[] = { sizeof(__u32), sizeof(struct ruleset) };
	static const __u32 actions[] = { sizeof(__u32), sizeof(struct rule_action) };
	static const __u32 index[] = { sizeof(struct rule_key), sizeof(struct rule_ref) };
	__u32 rules = with_room(config->rule_count), entries = with_room(tables->entry_count);

	inner->records =
		inner_create("rule_records", BPF_MAP_TYPE_ARRAY, records, rules, RECORDS_MAP_FLAGS);
	inner->ruleset = inner_create("ruleset", BPF_MAP_TYPE_ARRAY, ruleset, 1, 0);
	inner->index = inner_create("rule_index", BPF_MAP_TYPE_HASH, index, entries, 0);
	inner->actions =
		inner_create("rule_actions", BPF_MAP_TYPE_ARRAY, actions, rules, BPF_F_INNER_MAP);
	if (inner->records < 0)
		return inner->records;
	if (inner->ruleset < 0)
		return inner->ruleset;
	return inner->index < 0 ? inner->index : inner->actions < 0 ? inner->actions : 0;
}

static int batch_update(int fd, const void *keys, const void *values, __u32 count)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);

	return count ? bpf_map_update_batch(fd, keys, values, &count, &opts) : 0;
}

/* Fills an array map from an array. */
static int array_write(int fd, const void *values, __u32 count)
{
	__u32 *keys = calloc(count + 1, sizeof(*keys));
	int err = keys ? 0 : -ENOMEM;

	for (__u32 i = 0; i < count && keys; i++)
		keys[i] = i;
	if (!err)
		err = batch_update(fd, keys, values, count);
	free(keys);
	return err;
}

static int inner_fill(const struct inner_maps *inner, const struct config *config,
		      const struct tables *tables)
{
	int err = records_write(inner->records, config);

	if (!err)
		err = array_write(inner->ruleset, tables->ruleset, 1);
	if (!err)
		err = batch_update(inner->index, tables->keys, tables->refs, tables->entry_count);
	if (!err)
		err = array_write(inner->actions, tables->actions, tables->action_count);
	return err;
}

/*
 * The records come first, and not by chance: no program reads them, but the kernel waits for all
 * running programs when an inner map is replaced. So what a packet may still be looking at, in the
 * slot that was in force before the last change, is replaced only when that packet is through.
 */
static int inner_link(const struct state *state, __u32 slot, const struct inner_maps *inner)
{
	const int *map = state->map;
	int err = bpf_map_update_elem(map[MAP_rule_records], &slot, &inner->records, BPF_ANY);

	if (!err)
		err = bpf_map_update_elem(map[MAP_rulesets], &slot, &inner->ruleset, BPF_ANY);
	if (!err)
		err = bpf_map_update_elem(map[MAP_rule_indexes], &slot, &inner->index, BPF_ANY);
	if (!err)
		err = bpf_map_update_elem(map[MAP_rule_actions], &slot, &inner->actions, BPF_ANY);
	return err;
}

static int ruleset_write(const struct state *state, __u32 slot, const struct config *config,
			 const struct tables *tables)
{
	struct inner_maps inner;
	int err = inner_create_all(&inner, config, tables);
	const int fds[] = { inner.records, inner.ruleset, inner.index, inner.actions };

	if (!err)
		err = inner_fill(&inner, config, tables);
	if (!err)
		err = inner_link(state, slot, &inner);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return err;
}

static int running_write(struct state *state, __u32 slot, const struct config *config)
{
	struct running *running = &state->running;

	running->options = config->options;
	running->record_count = config->rule_count;
	running->action_count = config->rule_count;
	running->last_rank = config->rule_count ? rank_at(config->rule_count - 1) : 0;
	running->pending = 0;
	running->interface_count = config->interface_count;
	if (config->interface_count)
		memcpy(running->interfaces, config->interfaces,
		       config->interface_count * sizeof(*config->interfaces));
	return state_write_running(state, slot);
}

/* The mode that the configuration asks of an interface it attaches to; -1: it does not. */
static int wanted_mode(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->interface_count; i++)
		if (!strcmp(config->interfaces[i].name, name))
			return config->interfaces[i].mode;
	for (size_t i = 0; i < config->rule_count; i++)
		if (!strcmp(config->rules[i].ifname, name))
			return MODE_AUTO;
	return -1;
}

/* Interfaces that the call attached, to be detached again where it fails later. */
struct attached {
	unsigned int *ifindex;
	size_t count;
};

static int attach_wanted(const struct state *state, const struct pins *pins,
			 const struct config *config, const struct netdevs *devs,
			 struct attached *fresh)
{
	struct attachment attachment;
	int mode, err = 0;

	fresh->count = 0;
	fresh->ifindex = calloc(devs->count + 1, sizeof(*fresh->ifindex));
	if (!fresh->ifindex)
		return -ENOMEM;
	for (size_t i = 0; i < devs->count && !err; i++) {
		const struct netdev *dev = &devs->list[i];
		bool before = !attachment_get(state, dev->ifindex, &attachment);

		mode = wanted_mode(config, dev->name);
		if (mode < 0)
			continue;
		err = attach_interface(state, pins, dev, mode);
		if (!err && !before)
			fresh->ifindex[fresh->count++] = dev->ifindex;
	}
	return err;
}

/* Those that the configuration does not name, and those that have gone. */
static int detach_unwanted(const struct state *state, const struct pins *pins,
			   const struct config *config, const struct netdevs *devs, bool keep)
{
	unsigned int *list;
	size_t count;
	int err = attachment_list(state, &list, &count);

	for (size_t i = 0; i < count && !err; i++) {
		const struct netdev *dev = netdev_by_index(devs, list[i]);

		if (dev && (keep || wanted_mode(config, dev->name) >= 0))
			continue;
		err = detach_interface(state, pins, list[i]);
	}
	free(list);
	return err;
}

bool commit_is_current(const struct state *state, const struct config *config,
		       const struct netdevs *devs)
{
	struct attachment attachment;
	unsigned int *list;
	size_t count;
	bool current = !attachment_list(state, &list, &count);

	for (size_t i = 0; i < count && current; i++) {
		const struct netdev *dev = netdev_by_index(devs, list[i]);

		current = dev && !attachment_get(state, list[i], &attachment) &&
			  !strcmp(attachment.name, dev->name);
	}
	for (size_t i = 0; i < devs->count && current; i++)
		if (wanted_mode(config, devs->list[i].name) >= 0)
			current = !attachment_get(state, devs->list[i].ifindex, &attachment);
	free(list);
	return current;
}

static bool source_rule_has_ports(const struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++)
		if (rule_source_has_ports(&config->rules[i]))
			return true;
	return false;
}

/* The switch: from here on the new rules hold. */
static int settings_write(const struct state *state, const struct config *config)
{
	struct settings settings;
	__u32 zero = 0;
	int err = state_settings(state, &settings);

	if (err)
		return err;
	settings.generation++; /* its lowest bit is the slot that was just filled */
	settings.flags = config->options.tcp_loose ? SETTING_TCP_LOOSE : 0;
	if (sysctl_needs_guard(config))
		settings.flags |= SETTING_GUARD_LOOPBACK;
	if (source_rule_has_ports(config))
		settings.flags |= SETTING_PORTS_OUT;
	settings.timeout_least = ~0U;
	for (int i = 0; i < TIMEOUT_COUNT; i++) {
		settings.timeout[i] = config->options.timeout[i] * settings.hz;
		if (settings.timeout[i] < settings.timeout_least)
			settings.timeout_least = settings.timeout[i];
	}
	return bpf_map_update_elem(state->map[MAP_settings], &zero, &settings, BPF_ANY);
}

static int check_limits(const struct state *state, const struct config *config)
{
	if (config->options.flows != state->running.options.flows) {
		msg_error(
			"the flow table has room for %u flows; to change that to %u, run `xfwd down` "
			"first",
			state->running.options.flows, config->options.flows);
		return -EINVAL;
	}
	if (config->interface_count > XFWD_INTERFACES_MAX) {
		msg_error("more than %d interfaces", XFWD_INTERFACES_MAX);
		return -E2BIG;
	}
	return 0;
}

/* The guard comes before the sysctl that it is for. */
static int guard_on(const struct state *state)
{
	struct settings settings;
	__u32 zero = 0;
	int err = state_settings(state, &settings);

	settings.flags |= SETTING_GUARD_LOOPBACK;
	return err ? err : bpf_map_update_elem(state->map[MAP_settings], &zero, &settings, BPF_ANY);
}

static int write_beside(struct state *state, const struct config *config,
			const struct tables *tables)
{
	struct settings settings;
	int err = state_settings(state, &settings);
	__u32 slot = !settings_active(&settings);

	if (!err)
		err = slots_make_room(state);
	if (!err)
		err = ruleset_write(state, slot, config, tables);
	if (!err)
		err = running_write(state, slot, config);
	if (err)
		msg_error("cannot write the rules: %s", strerror(-err));
	return err;
}

/* All that can fail, beside what is in force. Prints what is wrong. */
static int prepare(struct state *state, const struct pins *pins, const struct config *config,
		   const struct netdevs *devs, struct attached *fresh)
{
	int err = attach_wanted(state, pins, config, devs, fresh);

	if (err)
		return err;
	if (sysctl_needs_guard(config))
		err = guard_on(state);
	if (!err)
		err = ifaces_sync(state, devs);
	if (err) {
		msg_error("cannot write what is known of the interfaces: %s", strerror(-err));
		return err;
	}
	return sysctl_sync(state, config, devs);
}

/* The new rules hold already: what goes wrong here is said, and undoes nothing. */
static void tidy_up(const struct state *state, const struct pins *pins, const struct config *config,
		    const struct netdevs *devs, bool keep)
{
	int err = detach_unwanted(state, pins, config, devs, keep);

	if (!err)
		err = ifaces_sync(state, devs);
	if (err)
		msg_error(
			"the rules are in force, but interfaces that they do not name could not be "
			"detached: %s",
			strerror(-err));
}

int commit(struct state *state, const struct pins *pins, struct config *config,
	   const struct netdevs *devs, unsigned int flags)
{
	struct attached fresh = { 0 };
	struct tables tables = { 0 };
	int err;

	err = check_limits(state, config);
	if (!err)
		err = slots_give(state, config);
	if (!err)
		err = compile_rules(config, devs, &tables);
	if (err)
		return err;
	note_missing(config, devs);
	err = write_beside(state, config, &tables);
	if (!err)
		err = prepare(state, pins, config, devs, &fresh);
	if (!err)
		err = settings_write(state, config);
	if (!err)
		tidy_up(state, pins, config, devs, flags & COMMIT_KEEP_ATTACHED);
	for (size_t i = 0; i < fresh.count && err; i++)
		detach_interface(state, pins, fresh.ifindex[i]);
	free(fresh.ifindex);
	tables_free(&tables);
	return err;
}
