/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each edge chose for a connection, and whether it may. */
#ifndef XFWD_DIFFERENTIAL_CHOICE_H
#define XFWD_DIFFERENTIAL_CHOICE_H

#include "judge.h"

/* Both forwarded the first packet of a connection: notes how, if that is allowed. */
void learn(struct judge *j, struct step *step, const struct view *in,
	   const struct outputs raw[EDGES]);

/* One edge forwarded to a port of a rule's range, of which a drop rule takes others: it may be alone. */
bool choice_decides(const struct outputs rest[EDGES]);

#endif
