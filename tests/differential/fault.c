// SPDX-License-Identifier: GPL-2.0-or-later
/* What is wrong with a packet. */
#include "fault.h"

#define DCCP_HEADER_MAX 28 /* before options: a long one of a response or reset */

static bool tcp_flags_are_sane(uint8_t flags)
{
	switch (flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) {
	case TCP_SYN:
	case TCP_SYN | TCP_ACK:
	case TCP_RST:
	case TCP_RST | TCP_ACK:
	case TCP_FIN | TCP_ACK:
	case TCP_ACK:
		break;
	default:
		return false;
	}
	/* Urgent: with SYN alone, with FIN and ACK, or with ACK. */
	if (flags & 0x20)
		return !(flags & TCP_RST) && (flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK);
	return true;
}

static bool transport_is_malformed(const struct frame *frame, const struct view *view)
{
	const uint8_t *at = frame->data + view->transport;
	size_t length = view->end - view->transport;

	if (view->offset)
		return false;
	switch (view->ends.proto) {
	case IPPROTO_TCP:
		return length < 20 || at[12] >> 4 < 5 || (at[12] >> 4) * 4U > length ||
		       !tcp_flags_are_sane(at[13] & 0x3f);
	case IPPROTO_UDP:
		return length < 8 || read16(at + 4) < 8 || (!view->more && read16(at + 4) > length);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		return length < 8;
	case IPPROTO_SCTP:
		return length < 16;
	default:
		return false;
	}
}

static bool ip_is_malformed(const struct frame *frame, const struct view *view)
{
	const uint8_t *ip = frame->data + view->ip;
	size_t length;

	if (view->six)
		length = 40 + read16(ip + 4);
	else
		length = read16(ip + 2);
	return view->transport > view->end || view->ip + length > frame->length;
}

/* Mobility, HIP, shim6, authentication, and no next one. */
bool is_extension(const struct view *view)
{
	return view->six &&
	       (view->ends.proto == 135 || view->ends.proto == 139 || view->ends.proto == 140 ||
		view->ends.proto == 51 || view->ends.proto == 59);
}

/* Farther behind extension headers than xfwd looks. */
static bool is_far(const struct view *view)
{
	return view->six && view->transport > 511;
}

struct fault frame_fault(const struct frame *frame, const struct view *view, bool is_ip)
{
	struct fault fault = { 0 };

	if (!is_ip || ip_is_malformed(frame, view)) {
		fault.malformed = true;
		return fault;
	}
	fault.header_sum = !frame_header_is_right(frame, view);
	fault.malformed = transport_is_malformed(frame, view) || is_far(view);
	fault.extension = is_extension(view);
	fault.zero_udp6 = !fault.malformed && view->six && view->ends.proto == IPPROTO_UDP &&
			  !view->offset && !read16(frame->data + view->transport + 6);
	fault.transport_sum = !fault.malformed && !frame_transport_is_right(frame, view);
	for (size_t at = view->ip + 20; !view->six && at < view->transport; at++)
		fault.options |= frame->data[at] != 1;
	fault.unsupported = view->ends.proto == IPPROTO_UDPLITE || view->ends.proto == IPPROTO_DCCP;
	fault.short_dccp = view->ends.proto == IPPROTO_DCCP &&
			   view->end - view->transport < DCCP_HEADER_MAX;
	fault.query = view->ends.proto == (view->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP) &&
		      !view->has_ports && !view->inner;
	return fault;
}

bool frame_begins(const struct view *view)
{
	const uint8_t opening = TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN;

	if (view->ends.proto == IPPROTO_TCP)
		return (view->tcp_flags & opening) == TCP_SYN;
	if (view->ends.proto == IPPROTO_SCTP)
		return view->chunk == SCTP_INIT;
	if (view->ends.proto == (view->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return view->icmp_type == (view->six ? 128 : 8);
	return true;
}

bool is_icmp(const struct view *view)
{
	return view->ends.proto == (view->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}
