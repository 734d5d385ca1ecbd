/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel tells of changes in links, addresses, routes, rules and neighbours. */
#ifndef XFWD_FOLLOW_H
#define XFWD_FOLLOW_H

#include <libmnl/libmnl.h>
#include <stddef.h>

#include "neighbours.h"

/* What follow_read() found; 0: nothing that matters. Each means that next hops may have changed. */
#define FOLLOW_ROUTES       (1U << 0) /* routes, rules, neighbours */
#define FOLLOW_LINKS        (1U << 1) /* links, addresses, and what is set of them */
#define FOLLOW_ADDRESS_GONE (1U << 2)
#define FOLLOW_LOST         (1U << 3) /* messages were lost: anything may have changed */

#define FOLLOW_GONE_MAX     256

struct follow {
	struct mnl_socket *socket;
	struct neighbours *neighbours; /* kept up to date */
	unsigned int gone[FOLLOW_GONE_MAX]; /* indexes of links that were deleted */
	size_t gone_count; /* less by follow_gone_done() */
};

/* 0 or -errno. Changes from here on are told of. */
int follow_open(struct follow *follow, struct neighbours *neighbours);
void follow_close(struct follow *follow);
/* Takes what there is, without waiting. *changes: FOLLOW_… 0 or -errno. */
int follow_read(struct follow *follow, unsigned int *changes);
/* The first so many of those that have gone are dealt with. */
void follow_gone_done(struct follow *follow, size_t count);

#endif
