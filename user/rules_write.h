/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing a set of rules beside the one in force. */
#ifndef XFWD_RULES_WRITE_H
#define XFWD_RULES_WRITE_H

#include "config.h"
#include "state.h"
#include "tables.h"

/* The inner maps of `slot`, which is not in force: masks, index, actions and records. 0 or -errno. */
int rules_write(const struct state *state, __u32 slot, const struct config *config,
		const struct tables *tables);

#endif
