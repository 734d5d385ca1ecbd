/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this namespace has of IPsec, which the kernel minds where it routes and delivers (net/xfrm): the
 * programs forward without asking it.
 */
#ifndef XFWD_IPSEC_H
#define XFWD_IPSEC_H

#include <linux/types.h>

/*
 * How many security associations there are, and how many policies for what leaves. 0, or a negative
 * errno. A kernel without IPsec has none of either.
 */
int ipsec_count_associations(__u32 *count);
int ipsec_count_policies(__u32 *count);

#endif
