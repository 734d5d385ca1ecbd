// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The checksum arithmetic of the BPF programs against sums computed afresh, byte by byte.
 *
 * Two zeroes are what goes wrong in ones' complement (RFC 1624, section 3), so results are compared
 * for being the same, not for being equivalent.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <linux/types.h>

#include <cmocka.h>

#include "random.h"
#include "../../bpf/checksum.h"

#define PACKETS   200000
#define EDGES     (sizeof(edges) / sizeof(edges[0]))
#define SPAN      0x10000

/* Offsets, in bytes. */
#define IP4_TTL   8
#define IP4_CHECK 10
#define IP4_SADDR 12
#define IP4_DADDR 16
#define UDP_SPORT 0
#define UDP_CHECK 6

static const __u16 edges[] = {
	0x0000, 0x0001, 0x0002, 0x00fe, 0x00ff, 0x0100, 0x0101, 0x5555, 0x7ffe, 0x7fff,
	0x8000, 0x8001, 0xaaaa, 0xfefe, 0xfeff, 0xff00, 0xff01, 0xfffd, 0xfffe, 0xffff,
};

/* RFC 1071 as it is written: network byte order, an odd byte counts as if a zero followed. */
static uint64_t sum_bytes(uint64_t sum, const uint8_t *data, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		sum += i % 2 ? data[i] : data[i] << 8;
	return sum;
}

/* To 16 bits, in host byte order; 0 only for a sum of nothing but zeroes. */
static uint16_t sum_fold(uint64_t sum)
{
	if (!sum)
		return 0;
	return sum % 0xffff ? sum % 0xffff : 0xffff;
}

static __u16 read16(const uint8_t *data)
{
	__u16 word;

	memcpy(&word, data, sizeof(word));
	return word;
}

static __u32 read32(const uint8_t *data)
{
	__u32 word;

	memcpy(&word, data, sizeof(word));
	return word;
}

static void write16(uint8_t *data, __u16 word)
{
	memcpy(data, &word, sizeof(word));
}

static void random_bytes(uint64_t *random, uint8_t *data, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		data[i] = random_next(random);
}

/* One in four is 0 and one in four all ones: the values that make sums come out as a zero. */
static void random_words(uint64_t *random, uint8_t *data, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++, data += 2) {
		switch (random_below(random, 4)) {
		case 0:
			write16(data, 0);
			break;
		case 1:
			write16(data, 0xffff);
			break;
		default:
			random_bytes(random, data, 2);
			break;
		}
	}
}

static void add_and_fold(void **state)
{
	__u32 high, a, b;
	uint64_t sum;
	size_t i, j;

	(void)state;
	for (high = 0; high < SPAN; high++) {
		for (i = 0; i < EDGES; i++) {
			a = high << 16 | edges[i];
			assert_int_equal(csum_fold(a), sum_fold(a));
			a = (__u32)edges[i] << 16 | high;
			assert_int_equal(csum_fold(a), sum_fold(a));
			for (j = 0; j < EDGES; j++) {
				b = (__u32)edges[j] << 16 | edges[i];
				sum = (uint64_t)a + b;
				assert_int_equal(csum_add(a, b), (sum & 0xffffffff) + (sum >> 32));
			}
		}
	}
}

/* The header's other words add up to `rest`; one word goes from `from` to `to`. */
static void replace_check(__u32 rest, __u16 from, __u16 to)
{
	__u16 before = ~sum_fold(rest + from), after = ~sum_fold(rest + to);
	__u16 got = csum_replace(before, csum_delta32(from, to));

	if (got != after)
		fail_msg("rest %04x, %04x -> %04x: check %04x becomes %04x, not %04x", rest, from,
			 to, before, got, after);
}

/* Equation 3 of RFC 1624. A header has a version and a length, so its rest is never 0. */
static void replace_exhaustive(void **state)
{
	__u32 value;
	size_t i, j;

	(void)state;
	for (value = 0; value < SPAN; value++) {
		for (i = 0; i < EDGES; i++) {
			for (j = 0; j < EDGES; j++) {
				if (value)
					replace_check(value, edges[i], edges[j]);
				if (!edges[i])
					continue;
				replace_check(edges[i], value, edges[j]);
				replace_check(edges[i], edges[j], value);
			}
		}
	}
}

/* The example in section 4 of RFC 1624, which equation 4 of RFC 1141 gets wrong. */
static void replace_rfc1624_example(void **state)
{
	(void)state;
	assert_int_equal(csum_replace(0xdd2f, csum_delta32(0x5555, 0x3285)), 0x0000);
}

/* Every checksum but 0xffff, which no header has, stays for no change and comes back after one. */
static void replace_undone(void **state)
{
	__u32 check, sum;
	__u16 there;
	size_t i, j;

	(void)state;
	for (check = 0; check < SPAN - 1; check++) {
		assert_int_equal(csum_replace(check, 0), check);
		for (i = 0; i < EDGES; i++) {
			sum = csum_replace(check, csum_delta32(edges[i], edges[i]));
			assert_int_equal(sum, check);
			for (j = 0; j < EDGES; j++) {
				there = csum_replace(check, csum_delta32(edges[i], edges[j]));
				assert_int_not_equal(there, 0xffff);
				assert_int_equal(
					csum_replace(there, csum_delta32(edges[j], edges[i])),
					check);
			}
		}
	}
}

static void delta32_is_two_delta16(void **state)
{
	__u32 from, to, check, sum;
	size_t i, j, k, l;

	(void)state;
	for (i = 0; i < EDGES * EDGES; i++) {
		from = (__u32)edges[i / EDGES] << 16 | edges[i % EDGES];
		for (j = 0; j < EDGES * EDGES; j++) {
			k = j / EDGES;
			l = j % EDGES;
			to = (__u32)edges[k] << 16 | edges[l];
			sum = csum_delta32(from >> 16, edges[k]) +
			      csum_delta32(from & 0xffff, edges[l]);
			for (check = 0; check < SPAN - 1; check += 0x1111)
				assert_int_equal(csum_replace(check, csum_delta32(from, to)),
						 csum_replace(check, sum));
		}
	}
}

/* The word that brings data which adds up to `sum` to all ones, so that its checksum is 0. */
static __u16 word_for_zero(uint16_t sum)
{
	return htons(~sum);
}

/* Two IPv4 addresses, one after the other as in a header. */
static __u32 addresses_delta(const uint8_t from[8], const uint8_t to[8])
{
	return csum_delta32(read32(from), read32(to)) +
	       csum_delta32(read32(from + 4), read32(to + 4));
}

static void header_check(uint8_t *header, size_t size)
{
	write16(header + IP4_CHECK, 0);
	write16(header + IP4_CHECK, htons(~sum_fold(sum_bytes(0, header, size))));
}

/* Both addresses and the TTL of a whole header change, as they do when a packet is forwarded. */
static void ip_header(void **state)
{
	uint64_t random = random_seed();
	uint8_t header[60], changed[60];
	size_t size, i, zeroes = 0;
	__u32 delta;

	(void)state;
	for (i = 0; i < PACKETS; i++) {
		size = 20 + 4 * random_below(&random, 11);
		random_words(&random, header, size / 2);
		header[0] = 0x40 | size / 4;
		header[IP4_TTL] |= 2;
		header_check(header, size);

		memcpy(changed, header, size);
		random_words(&random, changed + IP4_SADDR, 4);
		changed[IP4_TTL]--;
		if (!random_below(&random, 8)) {
			write16(changed + IP4_CHECK, 0);
			write16(changed + IP4_DADDR, 0);
			write16(changed + IP4_DADDR,
				word_for_zero(sum_fold(sum_bytes(0, changed, size))));
		}
		header_check(changed, size);
		zeroes += !read16(changed + IP4_CHECK);

		delta = addresses_delta(header + IP4_SADDR, changed + IP4_SADDR) + CSUM_DELTA_TTL;
		assert_int_equal(csum_replace(read16(header + IP4_CHECK), delta),
				 read16(changed + IP4_CHECK));
	}
	printf("# %zu of %d headers have a checksum of 0\n", zeroes, PACKETS);
}

/* A UDP datagram with the addresses it is sent between. */
struct datagram {
	uint8_t addresses[8];
	uint8_t bytes[40];
	size_t size;
};

static uint16_t datagram_sum(const struct datagram *datagram)
{
	uint64_t sum = sum_bytes(0, datagram->addresses, 8);

	return sum_fold(
		sum_bytes(sum + IPPROTO_UDP + datagram->size, datagram->bytes, datagram->size));
}

/* RFC 768: "If the computed checksum is zero, it is transmitted as all ones". */
static void datagram_check(struct datagram *datagram)
{
	__u16 check;

	write16(datagram->bytes + UDP_CHECK, 0);
	check = ~datagram_sum(datagram);
	write16(datagram->bytes + UDP_CHECK, check ? htons(check) : 0xffff);
}

static __u32 datagram_delta(const struct datagram *from, const struct datagram *to)
{
	/* Both ports are one word. */
	return addresses_delta(from->addresses, to->addresses) +
	       csum_delta32(read32(from->bytes + UDP_SPORT), read32(to->bytes + UDP_SPORT));
}

static void udp(void **state)
{
	uint64_t random = random_seed();
	struct datagram datagram, changed;
	size_t i, ones = 0;
	__u32 delta;

	(void)state;
	for (i = 0; i < PACKETS; i++) {
		random_words(&random, datagram.addresses, 4);
		random_words(&random, datagram.bytes, 20);
		datagram.size = 8 + random_below(&random, 33);
		datagram_check(&datagram);

		changed = datagram;
		random_words(&random, changed.addresses, 4);
		random_words(&random, changed.bytes + UDP_SPORT, 2);
		if (!random_below(&random, 8)) {
			write16(changed.bytes + UDP_CHECK, 0);
			write16(changed.bytes + UDP_SPORT, 0);
			write16(changed.bytes + UDP_SPORT, word_for_zero(datagram_sum(&changed)));
		}
		datagram_check(&changed);
		ones += read16(changed.bytes + UDP_CHECK) == 0xffff;

		delta = datagram_delta(&datagram, &changed);
		assert_int_equal(csum_replace_udp(read16(datagram.bytes + UDP_CHECK), delta),
				 read16(changed.bytes + UDP_CHECK));
		assert_int_equal(datagram_sum(&changed), 0xffff);
	}
	printf("# %zu of %d datagrams have a checksum of 0xffff\n", ones, PACKETS);
}

/* No checksum stays none; one never turns into none, whatever it was and whatever changed. */
static void udp_zero(void **state)
{
	__u32 check, delta;
	size_t i;

	(void)state;
	for (delta = 0; delta < SPAN; delta++) {
		assert_int_equal(csum_replace_udp(0, delta), 0);
		for (i = 0; i < EDGES; i++) {
			if (edges[i])
				assert_int_not_equal(csum_replace_udp(edges[i], delta), 0);
		}
	}
	for (check = 1; check < SPAN; check++) {
		for (i = 0; i < EDGES; i++)
			assert_int_not_equal(csum_replace_udp(check, edges[i]), 0);
	}
}

static void pseudo_header(void **state)
{
	struct flow_key key;
	uint64_t random = random_seed();
	uint8_t header[12] = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < PACKETS; i++) {
		random_words(&random, header, 4);
		header[9] = random_next(&random);
		random_words(&random, header + 10, 1);
		key = (struct flow_key){ .saddr = { read32(header) },
					 .daddr = { read32(header + 4) } };
		assert_int_equal(csum_pseudo(&key, htons(header[9]), read16(header + 10)),
				 htons(sum_fold(sum_bytes(0, header, 12))));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(add_and_fold),
		cmocka_unit_test(replace_exhaustive),
		cmocka_unit_test(replace_rfc1624_example),
		cmocka_unit_test(replace_undone),
		cmocka_unit_test(delta32_is_two_delta16),
		cmocka_unit_test(ip_header),
		cmocka_unit_test(udp),
		cmocka_unit_test(udp_zero),
		cmocka_unit_test(pseudo_header),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
