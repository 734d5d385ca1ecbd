/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What changing one rule in place comes to: which rule, and which index entries. */
#ifndef XFWD_EDIT_PLAN_H
#define XFWD_EDIT_PLAN_H

#include <string.h>

#include "edit.h"
#include "records.h"

/* The inner maps of the set in force. */
struct in_force {
	int ruleset;
	int index;
	int records;
};

/* What becomes of one index entry. */
struct store {
	struct rule_key key;
	bool was, is;
	struct rule_entry before, after;
};

/* An edit, worked out: nothing is written yet. */
struct plan {
	const struct netdevs *devs;
	struct in_force maps;
	struct records records;
	struct ruleset *set; /* as it will be */
	bool set_changed;
	const struct rule_record *old; /* goes, or is replaced; NULL: none */
	struct rule_record new; /* handle 0: none */
	bool takes_slot; /* its counters are its own, */
	bool clears_slot; /* which another had before */
	struct store *stores;
	size_t count;
	size_t room;
	__u32 comes, changes, goes; /* entries */
};

static inline bool store_stays(const struct store *store)
{
	return store->was == store->is &&
	       (!store->is || !memcmp(&store->before, &store->after, sizeof(store->after)));
}

/*
 * Works it out, and writes nothing. `plan` has its maps, and its records, but to add before slots came
 * round, where they are opened if they are needed. 0; -EAGAIN as of edit(); -errno.
 */
int plan_make(struct plan *plan, const struct state *state, const struct pins *pins,
	      const struct settings *settings, const struct edit *edit);

#endif
