/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each edge chose for a connection, and whether it may. */
#ifndef XFWD_DIFFERENTIAL_CHOICE_H
#define XFWD_DIFFERENTIAL_CHOICE_H

#include "judge.h"

/* Both forwarded the first packet of a connection: notes how, if that is allowed. */
void learn(struct judge *j, struct step *step, const struct view *in,
	   const struct outputs raw[EDGES]);

#endif
