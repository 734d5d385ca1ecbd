// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Named packets: what comes in, and every byte of what goes out.
 *
 * A case runs once for each ingress program. What XDP passes on goes to tc_ingress next, as it
 * would in the kernel, and has to arrive there as it came.
 */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "counters.h"
#include "flows.h"

#define STEPS                8
#define RULES                4

/* Outside host 2, the edge, and the servers inside. */
#define OUT2                 ADDR(198, 51, 100, 2)
#define OUT3                 ADDR(198, 51, 100, 3)
#define EDGE0                ADDR(198, 51, 100, 1)
#define EDGE1                ADDR(10, 0, 0, 1)
#define IN2                  ADDR(10, 0, 0, 2)
#define IN3                  ADDR(10, 0, 0, 3)
#define LOCALHOST            ADDR(127, 0, 0, 1)

/* The link header as the frame arrives at the edge, and as it leaves it, one hop older. */
#define AT_ETH0              .dmac = MAC_EDGE(ETH0), .smac = MAC_HOST(ETH0, 2)
#define AT_ETH1              .dmac = MAC_EDGE(ETH1), .smac = MAC_HOST(ETH1, 2)
#define LEAVES_AS(iface, n)  .dmac = MAC_HOST(iface, n), .smac = MAC_EDGE(iface)
#define LEAVES(iface, n)     LEAVES_AS(iface, n), .ttl = 63
#define ENDS(sa, sp, da, dp) .saddr = (sa), .sport = (sp), .daddr = (da), .dport = (dp)
#define TCP(...)             .proto = IPPROTO_TCP, ENDS(__VA_ARGS__)
/* A SYN's options, in so many words of 32 bits. */
#define OPTIONS(words, ...)  .tcp_option_words = (words), .tcp_options = { __VA_ARGS__ }
#define MSS(bytes)           2, 4, (bytes) >> 8, (bytes)&255
#define NOP                  1
#define NOPS_5               NOP, NOP, NOP, NOP, NOP
#define NOPS                 NOPS_5, NOPS_5, NOPS_5, NOPS_5, NOPS_5, NOPS_5, NOPS_5 /* 35 */
#define UDP_OF(size, ...)    .proto = IPPROTO_UDP, .payload = (size), ENDS(__VA_ARGS__)
#define UDP(...)             UDP_OF(20, __VA_ARGS__)
#define SCTP(...)            .proto = IPPROTO_SCTP, ENDS(__VA_ARGS__)
#define ECHO(sa, da, identifier) \
	.proto = IPPROTO_ICMP, .icmp_type = 8, .payload = 16, ENDS(sa, identifier, da, 0)
#define ANSWER(sa, da, identifier) .proto = IPPROTO_ICMP, .payload = 16, ENDS(sa, identifier, da, 0)

enum hop {
	INGRESS,
	EGRESS, /* of a packet that the stack forwards */
	EGRESS_LOCAL, /* of one that this host made */
};

struct step {
	enum hop hop; /* 0 with a verdict of its own: ends the case */
	enum iface_id iface;
	struct spec in;
	enum verdict verdict;
	enum verdict xdp; /* where it is another one */
	enum verdict partial; /* where it is another one still, of frames that were skbs */
	struct spec out; /* translated; where the verdict says so */
	uint16_t any_min, any_max; /* out's source port is any of these */
};

struct packet_case {
	const char *name;
	const char *rules;
	struct step steps[STEPS];
	struct {
		unsigned int flows, packets;
	} counters[RULES];
};

#define IS_STEP(step) ((step)->in.dmac || (step)->in.smac)

#include "rewrite_cases.h"

static struct harness harness;

/* ---- one packet ---- */

static bool verdict_writes(enum verdict verdict)
{
	return verdict <= VERDICT_TRANSLATE;
}

static int action_expected(enum program program, enum verdict verdict, const struct step *step)
{
	bool back = step->out.smac == MAC_EDGE(step->iface);

	if (verdict >= VERDICT_HELD)
		return program_is_xdp(program) ? ACTION_XDP_DROP : ACTION_TC_SHOT;
	if (verdict == VERDICT_ANSWER_TTL || verdict == VERDICT_ANSWER_MTU)
		return ACTION_TC_REDIRECT;
	if (verdict == VERDICT_FORWARD && program_is_xdp(program))
		return back ? ACTION_XDP_TX : ACTION_XDP_REDIRECT;
	if (verdict == VERDICT_FORWARD)
		return ACTION_TC_REDIRECT;
	return program_is_xdp(program) ? ACTION_XDP_PASS : ACTION_TC_UNSPEC;
}

/* What has to come out; a port that may be any is taken from `got`. */
static void frame_expected(const struct step *step, enum verdict verdict, const struct frame *in,
			   const struct frame *got, struct frame *want)
{
	struct spec out = step->out;
	uint16_t port = read16(got->data + L2_LENGTH + 20);

	if (!verdict_writes(verdict)) {
		*want = *in;
		return;
	}
	if (out.proto == IPPROTO_ICMP)
		port = read16(got->data + L2_LENGTH + 24);
	if (step->any_max && port >= step->any_min && port <= step->any_max)
		out.sport = port;
	frame_build(&out, want);
}

static void step_run(const struct step *step, int number, enum program program,
		     enum verdict verdict)
{
	struct place place = { program, step->iface, step->hop == EGRESS_LOCAL };
	struct outcome got;
	struct frame in, want;
	int action = action_expected(program, verdict, step);

	frame_build(&step->in, &in);
	harness_run(&harness, place, &in, &got);
	if (got.verdict != verdict || got.action != action) {
		frame_dump("packet", &in);
		fail_msg("packet %d, %s: want %s (%d), got %s (%d)", number, program_names[program],
			 verdict_names[verdict], action, verdict_names[got.verdict], got.action);
	}
	if (verdict >= VERDICT_ANSWER_TTL) /* answers are read by tests on the wire */
		return;
	frame_expected(step, verdict, &in, &got.out, &want);
	if (frame_equal(&want, &got.out))
		return;
	frame_explain(&want, &got.out);
	fail_msg("packet %d, %s: other bytes than expected", number, program_names[program]);
}

/* ---- a case ---- */

static void counters_check(const struct packet_case *c)
{
	const struct config *config = &harness.session.config;
	struct counter_reader reader;
	struct rule_counter got;

	assert_int_equal(counter_reader_open(&reader, &harness.session.state), 0);
	for (size_t i = 0; i < config->rule_count; i++) {
		assert_int_equal(counter_read(&reader, config->rules[i].slot, &got), 0);
		if (got.flows != c->counters[i].flows || got.packets != c->counters[i].packets)
			fail_msg("rule %zu: want %u flows, %u packets; got %llu, %llu", i + 1,
				 c->counters[i].flows, c->counters[i].packets, got.flows,
				 got.packets);
	}
	counter_reader_close(&reader);
}

static void case_run(const struct packet_case *c, enum program ingress)
{
	harness_apply(&harness, c->rules);
	for (int i = 0; i < STEPS && IS_STEP(&c->steps[i]); i++) {
		const struct step *step = &c->steps[i];
		enum verdict xdp = step->xdp ? step->xdp : step->verdict;

		if (step->partial && (ingress == XDP_VIRTUAL || ingress == XDP_GENERIC))
			xdp = step->partial;

		if (step->hop != INGRESS) {
			step_run(step, i + 1, TC_EGRESS, step->verdict);
			continue;
		}
		if (program_is_xdp(ingress)) {
			step_run(step, i + 1, ingress, xdp);
			if (xdp < VERDICT_PASS_NO_RULE || xdp >= VERDICT_DROP_RULE)
				continue;
		}
		step_run(step, i + 1, TC_INGRESS, step->verdict);
	}
	counters_check(c);
}

static void test_case(void **state)
{
	const struct packet_case *c = *state;

	for (enum program program = XDP_WIRE; program <= TC_INGRESS; program++)
		case_run(c, program);
}

/* ---- what a table does not say ---- */

/* A sum that comes out as 0 is sent as 0xffff: the one payload in 65536 where that happens. */
static void udp_zero_sum(void **state)
{
	struct step step = {
		.in = { AT_ETH0, UDP(OUT2, 4000, EDGE0, 53) },
		.out = { LEAVES(ETH1, 2), UDP(OUT2, 4000, IN2, 53) },
	};
	struct frame frame;
	uint32_t pattern = 0;

	(void)state;
	do {
		step.in.pattern = step.out.pattern = pattern++;
		frame_build(&step.out, &frame);
		assert_true(pattern <= 0x10000);
	} while (read16(frame.data + L2_LENGTH + 26) != 0xffff);
	harness_apply(&harness, "dnat in eth0 udp to :53 -> 10.0.0.2");
	for (enum program program = XDP_WIRE; program <= TC_INGRESS; program++)
		step_run(&step, program, program, VERDICT_FORWARD);
}

/* Every UDP payload word, so every value that the checksum takes before and after. */
static void udp_all_sums(void **state)
{
	struct step step = {
		.in = { AT_ETH0, UDP(OUT2, 4000, EDGE0, 53) },
		.out = { LEAVES(ETH1, 2), UDP(OUT2, 4000, IN2, 5353) },
	};

	(void)state;
	harness_apply(&harness, "dnat in eth0 udp to :53 -> 10.0.0.2:5353");
	for (uint32_t pattern = 0; pattern < 0x10000; pattern += 13) {
		step.in.pattern = step.out.pattern = pattern;
		step_run(&step, 1, pattern % 2 ? XDP_WIRE : TC_INGRESS, VERDICT_FORWARD);
	}
}

/*
 * Where a checksum may be partial XDP leaves the packet to tc, which can tell; a frame from a wire
 * has none. One that is too short to hold a checksum is tc's, too.
 */
static void partial_checksum(void **state)
{
	struct step step = {
		.in = { AT_ETH0, UDP(OUT2, 4000, EDGE0, 53), .check = CHECK_PARTIAL },
	};
	struct step tcp = { .in = { AT_ETH0, TCP(OUT2, 4000, EDGE0, 53), .check = CHECK_PARTIAL } };
	struct step cut = { .in = { AT_ETH0, TCP(OUT2, 4000, EDGE0, 53), .tot_len_off = -8,
				    .cut = 8 } };

	(void)state;
	harness_apply(&harness, "dnat in eth0 tcp,udp to :53 -> 10.0.0.2");
	for (enum program program = XDP_VIRTUAL; program <= XDP_GENERIC; program++) {
		step_run(&step, 1, program, VERDICT_PASS_PARTIAL);
		step_run(&tcp, 2, program, VERDICT_PASS_PARTIAL);
		step_run(&cut, 3, program, VERDICT_PASS_PARTIAL);
	}
	harness_apply(&harness, "dnat in eth0 tcp -> 10.0.0.2");
	step_run(&cut, 4, TC_INGRESS, VERDICT_DROP_MALFORMED);
	step_run(&cut, 5, XDP_WIRE, VERDICT_DROP_MALFORMED);
}

/* 16 ports towards one server are enough for 16 flows, whatever the chance; the others are told. */
static void ports_exhausted(void **state)
{
	struct step step = {
		.hop = EGRESS,
		.iface = ETH0,
		.any_min = 5000,
		.any_max = 5015,
	};
	bool taken[16] = { false };

	(void)state;
	harness_apply(&harness, "masquerade out eth0 udp -> :5000-5015");
	for (int i = 0; i < 32; i++) {
		struct place place = { TC_EGRESS, ETH0, false };
		struct spec in = { LEAVES(ETH0, 2), UDP(IN2, 6000 + i, OUT2, 53) };
		struct outcome got;
		struct frame frame;
		uint16_t port;

		frame_build(&in, &frame);
		harness_run(&harness, place, &frame, &got);
		assert_int_equal(got.verdict, i < 16 ? VERDICT_TRANSLATE : VERDICT_DROP_NO_PORT);
		port = read16(got.out.data + L2_LENGTH + 20);
		if (i >= 16)
			continue;
		assert_in_range(port, 5000, 5015);
		assert_false(taken[port - 5000]);
		taken[port - 5000] = true;
	}
	/* Towards another server every port is free again. */
	step.in = (struct spec){ LEAVES(ETH0, 3), UDP(IN2, 6000, OUT3, 53) };
	step.out = (struct spec){ LEAVES(ETH0, 3), UDP(EDGE0, 0, OUT3, 53) };
	step_run(&step, 33, TC_EGRESS, VERDICT_TRANSLATE);
}

static void drain_sweeper(const struct session *session)
{
	__u64 flows = 1;

	for (int i = 0; i < 300 && flows; i++) {
		assert_int_equal(flows_count(&session->state, &flows), 0);
		usleep(10000);
	}
	assert_int_equal(flows, 0);
}

/* A connection opened and reset over and over is one flow. */
static void reopened_again_and_again(void **state)
{
	struct step syn = {
		.in = { AT_ETH0, TCP(OUT2, 4000, EDGE0, 80) },
		.out = { LEAVES(ETH1, 2), TCP(OUT2, 4000, IN2, 80) },
	};
	struct step rst = syn;

	(void)state;
	rst.in.tcp_flags = rst.out.tcp_flags = TCP_RST;
	harness_apply(&harness, "dnat in eth0 tcp to :80 -> 10.0.0.2");
	drain_sweeper(&harness.session);
	for (int i = 0; i < 300; i++) {
		step_run(&syn, 2 * i, TC_INGRESS, VERDICT_FORWARD);
		step_run(&rst, 2 * i + 1, TC_INGRESS, VERDICT_FORWARD);
	}
}

/* The smallest table: 64 flows, and the 65th is told so. Runs with that table. */
static void table_full(void **state)
{
	struct step step = {
		.in = { AT_ETH0, UDP(OUT2, 0, EDGE0, 53) },
		.out = { LEAVES(ETH1, 2), UDP(OUT2, 0, IN2, 53) },
	};
	bool full = false;

	(void)state;
	harness_apply(&harness, "dnat in eth0 udp to :53 -> 10.0.0.2");
	drain_sweeper(&harness.session);
	for (int i = 0; i < 96; i++) {
		struct place place = { i % 2 ? TC_INGRESS : XDP_WIRE, ETH0, false };
		struct outcome got;
		struct frame frame;

		step.in.sport = step.out.sport = 7000 + i;
		frame_build(&step.in, &frame);
		harness_run(&harness, place, &frame, &got);
		if (i < 64)
			assert_int_equal(got.verdict, VERDICT_FORWARD);
		else
			assert_int_equal(got.verdict, VERDICT_DROP_FLOW_TABLE_FULL);
		full |= i >= 64;
	}
	assert_true(full);
	/* Flows that were there before go on. */
	step.in.sport = step.out.sport = 7000;
	step_run(&step, 97, XDP_WIRE, VERDICT_FORWARD);
}

static int set_up(void **state)
{
	(void)state;
	harness_up(&harness, "edge", NULL);
	return 0;
}

static int set_up_small(void **state)
{
	struct config config;

	(void)state;
	config_init(&config);
	config.options.flows = XFWD_FLOWS_MIN;
	harness_up(&harness, "small", &config);
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
	struct CMUnitTest tests[CASES + 4] = { 0 };
	const struct CMUnitTest small[] = {
		cmocka_unit_test(table_full),
		cmocka_unit_test(reopened_again_and_again),
	};
	int failed;

	for (size_t i = 0; i < CASES; i++)
		tests[i] = (struct CMUnitTest){ cases[i].name, test_case, NULL, NULL,
						(void *)&cases[i] };
	tests[CASES] = (struct CMUnitTest)cmocka_unit_test(udp_zero_sum);
	tests[CASES + 1] = (struct CMUnitTest)cmocka_unit_test(udp_all_sums);
	tests[CASES + 2] = (struct CMUnitTest)cmocka_unit_test(ports_exhausted);
	tests[CASES + 3] = (struct CMUnitTest)cmocka_unit_test(partial_checksum);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests_name("rewriting", tests, set_up, tear_down);
	failed += cmocka_run_group_tests_name("small table", small, set_up_small, tear_down);
	return failed;
}

int main(void)
{
	return harness_supervise(tests_run);
}
