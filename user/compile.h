/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rule model to tables: plain arrays in the shape that the maps take. Needs no root and no kernel.
 */
#ifndef XFWD_COMPILE_H
#define XFWD_COMPILE_H

#include "config.h"
#include "tables.h"

/* Interface names to indexes; the compiler asks nothing of the kernel itself. */
typedef unsigned int (*ifindex_of)(const char *name, void *context);

/*
 * 0; -ENOMEM; -E2BIG where the rules need more than XFWD_MASKS_MAX mask combinations in one stage;
 * -ENOSPC where hairpin rules are for more than RULESET_HAIRPINS interfaces; -EOVERFLOW where the rules
 * are more than XFWD_RULES_MAX, or their entries more than can be numbered; -ENODEV for an interface
 * that does not exist. On failure *at is the position of the rule to blame, and there is nothing to
 * free.
 */
int compile(const struct config *config, ifindex_of lookup, void *context, struct tables *tables,
	    size_t *at);

#endif
