/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The flow table as user space sees it: whole flows, both directions together. */
#ifndef XFWD_FLOWS_H
#define XFWD_FLOWS_H

#include "flow_tables.h"

struct flow_view {
	struct flow_key key[2]; /* original, reply: as packets of that direction arrive */
	struct flow_entry entry[2];
	const char *state; /* "established", "unanswered" … */
	__u64 idle_ms; /* since the last packet of either direction */
	__u64 expires_ms;
};

struct flow_address {
	__be32 word[4];
	__u8 family; /* enum family */
};

/* Fields that are 0 or NULL match anything. Addresses and ports are of either direction's ends. */
struct flow_filter {
	__u8 proto;
	const struct flow_address *src;
	const struct flow_address *dst;
	__be16 sport;
	__be16 dport;
	const char *state;
	__u32 rule_slot;
	bool none; /* a rule that does not exist: nothing matches */
};

/* `each` returns 0 to go on. Its last return value, or -errno. */
int flows_each(const struct state *state, const struct flow_filter *filter,
	       int (*each)(const struct flow_view *flow, void *context), void *context);
/*
 * Ends the flow with this original key, and frees what it holds. Was it there? `forget` is the program
 * that does so (loader_program()), which writers run one at a time: the caller has locked the pins.
 */
bool flow_end(int forget, const struct flow_key *key);
/* Ends those that match; *count: how many. Others may be adding flows all the while. Locked, likewise. */
int flows_delete(const struct state *state, const struct pins *pins,
		 const struct flow_filter *filter, size_t *count);
/* How many there are, approximately while they come and go. */
int flows_count(const struct state *state, __u64 *count);

#endif
