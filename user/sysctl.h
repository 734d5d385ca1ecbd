/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sysctls that rules need, and what they were before: kept in the running state. */
#ifndef XFWD_SYSCTL_H
#define XFWD_SYSCTL_H

#include "config.h"
#include "netdev.h"
#include "state.h"

/*
 * Sets what the configuration needs and is not so yet, and says so; before its rules are in force. With
 * `set sysctl off` it only says what is missing.
 * Only attached interfaces get route_localnet: the programs keep loopback addresses off their wires.
 * IPv6 is switched on for all interfaces, as the kernel's ip6_forward() asks for nothing less.
 */
int sysctl_provide(const struct state *state, const struct config *config,
		   const struct netdevs *devs);
/* And puts back what an earlier configuration needed and this one does not; once they are. */
int sysctl_release(const struct state *state, const struct config *config);

/* What sysctls were before xfwd, of those that it has set by now. */
struct sysctl_record {
	struct saved *list; /* to be freed */
	size_t count;
};

/* 0 or -ENOMEM. */
int sysctl_record(const struct state *state, struct sysctl_record *record);
/* Puts back those that were set since, where the rules did not come into force. 0 or -errno. */
int sysctl_undo(const struct state *state, const struct sysctl_record *before);
/* Has an attached interface another name than the one on record? 1, 0 or -errno. */
int sysctl_names_changed(const struct state *state, const struct netdevs *devs);
/*
 * What is on record of attached interfaces goes by the names that they have in `devs`: to be called
 * before all that goes by names, of which those are then the names. A later name is for the next time.
 * 0 or -errno.
 */
int sysctl_follow_names(const struct state *state, const struct netdevs *devs);
/* Everything as it was before xfwd, or only what is of one interface (NULL: everything). */
int sysctl_restore(const struct state *state, const char *ifname);
/* Does the rule need a sysctl that is not set yet, or one of its interface? */
bool sysctl_is_needed(const struct rule *rule);
/* Which families it needs forwarding of: bits 1 << enum family. */
unsigned int sysctl_rule_forwards(const struct rule *rule);
/* Does it need route_localnet of its interface? */
bool sysctl_rule_loops_back(const struct rule *rule);
/* Is the interface's rp_filter 2? The greater value counts, its own or that of `all`. */
bool sysctl_source_is_loose(const char *ifname);
/* Will sysctl_provide() make loopback addresses reachable from the wire? */
bool sysctl_needs_guard(const struct config *config);

#endif
