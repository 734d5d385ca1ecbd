/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The service's side of include/next_hop.h: the lease on kept next hops, and the hops in use. */
#ifndef XFWD_LEASE_H
#define XFWD_LEASE_H

#include <stddef.h>

#include "neighbours.h"
#include "next_hop.h"
#include "state.h"

struct lease {
	const struct state *state;
	__u32 hz;
	struct hop_lease value;
};

/* What an earlier service left is not trusted; nor is anything new before lease_renew(). 0 or -errno. */
int lease_begin(struct lease *lease, const struct state *state);
/*
 * Prolongs it from `now` on, a time from before the last change that is known was looked for: however
 * long this process was kept from running since, nothing is trusted that is not known to be true.
 */
int lease_renew(struct lease *lease, __u32 now);
/* Next hops kept so far are not trusted any more. */
int lease_change(struct lease *lease);
int lease_end(struct lease *lease);

/*
 * Keeps the neighbours in use confirmed, whose packets the kernel does not see, and forgets those
 * that are in use no more. *count: how many are. 0 or -errno.
 */
int hops_confirm(const struct lease *lease, struct neighbours *neighbours, size_t *count);

#endif
