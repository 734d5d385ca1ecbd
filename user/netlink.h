/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XFWD_NETLINK_H
#define XFWD_NETLINK_H

#include <libmnl/libmnl.h>

/*
 * Asks the kernel by a socket of its own, and gives every answer to `handle`. `protocol` is NETLINK_*;
 * `request` gets its sequence number. 0 or a negative errno.
 */
int netlink_ask(int protocol, struct nlmsghdr *request, mnl_cb_t handle, void *context);

#endif
