/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The flow table as user space sees it: whole flows, both directions together. */
#ifndef XFWD_FLOWS_H
#define XFWD_FLOWS_H

#include "flow.h"
#include "state.h"

struct flow_view {
	struct flow_key4 key[2]; /* original, reply: as packets of that direction arrive */
	struct flow4 entry[2];
	const char *state; /* "established", "unanswered" … */
	__u64 idle_ms; /* since the last packet of either direction */
	__u64 expires_ms;
};

/* Fields that are 0 or NULL match anything. Addresses and ports are of either direction's ends. */
struct flow_filter {
	__u8 proto;
	__be32 src;
	__be32 dst;
	__be16 sport;
	__be16 dport;
	const char *state;
	__u32 rule_slot;
	bool none; /* a rule that does not exist: nothing matches */
};

/* `visit` returns 0 to go on. Its last return value, or -errno. */
int flows_each(const struct state *state, const struct flow_filter *filter,
	       int (*visit)(const struct flow_view *flow, void *context), void *context);
/* Ends the flow of these two keys (original, reply). Was it there? */
bool flow_end(const struct state *state, const struct flow_key4 key[2]);
/* Ends those that match; *count: how many. Other processes may be adding flows all the while. */
int flows_delete(const struct state *state, const struct flow_filter *filter, size_t *count);
/* How many there are, approximately while they come and go. */
int flows_count(const struct state *state, __u64 *count);

#endif
