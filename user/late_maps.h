/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Maps that are made for the first rule that asks for them: they take memory, and time while the first
 * rule of all is waited for, and most configurations do without.
 */
#ifndef XFWD_LATE_MAPS_H
#define XFWD_LATE_MAPS_H

#include "config.h"
#include "state.h"

/* Does the rule ask for a map that is not there yet? */
bool late_maps_lack(const struct state *state, const struct rule *rule);
/* Makes what the configuration's rules are the first to ask for. 0 or -errno. */
int late_maps_provide(const struct state *state, const struct config *config);

#endif
