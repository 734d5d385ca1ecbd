// SPDX-License-Identifier: GPL-2.0-or-later
/* Where the flow table's keys have their homes, and how far from there they come to lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <arpa/inet.h>
#include <string.h>

#include <cmocka.h>

#include "random.h"
#include "bucket.h"

#define FLOWS 131072
#define HOMES (3 * FLOWS + FLOWS / 2 + 256)

static unsigned char taken[HOMES + BUCKET_REACH_MAX];
static unsigned char reach[HOMES];
static unsigned short population[HOMES];

/* A flow of a test: its number gives its tuple. */
typedef void flow_maker(uint32_t n, struct flow_key *key);

static void ports_in_a_row(uint32_t n, struct flow_key *key)
{
	key->saddr[0] = htonl(0x0a000002 + (n >> 15));
	key->daddr[0] = htonl(0xcb007105);
	key->sport = htons(32768 + (n & 0x7fff));
	key->dport = htons(443);
	key->proto = 6;
}

static void addresses_in_a_row(uint32_t n, struct flow_key *key)
{
	key->saddr[0] = htonl(0x0a000000 + n);
	key->daddr[0] = htonl(0xcb007105);
	key->sport = htons(40000);
	key->dport = htons(443);
	key->proto = 6;
}

static void ports_in_a_row6(uint32_t n, struct flow_key *key)
{
	ports_in_a_row(n, key);
	key->family = FAMILY_IP6;
	key->saddr[3] = key->saddr[0];
	key->daddr[3] = key->daddr[0];
	key->saddr[0] = key->daddr[0] = htonl(0x20010db8);
}

static void addresses_in_a_row6(uint32_t n, struct flow_key *key)
{
	addresses_in_a_row(n, key);
	key->family = FAMILY_IP6;
	key->saddr[3] = key->saddr[0];
	key->daddr[3] = key->daddr[0];
	key->saddr[0] = key->daddr[0] = htonl(0x20010db8);
}

/* How far from its home a key comes to lie in the table as it is. */
static unsigned int add(const struct flow_key *key, uint64_t secret)
{
	const uint32_t home = flow_home(key, secret, FLOWS);
	uint32_t behind = 0;

	assert_true(home < HOMES);
	while (taken[home + behind])
		behind++;
	assert_true(behind <= BUCKET_REACH_MAX);
	taken[home + behind] = 1;
	if (behind > reach[home])
		reach[home] = behind;
	return behind;
}

static void report(const char *name, uint32_t flows, uint64_t far)
{
	unsigned int longest = 0;
	uint64_t sum = 0;

	for (uint32_t home = 0; home < HOMES; home++) {
		sum += reach[home];
		if (reach[home] > longest)
			longest = reach[home];
	}
	printf("# %s, %u %% of the flows: an entry is %.2f behind its home; reach %.2f, at most %u\n",
	       name, flows / (FLOWS / 100), (double)far / (2 * flows), (double)sum / HOMES,
	       longest);
}

/* Random homes would have 0.67 (linear probing: (1 / (1 - load) - 1) / 2). */
static void fill(const char *name, flow_maker *make)
{
	uint64_t random = random_seed(), secret = random_next(&random), far = 0;
	struct flow_key key, back;

	memset(taken, 0, sizeof(taken));
	memset(reach, 0, sizeof(reach));
	for (uint32_t n = 1; n <= FLOWS; n++) {
		memset(&key, 0, sizeof(key));
		make(n - 1, &key);
		flow_key_reverse(&key, &back);
		back.daddr[0] ^= htonl(0x01010101); /* of the address that it has outside */
		far += add(&key, secret) + add(&back, secret);
		if (n == FLOWS / 4 || n == FLOWS / 2 || n == FLOWS)
			report(name, n, far);
	}
	assert_true(far < 0.75 * 2 * FLOWS);
}

static void typical(void **state)
{
	(void)state;
	fill("IPv4, ports in a row", ports_in_a_row);
	fill("IPv4, addresses in a row", addresses_in_a_row);
	fill("IPv6, ports in a row", ports_in_a_row6);
	fill("IPv6, addresses in a row", addresses_in_a_row6);
}

/* The most keys of one home. */
static unsigned int crowd(void)
{
	unsigned int most = 0;

	for (uint32_t home = 0; home < HOMES; home++)
		if (population[home] > most)
			most = population[home];
	return most;
}

/*
 * Keys that differ in the upper bits of two of their addresses' four words: a multiplication takes a
 * word's uppermost bits to nothing but uppermost bits, and one word's difference must not undo
 * another's.
 */
static void chosen(void **state)
{
	uint64_t random = random_seed(), secret = random_next(&random);
	struct flow_key key;

	(void)state;
	for (int pair = 0; pair < 3; pair++) {
		__be32 *words = (__be32 *)&key + 2 * pair; /* source, then destination */

		memset(population, 0, sizeof(population));
		for (uint32_t n = 0; n < 65536; n++) {
			memset(&key, 0, sizeof(key));
			key.family = FAMILY_IP6;
			words[0] = n >> 8 << 24;
			words[2] = words[3] = n << 24;
			population[flow_home(&key, secret, FLOWS)]++;
		}
		printf("# %u of 65536 keys have one home\n", crowd());
		assert_true(crowd() <= 12);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(typical),
		cmocka_unit_test(chosen),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("buckets", tests, NULL, NULL);
}
