/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why the edges may differ in what became of a datagram. */
#ifndef XFWD_DIFFERENTIAL_EXCUSE_H
#define XFWD_DIFFERENTIAL_EXCUSE_H

#include "judge.h"

/* What came out is the packet as its connection is translated. */
bool is_as_known(struct judge *j, const struct view *in, const struct outputs *outputs);
/* What the kernel sent is an answer in a connection that is not translated, or the edge's own. */
bool is_untranslated_answer(struct judge *j, const struct view *in);
/* Is an echo a request where one is due, or an answer to one? */
bool is_in_turn(struct judge *j, const struct view *in);
/* `rest`: what is not the same of what came out. */
enum excuse step_excuse(struct judge *j, const struct outputs rest[EDGES]);
/* Of packets sent at once, only those are compared whose connection had its choices behind it. */
enum excuse burst_excuse(struct judge *j, const struct step *step);

#endif
