// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading and ending flows. */
#include "flows.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jiffies.h"
#include "sweeper.h"

#define BATCH 8192

static const enum state_map flow_maps[FAMILY_COUNT] = {
	[FAMILY_IP4] = MAP_flows4,
	[FAMILY_IP6] = MAP_flows6,
};

/* Room for either family's. */
struct batch {
	union {
		struct flow_key4 ip4[BATCH];
		struct flow_key ip6[BATCH];
	} keys;
	union {
		struct flow4 ip4[BATCH];
		struct flow6 ip6[BATCH];
	} values;
};

static int entry_read(const struct state *state, const struct flow_key *key,
		      union flow_entry *entry)
{
	struct flow_key4 key4;

	flow_key_to4(key, &key4);
	return bpf_map_lookup_elem(state->map[flow_maps[key->family]],
				   key->family == FAMILY_IP4 ? (void *)&key4 : (void *)key, entry);
}

static const char *state_name(const struct flow_view *flow, enum timeout timeout)
{
	switch (timeout) {
	case TIMEOUT_TCP_OPENING:
		return "opening";
	case TIMEOUT_TCP_ESTABLISHED:
		return "established";
	case TIMEOUT_TCP_CLOSING:
		return "closing";
	default:
		return flow->entry[1].flow.packets ? "answered" : "unanswered";
	}
}

static void view_times(struct flow_view *flow, const struct settings *settings, __u32 now)
{
	const struct flow *orig = &flow->entry[0].flow, *reply = &flow->entry[1].flow;
	enum timeout timeout = flow_timeout(flow->key[0].proto, orig, reply);
	__s32 idle = now - orig->used, other = now - reply->used;

	if (other < idle)
		idle = other;
	if (idle < 0)
		idle = 0;
	flow->state = state_name(flow, timeout);
	flow->idle_ms = idle * 1000ULL / settings->hz;
	flow->expires_ms = settings->timeout[timeout] * 1000ULL / settings->hz;
	flow->expires_ms = flow->expires_ms > flow->idle_ms ? flow->expires_ms - flow->idle_ms : 0;
}

/* Does one of the tuples that the flow has on the wire fit? */
static bool address_matches(const struct flow_address *wanted, const struct flow_key *key,
			    const __be32 addr[4])
{
	return !wanted ||
	       (wanted->family == key->family && !memcmp(wanted->word, addr, sizeof(wanted->word)));
}

static bool key_matches(const struct flow_filter *filter, const struct flow_key *key)
{
	return address_matches(filter->src, key, key->saddr) &&
	       address_matches(filter->dst, key, key->daddr) &&
	       (!filter->sport || filter->sport == key->sport) &&
	       (!filter->dport || filter->dport == key->dport);
}

static bool flow_matches(const struct flow_filter *filter, const struct flow_view *flow)
{
	const struct flow *orig = &flow->entry[0].flow;

	if (filter->none || (filter->proto && filter->proto != flow->key[0].proto))
		return false;
	if (filter->rule_slot && filter->rule_slot != orig->rule_in &&
	    filter->rule_slot != orig->rule_out)
		return false;
	if (filter->state && strcmp(filter->state, flow->state))
		return false;
	return key_matches(filter, &flow->key[0]) || key_matches(filter, &flow->key[1]);
}

struct visit {
	const struct state *state;
	const struct flow_filter *filter;
	int (*each)(const struct flow_view *, void *);
	void *context;
	struct settings settings;
	struct batch *batch;
};

/* The entry at position `at` of the batch, if it is of an original direction. */
static bool batch_entry(const struct batch *batch, enum family family, __u32 at,
			struct flow_view *flow)
{
	memset(flow, 0, sizeof(*flow));
	if (family == FAMILY_IP4) {
		flow_key_from4(&batch->keys.ip4[at], &flow->key[0]);
		flow->entry[0].ip4 = batch->values.ip4[at];
	} else {
		flow->key[0] = batch->keys.ip6[at];
		flow->entry[0].ip6 = batch->values.ip6[at];
	}
	return !(flow->entry[0].flow.flags & FLOW_REPLY);
}

static int visit_batch(struct visit *visit, enum family family, __u32 count)
{
	struct flow_view flow;
	__u32 now;
	int err = jiffies_read(visit->state, visit->settings.hz, &now);

	for (__u32 i = 0; i < count && !err; i++) {
		if (!batch_entry(visit->batch, family, i, &flow))
			continue;
		flow_peer_key(&flow.entry[0].flow, &flow.key[0], &flow.key[1]);
		if (entry_read(visit->state, &flow.key[1], &flow.entry[1]))
			continue; /* ended since the batch was read */
		view_times(&flow, &visit->settings, now);
		if (flow_matches(visit->filter, &flow))
			err = visit->each(&flow, visit->context);
	}
	return err;
}

static int visit_family(struct visit *visit, enum family family)
{
	int map = visit->state->map[flow_maps[family]], err = 0;
	__u32 position, count;
	bool first = true, last = false;

	while (!err && !last) {
		count = BATCH;
		err = bpf_map_lookup_batch(map, first ? NULL : &position, &position,
					   &visit->batch->keys, &visit->batch->values, &count,
					   NULL);
		last = err == -ENOENT;
		if (err && !last)
			break;
		first = false;
		err = visit_batch(visit, family, count);
	}
	return err;
}

int flows_each(const struct state *state, const struct flow_filter *filter,
	       int (*each)(const struct flow_view *flow, void *context), void *context)
{
	struct visit visit = {
		.state = state,
		.filter = filter,
		.each = each,
		.context = context,
		.batch = malloc(sizeof(*visit.batch)),
	};
	int err = visit.batch ? state_settings(state, &visit.settings) : -ENOMEM;

	if (!err)
		err = visit_family(&visit, FAMILY_IP4);
	if (!err)
		err = visit_family(&visit, FAMILY_IP6);
	free(visit.batch);
	return err;
}

struct deletion {
	struct flow_key *keys;
	size_t count;
	size_t room;
};

static int deletion_add(const struct flow_view *flow, void *context)
{
	struct deletion *deletion = context;

	if (deletion->count == deletion->room) {
		size_t room = deletion->room ? 2 * deletion->room : 256;
		void *more = realloc(deletion->keys, room * sizeof(*deletion->keys));

		if (!more)
			return -ENOMEM;
		deletion->keys = more;
		deletion->room = room;
	}
	deletion->keys[deletion->count++] = flow->key[0];
	return 0;
}

int flow_forget_open(const struct pins *pins)
{
	char path[PATH_MAX];
	int fd;

	pins_path(path, pins->dir, "programs/flow_forget");
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

bool flow_end(int forget, const struct flow_key *key)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = key, .data_size_in = sizeof(*key));

	return !bpf_prog_test_run_opts(forget, &run) && run.retval == 1;
}

int flows_delete(const struct state *state, const struct pins *pins,
		 const struct flow_filter *filter, size_t *count)
{
	struct deletion deletion = { 0 };
	int forget = flow_forget_open(pins);
	int err = forget < 0 ? forget : flows_each(state, filter, deletion_add, &deletion);

	*count = 0;
	for (size_t i = 0; i < deletion.count && !err; i++)
		*count += flow_end(forget, &deletion.keys[i]);
	free(deletion.keys);
	if (forget >= 0)
		close(forget);
	return err;
}

int flows_count(const struct state *state, __u64 *count)
{
	struct sweeper sweeper;
	__u32 zero = 0;
	int err = bpf_map_lookup_elem(state->map[MAP_sweepers], &zero, &sweeper);

	*count = err ? 0 : sweeper.flows[FAMILY_IP4] + sweeper.flows[FAMILY_IP6];
	return err;
}
