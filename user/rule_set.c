// SPDX-License-Identifier: GPL-2.0-or-later
/* Finding a rule that says the same, among many, at once. */
#include "rule_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a over what rule_equal() compares. */
static uint32_t hash_bytes(uint32_t hash, const void *data, size_t length)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * 16777619;
	return hash;
}

static uint32_t rule_hash(const struct rule *rule)
{
	uint32_t hash = 2166136261;

	hash = hash_bytes(hash, &rule->kind, sizeof(rule->kind));
	hash = hash_bytes(hash, &rule->protocols, sizeof(rule->protocols));
	hash = hash_bytes(hash, &rule->family, sizeof(rule->family));
	hash = hash_bytes(hash, rule->ifname, strlen(rule->ifname));
	hash = hash_bytes(hash, &rule->from.prefix.addr, sizeof(rule->from.prefix.addr));
	hash = hash_bytes(hash, &rule->from.ports, sizeof(rule->from.ports));
	hash = hash_bytes(hash, &rule->to.prefix.addr, sizeof(rule->to.prefix.addr));
	hash = hash_bytes(hash, &rule->to.ports, sizeof(rule->to.ports));
	return hash ^ hash >> 15;
}

int rule_set_init(struct rule_set *set, const struct rule *rules, size_t count)
{
	set->rules = rules;
	set->size = 16;
	while (set->size < 2 * count)
		set->size *= 2;
	set->table = calloc(set->size, sizeof(*set->table));
	return set->table ? 0 : -ENOMEM;
}

void rule_set_free(struct rule_set *set)
{
	free(set->table);
	set->table = NULL;
}

/* Where the rule is in the table, or would be. */
static size_t rule_set_place(const struct rule_set *set, const struct rule *rule)
{
	size_t place = rule_hash(rule) & (set->size - 1);

	while (set->table[place] && !rule_equal(&set->rules[set->table[place] - 1], rule))
		place = (place + 1) & (set->size - 1);
	return place;
}

size_t rule_set_add(struct rule_set *set, size_t at)
{
	size_t place = rule_set_place(set, &set->rules[at]);

	if (!set->table[place])
		set->table[place] = at + 1;
	return set->table[place] - 1;
}

ssize_t rule_set_find(const struct rule_set *set, const struct rule *rule)
{
	size_t place = rule_set_place(set, rule);

	return (ssize_t)set->table[place] - 1;
}
