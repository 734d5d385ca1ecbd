// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The flow table while two CPUs change it at once, and when it is full: what lies in its memory
 * afterwards.
 */
#include "harness.h"

#include <bpf/bpf.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "flows.h"
#include "loader.h"
#include "../unit/random.h"

#define OUT2   ADDR(198, 51, 100, 2)
#define EDGE0  ADDR(198, 51, 100, 1)
#define IN2    ADDR(10, 0, 0, 2)
#define DNS    53

/* What the threads do: flows of two homes, flows that want each other's ports, and their ends. */
#define ACTORS 2
#define CROWD  24 /* tuples of two homes, one behind the other */
#define RIVALS 8 /* tuples that may have one of four ports */
#define ACTS   (CROWD + RIVALS)
#define ROUNDS 60
#define DEEDS  100 /* in a round */

/* Until a bucket may be taken again: two jiffies at the longest. */
static const struct timespec grace = { .tv_nsec = 20000000 };

static struct harness harness;

struct act {
	struct place place;
	struct frame frame;
	struct flow_key key;
};

static struct act acts[ACTS];

/* ---- packets ---- */

static void key_set(struct flow_key *key, const struct spec *spec)
{
	memset(key, 0, sizeof(*key));
	key->saddr[0] = htonl(spec->saddr);
	key->daddr[0] = htonl(spec->daddr);
	key->sport = htons(spec->sport);
	key->dport = htons(spec->dport);
	key->proto = spec->proto;
}

static void act_set(struct act *act, enum iface_id from, uint32_t saddr, uint16_t sport,
		    uint32_t daddr)
{
	struct spec spec = {
		.smac = MAC_HOST(from, 2),
		.dmac = from == ETH0 ? MAC_EDGE(ETH0) : MAC_HOST(ETH0, 2),
		.proto = IPPROTO_UDP,
		.saddr = saddr,
		.daddr = daddr,
		.sport = sport,
		.dport = DNS,
	};

	act->place = (struct place){ from == ETH0 ? TC_INGRESS : TC_EGRESS, ETH0, false };
	frame_build(&spec, &act->frame);
	key_set(&act->key, &spec);
}

static __u32 home_of(const struct flow_key *key)
{
	const struct settings *settings = &harness.tables.settings;

	return flow_home(key, settings->secret, settings->flow_max);
}

/* From many addresses; their homes are, in turn, the first one's and the one behind it. */
static void crowd_set(struct act *crowd)
{
	struct flow_key key;
	uint32_t saddr = OUT2;
	__u32 home;

	act_set(&crowd[0], ETH0, saddr, 1024, EDGE0);
	key = crowd[0].key;
	home = home_of(&key);
	for (int count = 1; count < CROWD;) {
		key.saddr[0] = htonl(++saddr);
		if (home_of(&key) == home + count % 2)
			act_set(&crowd[count++], ETH0, saddr, 1024, EDGE0);
	}
}

static void rivals_set(struct act *rivals)
{
	for (int i = 0; i < RIVALS; i++)
		act_set(&rivals[i], ETH1, IN2 + i, 1024, OUT2);
}

/* harness_run() counts verdicts, which two threads cannot do at once. */
static int act_run(const struct act *act)
{
	struct __sk_buff skb = { .ifindex = harness.ifindex[ETH0] };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = act->frame.data,
		    .data_size_in = act->frame.length, .ctx_in = &skb, .ctx_size_in = sizeof(skb));

	skb.ingress_ifindex = harness.ifindex[act->place.program == TC_INGRESS ? ETH0 : ETH1];
	return bpf_prog_test_run_opts(harness.program[act->place.program], &opts);
}

/* ---- what lies in the table ---- */

static const __u32 *tag_at(size_t at)
{
	return &((const struct flow_bucket4 *)harness.tables.buckets[FAMILY_IP4].elements)[at].tag;
}

/* Is the bucket's key in one of those that its home is followed by, too? */
static bool key_is_twice(size_t at, const struct flow_key *key)
{
	const size_t home = home_of(key), end = home + BUCKET_REACH_MAX;
	const struct flow_bucket4 *bucket;

	for (size_t i = home; i <= end; i++) {
		bucket = (const struct flow_bucket4 *)tag_at(i);
		if (i != at && bucket4_is(bucket, key))
			return true;
	}
	return false;
}

static void check_pair(const struct flow_key *key, const struct flow_entry *entry)
{
	struct flow_key peer, back;
	struct flow_entry other;

	flow_peer_key(&entry->flow, key, &peer);
	if (!flow_tables_find(&harness.tables, &peer, &other))
		fail_msg("half a flow: the %s entry",
			 entry->flow.flags & FLOW_REPLY ? "answering" : "original");
	assert_int_equal((entry->flow.flags ^ other.flow.flags) & FLOW_REPLY, FLOW_REPLY);
	flow_peer_key(&other.flow, &peer, &back);
	assert_memory_equal(&back, key, sizeof(back));
}

/* Returns 1 for an original entry. */
static int check_bucket(size_t at)
{
	const __u32 tag = *tag_at(at);
	struct flow_entry entry;
	struct flow_key key;
	__u32 home;

	assert_int_equal(tag & BUCKET_LOCKED, 0);
	assert_int_equal(!(tag & BUCKET_TAKEN), !(tag & BUCKET_LIVE));
	if (!flow_tables_at(&harness.tables, FAMILY_IP4, at, &key, &entry))
		return 0;
	home = home_of(&key);
	assert_in_range(at, home, home + BUCKET_REACH(*tag_at(home)));
	if (key_is_twice(at, &key))
		fail_msg("a key is in the table twice");
	check_pair(&key, &entry);
	return !(entry.flow.flags & FLOW_REPLY);
}

/* How many flows there are. */
static size_t check_table(void)
{
	const size_t buckets = harness.tables.buckets[FAMILY_IP4].count;
	size_t flows = 0;
	__u64 counted;

	for (size_t at = 0; at < buckets; at++)
		flows += check_bucket(at);
	assert_int_equal(flows_count(&harness.session.state, &counted), 0);
	assert_int_equal(counted, flows);
	return flows;
}

static __u32 reach_of(const struct act *act)
{
	return BUCKET_REACH(*tag_at(home_of(&act->key)));
}

/* ---- two CPUs ---- */

struct actor {
	pthread_t thread;
	cpu_set_t cpu;
	int forget;
	int ahead; /* by so many flows, as all are made */
	uint64_t random;
	unsigned long ended;
	int err;
};

static pthread_barrier_t together;

/* Flows are made and ended, whichever it is; then all are ended, and all are made by both at once. */
static void *actor_run(void *context)
{
	struct actor *actor = context;

	pthread_barrier_wait(&together);
	for (int i = 0; i < DEEDS; i++) {
		uint64_t random = random_next(&actor->random);
		const struct act *act = &acts[random % ACTS];

		if (random >> 32 & 1)
			actor->ended += flow_end(actor->forget, &act->key);
		else
			actor->err |= act_run(act);
	}
	for (int i = 0; i < ACTS; i++)
		actor->ended += flow_end(actor->forget, &acts[i].key);
	pthread_barrier_wait(&together);
	for (int i = 0; i < ACTS; i++)
		actor->err |= act_run(&acts[(i + actor->ahead) % ACTS]);
	return NULL;
}

/* On two of the CPUs that this process may use. */
static void actors_place(struct actor actors[ACTORS])
{
	cpu_set_t cpus;
	int found = 0;

	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE && found < ACTORS; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			CPU_SET(cpu, &actors[found++].cpu);
	if (found < ACTORS)
		skip();
}

static void actors_run(struct actor actors[ACTORS])
{
	pthread_attr_t attr;

	for (int i = 0; i < ACTORS; i++) {
		pthread_attr_init(&attr);
		pthread_attr_setaffinity_np(&attr, sizeof(actors[i].cpu), &actors[i].cpu);
		assert_int_equal(pthread_create(&actors[i].thread, &attr, actor_run, &actors[i]),
				 0);
		pthread_attr_destroy(&attr);
	}
	for (int i = 0; i < ACTORS; i++) {
		assert_int_equal(pthread_join(actors[i].thread, NULL), 0);
		assert_int_equal(actors[i].err, 0);
	}
}

static void two_cpus(void **state)
{
	const int forget = loader_program(&harness.session.pins, "flow_forget");
	struct actor actors[ACTORS] = { 0 };
	uint64_t seed = random_seed();
	size_t left = 0;

	(void)state;
	assert_true(forget >= 0);
	actors_place(actors);
	pthread_barrier_init(&together, NULL, ACTORS);
	for (int i = 0; i < ACTORS; i++) {
		actors[i].forget = forget;
		actors[i].random = random_next(&seed);
	}
	for (int round = 0; round < ROUNDS; round++) {
		actors[0].ahead = round % 2;
		actors_run(actors);
		left += check_table();
		nanosleep(&grace, NULL);
	}
	pthread_barrier_destroy(&together);
	close(forget);
	printf("# %lu and %lu flows ended, %zu left behind\n", actors[0].ended, actors[1].ended,
	       left);
	/* Nearly all of the crowd, each time: a lock may be waited for in vain. */
	assert_true(left > ROUNDS * CROWD * 9 / 10);
	harness_flush_flows(&harness);
	assert_int_equal(check_table(), 0);
}

/* ---- one CPU ---- */

/* The reach follows the farthest entry, there and back. */
static void reach_follows(void **state)
{
	int forget = loader_program(&harness.session.pins, "flow_forget");

	(void)state;
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(act_run(&acts[i]), 0);
	assert_int_equal(check_table(), CROWD);
	assert_true(reach_of(&acts[0]) >= CROWD - 2);
	for (int i = CROWD - 1; i >= 0; i--) {
		assert_true(flow_end(forget, &acts[i].key));
		assert_false(flow_end(forget, &acts[i].key));
		assert_int_equal(check_table(), i);
	}
	assert_int_equal(reach_of(&acts[0]) + reach_of(&acts[1]), 0);
	close(forget);
}

/* Where there is more than one step between the last entry and the next, others that go help. */
static void reach_comes_back(void **state)
{
	int forget = loader_program(&harness.session.pins, "flow_forget");

	(void)state;
	nanosleep(&grace, NULL);
	for (int i = 0; i < CROWD; i++)
		assert_int_equal(act_run(&acts[i]), 0);
	for (int i = 0; i < CROWD; i++)
		assert_true(flow_end(forget, &acts[i].key));
	nanosleep(&grace, NULL);
	for (int i = 0; i < CROWD / 8; i++) {
		assert_int_equal(act_run(&acts[0]), 0);
		assert_true(flow_end(forget, &acts[0].key));
	}
	assert_int_equal(reach_of(&acts[0]), 0);
	close(forget);
}

/* The bucket that has the entry under that key. */
static __u32 bucket_of(const struct flow_key *key)
{
	__u32 at = home_of(key);

	while (!bucket4_is((const struct flow_bucket4 *)tag_at(at), key))
		at++;
	return at;
}

static void bucket_read(__u32 at, struct flow_bucket4 *bucket)
{
	assert_int_equal(bpf_map_lookup_elem(harness.session.state.map[MAP_flows4], &at, bucket),
			 0);
}

static void bucket_write(__u32 at, const struct flow_bucket4 *bucket)
{
	assert_int_equal(
		bpf_map_update_elem(harness.session.state.map[MAP_flows4], &at, bucket, BPF_ANY),
		0);
}

/* As if so much had been counted since the last half was gone through. */
static void counters_set(__u32 at, __u16 packets, __u32 bytes)
{
	struct flow_bucket4 bucket;

	bucket_read(at, &bucket);
	bucket.entry.flow.packets = packets;
	bucket.entry.flow.bytes = bytes;
	bucket_write(at, &bucket);
}

static void halves_set(__u32 at, __u32 packets, __u32 bytes)
{
	const struct flow_halves halves = { .packets = packets, .bytes = bytes };

	assert_int_equal(
		bpf_map_update_elem(harness.session.state.map[MAP_halves4], &at, &halves, BPF_ANY),
		0);
}

static void expect_counted(const struct act *act, __u64 packets, __u64 bytes)
{
	struct flow_entry entry;

	assert_true(flow_tables_find(&harness.tables, &act->key, &entry));
	assert_int_equal(entry.packets, packets);
	assert_int_equal(entry.bytes, bytes);
}

/* Both counters go through their halves, in a bucket that a flow with large ones has had before. */
static void counters_wrap(void **state)
{
	const struct act *act = &acts[0];
	const __u64 packets = 1ULL << 16, bytes = 1ULL << 32;
	__u32 length = act->frame.length - ETHER_HDR_LEN, at;

	(void)state;
	assert_int_equal(act_run(act), 0);
	at = bucket_of(&act->key);
	halves_set(at, 7, 9);
	expect_counted(act, 1, length);
	counters_set(at, packets / 2 - 1, bytes / 2 - 1);
	assert_int_equal(act_run(act), 0);
	expect_counted(act, packets / 2, bytes / 2 + length - 1);
	counters_set(at, packets - 1, bytes - 1);
	expect_counted(act, packets - 1, bytes - 1);
	assert_int_equal(act_run(act), 0);
	expect_counted(act, packets, bytes + length - 1);
	/* another CPU, which counted at the same time, writes after this one */
	counters_set(at, packets - 1, bytes - 1);
	expect_counted(act, packets - 1, bytes - 1);
	assert_int_equal(act_run(act), 0);
	expect_counted(act, packets, bytes + length - 1);
	/* read between a counter's change and the half's being counted */
	halves_set(at, 1, 1);
	expect_counted(act, packets, bytes + length - 1);
	harness_flush_flows(&harness);
}

static bool bucket_is_live(__u32 at)
{
	struct flow_bucket4 bucket;

	bucket_read(at, &bucket);
	return bucket.tag & BUCKET_LIVE;
}

/*
 * An answering entry without an original one, which no packet meets, does not stay for ever. It leaves
 * the count of flows wrong, and so is the last test.
 */
static void orphan_is_swept(void **state)
{
	const struct act *act = &acts[0];
	struct flow_bucket4 bucket;
	struct settings settings;
	struct flow_key peer;
	__u32 at;

	(void)state;
	assert_int_equal(state_settings(&harness.session.state, &settings), 0);
	assert_int_equal(act_run(act), 0);
	at = bucket_of(&act->key);
	bucket_read(at, &bucket);
	flow_peer_key4(&bucket.entry, &act->key, &peer);
	bucket.tag &= ~(BUCKET_LIVE | BUCKET_TAKEN);
	bucket_write(at, &bucket);
	at = bucket_of(&peer);
	bucket_read(at, &bucket);
	bucket.entry.flow.used -= settings.timeout[TIMEOUT_TCP_ESTABLISHED] + 1;
	bucket_write(at, &bucket);
	for (int i = 0; i < 500 * harness_slower() && bucket_is_live(at); i++)
		usleep(10000);
	assert_false(bucket_is_live(at));
}

/* All that there may be, the first one refused, and the same again. */
static void full(void **state)
{
	struct outcome outcome;
	struct act act;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i <= XFWD_FLOWS_MIN; i++) {
			act_set(&act, ETH0, OUT2, 2000 + 1000 * round + i, EDGE0);
			harness_run(&harness, act.place, &act.frame, &outcome);
			assert_int_equal(outcome.verdict, i < XFWD_FLOWS_MIN
								  ? VERDICT_FORWARD
								  : VERDICT_DROP_FLOW_TABLE_FULL);
		}
		assert_int_equal(check_table(), XFWD_FLOWS_MIN);
		harness_flush_flows(&harness);
		assert_int_equal(check_table(), 0);
	}
}

/* ---- the group ---- */

static void begin(const char *suffix, __u32 flows)
{
	struct config config;

	config_init(&config);
	config.options.flows = flows;
	harness_up(&harness, suffix, &config);
	harness_apply(&harness, "dnat in eth0 udp to :53 -> 10.0.0.2\n"
				"snat out eth0 udp from 10.0.0.0/24 -> 198.51.100.1:1024-1027");
}

static int set_up_least(void **state)
{
	(void)state;
	begin("least", XFWD_FLOWS_MIN);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	begin("edge", XFWD_FLOWS_DEFAULT / 4);
	crowd_set(&acts[0]);
	rivals_set(&acts[CROWD]);
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
	const struct CMUnitTest least[] = {
		cmocka_unit_test(full),
	};
	const struct CMUnitTest usual[] = {
		cmocka_unit_test(reach_follows),   cmocka_unit_test(reach_comes_back),
		cmocka_unit_test(counters_wrap),   cmocka_unit_test(two_cpus),
		cmocka_unit_test(orphan_is_swept),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("the least flow table", least, set_up_least, tear_down) +
	       cmocka_run_group_tests_name("the flow table", usual, set_up, tear_down);
}

int main(void)
{
	return harness_supervise(tests_run);
}
