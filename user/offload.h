/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VLAN offload on receipt (`ethtool -k`: rx-vlan-offload): the device takes the tag out of the frame and
 * tells it beside, where XDP does not see it: the frame would look untagged.
 */
#ifndef XFWD_OFFLOAD_H
#define XFWD_OFFLOAD_H

#include <stdbool.h>

/* Which bits of it are on; 0: it is off. */
unsigned int offload_get(const char *ifname);
/* Switches these bits, as far as the device lets it. */
void offload_set(const char *ifname, unsigned int bits, bool on);
/* Does it take packets with checksums and segmentation left to do (`ethtool -k`: tx-...)? */
bool offload_takes_all(const char *ifname);

#endif
