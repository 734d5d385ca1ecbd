// SPDX-License-Identifier: GPL-2.0-or-later
/* Building frames, and telling where two of them differ. */
#include "frame.h"

#include <stdio.h>
#include <string.h>

uint16_t read16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

uint32_t read32(const uint8_t *at)
{
	return (uint32_t)read16(at) << 16 | read16(at + 2);
}

void write16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

void write32(uint8_t *at, uint32_t value)
{
	write16(at, value >> 16);
	write16(at + 2, value);
}

void write_mac(uint8_t *at, uint64_t mac)
{
	write16(at, mac >> 32);
	write32(at + 2, mac);
}

uint64_t sum_bytes(uint64_t sum, const uint8_t *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? data[i] : data[i] << 8;
	return sum;
}

uint16_t sum_check(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

uint64_t sum_pseudo(const uint8_t *ip, size_t length)
{
	return sum_bytes(0, ip + 12, 8) + ip[9] + length;
}

uint32_t crc32c(const uint8_t *data, size_t length)
{
	uint32_t crc = ~0U;

	for (size_t i = 0; i < length; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

static void payload_write(const struct spec *spec, uint8_t *at)
{
	for (size_t i = 0; i < spec->payload; i++)
		at[i] = i * 7 + 1;
	if (spec->payload >= 2)
		write16(at, spec->pattern);
}

/* The field of a transport checksum at `at`; `data` is what it covers. */
static void check_write(const struct spec *spec, const uint8_t *ip, uint8_t *data, size_t at,
			size_t length)
{
	uint16_t check = sum_check(sum_bytes(sum_pseudo(ip, length), data, length));

	if (spec->check == CHECK_PARTIAL)
		check = ~sum_check(sum_pseudo(ip, length));
	else if (spec->check == CHECK_NONE)
		check = 0;
	else if (spec->check == CHECK_WRONG)
		check ^= 0x0100;
	else if (spec->proto == IPPROTO_UDP && !check)
		check = 0xffff;
	write16(data + at, check);
}

static size_t tcp_write(const struct spec *spec, const uint8_t *ip, uint8_t *at)
{
	size_t header = 20 + spec->tcp_option_words * 4U, length = header + spec->payload;

	write16(at, spec->sport);
	write16(at + 2, spec->dport);
	write32(at + 4, spec->seq ? spec->seq : 0x01020304);
	write32(at + 8, spec->tcp_flags & TCP_ACK ? spec->ack ? spec->ack : 0x01020708 : 0);
	at[12] = (spec->doff ? spec->doff : header / 4) << 4;
	at[13] = spec->tcp_flags ? spec->tcp_flags : TCP_SYN;
	write16(at + 14, 0xfaf0);
	memcpy(at + 20, spec->tcp_options, header - 20);
	payload_write(spec, at + header);
	check_write(spec, ip, at, 16, length);
	return length;
}

static size_t udp_write(const struct spec *spec, const uint8_t *ip, uint8_t *at)
{
	size_t length = 8 + spec->payload;

	write16(at, spec->sport);
	write16(at + 2, spec->dport);
	write16(at + 4, length + spec->udp_len_off);
	payload_write(spec, at + 8);
	check_write(spec, ip, at, 6, length);
	return length;
}

/* The payload is the first chunk's. */
static size_t sctp_write(const struct spec *spec, uint8_t *at)
{
	uint8_t chunk = spec->chunk ? spec->chunk : SCTP_INIT;
	size_t length = 16 + spec->payload;
	uint32_t crc;

	write16(at, spec->sport);
	write16(at + 2, spec->dport);
	write32(at + 4, spec->vtag ? spec->vtag : chunk == SCTP_INIT ? 0 : 0x0a0b0c0d);
	at[12] = chunk == SCTP_DATA ? 0 : chunk;
	write16(at + 14, 4 + spec->payload);
	payload_write(spec, at + 16);
	crc = crc32c(at, length);
	if (spec->check == CHECK_PARTIAL || spec->check == CHECK_NONE)
		crc = 0;
	else if (spec->check == CHECK_WRONG)
		crc ^= 0x0100;
	memcpy(at + 8, (uint8_t[]){ crc, crc >> 8, crc >> 16, crc >> 24 }, 4);
	return length;
}

static size_t icmp_write(const struct spec *spec, uint8_t *at)
{
	size_t length = 8 + spec->payload;

	at[0] = spec->icmp_type;
	write16(at + 4, spec->sport);
	write16(at + 6, 1);
	payload_write(spec, at + 8);
	write16(at + 2,
		sum_check(sum_bytes(0, at, length)) ^ (spec->check == CHECK_WRONG ? 0x0100 : 0));
	return length;
}

static size_t transport_write(const struct spec *spec, const uint8_t *ip, uint8_t *at)
{
	switch (spec->proto) {
	case 0:
	case IPPROTO_TCP:
		return tcp_write(spec, ip, at);
	case IPPROTO_UDP:
		return udp_write(spec, ip, at);
	case IPPROTO_SCTP:
		return sctp_write(spec, at);
	case IPPROTO_ICMP:
		return icmp_write(spec, at);
	default:
		payload_write(spec, at);
		return spec->payload;
	}
}

static uint8_t *link_write(const struct spec *spec, uint8_t *at)
{
	write_mac(at, spec->dmac);
	write_mac(at + 6, spec->smac);
	at += 12;
	if (spec->vlan) {
		write16(at, 0x8100);
		write16(at + 2, spec->vlan);
		at += 4;
	}
	write16(at, spec->ethertype ? spec->ethertype : 0x0800);
	return at + 2;
}

void frame_build(const struct spec *spec, struct frame *frame)
{
	size_t header = 20 + spec->options * 4U, length;
	uint8_t whole[FRAME_MAX] = { 0 }, *ip;

	memset(frame, 0, sizeof(*frame));
	ip = link_write(spec, frame->data);
	ip[0] = (spec->version ? spec->version : 4) << 4 | (spec->ihl ? spec->ihl : header / 4);
	ip[1] = spec->tos;
	write16(ip + 4, spec->id);
	write16(ip + 6, spec->flags | spec->part_at / 8);
	ip[8] = spec->ttl ? spec->ttl : 64;
	ip[9] = spec->proto ? spec->proto : IPPROTO_TCP;
	write32(ip + 12, spec->saddr);
	write32(ip + 16, spec->sum_daddr ? spec->sum_daddr : spec->daddr);
	memset(ip + 20, 1, spec->options * 4U); /* no operation */

	length = transport_write(spec, ip, whole);
	write32(ip + 16, spec->daddr);
	if (spec->part_at || spec->part_length)
		length = spec->part_length;
	memcpy(ip + header, whole + spec->part_at, length);
	write16(ip + 2, header + length + spec->tot_len_off);
	write16(ip + 10, sum_check(sum_bytes(0, ip, header)));
	frame->length = ip + header + length - frame->data + spec->padding - spec->cut;
}

bool frame_equal(const struct frame *a, const struct frame *b)
{
	return a->length == b->length && !memcmp(a->data, b->data, a->length);
}

/* Where a field stands: from the frame's begin, the IP header's, or the transport header's. */
struct field {
	const char *name;
	uint8_t layer;
	uint8_t proto; /* 0: any */
	uint8_t at;
	uint8_t length;
};

static const struct field fields[] = {
	{ "link destination", 2, 0, 0, 6 },
	{ "link source", 2, 0, 6, 6 },
	{ "ethertype", 2, 0, 12, 2 },
	{ "IP version and ihl", 3, 0, 0, 1 },
	{ "tos", 3, 0, 1, 1 },
	{ "tot_len", 3, 0, 2, 2 },
	{ "IP id", 3, 0, 4, 2 },
	{ "fragment word", 3, 0, 6, 2 },
	{ "ttl", 3, 0, 8, 1 },
	{ "protocol", 3, 0, 9, 1 },
	{ "IP checksum", 3, 0, 10, 2 },
	{ "source address", 3, 0, 12, 4 },
	{ "destination address", 3, 0, 16, 4 },
	{ "TCP source port", 4, IPPROTO_TCP, 0, 2 },
	{ "TCP destination port", 4, IPPROTO_TCP, 2, 2 },
	{ "TCP checksum", 4, IPPROTO_TCP, 16, 2 },
	{ "UDP source port", 4, IPPROTO_UDP, 0, 2 },
	{ "UDP destination port", 4, IPPROTO_UDP, 2, 2 },
	{ "UDP length", 4, IPPROTO_UDP, 4, 2 },
	{ "UDP checksum", 4, IPPROTO_UDP, 6, 2 },
	{ "SCTP source port", 4, IPPROTO_SCTP, 0, 2 },
	{ "SCTP destination port", 4, IPPROTO_SCTP, 2, 2 },
	{ "SCTP checksum", 4, IPPROTO_SCTP, 8, 4 },
	{ "ICMP type and code", 4, IPPROTO_ICMP, 0, 2 },
	{ "ICMP checksum", 4, IPPROTO_ICMP, 2, 2 },
	{ "ICMP identifier", 4, IPPROTO_ICMP, 4, 2 },
};

static size_t field_offset(const struct frame *frame, const struct field *field)
{
	const uint8_t *ip = frame->data + L2_LENGTH;

	if (field->layer == 2)
		return field->at;
	if (field->layer == 3)
		return L2_LENGTH + field->at;
	if (field->proto != ip[9])
		return FRAME_MAX;
	return L2_LENGTH + (ip[0] & 15) * 4 + field->at;
}

static void field_print(const char *who, const uint8_t *at, size_t length)
{
	printf(" %s ", who);
	for (size_t i = 0; i < length; i++)
		printf("%02x", at[i]);
}

void frame_dump(const char *title, const struct frame *frame)
{
	printf("# %s, %zu bytes:", title, frame->length);
	for (size_t i = 0; i < frame->length && i < 160; i++)
		printf("%s%02x", i % 32 ? (i % 2 ? "" : " ") : "\n#   ", frame->data[i]);
	printf("\n");
}

void frame_explain(const struct frame *want, const struct frame *got)
{
	bool named[FRAME_MAX] = { false };
	size_t shorter = want->length < got->length ? want->length : got->length;

	if (want->length != got->length)
		printf("# length: want %zu got %zu\n", want->length, got->length);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const struct field *field = &fields[i];
		size_t at = field_offset(want, field);

		if (at + field->length > shorter)
			continue;
		memset(named + at, true, field->length);
		if (!memcmp(want->data + at, got->data + at, field->length))
			continue;
		printf("# %s:", field->name);
		field_print("want", want->data + at, field->length);
		field_print("got", got->data + at, field->length);
		printf("\n");
	}
	for (size_t i = 0; i < shorter; i++)
		if (!named[i] && want->data[i] != got->data[i])
			printf("# byte %zu: want %02x got %02x\n", i, want->data[i], got->data[i]);
	frame_dump("want", want);
	frame_dump("got", got);
}
