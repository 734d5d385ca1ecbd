// SPDX-License-Identifier: GPL-2.0-or-later
/* Opening the pinned maps and reading back the configuration that is running. */
#include "state.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "msg.h"
#include "records.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* How often the rules are read while others change them. */
#define CONFIG_TRIES 5

_Static_assert(sizeof(struct running) <= XFWD_RUNNING_RECORD_SIZE, "map value size");

static const char *const map_names[MAP_COUNT] = {
#define STATE_MAP_NAME(name) [MAP_##name] = #name,
	STATE_MAPS(STATE_MAP_NAME)
#undef STATE_MAP_NAME
};

bool state_has_map(const char *name)
{
	for (size_t i = 0; i < MAP_COUNT; i++)
		if (!strcmp(map_names[i], name))
			return true;
	return false;
}

__u64 state_netns_cookie(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	__u64 cookie = 0;
	socklen_t length = sizeof(cookie);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length))
		cookie = 0;
	close(fd);
	return cookie;
}

int state_settings(const struct state *state, struct settings *settings)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(state->map[MAP_settings], &zero, settings);
}

int state_inner(const struct state *state, enum state_map outer, __u32 at)
{
	__u32 id;
	int fd, err = bpf_map_lookup_elem(state->map[outer], &at, &id);

	if (err)
		return err;
	fd = bpf_map_get_fd_by_id(id);
	return fd < 0 ? -errno : fd;
}

int state_write_running(const struct state *state, __u32 slot)
{
	union {
		struct running running;
		char room[XFWD_RUNNING_RECORD_SIZE];
	} value;

	memset(&value, 0, sizeof(value));
	value.running = state->running;
	return bpf_map_update_elem(state->map[MAP_running], &slot, &value, BPF_ANY);
}

static int map_open(struct state *state, const struct pins *pins, enum state_map map)
{
	char path[PATH_MAX];

	pins_path(path, pins->dir, "maps/%s", map_names[map]);
	state->map[map] = bpf_obj_get(path);
	return state->map[map] < 0 ? -errno : 0;
}

/* Before anything else is touched: other layouts may have other maps. */
static int check_layout(const struct state *state)
{
	struct settings settings;
	int err = state_settings(state, &settings);

	if (!err && settings.layout == XFWD_LAYOUT)
		return 0;
	msg_error("the running state was made by another version of xfwd (layout %u, this one has "
		  "%u): `xfwd down` ends it",
		  err ? 0 : settings.layout, XFWD_LAYOUT);
	return -EPROTO;
}

static int check_netns(const struct pins *pins, __u64 cookie)
{
	if (cookie == state_netns_cookie())
		return 0;
	if (pins->named)
		return -ENOENT; /* of a namespace of the same name that is gone */
	msg_error(
		"what is pinned in %s belongs to another network namespace: run xfwd there, or here "
		"with -n NAME",
		pins->dir);
	return -EXDEV;
}

/* What goes with the set in force, and of which generation that is. */
static int read_running(struct state *state, __u32 *generation)
{
	union {
		struct running running;
		char room[XFWD_RUNNING_RECORD_SIZE];
	} value;
	struct settings settings;
	int err = state_settings(state, &settings);
	__u32 active = settings_active(&settings);

	if (!err)
		err = bpf_map_lookup_elem(state->map[MAP_running], &active, &value);
	if (err) {
		msg_error("cannot read the running state: %s", strerror(-err));
		return err;
	}
	state->running = value.running;
	state->slot = active;
	*generation = settings.generation;
	return 0;
}

int state_open(struct state *state, const struct pins *pins)
{
	__u32 generation;
	int err;

	memset(state, 0, sizeof(*state));
	for (int i = 0; i < MAP_COUNT; i++)
		state->map[i] = -1;
	err = map_open(state, pins, MAP_settings);
	if (err == -ENOENT)
		return err;
	if (err)
		msg_error("cannot open the running state in %s: %s", pins->dir, strerror(-err));
	else
		err = check_layout(state);
	for (int i = 0; i < MAP_COUNT && !err; i++) {
		if (state->map[i] >= 0)
			continue;
		err = map_open(state, pins, i);
		if (err)
			msg_error("cannot open %s/maps/%s: %s", pins->dir, map_names[i],
				  strerror(-err));
		if (err == -ENOENT)
			err = -EIO; /* there is a state, and it is damaged */
	}
	if (!err)
		err = read_running(state, &generation);
	if (!err)
		err = check_netns(pins, state->running.netns_cookie);
	if (err)
		state_close(state);
	return err;
}

static int lasting_open(struct state *state, const struct pins *pins, enum state_map map,
			__u32 key_size, __u32 value_size)
{
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info);
	int err = map_open(state, pins, map);

	if (!err)
		err = bpf_obj_get_info_by_fd(state->map[map], &info, &size);
	if (!err && (info.key_size != key_size || info.value_size != value_size))
		err = -EPROTO;
	return err == -ENOENT ? -EIO : err;
}

int state_open_lasting(struct state *state, const struct pins *pins)
{
	union {
		struct running running;
		char room[XFWD_RUNNING_RECORD_SIZE];
	} value;
	__u32 zero = 0; /* both slots have the cookie, and this one is always filled */
	int err;

	state_close(state);
	err = lasting_open(state, pins, MAP_running, sizeof(zero), sizeof(value));
	if (!err)
		err = lasting_open(state, pins, MAP_saved_sysctls, XFWD_SYSCTL_PATH,
				   XFWD_SYSCTL_VALUE);
	if (!err)
		err = lasting_open(state, pins, MAP_attachments, sizeof(unsigned int),
				   XFWD_ATTACHMENT_SIZE);
	if (!err)
		err = bpf_map_lookup_elem(state->map[MAP_running], &zero, &value);
	return err ? err : check_netns(pins, value.running.netns_cookie);
}

void state_close(struct state *state)
{
	for (int i = 0; i < MAP_COUNT; i++) {
		if (state->map[i] >= 0)
			close(state->map[i]);
		state->map[i] = -1;
	}
}

static int read_rules(const struct state *state, struct config *config)
{
	const struct rule_record **order = NULL;
	struct records records;
	int err = records_open(state, state->slot, &records);

	if (!err)
		err = records_copy(&records);
	if (!err)
		err = records_order(&records, &order, &config->rule_count);
	config->rule_room = config->rule_count;
	if (!err && config->rule_count) {
		config->rules = calloc(config->rule_count, sizeof(*config->rules));
		err = config->rules ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < config->rule_count && !err; i++)
		config->rules[i] = order[i]->rule;
	if (err)
		config->rule_count = 0;
	free(order);
	records_close(&records);
	return err;
}

static int read_config(const struct state *state, struct config *config)
{
	const struct running *running = &state->running;
	int err = 0;

	config->options = running->options;
	for (__u32 i = 0; i < running->interface_count && !err; i++)
		err = config_interface(config, running->interfaces[i].name,
				       running->interfaces[i].mode);
	return err ? err : read_rules(state, config);
}

/* -EAGAIN: the rules were changed meanwhile, whatever else has gone wrong by that. */
static int try_config(struct state *state, struct config *config)
{
	struct settings settings;
	__u32 generation;
	int err = read_running(state, &generation);

	config_init(config);
	if (err)
		return err;
	err = read_config(state, config);
	if (!state_settings(state, &settings) && settings.generation != generation)
		err = -EAGAIN;
	return err;
}

int state_config(struct state *state, struct config *config)
{
	int err, tries = CONFIG_TRIES;

	do {
		err = try_config(state, config);
		if (err)
			config_free(config);
	} while (err == -EAGAIN && --tries);
	if (err && err != -EAGAIN)
		msg_error("cannot read the running rules: %s", strerror(-err));
	return err;
}
