/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What came out of the edges, pair by pair. */
#ifndef XFWD_DIFFERENTIAL_MATCH_H
#define XFWD_DIFFERENTIAL_MATCH_H

#include "judge.h"

/* Takes out what is the same in both, or may pass for it. */
void outputs_match(struct judge *j, const struct step *step, struct outputs rest[EDGES]);

#endif
