/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The service's side of struct port_peer: which veths' packets may go to the other end at once. */
#ifndef XFWD_PEERS_H
#define XFWD_PEERS_H

#include <stdbool.h>

#include "lease.h"

/* Looks at the devices as they are now, for the lease's generation. 0 or -errno. */
int peers_examine(const struct lease *lease, const struct pins *pins);
/* Do packets for this interface go that way? */
bool peers_are_used(const struct state *state, unsigned int ifindex);

#endif
