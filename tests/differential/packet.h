/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets of either family from what they shall say, with all checksums right. */
#ifndef XFWD_DIFFERENTIAL_PACKET_H
#define XFWD_DIFFERENTIAL_PACKET_H

#include "ends.h"

/* What is 0 has the usual value. */
struct packet {
	uint64_t dmac, smac;
	struct ends ends;
	uint8_t ttl; /* 0: 64 */
	uint8_t tos;
	uint8_t options; /* IPv4: 32-bit words of no operation */
	uint16_t id;
	uint16_t flags; /* IPv4: IP_DONT */
	uint8_t tcp_flags;
	uint32_t seq, ack;
	uint16_t mss; /* 0: TCP says nothing of it */
	uint8_t type, code; /* of ICMP; SCTP: of the first chunk */
	uint32_t info; /* the second word of an ICMP error */
	uint32_t serial; /* begins the payload */
	uint16_t payload;
	const uint8_t *inner; /* of an ICMP error, in place of a payload */
	size_t inner_length;
};

void packet_build(const struct packet *packet, struct frame *frame);
/*
 * The part of the datagram's payload from `at` (a multiple of 8) on, as a fragment; `length` 0: to
 * the end. False: there is no such part.
 */
bool packet_fragment(const struct frame *whole, uint32_t id, size_t at, size_t length,
		     struct frame *part);
/* IPv4's header checksum anew. */
void packet_sum_header(struct frame *frame, size_t ip);

#endif
