/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sysctls that rules need, and what they were before: kept in the running state. */
#ifndef XFWD_SYSCTL_H
#define XFWD_SYSCTL_H

#include "config.h"
#include "netdev.h"
#include "state.h"

/*
 * Sets what the configuration needs and is not so yet, says so, and puts back what an earlier
 * configuration needed and this one does not. With `set sysctl off` it only says what is missing.
 * *guard: route_localnet is on somewhere, so loopback addresses must be kept off the wire.
 */
int sysctl_sync(const struct state *state, const struct config *config, const struct netdevs *devs,
		bool *guard);
/* Everything as it was before xfwd. */
int sysctl_restore(const struct state *state);

#endif
