// SPDX-License-Identifier: GPL-2.0-or-later
/* Packets of either family. */
#include "packet.h"

#include <string.h>

static size_t payload_write(const struct packet *p, uint8_t *at)
{
	if (p->inner) {
		memcpy(at, p->inner, p->inner_length);
		return p->inner_length;
	}
	for (size_t i = 0; i < p->payload; i++)
		at[i] = i * 7 + 1;
	if (p->payload >= 4)
		write32(at, p->serial);
	return p->payload;
}

static size_t tcp_write(const struct packet *p, uint8_t *at)
{
	size_t header = p->mss ? 24 : 20;

	write16(at, p->ends.port[FROM]);
	write16(at + 2, p->ends.port[TO]);
	write32(at + 4, p->seq);
	write32(at + 8, p->ack);
	at[12] = header / 4 << 4;
	at[13] = p->tcp_flags;
	write16(at + 14, 0xfaf0);
	if (p->mss) {
		write16(at + 20, 0x0204); /* RFC 9293 3.7.1: the option, and its length */
		write16(at + 22, p->mss);
	}
	return header + payload_write(p, at + header);
}

static size_t udp_write(const struct packet *p, uint8_t *at)
{
	size_t length = 8 + payload_write(p, at + 8);

	write16(at, p->ends.port[FROM]);
	write16(at + 2, p->ends.port[TO]);
	write16(at + 4, length);
	return length;
}

static size_t icmp_write(const struct packet *p, uint8_t *at)
{
	at[0] = p->type;
	at[1] = p->code;
	write32(at + 4, p->info);
	if (!p->inner)
		write16(at + 4, p->ends.port[FROM]);
	return 8 + payload_write(p, at + 8);
}

/* One chunk: of INIT and INIT ACK with the fields that it has to have. */
static size_t sctp_write(const struct packet *p, uint8_t *at)
{
	size_t fixed = p->type == 1 || p->type == 2 ? 20 : p->type ? 4 : 16;
	uint8_t *chunk = at + 12;
	size_t length = fixed + (p->type ? 0 : payload_write(p, chunk + fixed));
	uint32_t crc;

	write16(at, p->ends.port[FROM]);
	write16(at + 2, p->ends.port[TO]);
	write32(at + 4, p->type == 1 ? 0 : p->seq);
	chunk[0] = p->type;
	chunk[1] = p->type ? 0 : 3;
	write16(chunk + 2, length);
	if (fixed == 20) {
		write32(chunk + 4, p->ack);
		write32(chunk + 8, 65536);
		write16(chunk + 12, 1);
		write16(chunk + 14, 1);
		write32(chunk + 16, 1);
	}
	length = (length + 3) & ~3UL;
	crc = crc32c(at, 12 + length);
	at[8] = crc;
	at[9] = crc >> 8;
	at[10] = crc >> 16;
	at[11] = crc >> 24;
	return 12 + length;
}

static size_t transport_write(const struct packet *p, uint8_t *at, size_t *check)
{
	*check = 0;
	switch (p->ends.proto) {
	case IPPROTO_TCP:
		*check = 16;
		return tcp_write(p, at);
	case IPPROTO_UDP:
		*check = 6;
		return udp_write(p, at);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		*check = 2;
		return icmp_write(p, at);
	case IPPROTO_SCTP:
		return sctp_write(p, at);
	default:
		return payload_write(p, at);
	}
}

void packet_sum_header(struct frame *frame, size_t ip)
{
	uint8_t *at = frame->data + ip;

	write16(at + 10, 0);
	write16(at + 10, sum_check(sum_bytes(0, at, (at[0] & 15) * 4)));
}

static size_t header4_write(const struct packet *p, uint8_t *ip)
{
	size_t header = 20 + p->options * 4U;

	ip[0] = 4 << 4 | header / 4;
	ip[1] = p->tos;
	write16(ip + 4, p->id);
	write16(ip + 6, p->flags);
	ip[8] = p->ttl ? p->ttl : 64;
	ip[9] = p->ends.proto;
	memcpy(ip + 12, p->ends.addr[FROM], 4);
	memcpy(ip + 16, p->ends.addr[TO], 4);
	memset(ip + 20, 1, p->options * 4U);
	return header;
}

static size_t header6_write(const struct packet *p, uint8_t *ip)
{
	write32(ip, 6U << 28 | (uint32_t)p->tos << 20 | p->id);
	ip[6] = p->ends.proto;
	ip[7] = p->ttl ? p->ttl : 64;
	memcpy(ip + 8, p->ends.addr, 32);
	return 40;
}

void packet_build(const struct packet *p, struct frame *frame)
{
	bool six = p->ends.six, pseudo = six || p->ends.proto != IPPROTO_ICMP;
	uint8_t *ip = frame->data + L2_LENGTH, *at;
	size_t header, length, check;
	uint64_t sum = 0;

	memset(frame->data, 0, 128 + (p->inner ? p->inner_length : p->payload));
	write_mac(frame->data, p->dmac);
	write_mac(frame->data + 6, p->smac);
	write16(frame->data + 12, six ? 0x86dd : 0x0800);
	header = six ? header6_write(p, ip) : header4_write(p, ip);
	at = ip + header;
	length = transport_write(p, at, &check);
	if (check) {
		if (pseudo)
			sum = sum_bytes(length + p->ends.proto, ip + (six ? 8 : 12), six ? 32 : 8);
		sum = sum_check(sum_bytes(sum, at, length));
		write16(at + check, sum || p->ends.proto != IPPROTO_UDP ? sum : 0xffff);
	}
	frame->length = L2_LENGTH + header + length;
	if (six)
		write16(ip + 4, length);
	else
		write16(ip + 2, header + length);
	if (!six)
		packet_sum_header(frame, L2_LENGTH);
}

bool packet_fragment(const struct frame *whole, uint32_t id, size_t at, size_t length,
		     struct frame *part)
{
	struct view view;
	size_t all, header;
	uint8_t *ip;

	if (!view_read(&view, whole) || view.fragment)
		return false;
	all = view.end - view.transport;
	if (at >= all)
		return false;
	if (!length || at + length > all)
		length = all - at;
	header = view.transport + (view.six ? 8 : 0);
	memcpy(part->data, whole->data, view.transport);
	memcpy(part->data + header, whole->data + view.transport + at, length);
	part->length = header + length;
	ip = part->data + view.ip;
	if (view.six) {
		uint8_t *extension = part->data + view.transport;

		memset(extension, 0, 8);
		extension[0] = ip[6];
		write16(extension + 2, at | (at + length < all));
		write32(extension + 4, id);
		ip[6] = IPPROTO_FRAGMENT;
		write16(ip + 4, length + 8);
	} else {
		write16(ip + 2, part->length - view.ip);
		write16(ip + 4, id);
		write16(ip + 6, at / 8 | (at + length < all ? IP_MORE : 0));
		packet_sum_header(part, view.ip);
	}
	return true;
}
