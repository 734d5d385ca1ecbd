// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading and ending flows. */
#include "flows.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "jiffies.h"
#include "sweeper.h"

#define BATCH 8192

struct batch {
	struct flow_key4 keys[BATCH];
	struct flow4 values[BATCH];
};

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
static bool key_matches(const struct flow_filter *filter, const struct flow_key4 *key)
{
	return (!filter->src || filter->src == key->saddr) &&
	       (!filter->dst || filter->dst == key->daddr) &&
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

static int visit_batch(const struct state *state, const struct flow_filter *filter,
		       const struct settings *settings, const struct batch *batch, __u32 count,
		       int (*visit)(const struct flow_view *, void *), void *context)
{
	struct flow_view flow;
	__u32 now;
	int err = jiffies_read(state, settings->hz, &now);

	for (__u32 i = 0; i < count && !err; i++) {
		if (batch->values[i].flow.flags & FLOW_REPLY)
			continue;
		flow.key[0] = batch->keys[i];
		flow.entry[0] = batch->values[i];
		flow_peer_key(&flow.entry[0], flow.key[0].proto, &flow.key[1]);
		if (bpf_map_lookup_elem(state->map[MAP_flows4], &flow.key[1], &flow.entry[1]))
			continue; /* ended since the batch was read */
		view_times(&flow, settings, now);
		if (flow_matches(filter, &flow))
			err = visit(&flow, context);
	}
	return err;
}

int flows_each(const struct state *state, const struct flow_filter *filter,
	       int (*visit)(const struct flow_view *flow, void *context), void *context)
{
	struct batch *batch = malloc(sizeof(*batch));
	struct settings settings;
	__u32 position, count;
	bool first = true, last = false;
	int err = batch ? state_settings(state, &settings) : -ENOMEM;

	while (!err && !last) {
		count = BATCH;
		err = bpf_map_lookup_batch(state->map[MAP_flows4], first ? NULL : &position,
					   &position, batch->keys, batch->values, &count, NULL);
		last = err == -ENOENT;
		if (err && !last)
			break;
		first = false;
		err = visit_batch(state, filter, &settings, batch, count, visit, context);
	}
	free(batch);
	return err;
}

struct deletion {
	struct flow_key4 (*keys)[2];
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
	memcpy(deletion->keys[deletion->count++], flow->key, sizeof(flow->key));
	return 0;
}

/* The answering entry first: a lone original entry is ended by the sweeper, the other is not. */
bool flow_end(const struct state *state, const struct flow_key4 key[2])
{
	bpf_map_delete_elem(state->map[MAP_flows4], &key[1]);
	return !bpf_map_delete_elem(state->map[MAP_flows4], &key[0]);
}

int flows_delete(const struct state *state, const struct flow_filter *filter, size_t *count)
{
	struct deletion deletion = { 0 };
	int err = flows_each(state, filter, deletion_add, &deletion);

	*count = 0;
	for (size_t i = 0; i < deletion.count && !err; i++)
		*count += flow_end(state, deletion.keys[i]);
	free(deletion.keys);
	return err;
}

int flows_count(const struct state *state, __u64 *count)
{
	struct sweeper sweeper;
	__u32 zero = 0;
	int err = bpf_map_lookup_elem(state->map[MAP_sweepers], &zero, &sweeper);

	*count = err ? 0 : sweeper.flows;
	return err;
}
