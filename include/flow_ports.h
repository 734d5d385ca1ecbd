/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which ports are in the flow table's keys, or once were. A packet of another port has no flow, as
 * most that are for services of this machine itself: that is known from a few bytes that are in use
 * all the time, where the table is large, and each packet's place in it another.
 */
#ifndef XFWD_FLOW_PORTS_H
#define XFWD_FLOW_PORTS_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define FLOW_PORT_WORDS (65536 / 64)

/* Bit n % 64 of word n / 64: the port n, as 16 bits lie in memory. */
struct flow_ports {
	__u64 source[FLOW_PORT_WORDS];
	__u64 destination[FLOW_PORT_WORDS];
};

#endif
