// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random packets through the programs under random rules, and through the model: verdict, action
 * and every byte of what leaves are the same, and in the end all counters and the flow table.
 */
#include "generate.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare.h"
#include "../unit/random.h"

#define RULESETS 100
#define PACKETS  60

static struct harness harness;

static void show_rules(const char *text)
{
	printf("# rules:\n# ");
	for (; *text; text++) {
		putchar(*text);
		if (*text == '\n' && text[1])
			printf("# ");
	}
}

/* Does the n-th packet of this ruleset come out as it has to? */
static bool packet_agrees(uint64_t *random, struct model *model, unsigned int *translated)
{
	struct outcome got, want;
	struct place place;
	struct frame in;
	struct spec spec;

	generate_packet(random, model, &place, &spec);
	frame_build(&spec, &in);
	if (in.length < L2_LENGTH + 20) /* not even the test run makes an skb of it */
		place.program = XDP_WIRE;
	harness_run(&harness, place, &in, &got);
	model_run(model, place, &in, &want);
	*translated += got.verdict <= VERDICT_TRANSLATE;
	return compare_outcomes(model, place, &in, &want, &got);
}

static void random_rulesets(void **state)
{
	const struct taste taste = { .rules_max = 12 };
	unsigned int count = generate_count(RULESETS), translated = 0, packets = 0;
	uint64_t random = random_seed();
	char text[16384];

	(void)state;
	for (unsigned int i = 0; i < count; i++) {
		uint64_t seed = random;
		struct model model;

		generate_rules(&random, &taste, text, sizeof(text));
		harness_apply(&harness, text);
		model_init(&model, &harness.session.config);
		compare_listen(&model, &harness);
		for (int n = 0; n < PACKETS; n++, packets++) {
			if (packet_agrees(&random, &model, &translated))
				continue;
			show_rules(text);
			fail_msg("packet %d of ruleset %u; XFWD_SEED=0x%llx begins with it", n, i,
				 (unsigned long long)seed);
		}
		compare_counters(&model, &harness);
		model_free(&model);
	}
	printf("# %u rulesets, %u packets, %u translated\n", count, packets, translated);
}

static int set_up(void **state)
{
	(void)state;
	harness_up(&harness, "edge", NULL);
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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_rulesets),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("random packets", tests, set_up, tear_down);
}

int main(void)
{
	return harness_supervise(tests_run);
}
