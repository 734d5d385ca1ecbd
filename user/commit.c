// SPDX-License-Identifier: GPL-2.0-or-later
/* Making the running state equal a configuration. */
#include "commit.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "compile.h"
#include "late_maps.h"
#include "ifaces.h"
#include "ipsec.h"
#include "msg.h"
#include "records.h"
#include "rules_write.h"
#include "slots.h"
#include "sysctl.h"
#include "task.h"

static int name_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Says so where no interface has that name, once: `asked` is a tsearch(3) tree of those before. */
static void note_missing(const struct netdevs *devs, const char *name, void **asked)
{
	const char **node = *name ? tsearch(name, asked, name_compare) : NULL;

	if (!node || *node != name || netdev_by_name(devs, name))
		return;
	msg_note("there is no interface \"%s\" now: its rules rest until it is there and "
		 "`xfwd run`, or an `apply`, attaches it",
		 name);
}

static void name_stays(void *name)
{
	(void)name;
}

static void note_all_missing(const struct config *config, const struct netdevs *devs)
{
	void *asked = NULL;

	for (size_t i = 0; i < config->interface_count; i++)
		note_missing(devs, config->interfaces[i].name, &asked);
	for (size_t i = 0; i < config->rule_count; i++)
		note_missing(devs, config->rules[i].ifname, &asked);
	tdestroy(asked, name_stays);
}

/* As with all that forwards before the kernel routes: what should have been encrypted is not. */
static void note_ipsec(const struct config *config)
{
	__u32 policies;

	if (config->rule_count && !ipsec_count_policies(&policies) && policies)
		msg_note(
			"there are IPsec policies: what these rules forward goes past them, in clear");
}

/* The compiler's ranks are positions: they get gaps, for rules that are put in between. */
static void ranks_spread(struct tables *tables)
{
	for (size_t i = 0; i < tables->entry_count; i++)
		tables->entries[i].rank = rank_at(tables->entries[i].rank);
	for (int stage = 0; stage < STAGE_COUNT; stage++) {
		for (int family = 0; family < FAMILY_COUNT; family++) {
			struct rule_mask *masks = tables->ruleset->masks[stage][family];

			for (__u32 i = 0; i < tables->ruleset->mask_count[stage][family]; i++)
				masks[i].best_rank = rank_at(masks[i].best_rank);
		}
	}
}

/* What comes to one of these and belongs to nobody meets the stack, as if no rule lent it out. */
static void note_pools(const struct tables *tables)
{
	if (tables->pools_left)
		msg_note("`snat` rules lend out more than %d ranges of addresses: what comes "
			 "unasked to the highest %zu is not dropped",
			 RULESET_POOLS, tables->pools_left);
}

/* The rule to blame is counted from 1. -EDOM where there is one. */
static int say_uncompiled(int err, size_t rule)
{
	switch (err) {
	case -E2BIG:
		msg_error("rule %zu is one combination of prefix lengths, port ranges and "
			  "interfaces too many (%d are possible)",
			  rule, XFWD_MASKS_MAX);
		break;
	case -ENOSPC:
		msg_error("rule %zu has `hairpin` on one interface too many (%d are possible)",
			  rule, RULESET_HAIRPINS);
		break;
	case -EOVERFLOW:
		msg_error("there is no room for rule %zu", rule);
		break;
	default:
		msg_error("cannot compile the rules: %s", strerror(-err));
		return err;
	}
	return -EDOM;
}

static int compile_rules(const struct config *config, const struct netdevs *devs,
			 struct tables *tables)
{
	size_t at = 0;
	int err = compile(config, netdevs_ifindex, (void *)devs, tables, &at);

	if (err)
		return say_uncompiled(err, at + 1);
	ranks_spread(tables);
	return 0;
}

static int running_write(struct state *state, __u32 slot, const struct config *config)
{
	struct running *running = &state->running;

	state->slot = slot;
	running->options = config->options;
	running->record_count = config->rule_count;
	running->freed = 0;
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

bool commit_attaches(const struct config *config, const char *name)
{
	return wanted_mode(config, name) >= 0;
}

/* Attaching what the configuration names. */
struct attaching {
	const struct state *state;
	const struct pins *pins;
	const struct config *config;
	struct netdevs *devs;
	bool each; /* those that can be: COMMIT_ATTACH_EACH */
	bool pending; /* the rules wait for being put in force again: see struct running */
	int *before; /* of each device: the mode that it was asked to have, or MODE_NONE */
};

#define MODE_NONE (-1) /* not attached */

/*
 * Interfaces whose mode changes let go of XDP first, all of them: those over one device have one mode
 * there, and may change it together.
 */
static int leave_modes(const struct attaching *at)
{
	struct attachment attachment;
	int err = 0;

	for (size_t i = 0; i < at->devs->count && !err; i++) {
		const struct netdev *dev = &at->devs->list[i];
		int mode = wanted_mode(at->config, dev->name);

		if (mode >= 0 && at->before[i] != MODE_NONE && mode != at->before[i] &&
		    !attachment_get(at->state, dev->ifindex, &attachment) && attachment.carrier)
			err = attach_without_xdp(at->state, at->pins, dev->ifindex);
	}
	if (err)
		msg_error("cannot detach XDP: %s", strerror(-err));
	return err;
}

static int note_modes(struct attaching *at)
{
	struct attachment attachment;

	at->before = calloc(at->devs->count + 1, sizeof(*at->before));
	if (!at->before) {
		msg_error("cannot attach to the interfaces: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	for (size_t i = 0; i < at->devs->count; i++)
		at->before[i] = attachment_get(at->state, at->devs->list[i].ifindex, &attachment)
					? MODE_NONE
					: attachment.wanted;
	return 0;
}

static int attach_all(const struct attaching *at)
{
	int err = 0, mode;

	for (size_t i = 0; i < at->devs->count && !err; i++) {
		mode = wanted_mode(at->config, at->devs->list[i].name);
		if (mode >= 0)
			err = attach_interface(at->state, at->pins, at->devs, &at->devs->list[i],
					       mode);
	}
	return err;
}

/*
 * Those that can be. An error where some cannot, and no other has been gained: then there is nothing
 * new for the rules either, which would be put in force again with each change of any interface. Those
 * that wait for it are.
 */
static int attach_each(const struct attaching *at)
{
	bool gained = false, refused = false, there;

	for (size_t i = 0; i < at->devs->count; i++) {
		const struct netdev *dev = &at->devs->list[i];
		int mode = wanted_mode(at->config, dev->name);

		if (mode < 0)
			continue;
		there = attach_is_complete(at->state, at->pins, dev);
		if (attach_interface(at->state, at->pins, at->devs, dev, mode))
			refused = true;
		else if (!there)
			gained = true;
	}
	return refused && !gained && !at->pending ? -EOPNOTSUPP : 0;
}

/* Prints what is wrong. */
static int attach_wanted(void *context)
{
	struct attaching *at = context;
	int err = note_modes(at);

	if (!err)
		err = leave_modes(at);
	if (err)
		return err;
	return at->each ? attach_each(at) : attach_all(at);
}

/* While loopback addresses can be reached from its wire, an interface keeps the programs' guard. */
static int let_go(const struct state *state, const struct pins *pins, const struct netdev *dev)
{
	int err = sysctl_restore(state, dev->name);

	return err ? err : detach_interface(state, pins, dev->ifindex);
}

/*
 * As before attach_wanted(). XDP is let go of everywhere before it is attached anywhere, for the reason
 * above.
 */
static void attach_undo(const struct attaching *at)
{
	const struct netdevs *devs = at->devs;
	int mode;

	for (size_t i = 0; at->before && i < devs->count; i++) {
		mode = wanted_mode(at->config, devs->list[i].name);
		if (mode < 0 || mode == at->before[i])
			continue;
		if (at->before[i] == MODE_NONE)
			let_go(at->state, at->pins, &devs->list[i]);
		else
			attach_without_xdp(at->state, at->pins, devs->list[i].ifindex);
	}
	for (size_t i = 0; at->before && i < devs->count; i++)
		if (at->before[i] != MODE_NONE &&
		    wanted_mode(at->config, devs->list[i].name) >= 0 &&
		    attach_interface(at->state, at->pins, devs, &devs->list[i], at->before[i]))
			msg_error(
				"%s could not be put back to its mode: tc alone serves it until the "
				"next apply",
				devs->list[i].name);
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
		/* Also where a rule for all interfaces would need its sysctl. */
		err = dev ? let_go(state, pins, dev) : detach_interface(state, pins, list[i]);
	}
	free(list);
	return err;
}

bool commit_is_current(const struct state *state, const struct config *config,
		       const struct netdevs *devs)
{
	struct attachment attachment;
	bool current = !state->running.pending && attachments_are_current(state, devs);

	for (size_t i = 0; i < devs->count && current; i++)
		if (wanted_mode(config, devs->list[i].name) >= 0)
			current = !attachment_get(state, devs->list[i].ifindex, &attachment);
	return current;
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
	settings.flags &= SETTING_GUARD_LOOPBACK; /* as long as route_localnet may be on */
	if (config->options.tcp_loose)
		settings.flags |= SETTING_TCP_LOOSE;
	for (size_t i = 0; i < config->rule_count; i++)
		settings.flags |= rule_ports_out(&config->rules[i]);
	if (config->options.source_check)
		settings.flags |= SETTING_SOURCE_CHECK;
	settings.timeout_least = ~0U;
	for (int i = 0; i < TIMEOUT_COUNT; i++) {
		settings.timeout[i] = config->options.timeout[i] * settings.hz;
		if (settings.timeout[i] < settings.timeout_least)
			settings.timeout_least = settings.timeout[i];
	}
	return bpf_map_update_elem(state->map[MAP_settings], &zero, &settings, BPF_ANY);
}

static int switch_over(const struct state *state, const struct config *config)
{
	int err = settings_write(state, config);

	if (err)
		msg_error("cannot put the rules in force: %s", strerror(-err));
	return err;
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

/* The guard comes before the sysctl that it is for, and goes after it. */
static int guard_set(const struct state *state, bool on)
{
	struct settings settings;
	__u32 zero = 0;
	int err = state_settings(state, &settings);

	settings.flags &= ~SETTING_GUARD_LOOPBACK;
	if (on)
		settings.flags |= SETTING_GUARD_LOOPBACK;
	return err ? err : bpf_map_update_elem(state->map[MAP_settings], &zero, &settings, BPF_ANY);
}

static int write_beside(struct state *state, const struct config *config,
			const struct tables *tables, struct task *slots)
{
	struct settings settings;
	int err = state_settings(state, &settings);
	__u32 slot = !settings_active(&settings);

	if (!err)
		err = rules_write(state, slot, config, tables);
	if (!err)
		err = task_end(slots);
	if (!err)
		err = running_write(state, slot, config);
	if (err)
		msg_error("cannot write the rules: %s", strerror(-err));
	return err;
}

/* What the rules need besides the tables. Prints what is wrong. */
static int prepare(struct state *state, const struct config *config, struct netdevs *devs)
{
	int err = 0;

	if (sysctl_needs_guard(config))
		err = guard_set(state, true);
	if (!err)
		err = ifaces_sync(state, devs);
	if (err) {
		msg_error("cannot write what is known of the interfaces: %s", strerror(-err));
		return err;
	}
	return sysctl_provide(state, config, devs);
}

static int release_sysctls(const struct state *state, const struct config *config)
{
	int err = sysctl_release(state, config);

	if (err || sysctl_needs_guard(config))
		return err;
	return guard_set(state, false);
}

/* The new rules hold already: what goes wrong here is said, and undoes nothing. */
static void tidy_up(const struct state *state, const struct pins *pins, const struct config *config,
		    struct netdevs *devs, bool keep)
{
	int err = release_sysctls(state, config);

	if (err) { /* interfaces stay, too: they may need the guard */
		msg_error(
			"the rules are in force, but sysctls that they do not need could not be put "
			"back: %s",
			strerror(-err));
		return;
	}
	err = detach_unwanted(state, pins, config, devs, keep);
	if (!err)
		err = ifaces_sync(state, devs);
	if (err)
		msg_error(
			"the rules are in force, but interfaces that they do not name could not be "
			"detached: %s",
			strerror(-err));
}

/* All that can fail: attaching, and writing beside what is in force. Prints what is wrong. */
static int make_ready(struct state *state, const struct config *config, const struct tables *tables,
		      struct attaching *at, struct task *slots)
{
	struct task attach;
	int err, failed;

	task_start(&attach, attach_wanted, at);
	err = write_beside(state, config, tables, slots);
	failed = task_end(&attach);
	if (!err)
		err = failed;
	return err ? err : prepare(state, config, at->devs);
}

static int provide_tables(const struct state *state, const struct config *config)
{
	int err = late_maps_provide(state, config);

	if (err)
		msg_error("cannot make the tables that the rules ask for: %s", strerror(-err));
	return err;
}

int commit_follow_names(struct state *state, const struct netdevs *devs)
{
	int err = sysctl_names_changed(state, devs);

	if (err > 0) {
		state->running.pending = 1;
		err = state_write_running(state, state->slot);
	}
	return err ? err : sysctl_follow_names(state, devs);
}

static int follow_names(struct state *state, const struct netdevs *devs)
{
	int err = commit_follow_names(state, devs);

	if (err)
		msg_error("cannot follow the interfaces' names: %s", strerror(-err));
	return err;
}

/* What the rules that are in force have been given, besides their attachments. */
struct before {
	struct sysctl_record sysctls;
	bool guard;
};

static int remember(const struct state *state, struct before *before)
{
	struct settings settings;
	int err = state_settings(state, &settings);

	if (!err) {
		before->guard = settings.flags & SETTING_GUARD_LOOPBACK;
		err = sysctl_record(state, &before->sysctls);
	}
	if (err)
		msg_error("cannot read what is set for the running rules: %s", strerror(-err));
	return err;
}

/*
 * What this commit set goes back, and nothing else: the rules that are in force may name interfaces
 * that have got other names since, and need what they do not seem to.
 */
static void undo(const struct state *state, const struct attaching *at, const struct before *before)
{
	int err = sysctl_undo(state, &before->sysctls);

	attach_undo(at);
	if (!err)
		err = guard_set(state, before->guard);
	if (err)
		msg_error("what was set for the new rules could not be put back: %s",
			  strerror(-err));
}

static int make_room(void *context)
{
	return slots_make_room(context);
}

int commit_try(const struct state *state, const struct config *config, const struct netdevs *devs)
{
	struct tables tables = { 0 };
	int err = state ? check_limits(state, config) : 0;

	if (!err)
		err = compile_rules(config, devs, &tables);
	tables_free(&tables);
	return err;
}

int commit(struct state *state, const struct pins *pins, struct config *config,
	   struct netdevs *devs, unsigned int flags)
{
	struct attaching at = { .state = state,
				.pins = pins,
				.config = config,
				.devs = devs,
				.each = flags & COMMIT_ATTACH_EACH };
	struct before before = { 0 };
	struct tables tables = { 0 };
	struct task slots;
	int err;

	err = check_limits(state, config);
	if (!err)
		err = follow_names(state, devs);
	if (!err)
		err = slots_give(state, config);
	if (!err)
		err = provide_tables(state, config);
	if (!err)
		err = remember(state, &before);
	if (err)
		return err;
	at.pending = state->running.pending;
	task_start(&slots, make_room, state);
	err = compile_rules(config, devs, &tables);
	if (!err) {
		note_all_missing(config, devs);
		note_ipsec(config);
		note_pools(&tables);
		err = make_ready(state, config, &tables, &at, &slots);
	}
	task_end(&slots);
	if (!err)
		err = switch_over(state, config);
	if (!err)
		tidy_up(state, pins, config, devs, flags & COMMIT_KEEP_ATTACHED);
	if (err) {
		undo(state, &at, &before);
		ifaces_sync(state, devs); /* no packet is left to programs that are not there */
	}
	free(at.before);
	free(before.sysctls.list);
	tables_free(&tables);
	return err;
}
