/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adding one rule behind the others, in place: what is in force is not written anew, so it takes as
 * long with a hundred thousand rules as with one.
 */
#ifndef XFWD_APPEND_H
#define XFWD_APPEND_H

#include "config.h"
#include "netdev.h"
#include "pins.h"
#include "state.h"

/*
 * Gives the rule its handle. -EAGAIN: not to be had in place (several entries of one family, an interface
 * that is not attached, a sysctl to set, no room left): the long way has to be taken. Prints what
 * else is wrong. Under the writers' lock.
 */
int append(struct state *state, const struct pins *pins, const struct netdevs *devs,
	   struct rule *rule);

#endif
