// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * IPv6 packets that a device has summed up as a whole (CHECKSUM_COMPLETE): the sum follows what the tc
 * programs change, or the stack takes the packet for broken. No header checksum makes up for addresses.
 */
#include "harness.h"

#include <netinet/icmp6.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define IP6_LENGTH 40
#define L4         (L2_LENGTH + IP6_LENGTH)
#define UDP_CHECK  6
#define TCP_CHECK  16
#define ICMP_CHECK 2
#define NO_CHECK   0

#define INSIDE     0x02
#define REMOTE     0x77
#define OUTSIDE    0x99 /* what snat makes of INSIDE */
#define RULES      "snat out eth0 ipv6 from 2001:db8::2 -> 2001:db8::99"

static struct harness harness;

/* 2001:db8:: and a last byte. */
static void write_address(uint8_t *at, uint8_t last)
{
	static const uint8_t net[16] = { 0x20, 0x01, 0x0d, 0xb8 };

	memcpy(at, net, sizeof(net));
	at[15] = last;
}

static uint16_t sum(const uint8_t *ip, const uint8_t *l4, size_t length, uint8_t proto)
{
	uint64_t all = proto + length;

	for (size_t i = 8; i < IP6_LENGTH; i += 2)
		all += read16(ip + i);
	for (size_t i = 0; i + 1 < length; i += 2)
		all += read16(l4 + i);
	while (all >> 16)
		all = (all & 0xffff) + (all >> 16);
	return all;
}

/* An IPv6 header, and behind it what is there already: an even number of bytes. */
static void finish(uint8_t *ip, uint8_t proto, uint8_t from, uint8_t to, size_t length,
		   size_t check_at)
{
	uint8_t *l4 = ip + IP6_LENGTH;

	memset(ip, 0, IP6_LENGTH);
	ip[0] = 0x60;
	write16(ip + 4, length);
	ip[6] = proto;
	ip[7] = 64;
	write_address(ip + 8, from);
	write_address(ip + 24, to);
	if (check_at)
		write16(l4 + check_at, ~sum(ip, l4, length, proto));
}

static size_t udp(uint8_t *l4, uint16_t sport, uint16_t dport)
{
	write16(l4, sport);
	write16(l4 + 2, dport);
	write16(l4 + 4, 20);
	memcpy(l4 + 8, "twelve bytes", 12);
	return 20;
}

static void frame_begin(struct frame *frame)
{
	memset(frame, 0, sizeof(*frame));
	write_mac(frame->data, MAC_HOST(ETH0, 2));
	write_mac(frame->data + 6, MAC_EDGE(ETH0));
	write16(frame->data + 12, 0x86dd);
}

static void leaves(struct frame *frame, uint8_t proto, uint8_t from, size_t length, size_t check_at)
{
	static const struct place place = { TC_EGRESS, ETH0, .local = true };
	struct outcome outcome;

	finish(frame->data + L2_LENGTH, proto, from, REMOTE, length, check_at);
	frame->length = L4 + length;
	harness_run(&harness, place, frame, &outcome);
	assert_int_equal(outcome.verdict, VERDICT_TRANSLATE);
	assert_int_equal(outcome.out.data[L2_LENGTH + 8 + 15], OUTSIDE);
}

static void of_udp(void **state)
{
	struct frame frame;

	(void)state;
	frame_begin(&frame);
	leaves(&frame, IPPROTO_UDP, INSIDE, udp(frame.data + L4, 4000, 53), UDP_CHECK);
}

static void of_tcp(void **state)
{
	struct frame frame;

	(void)state;
	frame_begin(&frame);
	write16(frame.data + L4, 4000);
	write16(frame.data + L4 + 2, 80);
	frame.data[L4 + 12] = 5 << 4;
	frame.data[L4 + 13] = TCP_SYN;
	leaves(&frame, IPPROTO_TCP, INSIDE, 20, TCP_CHECK);
}

static void of_echo(void **state)
{
	struct frame frame;

	(void)state;
	frame_begin(&frame);
	frame.data[L4] = ICMP6_ECHO_REQUEST;
	write16(frame.data + L4 + 4, 4000);
	leaves(&frame, IPPROTO_ICMPV6, INSIDE, 8, ICMP_CHECK);
}

static void of_no_checksum(void **state)
{
	struct frame frame;

	(void)state;
	frame_begin(&frame);
	memcpy(frame.data + L4, "sixteen bytes it", 16);
	leaves(&frame, IPPROTO_ESP, INSIDE, 16, NO_CHECK);
}

/* About the answer to of_udp()'s datagram. */
static void of_error(void **state)
{
	struct frame frame;
	uint8_t *quote;
	size_t length;

	of_udp(state);
	frame_begin(&frame);
	frame.data[L4] = ICMP6_DST_UNREACH;
	frame.data[L4 + 1] = ICMP6_DST_UNREACH_NOPORT;
	quote = frame.data + L4 + 8;
	length = udp(quote + IP6_LENGTH, 53, 4000);
	finish(quote, IPPROTO_UDP, REMOTE, INSIDE, length, UDP_CHECK);
	leaves(&frame, IPPROTO_ICMPV6, INSIDE, 8 + IP6_LENGTH + length, ICMP_CHECK);
}

static int set_up(void **state)
{
	(void)state;
	harness_up(&harness, "a", NULL);
	harness_apply(&harness, RULES);
	harness.summed = true;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	harness_down(&harness);
	return 0;
}

static int tests_run(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_udp),   cmocka_unit_test(of_tcp),
		cmocka_unit_test(of_echo),  cmocka_unit_test(of_no_checksum),
		cmocka_unit_test(of_error),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("sums of devices", tests, set_up, tear_down);
}

int main(void)
{
	return harness_supervise(tests_run);
}
