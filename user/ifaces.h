/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the pipeline knows of the interfaces: their addresses, and where it may send. */
#ifndef XFWD_IFACES_H
#define XFWD_IFACES_H

#include "netdev.h"
#include "state.h"

/*
 * What the pipeline knows of every interface: addresses, MTU, where it may send. To be called when
 * links or addresses have changed. 0 or -errno.
 */
int ifaces_sync(const struct state *state, struct netdevs *devs);

#endif
