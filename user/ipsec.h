/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this namespace has of IPsec, which the kernel minds where it routes and delivers (net/xfrm): the
 * programs forward without asking it.
 */
#ifndef XFWD_IPSEC_H
#define XFWD_IPSEC_H

#include <linux/types.h>

struct ipsec {
	__u32 states; /* security associations */
	__u32 policies; /* for what leaves */
};

/* 0, or a negative errno. A kernel without IPsec has none of it. */
int ipsec_ask(struct ipsec *ipsec);

#endif
