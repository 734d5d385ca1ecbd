/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wrong with a packet, whatever came before it. */
#ifndef XFWD_DIFFERENTIAL_FAULT_H
#define XFWD_DIFFERENTIAL_FAULT_H

#include "ends.h"

struct fault {
	bool header_sum, transport_sum, malformed, options, unsupported, query, zero_udp6,
		extension, short_dccp;
};

/* Not to be read as IP: `view` is then empty. */
struct fault frame_fault(const struct frame *frame, const struct view *view, bool is_ip);
/* Without what is known, does it begin a connection? */
bool frame_begins(const struct view *view);
bool is_icmp(const struct view *view);
/* What netfilter may take for an IPv6 extension header, and xfwd for a protocol. */
bool is_extension(const struct view *view);

#endif
