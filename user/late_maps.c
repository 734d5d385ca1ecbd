// SPDX-License-Identifier: GPL-2.0-or-later
/* Maps that most configurations do without: each in the one place of a map of maps, once it is made. */
#include "late_maps.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bucket.h"
#include "endpoint.h"

static bool wants_ip6(const struct rule *rule)
{
	return rule->family != AF_INET;
}

static bool wants_permits(const struct rule *rule)
{
	return rule->filtering == FILTERING_ADDRESS;
}

static bool wants_limits(const struct rule *rule)
{
	return rule->limit_flows || rule->limit_rate;
}

static __u32 room_for_flows(__u32 flows)
{
	return flows;
}

static __u32 room_for_sources(__u32 flows)
{
	(void)flows;
	return XFWD_SOURCES_MAX;
}

/* Types, sizes and flags are those that bpf/maps.h gives for the inner maps. */
static const struct late_map {
	enum state_map outer;
	const char *name;
	bool (*wanted)(const struct rule *rule);
	enum bpf_map_type type;
	__u32 key_size;
	__u32 value_size;
	__u32 flags;
	__u32 (*room)(__u32 flows);
} late_maps[] = {
	{ MAP_flows6, "flows6", wants_ip6, BPF_MAP_TYPE_ARRAY, sizeof(__u32),
	  sizeof(struct flow_bucket6), BPF_F_MMAPABLE | BPF_F_INNER_MAP, flow_buckets },
	{ MAP_permits, "permits", wants_permits, BPF_MAP_TYPE_HASH, sizeof(struct permit_key),
	  sizeof(__u32), BPF_F_NO_PREALLOC, room_for_flows },
	{ MAP_sources, "sources", wants_limits, BPF_MAP_TYPE_LRU_HASH, sizeof(struct source_key),
	  sizeof(struct source), 0, room_for_sources },
};

#define LATE_MAPS (sizeof(late_maps) / sizeof(late_maps[0]))

/* 0: it is there. -ENOENT: it is not. Or another negative errno. */
static int look_for(const struct state *state, const struct late_map *late)
{
	int map = state_inner(state, late->outer, 0);

	if (map < 0)
		return map;
	close(map);
	return 0;
}

bool late_maps_lack(const struct state *state, const struct rule *rule)
{
	for (size_t i = 0; i < LATE_MAPS; i++)
		if (late_maps[i].wanted(rule) && look_for(state, &late_maps[i]))
			return true;
	return false;
}

static int provide(const struct state *state, const struct late_map *late, __u32 flows)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = late->flags);
	__u32 zero = 0;
	int err, map;

	map = bpf_map_create(late->type, late->name, late->key_size, late->value_size,
			     late->room(flows), &opts);
	if (map < 0)
		return map;
	err = bpf_map_update_elem(state->map[late->outer], &zero, &map, BPF_ANY);
	close(map);
	return err;
}

static bool is_wanted(const struct config *config, const struct late_map *late)
{
	for (size_t i = 0; i < config->rule_count; i++)
		if (late->wanted(&config->rules[i]))
			return true;
	return false;
}

int late_maps_provide(const struct state *state, const struct config *config)
{
	int err = 0;

	for (size_t i = 0; i < LATE_MAPS && !err; i++) {
		if (!is_wanted(config, &late_maps[i]))
			continue;
		err = look_for(state, &late_maps[i]);
		if (err == -ENOENT)
			err = provide(state, &late_maps[i], config->options.flows);
	}
	return err;
}
