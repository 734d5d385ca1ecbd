/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames for the program tests: built from what they shall say, taken apart where two differ.
 *
 * Every checksum is computed afresh over all that it covers; nothing here knows of the arithmetic
 * that the programs use. Addresses, ports and lengths are in host byte order.
 */
#ifndef XFWD_TESTS_FRAME_H
#define XFWD_TESTS_FRAME_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX 2048
#define L2_LENGTH 14

#define ADDR(a, b, c, d) \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

#define TCP_FIN          0x01
#define TCP_SYN          0x02
#define TCP_RST          0x04
#define TCP_PSH          0x08
#define TCP_ACK          0x10

/* SCTP's chunks; DATA is 0 there. */
#define SCTP_DATA        255
#define SCTP_INIT        1
#define SCTP_INIT_ACK    2
#define SCTP_ABORT       6
#define SCTP_COOKIE_ECHO 10

#define IP_MORE          0x2000
#define IP_DONT          0x4000

struct frame {
	size_t length;
	uint8_t data[FRAME_MAX];
};

enum check {
	CHECK_FULL,
	CHECK_NONE, /* UDP, SCTP without a checksum: 0 */
	CHECK_PARTIAL, /* the pseudo header's sum alone, as where a device is to complete it; SCTP: 0 */
	CHECK_WRONG,
};

/* A packet as a test says it. What is 0 has the usual value. */
struct spec {
	uint64_t dmac, smac;
	uint16_t vlan; /* a tag with this id */
	uint16_t ethertype; /* 0: IPv4 */
	uint32_t saddr, daddr;
	uint16_t sport, dport; /* ICMP: sport is the identifier */
	uint8_t proto; /* 0: TCP */
	uint8_t ttl; /* 0: 64 */
	uint8_t tos;
	uint8_t options; /* 32-bit words of IP options */
	uint16_t id;
	uint16_t flags; /* of the fragment word: IP_DONT, IP_MORE */
	uint8_t tcp_flags; /* 0: SYN */
	uint32_t seq, ack; /* 0: some; those of both directions are near to each other */
	uint8_t tcp_options[40];
	uint8_t tcp_option_words; /* so many of them, in 32 bits */
	uint8_t icmp_type; /* 0: an answer to an echo */
	uint8_t chunk; /* SCTP's first; 0: INIT */
	uint32_t vtag; /* SCTP's; 0: as the chunk has it */
	uint16_t payload; /* bytes behind the transport header */
	uint16_t pattern; /* begins the payload */
	enum check check;
	uint32_t sum_daddr; /* the destination that the transport checksum is of; 0: the real one */
	/* A fragment: these bytes of the whole datagram's payload. 0 and 0: all of it. */
	uint16_t part_at, part_length;
	/* Mistakes. */
	uint8_t version, ihl, doff; /* in place of the right value, where not 0 */
	int16_t tot_len_off, udp_len_off; /* added to the right value */
	uint16_t cut; /* bytes missing from the frame's end */
	uint16_t padding; /* bytes behind the datagram */
};

void frame_build(const struct spec *spec, struct frame *frame);

uint16_t read16(const uint8_t *at);
uint32_t read32(const uint8_t *at);
void write16(uint8_t *at, uint16_t value);
void write32(uint8_t *at, uint32_t value);
void write_mac(uint8_t *at, uint64_t mac);

/* RFC 1071 as it is written: 16-bit words, an odd byte as if a zero followed. */
uint64_t sum_bytes(uint64_t sum, const uint8_t *data, size_t length);
/* To 16 bits, complemented: what belongs into a checksum field that was 0 in the sum. */
uint16_t sum_check(uint64_t sum);
/* Pseudo header of the datagram whose IPv4 header is at `ip`. */
uint64_t sum_pseudo(const uint8_t *ip, size_t length);

/* CRC32c, bit by bit. */
uint32_t crc32c(const uint8_t *data, size_t length);

bool frame_equal(const struct frame *a, const struct frame *b);
/* Names the fields that differ, and prints both, as TAP comments. */
void frame_explain(const struct frame *want, const struct frame *got);
void frame_dump(const char *title, const struct frame *frame);

#endif
