// SPDX-License-Identifier: GPL-2.0-or-later
/* The verifier takes every program, and 100 000 port forwards fit and are found. */
#include "harness.h"

#include <bpf/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define FORWARDS 100000

/* So that destination addresses and ports tell the rules apart under one mask. */
#define PORTS    50000
#define PORT_MIN 10000

static struct harness harness;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void programs_load(void **state)
{
	(void)state;
	for (int i = 0; i < PROGRAMS; i++) {
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);

		assert_int_equal(bpf_obj_get_info_by_fd(harness.program[i], &info, &size), 0);
		printf("# %s: %u instructions verified, %u translated, %u bytes of machine code\n",
		       program_names[i], info.verified_insns, info.xlated_prog_len / 8,
		       info.jited_prog_len);
		assert_true(info.verified_insns > 0 && info.verified_insns < 1000000);
	}
}

static char *forwards_text(void)
{
	char *text = malloc(FORWARDS * 80), *at = text;

	assert_non_null(text);
	for (int i = 0; i < FORWARDS; i++)
		at += sprintf(at, "dnat in eth0 tcp to 198.51.100.%d:%d -> 10.0.0.2:%d\n",
			      100 + i / PORTS, PORT_MIN + i % PORTS, PORT_MIN + i % PORTS + 1);
	return text;
}

/* The n-th rule, from 0, translates its packet. */
static void forward_matches(int n)
{
	const uint16_t port = PORT_MIN + n % PORTS;
	struct spec spec = {
		.dmac = MAC_EDGE(ETH0),
		.smac = MAC_HOST(ETH0, 2),
		.saddr = ADDR(198, 51, 100, 2),
		.daddr = ADDR(198, 51, 100, 100 + n / PORTS),
		.sport = 4000 + n / PORTS, /* the two halves have the same targets */
		.dport = port,
	};
	struct place place = { XDP_WIRE, ETH0, false };
	struct outcome outcome;
	struct frame in, want;

	frame_build(&spec, &in);
	harness_run(&harness, place, &in, &outcome);
	assert_int_equal(outcome.verdict, VERDICT_FORWARD);
	assert_int_equal(outcome.action, ACTION_XDP_REDIRECT);
	spec.dmac = MAC_HOST(ETH1, 2);
	spec.smac = MAC_EDGE(ETH1);
	spec.ttl = 63;
	spec.daddr = ADDR(10, 0, 0, 2);
	spec.dport = port + 1;
	frame_build(&spec, &want);
	if (!frame_equal(&want, &outcome.out)) {
		frame_explain(&want, &outcome.out);
		fail_msg("rule %d: other bytes than expected", n + 1);
	}
}

static uint32_t masks_in_use(void)
{
	const struct state *running = &harness.session.state;
	struct ruleset *ruleset = calloc(1, sizeof(*ruleset));
	struct settings settings;
	__u32 zero = 0, active, id, count;
	int fd;

	assert_non_null(ruleset);
	assert_int_equal(state_settings(running, &settings), 0);
	active = settings_active(&settings);
	assert_int_equal(bpf_map_lookup_elem(running->map[MAP_rulesets], &active, &id), 0);
	fd = bpf_map_get_fd_by_id(id);
	assert_true(fd >= 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, ruleset), 0);
	close(fd);
	count = ruleset->mask_count[STAGE_IN][FAMILY_IP4];
	free(ruleset);
	return count;
}

static void forwards_load(void **state)
{
	char *text = forwards_text();
	double start = now();

	(void)state;
	harness_apply(&harness, text);
	printf("# %d port forwards: %.2f s to parse, check, compile and commit\n", FORWARDS,
	       now() - start);
	free(text);
	assert_int_equal(harness.session.config.rule_count, FORWARDS);
	assert_int_equal(masks_in_use(), 1);
	forward_matches(0);
	forward_matches(FORWARDS / 2);
	forward_matches(FORWARDS - 1);
}

static int set_up(void **state)
{
	double start = now();

	(void)state;
	harness_up(&harness, "edge", NULL);
	printf("# namespace and programs: %.2f s\n", now() - start);
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
		cmocka_unit_test(programs_load),
		cmocka_unit_test(forwards_load),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("loading", tests, set_up, tear_down);
}

int main(void)
{
	return harness_supervise(tests_run);
}
