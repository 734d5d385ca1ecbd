/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the programs did against what the model says. */
#ifndef XFWD_TESTS_COMPARE_H
#define XFWD_TESTS_COMPARE_H

#include "model.h"

/* The model learns of choices from the harness' flow table. */
void compare_listen(struct model *model, struct harness *h);
/* Says what differs, as TAP comments. */
bool compare_outcomes(const struct model *model, struct place place, const struct frame *in,
		      const struct outcome *want, const struct outcome *got);
/* Those of all rules, and the number of flows. */
void compare_counters(const struct model *model, struct harness *h);

#endif
