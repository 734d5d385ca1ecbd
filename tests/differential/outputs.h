/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of frames, and datagrams out of their parts. */
#ifndef XFWD_DIFFERENTIAL_OUTPUTS_H
#define XFWD_DIFFERENTIAL_OUTPUTS_H

#include "ends.h"
#include "scenario.h"

void outputs_copy(struct outputs *to, const struct outputs *from);
void outputs_remove(struct outputs *outputs, size_t at);
/* Puts the parts of each datagram together that is there as a whole. */
void outputs_join(struct outputs *outputs);
/* The one datagram that went in, maybe in parts. False: there is more than one, or less. */
bool step_whole(const struct step *step, struct frame *whole);
/* The one datagram that came out, of the connection that the one that went in began. */
bool output_ends(const struct outputs *outputs, struct view *view);

#endif
