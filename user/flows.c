// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading and ending flows. */
#include "flows.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jiffies.h"
#include "loader.h"
#include "sweeper.h"

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
		return flow_has_packets(&flow->entry[1].flow) ? "answered" : "unanswered";
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
	struct flow_tables tables;
};

/* The flow whose original entry is in that bucket. */
static bool visit_bucket(const struct visit *visit, enum family family, size_t at,
			 struct flow_view *flow)
{
	if (!flow_tables_at(&visit->tables, family, at, &flow->key[0], &flow->entry[0]) ||
	    flow->entry[0].flow.flags & FLOW_REPLY)
		return false;
	flow_peer_key(&flow->entry[0].flow, &flow->key[0], &flow->key[1]);
	return flow_tables_find(&visit->tables, &flow->key[1], &flow->entry[1]);
}

static int visit_family(const struct visit *visit, enum family family)
{
	const struct settings *settings = &visit->tables.settings;
	struct flow_view flow = { 0 };
	__u32 now;
	int err = jiffies_read(visit->state, settings->hz, &now);

	for (size_t at = 0; at < visit->tables.buckets[family].count && !err; at++) {
		if (!visit_bucket(visit, family, at, &flow))
			continue;
		view_times(&flow, settings, now);
		if (flow_matches(visit->filter, &flow))
			err = visit->each(&flow, visit->context);
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
	};
	int err = flow_tables_open(&visit.tables, state);

	for (enum family family = 0; family < FAMILY_COUNT && !err; family++)
		err = visit_family(&visit, family);
	flow_tables_close(&visit.tables);
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

bool flow_end(int forget, const struct flow_key *key)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = key, .data_size_in = sizeof(*key));

	return !bpf_prog_test_run_opts(forget, &run) && run.retval == 1;
}

int flows_delete(const struct state *state, const struct pins *pins,
		 const struct flow_filter *filter, size_t *count)
{
	struct deletion deletion = { 0 };
	int forget = loader_program(pins, "flow_forget");
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
	int err = bpf_map_lookup_elem(state->map[MAP_sweeper], &zero, &sweeper);

	*count = err ? 0 : sweeper.flows[FAMILY_IP4] + sweeper.flows[FAMILY_IP6];
	return err;
}
