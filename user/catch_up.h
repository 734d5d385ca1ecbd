/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bringing the running state in line with links and addresses that have changed. */
#ifndef XFWD_CATCH_UP_H
#define XFWD_CATCH_UP_H

#include <stdbool.h>
#include <stddef.h>

#include "pins.h"

struct catch_up {
	const unsigned int *gone; /* indexes of links that were deleted: others may have them now */
	size_t gone_count; /* set to 0 when they are detached */
	/* Of masquerade rules, translated to addresses that are no longer here; false when it is done. */
	bool end_flows;
};

/*
 * Interfaces that the running configuration names are attached where they have come back, each that
 * can be. Takes the writers' lock, and waits for it. Prints what is wrong. 0, also where nothing is
 * running; or -errno.
 */
int catch_up(const struct pins *pins, struct catch_up *what);

#endif
