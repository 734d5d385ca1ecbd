// SPDX-License-Identifier: GPL-2.0-or-later
/* The ends that a frame of either family speaks of. */
#include "ends.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

size_t address_length(bool six)
{
	return six ? 16 : 4;
}

static bool is_icmp_error(bool six, uint8_t type)
{
	if (six)
		return type >= 1 && type <= 4;
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static bool is_icmp_echo(bool six, uint8_t type)
{
	return six ? type == 128 || type == 129 : type == 8 || type == 0;
}

static void read_icmp(struct view *view, const uint8_t *data)
{
	const uint8_t *at = data + view->transport;

	if (view->transport + 8 > view->end)
		return;
	view->check = view->transport + 2;
	view->icmp_type = at[0];
	if (is_icmp_echo(view->six, at[0])) {
		view->ends.port[FROM] = view->ends.port[TO] = read16(at + 4);
		view->has_ports = true;
	} else if (is_icmp_error(view->six, at[0])) {
		view->inner = view->transport + 8;
	}
}

/* The checksum is not there in the short datagrams that are inside errors. */
static void read_ports(struct view *view, const uint8_t *data, size_t check)
{
	const uint8_t *at = data + view->transport;

	if (view->transport + 4 > view->end)
		return;
	view->ends.port[FROM] = read16(at);
	view->ends.port[TO] = read16(at + 2);
	view->has_ports = true;
	if (view->transport + check + 2 <= view->end)
		view->check = view->transport + check;
}

static void read_transport(struct view *view, const uint8_t *data)
{
	if (view->ends.proto == (view->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
		read_icmp(view, data);
	} else if (view->ends.proto == IPPROTO_TCP) {
		read_ports(view, data, 16);
		if (view->transport + 14 <= view->end)
			view->tcp_flags = data[view->transport + 13];
	} else if (view->ends.proto == IPPROTO_UDP) {
		read_ports(view, data, 6);
	} else if (view->ends.proto == IPPROTO_SCTP) {
		read_ports(view, data, 8);
		if (view->transport + 13 <= view->end)
			view->chunk = data[view->transport + 12];
		view->check = 0; /* no sum, and it does not cover addresses: see sctp_follow() */
	} else {
		view->has_ports = true; /* both 0: told apart by addresses */
	}
}

static bool read4(struct view *view, const uint8_t *data, size_t length)
{
	const uint8_t *ip = data + view->ip;
	uint16_t word;

	if (view->ip + 20 > length || ip[0] >> 4 != 4 || (ip[0] & 15) < 5)
		return false;
	view->transport = view->ip + (ip[0] & 15) * 4;
	view->end = view->ip + read16(ip + 2);
	memcpy(view->ends.addr[FROM], ip + 12, 4);
	memcpy(view->ends.addr[TO], ip + 16, 4);
	view->ends.proto = ip[9];
	view->id = read16(ip + 4);
	word = read16(ip + 6);
	view->more = word & IP_MORE;
	view->offset = (word & 0x1fff) * 8;
	view->fragment = view->more || view->offset;
	return true;
}

static bool read6(struct view *view, const uint8_t *data, size_t length)
{
	const uint8_t *ip = data + view->ip;

	if (view->ip + 40 > length || ip[0] >> 4 != 6)
		return false;
	view->six = true;
	view->ends.six = 1;
	view->transport = view->ip + 40;
	view->end = view->transport + read16(ip + 4);
	memcpy(view->ends.addr, ip + 8, 32);
	view->ends.proto = ip[6];
	while (view->transport + 8 <= length) {
		const uint8_t *at = data + view->transport;

		if (view->ends.proto == IPPROTO_FRAGMENT) {
			view->id = read32(at + 4);
			view->more = at[3] & 1;
			view->offset = read16(at + 2) & 0xfff8;
			view->fragment = true;
			view->transport += 8;
		} else if (view->ends.proto == IPPROTO_HOPOPTS ||
			   view->ends.proto == IPPROTO_DSTOPTS ||
			   view->ends.proto == IPPROTO_ROUTING) {
			view->transport += (at[1] + 1) * 8;
		} else {
			break;
		}
		view->ends.proto = at[0];
		if (view->offset)
			break;
	}
	return true;
}

static bool read_at(struct view *view, const struct frame *frame, size_t at, bool six)
{
	memset(view, 0, sizeof(*view));
	view->ip = at;
	if (!(six ? read6 : read4)(view, frame->data, frame->length))
		return false;
	if (view->end > frame->length)
		view->end = frame->length;
	if (view->transport <= view->end && !view->offset)
		read_transport(view, frame->data);
	return true;
}

bool view_read(struct view *view, const struct frame *frame)
{
	uint16_t type = frame->length < L2_LENGTH ? 0 : read16(frame->data + 12);

	memset(view, 0, sizeof(*view));
	return (type == 0x0800 || type == 0x86dd) &&
	       read_at(view, frame, L2_LENGTH, type == 0x86dd);
}

bool view_inner(struct view *inner, const struct frame *frame, const struct view *outer)
{
	memset(inner, 0, sizeof(*inner));
	static struct frame shorter;

	if (!outer->inner)
		return false;
	shorter.length = outer->end; /* without what is behind the error */
	memcpy(shorter.data, frame->data, shorter.length);
	return read_at(inner, &shorter, outer->inner, outer->six);
}

struct ends ends_reverse(const struct ends *ends)
{
	struct ends back = *ends;

	memcpy(back.addr[FROM], ends->addr[TO], 16);
	memcpy(back.addr[TO], ends->addr[FROM], 16);
	back.port[FROM] = ends->port[TO];
	back.port[TO] = ends->port[FROM];
	return back;
}

bool ends_equal(const struct ends *a, const struct ends *b)
{
	return !memcmp(a, b, sizeof(*a));
}

const char *ends_text(const struct ends *ends)
{
	static char texts[8][160];
	static unsigned int next;
	char *text = texts[next++ % 8], from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	int family = ends->six ? AF_INET6 : AF_INET;

	snprintf(text, sizeof(texts[0]), "%u %s %u %s %u", ends->proto,
		 inet_ntop(family, ends->addr[FROM], from, sizeof(from)), ends->port[FROM],
		 inet_ntop(family, ends->addr[TO], to, sizeof(to)), ends->port[TO]);
	return text;
}

bool ends_parse(struct ends *ends, const char *text)
{
	unsigned int proto, port[2];
	char addr[2][64];

	memset(ends, 0, sizeof(*ends));
	if (sscanf(text, "%u %63s %u %63s %u", &proto, addr[0], &port[0], addr[1], &port[1]) != 5)
		return false;
	ends->six = strchr(addr[0], ':') != NULL;
	ends->proto = proto;
	for (int i = 0; i < 2; i++) {
		address_of(addr[i], ends->addr[i]);
		ends->port[i] = port[i];
	}
	return true;
}

void address_of(const char *text, uint8_t addr[16])
{
	memset(addr, 0, 16);
	inet_pton(strchr(text, ':') ? AF_INET6 : AF_INET, text, addr);
}

/* ---- changing ---- */

/* Eq. 3 of RFC 1624, of one word. */
static uint16_t sum_follows(uint16_t check, uint16_t from, uint16_t to)
{
	uint32_t sum = (uint16_t)~check + (uint32_t)(uint16_t)~from + to;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Checksums that cover a word; 0: none. */
struct cover {
	size_t header, transport, error;
	bool is_udp;
};

static void patch(struct frame *frame, const struct cover *cover, size_t at, uint16_t to,
		  bool in_ip)
{
	uint16_t from = read16(frame->data + at), before, after;

	write16(frame->data + at, to);
	if (cover->error) {
		before = read16(frame->data + cover->error);
		write16(frame->data + cover->error, sum_follows(before, from, to));
	}
	if (in_ip && cover->header) {
		before = read16(frame->data + cover->header);
		after = sum_follows(before, from, to);
		write16(frame->data + cover->header, after);
		if (cover->error) {
			uint16_t error = read16(frame->data + cover->error);

			write16(frame->data + cover->error, sum_follows(error, before, after));
		}
	}
	if (!cover->transport)
		return;
	before = read16(frame->data + cover->transport);
	if (cover->is_udp && !before)
		return;
	after = sum_follows(before, from, to);
	if (cover->is_udp && !after)
		after = 0xffff;
	write16(frame->data + cover->transport, after);
	if (cover->error) {
		uint16_t error = read16(frame->data + cover->error);

		write16(frame->data + cover->error, sum_follows(error, before, after));
	}
}

static void patch_address(struct frame *frame, const struct cover *cover, size_t at,
			  const uint8_t *addr, size_t length)
{
	for (size_t i = 0; i < length; i += 2)
		if (read16(frame->data + at + i) != read16(addr + i))
			patch(frame, cover, at + i, read16(addr + i), true);
}

/* RFC 9260: CRC32c over all of it, with the field itself as 0. */
static uint32_t sctp_sum(const struct frame *frame, const struct view *view)
{
	static uint8_t copy[FRAME_MAX];

	memcpy(copy, frame->data + view->transport, view->end - view->transport);
	memset(copy + 8, 0, 4);
	return crc32c(copy, view->end - view->transport);
}

static bool sctp_is_right(const struct frame *frame, const struct view *view)
{
	const uint8_t *at = frame->data + view->transport + 8;
	uint32_t sum = at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;

	return view->transport + 12 > view->end || sctp_sum(frame, view) == sum;
}

static void sctp_follow(struct frame *frame, const struct view *view)
{
	uint32_t sum = sctp_sum(frame, view);
	uint8_t *at = frame->data + view->transport + 8;

	for (int i = 0; i < 4; i++)
		at[i] = sum >> 8 * i;
}

void frame_redirect(struct frame *frame, const struct view *view, const struct view *outer,
		    const struct ends *to)
{
	bool is_icmp = view->ends.proto == (view->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	struct cover cover = {
		.header = view->six ? 0 : view->ip + 10,
		.transport = view->check,
		.error = outer ? outer->check : 0,
		.is_udp = view->ends.proto == IPPROTO_UDP,
	};
	size_t at = view->ip + (view->six ? 8 : 12), length = address_length(view->six);
	bool sum_follows_ports = view->ends.proto == IPPROTO_SCTP && !outer && !view->fragment &&
				 view->transport + 12 <= view->end && sctp_is_right(frame, view);
	struct cover addresses = cover;

	if (is_icmp && !view->six)
		addresses.transport = 0; /* no pseudo header */
	patch_address(frame, &addresses, at, to->addr[FROM], length);
	patch_address(frame, &addresses, at + length, to->addr[TO], length);
	if (!view->has_ports)
		return;
	if (is_icmp && to->port[FROM] != view->ends.port[FROM]) {
		patch(frame, &cover, view->transport + 4, to->port[FROM], false);
	} else if (!is_icmp) {
		if (to->port[FROM] != view->ends.port[FROM])
			patch(frame, &cover, view->transport, to->port[FROM], false);
		if (to->port[TO] != view->ends.port[TO])
			patch(frame, &cover, view->transport + 2, to->port[TO], false);
	}
	if (sum_follows_ports)
		sctp_follow(frame, view);
}

bool frame_header_is_right(const struct frame *frame, const struct view *view)
{
	return view->six ||
	       sum_check(sum_bytes(0, frame->data + view->ip, view->transport - view->ip)) == 0;
}

bool frame_transport_is_right(const struct frame *frame, const struct view *view)
{
	size_t length = view->end - view->transport;
	const uint8_t *at = frame->data + view->transport;
	uint64_t sum = 0;

	if (view->ends.proto == IPPROTO_SCTP && !view->fragment)
		return sctp_is_right(frame, view);
	if (!view->check || view->fragment)
		return true;
	if (view->ends.proto == IPPROTO_UDP && !read16(frame->data + view->check))
		return !view->six;
	if (view->ends.proto == IPPROTO_UDP && read16(at + 4) < length)
		length = read16(at + 4);
	if (view->six || view->ends.proto != IPPROTO_ICMP)
		sum = sum_bytes(length + view->ends.proto,
				frame->data + view->ip + (view->six ? 8 : 12),
				2 * address_length(view->six));
	return sum_check(sum_bytes(sum, at, length)) == 0;
}
