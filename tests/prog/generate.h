/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random rules and packets over small sets of values, so that they meet each other. */
#ifndef XFWD_TESTS_GENERATE_H
#define XFWD_TESTS_GENERATE_H

#include "model.h"

/* What may be made up. */
struct taste {
	int rules_max;
	bool plain; /* only what netfilter expresses and answers in the same way */
};

/* Valid rules, as the text of a configuration file. */
void generate_rules(uint64_t *random, const struct taste *taste, char *text, size_t size);
/* Any packet at any hook; many belong to the model's flows, or aim at a rule. */
void generate_packet(uint64_t *random, const struct model *model, struct place *place,
		     struct spec *spec);

/* The rulesets to try: XFWD_RULESETS, or else `count`, and fewer on a slower machine. */
unsigned int generate_count(unsigned int count);

#define PICK(random, array) ((array)[random_below(random, sizeof(array) / sizeof((array)[0]))])

#endif
