// SPDX-License-Identifier: GPL-2.0-or-later
/* What every command that changes rules does around the change. */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "check.h"
#include "commit.h"
#include "loader.h"
#include "msg.h"
#include "sysctl.h"

static void session_init(struct session *session)
{
	memset(session, 0, sizeof(*session));
	session->pins.lock.fd = -1;
	for (int i = 0; i < MAP_COUNT; i++)
		session->state.map[i] = -1;
	config_init(&session->config);
	loader_listen();
}

static int open_running(struct session *session)
{
	int err = state_open(&session->state, &session->pins);

	if (err)
		return err;
	session->open = true;
	return state_config(&session->state, &session->config);
}

/* As it is between two changes. */
static int read_locked(struct session *session)
{
	int err = pins_lock(&session->pins);

	if (!err)
		err = state_config(&session->state, &session->config);
	pins_unlock(&session->pins);
	return err;
}

int session_read(struct session *session, const char *netns)
{
	int err;

	session_init(session);
	err = pins_open(&session->pins, netns, false);
	if (!err)
		err = open_running(session);
	return err == -EAGAIN ? read_locked(session) : err;
}

int session_change(struct session *session, const char *netns)
{
	int err;

	session_init(session);
	err = pins_open(&session->pins, netns, false);
	if (!err)
		err = pins_lock(&session->pins);
	return err ? err : open_running(session);
}

int session_edit(struct session *session, const char *netns, struct edit *change)
{
	int err;

	session_init(session);
	err = pins_open(&session->pins, netns, false);
	if (!err)
		err = pins_lock(&session->pins);
	if (!err)
		err = state_open(&session->state, &session->pins);
	if (err)
		return err == -ENOENT ? -EAGAIN : err;
	session->open = true;
	err = netdevs_get(&session->devs);
	if (!err)
		err = edit(&session->state, &session->pins, &session->devs, change);
	if (err && err != -EAGAIN)
		msg_error("cannot change the rules: %s", strerror(-err));
	return err;
}

/* A state that is there but is of a namespace that has gone, or was cut short, is replaced. */
static int open_or_load(struct session *session, const struct config *first)
{
	int err = state_open(&session->state, &session->pins);

	if (err != -ENOENT || !first)
		return err;
	err = loader_load(&session->pins, first);
	if (err)
		return err;
	session->loaded = true;
	return state_open(&session->state, &session->pins);
}

int session_interfaces(struct session *session)
{
	int err = netdevs_get(&session->devs);

	if (err)
		msg_error("cannot read the interfaces of this machine: %s", strerror(-err));
	return err;
}

int session_write(struct session *session, const char *netns, const struct config *first)
{
	int err;

	session_init(session);
	err = pins_open(&session->pins, netns, first);
	if (!err)
		err = pins_lock(&session->pins);
	if (!err)
		err = open_or_load(session, first);
	if (err && (first || err != -ENOENT))
		return err;
	session->open = !err;
	err = session->open ? state_config(&session->state, &session->config) : 0;
	return err ? err : session_interfaces(session);
}

/* The interfaces that are there, and those of the running rules, which may be away for a while. */
static const char **known_names(const struct session *session, size_t *count)
{
	const struct config *running = &session->config;
	size_t most = session->devs.count + running->interface_count + running->rule_count;
	const char **names = calloc(most + 1, sizeof(*names)), *last = "";

	*count = 0;
	for (size_t i = 0; names && i < session->devs.count; i++)
		names[(*count)++] = session->devs.list[i].name;
	for (size_t i = 0; names && i < running->interface_count; i++)
		names[(*count)++] = running->interfaces[i].name;
	for (size_t i = 0; names && i < running->rule_count; i++) {
		const char *name = running->rules[i].ifname;

		if (*name && strcmp(name, last))
			names[(*count)++] = last = name;
	}
	return names;
}

int session_check(const struct session *session, const struct config *config,
		  const struct origins *origins, struct diag *diag)
{
	size_t count, missing;
	const char **names = known_names(session, &count);

	if (!names) {
		msg_error("cannot check the interfaces: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	missing = check_interfaces(config, origins, names, count, diag);
	free(names);
	return missing ? -ENODEV : 0;
}

static bool names_interface(const struct config *config)
{
	if (config->interface_count)
		return true;
	for (size_t i = 0; i < config->rule_count; i++)
		if (config->rules[i].ifname[0])
			return true;
	return false;
}

static bool is_attached(const struct state *state)
{
	unsigned int *list;
	size_t count;
	int err = attachment_list(state, &list, &count);

	free(list);
	return !err && count;
}

/* Rules that name no interface hold on those that are attached: with none, they hold nowhere. */
static int check_attached(const struct session *session, const struct config *config,
			  unsigned int flags)
{
	if (!config->rule_count || names_interface(config) ||
	    (flags & COMMIT_KEEP_ATTACHED && is_attached(&session->state)))
		return 0;
	msg_error(
		"no rule names an interface, so there is none to attach to: say `in` or `out`, or "
		"`interface NAME` in the file");
	return -EDOM;
}

int session_try(const struct session *session, const struct config *config)
{
	int err = check_attached(session, config, 0);

	return err ? err
		   : commit_try(session->open ? &session->state : NULL, config, &session->devs);
}

int session_commit(struct session *session, unsigned int flags)
{
	int err = check_attached(session, &session->config, flags);

	if (!err)
		err = commit(&session->state, &session->pins, &session->config, &session->devs,
			     flags);
	if (!err)
		session->loaded = false; /* it has rules now: it stays */
	return err;
}

int session_down(struct session *session)
{
	struct netdevs devs;
	unsigned int *list = NULL;
	size_t count = 0;
	int err = netdevs_get_links(&devs); /* those of the session may have got other names */

	if (!err)
		err = sysctl_follow_names(&session->state, &devs);
	/* Sysctls first: while route_localnet is on, the programs have to guard it. */
	if (!err)
		err = sysctl_restore(&session->state, NULL);
	if (!err)
		err = attachment_list(&session->state, &list, &count);
	for (size_t i = 0; i < count && !err; i++)
		err = detach_interface(&session->state, &session->pins, list[i]);
	free(list);
	netdevs_free(&devs);
	if (!err)
		err = pins_remove(session->pins.dir);
	if (err)
		msg_error("cannot take everything down: %s", strerror(-err));
	return err;
}

void session_close(struct session *session)
{
	if (session->loaded && session->open)
		session_down(session);
	state_close(&session->state);
	netdevs_free(&session->devs);
	config_free(&session->config);
	if (session->pins.lock.fd >= 0)
		pins_tidy(&session->pins);
	pins_unlock(&session->pins);
}
