/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rule model to tables: plain arrays in the shape that the maps take. Needs no root and no kernel.
 */
#ifndef XFWD_COMPILE_H
#define XFWD_COMPILE_H

#include <stdio.h>

#include "config.h"

/* Interface names to indexes; the compiler asks nothing of the kernel itself. */
typedef unsigned int (*ifindex_of)(const char *name, void *context);

struct tables {
	struct ruleset *ruleset;
	struct rule_key *keys; /* index entries: keys[i] -> refs[i] */
	struct rule_ref *refs;
	size_t entry_count;
	size_t entry_room; /* a power of two */
	uint32_t *buckets; /* keys by hash: 2 * entry_room of position + 1; 0: empty */
	struct rule_action *actions; /* one a rule, in the user's order */
	size_t action_count;
};

/*
 * 0; -ENOMEM; -E2BIG where the rules need more than XFWD_MASKS_MAX mask combinations in one stage,
 * or are more than XFWD_RULES_MAX; -ENODEV for an interface that does not exist. On failure *at is
 * the position of the rule to blame, and there is nothing to free.
 */
int compile(const struct config *config, ifindex_of lookup, void *context, struct tables *tables,
	    size_t *at);
void tables_free(struct tables *tables);
/* Text form, stable, for tests and `apply --dry-run -v`. */
void tables_print(const struct tables *tables, FILE *out);

/*
 * The classifier in plain C over the same tables: what the BPF program computes. For tests, and for
 * telling what a rule change means for a packet. The packet has its stage, and mask 0. Returns the
 * action, or NULL.
 */
const struct rule_action *tables_classify(const struct tables *tables,
					  const struct rule_key *packet, enum family family);

#endif
