/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counter slots: which rule has which, and the chunks of counters behind them. */
#ifndef XFWD_SLOTS_H
#define XFWD_SLOTS_H

#include "config.h"
#include "state.h"

/* Handles and slots to the rules that have none. 0 or -ENOMEM. */
int slots_give(struct state *state, struct config *config);
/* Counters for all slots that were given. 0 or -errno. */
int slots_make_room(const struct state *state);
/* All counters to zero, those of verdicts too. 0 or -errno. */
int slots_zero(const struct state *state);

#endif
