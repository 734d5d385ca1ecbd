/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XDP for an interface: on its own device, or, for a VLAN interface, on the device under it, which may
 * carry several. They share one program, and so one mode; it goes with the last of them.
 */
#ifndef XFWD_XDP_H
#define XFWD_XDP_H

#include "attach.h"

/*
 * Makes XDP be as attachment->wanted has it, and writes down in the attachment what came of it. In auto
 * mode a refusal is a reason, not an error. Prints what is wrong. 0 or -errno.
 */
int xdp_sync(const struct state *state, const struct pins *pins, const struct netdevs *devs,
	     const struct netdev *dev, struct attachment *attachment);
/* The interface does without from here on. 0 or -errno. */
int xdp_drop(const struct state *state, const struct pins *pins, unsigned int ifindex,
	     struct attachment *attachment);
/* Does XDP where it is attached still get frames with their tags? Others may have changed that. */
bool xdp_sees_tags(const struct netdevs *devs, const struct attachment *attachment);
bool xdp_is_attached(const struct pins *pins, const struct attachment *attachment);

#endif
