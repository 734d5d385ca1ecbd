/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ends that a frame of either family speaks of: reading them, and putting others in their place. */
#ifndef XFWD_DIFFERENTIAL_ENDS_H
#define XFWD_DIFFERENTIAL_ENDS_H

#include "../prog/frame.h"

#define FROM 0
#define TO   1

/* An IPv4 address is in the first 4 bytes; ports are in host byte order, of echo both the identifier. */
struct ends {
	uint8_t addr[2][16];
	uint16_t port[2];
	uint8_t proto;
	uint8_t six; /* IPv6 */
	uint8_t pad[2];
};

/* Where things are in a frame. */
struct view {
	struct ends ends;
	size_t ip, transport, end; /* the datagram ends where its header says, or the frame does */
	size_t check; /* of the transport; 0: none that is known */
	size_t inner; /* of an ICMP error: the IP header in it; 0: none */
	uint32_t id;
	uint8_t icmp_type;
	uint8_t tcp_flags;
	uint8_t chunk; /* of SCTP, the first one's type */
	bool has_ports, fragment, more;
	uint16_t offset; /* of a fragment */
	bool six;
};

/* False: not IP, or too short for its header. */
bool view_read(struct view *view, const struct frame *frame);
/* The datagram inside an ICMP error. */
bool view_inner(struct view *inner, const struct frame *frame, const struct view *outer);

struct ends ends_reverse(const struct ends *ends);
bool ends_equal(const struct ends *a, const struct ends *b);
/* "udp 10.0.0.2.5 > 10.0.0.3.6", in one of a few buffers; ends_parse() reads it. */
const char *ends_text(const struct ends *ends);
bool ends_parse(struct ends *ends, const char *text);
void address_of(const char *text, uint8_t addr[16]);

/*
 * Other ends for the datagram at view->ip; checksums follow (RFC 1624), so that a right one stays
 * right and a wrong one wrong. `outer`: the ICMP error that it is in, or NULL.
 */
void frame_redirect(struct frame *frame, const struct view *view, const struct view *outer,
		    const struct ends *to);

/* Is the checksum right, of IPv4's header and of the transport? What has none is right. */
bool frame_header_is_right(const struct frame *frame, const struct view *view);
bool frame_transport_is_right(const struct frame *frame, const struct view *view);

size_t address_length(bool six);

#endif
