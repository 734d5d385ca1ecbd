/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The compiled tables: plain arrays in the shape that the maps take. ruleset.h says what they mean. */
#ifndef XFWD_TABLES_H
#define XFWD_TABLES_H

#include <stdio.h>

#include "config.h"

/* Which family's masks an entry is under. */
static inline enum family rule_key_family(const struct rule_key *key)
{
	return key->mask / XFWD_MASKS_MAX;
}

/* And which of them. */
static inline uint32_t rule_key_position(const struct rule_key *key)
{
	return key->mask % XFWD_MASKS_MAX;
}

struct tables {
	struct ruleset *ruleset;
	struct rule_key *keys; /* the index: keys[i] -> entries[i] */
	struct rule_entry *entries;
	size_t entry_count;
	size_t entry_room; /* a power of two */
	uint32_t *buckets; /* keys by hash: 2 * entry_room of position + 1; 0: empty */
	size_t pools_left; /* ranges of snat addresses that ruleset.pools has no room for */
};

/* Empty tables with room for that many rules; tables_free() in any case. 0, -ENOMEM, -EOVERFLOW. */
int tables_init(struct tables *tables, size_t rule_count);
void tables_free(struct tables *tables);
/*
 * An index entry. Rules come in order of rank, so of two with the same key the first one stays, as
 * it must. 0, -ENOMEM, -EOVERFLOW.
 */
int tables_add(struct tables *tables, const struct rule_key *key, const struct rule_entry *entry);
uint32_t rule_key_hash(const struct rule_key *key);
bool rule_key_equal(const struct rule_key *a, const struct rule_key *b);
/* Text form, stable, for tests. */
void tables_print(const struct tables *tables, FILE *out);

/*
 * The classifier in plain C over the same tables: what the BPF program computes. The packet has its
 * stage, and mask 0. Returns the entry of the rule that covers it, or NULL.
 */
const struct rule_entry *tables_classify(const struct tables *tables, const struct rule_key *packet,
					 enum family family);

#endif
