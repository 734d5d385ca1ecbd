// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Endpoint-independent mappings where flows are refused, and where two CPUs begin flows at once: who
 * holds them, and what port the packets have.
 */
#include "harness.h"

#include <bpf/bpf.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OUT2   ADDR(198, 51, 100, 2)
#define OUT3   ADDR(198, 51, 100, 3)
#define EDGE0  ADDR(198, 51, 100, 1)
#define IN2    ADDR(10, 0, 0, 2)
#define IN3    ADDR(10, 0, 0, 3)
#define ROUNDS 400 /* both CPUs, each time */

static struct harness harness;

/* ---- packets ---- */

static struct spec udp(uint32_t saddr, uint16_t sport, uint32_t daddr, uint16_t dport)
{
	return (struct spec){
		.proto = IPPROTO_UDP, .saddr = saddr, .sport = sport, .daddr = daddr, .dport = dport
	};
}

/* From inside, on its way out. Returns the source port that it has outside. */
static uint16_t leaves(uint32_t saddr, uint16_t sport, uint32_t daddr, uint16_t dport,
		       enum verdict verdict)
{
	static const struct place place = { TC_EGRESS, ETH0, false };
	struct spec spec = udp(saddr, sport, daddr, dport);
	struct outcome got;
	struct frame frame;

	spec.dmac = MAC_HOST(ETH0, 2);
	spec.smac = MAC_EDGE(ETH0);
	frame_build(&spec, &frame);
	harness_run(&harness, place, &frame, &got);
	assert_string_equal(verdict_names[got.verdict], verdict_names[verdict]);
	return read16(got.out.data + L2_LENGTH + 20);
}

static void comes_in(enum iface_id iface, uint32_t saddr, uint16_t sport, uint32_t daddr,
		     uint16_t dport, enum verdict verdict)
{
	const struct place place = { TC_INGRESS, iface, false };
	struct spec spec = udp(saddr, sport, daddr, dport);
	struct outcome got;
	struct frame frame;

	spec.dmac = MAC_EDGE(iface);
	spec.smac = MAC_HOST(iface, 2);
	frame_build(&spec, &frame);
	harness_run(&harness, place, &frame, &got);
	assert_string_equal(verdict_names[got.verdict], verdict_names[verdict]);
}

/* How many flows hold all mappings, and how many mappings there are. */
static unsigned int holds(unsigned int *mappings)
{
	int map = harness.session.state.map[MAP_mappings];
	__u32 key[9], *before = NULL, found[3]; /* mapping.h: the flows come first */
	unsigned int flows = 0;

	*mappings = 0;
	for (; !bpf_map_get_next_key(map, before, key); before = key) {
		assert_int_equal(bpf_map_lookup_elem(map, key, found), 0);
		flows += found[0];
		++*mappings;
	}
	return flows;
}

/* ---- refused ---- */

static void limit_holds_nothing(void **state)
{
	unsigned int mappings;

	(void)state;
	harness_apply_mapped(&harness, "masquerade out eth0 udp limit flows 1");
	leaves(IN2, 4000, OUT2, 53, VERDICT_TRANSLATE);
	for (int i = 0; i < 5; i++)
		leaves(IN2, 4000, OUT3, 53, VERDICT_DROP_LIMIT);
	assert_int_equal(holds(&mappings), 1);
	assert_int_equal(mappings, 1);
}

/* What cannot be made takes nobody else's leave to answer away. Runs with the smallest table. */
static void full_table_permits(void **state)
{
	(void)state;
	harness_apply_mapped(&harness, "masquerade out eth0 udp filtering address-dependent");
	for (int i = 0; i < XFWD_FLOWS_MIN; i++)
		leaves(IN2, 4000 + i, OUT2, 53, VERDICT_TRANSLATE);
	comes_in(ETH0, OUT2, 99, EDGE0, 4000, VERDICT_DROP_FLOW_TABLE_FULL); /* it might */
	leaves(IN2, 4000, OUT2, 54, VERDICT_DROP_FLOW_TABLE_FULL);
	comes_in(ETH0, OUT2, 99, EDGE0, 4000, VERDICT_DROP_FLOW_TABLE_FULL);
	comes_in(ETH0, OUT3, 99, EDGE0, 4000, VERDICT_DROP_UNSOLICITED);
}

/* Between hosts inside, whoever was sent to at our address may answer from any port of it. */
static void hairpin_permits(void **state)
{
	(void)state;
	harness_apply_mapped(&harness, "masquerade out eth0 udp filtering address-dependent");
	leaves(IN2, 4000, OUT2, 53, VERDICT_TRANSLATE);
	leaves(IN2, 4001, OUT2, 53, VERDICT_TRANSLATE);
	leaves(IN3, 6000, OUT2, 53, VERDICT_TRANSLATE);
	comes_in(ETH1, IN2, 4001, EDGE0, 6000, VERDICT_DROP_UNSOLICITED);
	comes_in(ETH1, IN3, 6000, EDGE0, 4000, VERDICT_DROP_UNSOLICITED);
	comes_in(ETH1, IN2, 4002, EDGE0, 6000, VERDICT_FORWARD);
}

/* Takes one half of a flow away, as two CPUs may that end it and make it again at once. */
static void lose_original(uint32_t saddr, uint16_t sport)
{
	static const struct flow_bucket4 none;
	const struct shared_array *table = &harness.tables.buckets[FAMILY_IP4];
	struct flow_entry entry;
	struct flow_key key;
	__u32 at;

	for (at = 0; at < table->count; at++)
		if (flow_tables_at(&harness.tables, FAMILY_IP4, at, &key, &entry) &&
		    key.saddr[0] == htonl(saddr) && key.sport == htons(sport))
			break;
	assert_int_equal(bpf_map_update_elem(harness.session.state.map[MAP_flows4], &at, &none, 0),
			 0);
}

/* The half that is left makes way. */
static void half_a_flow(void **state)
{
	uint16_t port;

	(void)state;
	harness_apply_mapped(&harness, "masquerade out eth0 udp");
	port = leaves(IN2, 4000, OUT2, 53, VERDICT_TRANSLATE);
	lose_original(IN2, 4000);
	leaves(IN2, 4000, OUT2, 53, VERDICT_DROP_NO_PORT);
	assert_int_equal(leaves(IN2, 4000, OUT2, 53, VERDICT_TRANSLATE), port);
	comes_in(ETH0, OUT2, 53, EDGE0, port, VERDICT_FORWARD);
}

/* ---- two CPUs ---- */

struct beginner {
	pthread_t thread;
	cpu_set_t cpu;
	struct frame frame;
	uint16_t port;
	int err;
};

static pthread_barrier_t together;

static void *beginner_run(void *context)
{
	struct beginner *one = context;
	struct __sk_buff skb = { .ifindex = harness.ifindex[ETH0],
				 .ingress_ifindex = harness.ifindex[ETH1] };
	uint8_t out[FRAME_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = one->frame.data, .data_out = out,
		    .ctx_in = &skb, .ctx_size_in = sizeof(skb));

	for (int i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&together);
		opts.data_size_in = one->frame.length;
		opts.data_size_out = sizeof(out);
		one->err |= bpf_prog_test_run_opts(harness.program[TC_EGRESS], &opts);
		one->port = read16(out + L2_LENGTH + 20);
		pthread_barrier_wait(&together);
		pthread_barrier_wait(&together); /* another source port */
	}
	return NULL;
}

static void beginners_place(struct beginner beginners[2])
{
	cpu_set_t cpus;
	int found = 0;

	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			CPU_SET(cpu, &beginners[found++].cpu);
	if (found < 2)
		skip();
}

static void beginners_start(struct beginner beginners[2])
{
	pthread_attr_t attr;

	for (int i = 0; i < 2; i++) {
		pthread_attr_init(&attr);
		pthread_attr_setaffinity_np(&attr, sizeof(beginners[i].cpu), &beginners[i].cpu);
		assert_int_equal(
			pthread_create(&beginners[i].thread, &attr, beginner_run, &beginners[i]),
			0);
		pthread_attr_destroy(&attr);
	}
}

/* One source sends to two servers at once: it has one port outside. */
static void begun_at_once(const char *rule)
{
	struct beginner beginners[2] = { 0 };
	unsigned int mappings, differ = 0;

	harness_apply_mapped(&harness, rule);
	beginners_place(beginners);
	pthread_barrier_init(&together, NULL, 3);
	beginners_start(beginners);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < 2; i++) {
			struct spec spec = udp(IN2, 10000 + round, i ? OUT3 : OUT2, 53);

			spec.dmac = MAC_HOST(ETH0, i ? 3 : 2);
			spec.smac = MAC_EDGE(ETH0);
			frame_build(&spec, &beginners[i].frame);
		}
		pthread_barrier_wait(&together);
		pthread_barrier_wait(&together);
		differ += beginners[0].port != beginners[1].port;
		pthread_barrier_wait(&together);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(beginners[i].thread, NULL), 0);
		assert_int_equal(beginners[i].err, 0);
	}
	pthread_barrier_destroy(&together);
	/* Of two CPUs, one that is virtual may be taken away in the middle of it. */
	printf("# %u of %d with two ports\n", differ, ROUNDS);
	assert_in_range(differ, 0, ROUNDS / 100);
	assert_int_equal(holds(&mappings), 2 * ROUNDS - differ);
	assert_int_equal(mappings, ROUNDS);
}

static void begun_at_once_with_its_port(void **state)
{
	(void)state;
	begun_at_once("masquerade out eth0 udp");
}

static void begun_at_once_with_any_port(void **state)
{
	(void)state;
	begun_at_once("masquerade out eth0 udp random");
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
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(limit_holds_nothing),
		cmocka_unit_test(hairpin_permits),
		cmocka_unit_test(half_a_flow),
		cmocka_unit_test(begun_at_once_with_its_port),
		cmocka_unit_test(begun_at_once_with_any_port),
	};
	static const struct CMUnitTest small[] = {
		cmocka_unit_test(full_table_permits),
	};
	int failed;

	cmocka_set_message_output(CM_OUTPUT_TAP);
	failed = cmocka_run_group_tests_name("mappings", tests, set_up, tear_down);
	return failed + cmocka_run_group_tests_name("full", small, set_up_small, tear_down);
}

int main(void)
{
	return harness_supervise(tests_run);
}
