/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making the running state equal a configuration: all of it, or nothing.
 *
 * The new ruleset is written beside the one in force; what can fail comes first; one store then
 * switches over, so a packet sees the old rules or the new.
 */
#ifndef XFWD_COMMIT_H
#define XFWD_COMMIT_H

#include <stdbool.h>

#include "config.h"
#include "netdev.h"
#include "pins.h"
#include "state.h"

/* commit.flags */
#define COMMIT_KEEP_ATTACHED (1U << 0) /* interfaces that no rule names any more stay attached */
#define COMMIT_ATTACH_EACH   (1U << 1) /* one that cannot be attached is said, and hinders nothing */

/*
 * Handles and counter slots are given to rules that have none (handle 0). `devs` are the interfaces
 * that exist. Prints what is wrong. 0 or -errno; -EDOM: such rules cannot be in force anywhere.
 */
int commit(struct state *state, const struct pins *pins, struct config *config,
	   struct netdevs *devs, unsigned int flags);

/*
 * What it would refuse before it changes anything, and with which error. `state` is NULL where none is
 * running. Prints what is wrong.
 */
int commit_try(const struct state *state, const struct config *config, const struct netdevs *devs);

/*
 * sysctl_follow_names() for what stays: rules that are in force by other names are `pending` until the
 * next commit. 0 or -errno.
 */
int commit_follow_names(struct state *state, const struct netdevs *devs);

/*
 * Do the attachments fit the interfaces that there are, and the rules in force those listed? Not where
 * an interface that the configuration names has come, gone, or been renamed, nor after a change that
 * was cut short: a commit of the same configuration mends that.
 */
bool commit_is_current(const struct state *state, const struct config *config,
		       const struct netdevs *devs);

/* Does a commit of it attach an interface of that name? */
bool commit_attaches(const struct config *config, const char *name);

#endif
