// SPDX-License-Identifier: GPL-2.0-or-later
/* How SCTP's checksum follows its ports, against CRC32c computed afresh over the whole packet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <linux/types.h>

#include <cmocka.h>

#include "random.h"
#include "../../bpf/crc32c.h"

#define PACKETS 5000
#define LONGEST 65535
#define HEADER  12

static uint8_t packet[LONGEST];

/* Bit by bit, as a message's: begun with all ones, complemented at the end. */
static uint32_t crc32c(const uint8_t *data, size_t length)
{
	uint32_t crc = ~0U;

	for (size_t i = 0; i < length; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

static uint32_t word_at(const uint8_t *data)
{
	uint32_t word;

	memcpy(&word, data, sizeof(word));
	return word;
}

/* The field is little-endian, and 0 in what it is computed over. */
static void check_write(size_t length)
{
	uint32_t crc;

	memset(packet + 8, 0, 4);
	crc = crc32c(packet, length);
	for (int i = 0; i < 4; i++)
		packet[8 + i] = crc >> 8 * i;
}

static void ports_change(uint64_t *random, size_t length)
{
	uint32_t before, after, change, ports;

	for (size_t i = 0; i < length; i++)
		packet[i] = random_next(random);
	check_write(length);
	ports = word_at(packet);
	before = word_at(packet + 8);
	packet[random_below(random, 4)] ^= 1 << random_below(random, 8);
	if (random_below(random, 2))
		packet[random_below(random, 4)] = random_next(random);
	change = crc32c_change(ports, word_at(packet), length);
	check_write(length);
	after = word_at(packet + 8);
	assert_int_equal(before ^ change, after);
}

/* RFC 3720 B.4, and what everyone has for "123456789". */
static void known_values(void **state)
{
	uint8_t zeroes[32] = { 0 };

	(void)state;
	assert_int_equal(crc32c((const uint8_t *)"123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(zeroes, sizeof(zeroes)), 0x8a9136aa);
}

static void every_short_length(void **state)
{
	uint64_t random = random_seed();

	(void)state;
	for (size_t length = HEADER; length < 2100; length++)
		ports_change(&random, length);
}

static void random_lengths(void **state)
{
	uint64_t random = random_seed();

	(void)state;
	for (int i = 0; i < PACKETS; i++)
		ports_change(&random,
			     HEADER + random_below(&random, i % 50 ? 3000 : LONGEST - HEADER + 1));
	ports_change(&random, LONGEST);
}

static void nothing_changes(void **state)
{
	(void)state;
	for (uint32_t length = HEADER; length <= LONGEST; length++)
		assert_int_equal(crc32c_change(0x12345678, 0x12345678, length), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(every_short_length),
		cmocka_unit_test(random_lengths),
		cmocka_unit_test(nothing_changes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
