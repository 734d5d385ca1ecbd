/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's clock of flows and leases, which user space cannot read by itself. */
#ifndef XFWD_JIFFIES_H
#define XFWD_JIFFIES_H

#include "state.h"

/* The low 32 bits of jiffies, to about a tick. `hz`: of the settings. 0 or -errno. */
int jiffies_read(const struct state *state, __u32 hz, __u32 *now);

#endif
