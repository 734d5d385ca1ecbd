/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding a rule that says the same, among many, at once. */
#ifndef XFWD_RULE_SET_H
#define XFWD_RULE_SET_H

#include <sys/types.h>

#include "config.h"

struct rule_set {
	const struct rule *rules;
	uint32_t *table; /* positions, from 1; open addressing */
	size_t size;
};

/* An empty set over an array of rules, of which it takes up to `count`. 0 or -ENOMEM. */
int rule_set_init(struct rule_set *set, const struct rule *rules, size_t count);
void rule_set_free(struct rule_set *set);
/* Takes in rules[at], unless one that is equal is there: the position of that one, or `at`. */
size_t rule_set_add(struct rule_set *set, size_t at);
/* Position of the rule that equals *rule, or -1. */
ssize_t rule_set_find(const struct rule_set *set, const struct rule *rule);

#endif
