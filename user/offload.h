/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VLAN offload on receipt (`ethtool -k`: rx-vlan-offload): the device takes the tag out of the frame and
 * tells it beside, where XDP does not see it: the frame would look untagged.
 */
#ifndef XFWD_OFFLOAD_H
#define XFWD_OFFLOAD_H

#include <stdbool.h>

/* Switches it off. Which bits of it were on, for offload_restore(). */
unsigned int offload_off(const char *ifname);
void offload_restore(const char *ifname, unsigned int bits);
/* Is it on, though it was told not to be? */
bool offload_is_on(const char *ifname);

#endif
