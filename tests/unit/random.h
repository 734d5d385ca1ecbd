/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random numbers for tests: the same on every machine, from a seed that is printed. */
#ifndef XFWD_TESTS_RANDOM_H
#define XFWD_TESTS_RANDOM_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* splitmix64. */
static inline uint64_t random_next(uint64_t *random)
{
	uint64_t z = *random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline unsigned int random_below(uint64_t *random, unsigned int limit)
{
	return random_next(random) % limit;
}

/* Another one each run; XFWD_SEED repeats a run that failed. */
static inline uint64_t random_seed(void)
{
	const char *text = getenv("XFWD_SEED");
	uint64_t seed = (uint64_t)time(NULL) << 20 ^ getpid();

	if (text)
		seed = strtoull(text, NULL, 0);
	printf("# XFWD_SEED=%" PRIu64 "\n", seed);
	return seed;
}

#endif
