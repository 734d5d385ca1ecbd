// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frames with VLAN tags in XDP: every byte of what becomes of them.
 *
 * VLAN interfaces need a module that not every kernel has, and the programs need none: a veth stands
 * in for each, with its address and neighbours, and the maps say that it is a VLAN interface on eth0.
 */
#include "harness.h"

#include <bpf/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "next_hop.h"

#define Q              0x8100
#define AD             0x88a8

#define OUT2           ADDR(198, 51, 100, 2) /* no tag */
#define EDGE0          ADDR(198, 51, 100, 1)
#define IN2            ADDR(10, 0, 0, 2)
#define VLAN_HOST(vid) ADDR(198, 51, 100 + (vid), 2)
#define VLAN_EDGE(vid) ADDR(198, 51, 100 + (vid), 1)

#define AT_ETH0        .dmac = MAC_EDGE(ETH0), .smac = MAC_HOST(ETH0, 2)
#define AT_ETH1        .dmac = MAC_EDGE(ETH1), .smac = MAC_HOST(ETH1, 2)
#define LEAVES(iface)  .dmac = MAC_HOST(iface, 2), .smac = MAC_EDGE(iface), .ttl = 63
#define UDP(sa, sp, da, dp) \
	.proto = IPPROTO_UDP, .payload = 20, .saddr = (sa), .sport = (sp), .daddr = (da), \
	.dport = (dp)

#define TAGS  3
#define STEPS 4

struct tag {
	uint16_t proto, tci;
};

struct step {
	enum iface_id iface;
	struct tag in_tags[TAGS];
	struct spec in;
	enum verdict verdict;
	int action; /* with VERDICT_FORWARD; 0: to another device */
	struct tag out_tags[TAGS];
	struct spec out;
};

struct vlan_case {
	const char *name;
	const char *rules;
	struct step steps[STEPS];
};

/* The stand-ins: eth0.5, and eth0.6 with eth0.6.7 on it. */
static const struct vlan {
	const char *name, *lower;
	uint16_t vid; /* of its own tag; its network is 198.51.(100 + vid).0/24 */
	struct tag tags[2];
} vlans[] = {
	{ "eth0.5", "eth0", 5, { { Q, 5 } } },
	{ "eth0.6", "eth0", 6, { { AD, 6 } } },
	{ "eth0.6.7", "eth0.6", 7, { { AD, 6 }, { Q, 7 } } },
};

#define VLANS (sizeof(vlans) / sizeof(vlans[0]))

#define VLAN \
	{ \
		{ \
			Q, 5 \
		} \
	}
#define QINQ \
	{ \
		{ AD, 6 }, \
		{ \
			Q, 7 \
		} \
	}

static const struct vlan_case cases[] = {
	{
		.name = "a tag is taken off, and put on the answer",
		.rules = "dnat in eth0.5 udp to :53 -> 10.0.0.2:5353",
		.steps = {
			{ .in_tags = VLAN, .in = { AT_ETH0, UDP(VLAN_HOST(5), 4000, VLAN_EDGE(5), 53) },
			  .out = { LEAVES(ETH1), UDP(VLAN_HOST(5), 4000, IN2, 5353) } },
			{ .iface = ETH1, .in = { AT_ETH1, UDP(IN2, 5353, VLAN_HOST(5), 4000) },
			  .out_tags = VLAN,
			  .out = { LEAVES(ETH0), UDP(VLAN_EDGE(5), 53, VLAN_HOST(5), 4000) } },
		},
	},
	{
		.name = "two tags are taken off, and put on the answer",
		.rules = "dnat in eth0.6.7 udp to :53 -> 10.0.0.2:5353",
		.steps = {
			{ .in_tags = QINQ, .in = { AT_ETH0, UDP(VLAN_HOST(7), 4000, VLAN_EDGE(7), 53) },
			  .out = { LEAVES(ETH1), UDP(VLAN_HOST(7), 4000, IN2, 5353) } },
			{ .iface = ETH1, .in = { AT_ETH1, UDP(IN2, 5353, VLAN_HOST(7), 4000) },
			  .out_tags = QINQ,
			  .out = { LEAVES(ETH0), UDP(VLAN_EDGE(7), 53, VLAN_HOST(7), 4000) } },
		},
	},
	{
		.name = "from one VLAN into another: one tag for two, and two for one",
		.rules = "dnat in eth0.5 udp to :53 -> 198.51.107.2\n"
			 "dnat in eth0.5 udp to :54 -> 198.51.106.2",
		.steps = {
			{ .in_tags = VLAN, .in = { AT_ETH0, UDP(VLAN_HOST(5), 4000, VLAN_EDGE(5), 53) },
			  .out_tags = QINQ,
			  .out = { LEAVES(ETH0), UDP(VLAN_HOST(5), 4000, VLAN_HOST(7), 53) } },
			{ .in_tags = QINQ, .in = { AT_ETH0, UDP(VLAN_HOST(7), 53, VLAN_HOST(5), 4000) },
			  .out_tags = VLAN,
			  .out = { LEAVES(ETH0), UDP(VLAN_EDGE(5), 53, VLAN_HOST(5), 4000) } },
			{ .in_tags = VLAN, .in = { AT_ETH0, UDP(VLAN_HOST(5), 4000, VLAN_EDGE(5), 54) },
			  .out_tags = { { AD, 6 } },
			  .out = { LEAVES(ETH0), UDP(VLAN_HOST(5), 4000, VLAN_HOST(6), 54) } },
		},
	},
	{
		.name = "back into the VLAN that it came from, without its priority",
		.rules = "dnat in eth0.5 udp to :53 -> 198.51.105.2\n"
			 "masquerade out eth0.5",
		.steps = {
			{ .in_tags = { { Q, 5 << 13 | 1 << 12 | 5 } }, .action = ACTION_XDP_TX,
			  .in = { AT_ETH0, UDP(VLAN_HOST(5) + 1, 4000, VLAN_EDGE(5), 53) },
			  .out_tags = VLAN,
			  .out = { LEAVES(ETH0), UDP(VLAN_EDGE(5), 4000, VLAN_HOST(5), 53) } },
		},
	},
	{
		.name = "between a VLAN and its own device",
		.rules = "dnat in eth0.5 udp to :53 -> 198.51.100.2",
		.steps = {
			{ .in_tags = VLAN, .in = { AT_ETH0, UDP(VLAN_HOST(5), 4000, VLAN_EDGE(5), 53) },
			  .out = { LEAVES(ETH0), UDP(VLAN_HOST(5), 4000, OUT2, 53) } },
			{ .in = { AT_ETH0, UDP(OUT2, 53, VLAN_HOST(5), 4000) },
			  .out_tags = VLAN,
			  .out = { LEAVES(ETH0), UDP(VLAN_EDGE(5), 53, VLAN_HOST(5), 4000) } },
		},
	},
	{
		.name = "rules of the device are not for its VLANs, nor theirs for it",
		.rules = "dnat in eth0 udp to :53 -> 10.0.0.2\n"
			 "dnat in eth0.5 udp to :54 -> 10.0.0.2\n"
			 "dnat in eth0.6 udp to :55 -> 10.0.0.2",
		.steps = {
			{ .in_tags = VLAN, .in = { AT_ETH0, UDP(VLAN_HOST(5), 4000, VLAN_EDGE(5), 53) },
			  .verdict = VERDICT_PASS_NO_RULE },
			{ .in = { AT_ETH0, UDP(OUT2, 4000, EDGE0, 54) }, .verdict = VERDICT_PASS_NO_RULE },
			{ .in_tags = QINQ, .in = { AT_ETH0, UDP(VLAN_HOST(7), 4000, VLAN_EDGE(7), 55) },
			  .verdict = VERDICT_PASS_NO_RULE },
		},
	},
	{
		.name = "a rule for any interface is for VLANs, too",
		.rules = "dnat udp to :53 -> 10.0.0.2",
		.steps = {
			{ .in_tags = QINQ, .in = { AT_ETH0, UDP(VLAN_HOST(7), 4000, VLAN_EDGE(7), 53) },
			  .out = { LEAVES(ETH1), UDP(VLAN_HOST(7), 4000, IN2, 53) } },
		},
	},
	{
		.name = "tags that no interface has: 9, 7 where only 5 is, 5 as 802.1ad, three of them",
		.rules = "dnat udp to :53 -> 10.0.0.2",
		.steps = {
			{ .in_tags = { { Q, 9 } }, .in = { AT_ETH0, UDP(OUT2, 4000, EDGE0, 53) },
			  .verdict = VERDICT_PASS_OTHER_PROTOCOL },
			{ .in_tags = { { Q, 5 }, { Q, 7 } }, .in = { AT_ETH0, UDP(OUT2, 4000, EDGE0, 53) },
			  .verdict = VERDICT_PASS_OTHER_PROTOCOL },
			{ .in_tags = { { AD, 5 } }, .in = { AT_ETH0, UDP(OUT2, 4000, EDGE0, 53) },
			  .verdict = VERDICT_PASS_OTHER_PROTOCOL },
			{ .in_tags = { { AD, 6 }, { Q, 7 }, { Q, 5 } },
			  .in = { AT_ETH0, UDP(VLAN_HOST(7), 4000, VLAN_EDGE(7), 53) },
			  .verdict = VERDICT_PASS_OTHER_PROTOCOL },
		},
	},
	{
		.name = "a tag of a priority alone is tc's, outside and inside",
		.rules = "dnat udp to :53 -> 10.0.0.2",
		.steps = {
			{ .in_tags = { { Q, 3 << 13 } }, .in = { AT_ETH0, UDP(OUT2, 4000, EDGE0, 53) },
			  .verdict = VERDICT_PASS_OTHER_PROTOCOL },
			{ .in_tags = { { Q, 5 }, { Q, 3 << 13 } },
			  .in = { AT_ETH0, UDP(VLAN_HOST(5), 4000, VLAN_EDGE(5), 53) },
			  .verdict = VERDICT_PASS_OTHER_PROTOCOL },
		},
	},
	{
		.name = "what XDP cannot finish has its tags again",
		.rules = "dnat in eth0.6.7 udp to :53 -> 10.0.0.2\ndnat in eth0.5 udp to :53 -> 10.0.0.99",
		.steps = {
			{ .in_tags = { { AD, 2 << 13 | 6 }, { Q, 3 << 13 | 7 } },
			  .in = { AT_ETH0, UDP(VLAN_HOST(7), 4000, VLAN_EDGE(7), 53), .ttl = 1 },
			  .verdict = VERDICT_PASS_TO_TC },
			{ .in_tags = QINQ,
			  .in = { AT_ETH0, UDP(VLAN_HOST(7), 4000, VLAN_EDGE(7), 53),
				  .flags = IP_MORE, .part_length = 16 },
			  .verdict = VERDICT_PASS_TO_TC },
			{ .in_tags = VLAN, .in = { AT_ETH0, UDP(VLAN_HOST(5), 4000, VLAN_EDGE(5), 53) },
			  .verdict = VERDICT_PASS_TO_TC }, /* its next hop is not known */
			{ .in_tags = QINQ,
			  .in = { .dmac = MAC_HOST(ETH0, 9), .smac = MAC_HOST(ETH0, 2),
				  UDP(VLAN_HOST(7), 4000, VLAN_EDGE(7), 53) },
			  .verdict = VERDICT_PASS_OTHER_HOST },
		},
	},
	{
		.name = "malformed behind a tag, and other protocols",
		.rules = "dnat in eth0.5 udp to :53 -> 10.0.0.2",
		.steps = {
			{ .in_tags = VLAN,
			  .in = { AT_ETH0, UDP(VLAN_HOST(5), 4000, VLAN_EDGE(5), 53), .ihl = 4 },
			  .verdict = VERDICT_DROP_MALFORMED },
			{ .in_tags = VLAN,
			  .in = { AT_ETH0, UDP(VLAN_HOST(5), 4000, VLAN_EDGE(5), 53), .ethertype = 0x0806 },
			  .verdict = VERDICT_PASS_OTHER_PROTOCOL },
		},
	},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static struct harness harness;

/* ---- stand-ins ---- */

static void make_stand_ins(void)
{
	for (size_t i = 0; i < VLANS; i++) {
		const char *ns = harness.netns, *name = vlans[i].name;
		const int net = 100 + vlans[i].vid;

		harness_shell(
			"ip -n %s link add %s address 02:00:00:00:00:01 type veth peer name %s-far && "
			"ip -n %s address add 198.51.%d.1/24 dev %s && "
			"ip -n %s link set %s up && ip -n %s link set %s-far up && "
			"ip -n %s neighbour add 198.51.%d.2 lladdr 02:00:00:01:00:02 dev %s "
			"nud permanent",
			ns, name, name, ns, net, name, ns, name, ns, name, ns, net, name);
	}
}

static __u32 iface_change(const char *name, __u32 set, __u32 clear)
{
	int near = harness.session.state.map[MAP_ifaces_near];
	__u32 ifindex = if_nametoindex(name);
	struct iface iface;

	assert_in_range(ifindex, 1, XFWD_IFINDEX_NEAR - 1);
	assert_int_equal(bpf_map_lookup_elem(near, &ifindex, &iface), 0);
	iface.flags = (iface.flags | set) & ~clear;
	assert_int_equal(bpf_map_update_elem(near, &ifindex, &iface, BPF_ANY), 0);
	return iface.port;
}

static void port_change(__u32 at, const struct vlan *vlan, __u32 mtu_tagged)
{
	int map = harness.session.state.map[MAP_ports];
	struct port port;

	assert_int_equal(bpf_map_lookup_elem(map, &at, &port), 0);
	port.flags |= IFACE_VLAN | IFACE_TAKES_REDIRECTS;
	port.mtu_tagged = mtu_tagged;
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		port.tags[i].proto = htons(vlan->tags[i].proto);
		port.tags[i].tci = htons(vlan->tags[i].tci);
	}
	assert_int_equal(bpf_map_update_elem(map, &at, &port, BPF_ANY), 0);
}

/* What the loader writes for a VLAN interface. */
static void stand_in(const struct vlan *vlan, __u32 mtu_tagged)
{
	const struct tag *own = &vlan->tags[vlan->tags[1].proto != 0];
	const struct vlan_key key = { if_nametoindex(vlan->lower), htons(own->proto),
				      htons(vlan->vid) };
	__u32 ifindex = if_nametoindex(vlan->name), eth0 = harness.ifindex[ETH0];
	__u32 port = iface_change(vlan->name, IFACE_XDP | IFACE_VLAN | IFACE_TAKES_REDIRECTS, 0);
	const int *map = harness.session.state.map;

	port_change(port, vlan, mtu_tagged);
	assert_int_equal(bpf_map_update_elem(map[MAP_vlans], &key, &ifindex, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(map[MAP_tx_ports], &port, &eth0, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(map[MAP_tx_ports_generic], &port, &eth0, BPF_ANY), 0);
}

static void apply(const char *rules, __u32 mtu_tagged)
{
	harness_apply(&harness, rules);
	for (size_t i = 0; i < VLANS; i++)
		stand_in(&vlans[i], mtu_tagged);
}

/* ---- frames ---- */

static void build(const struct spec *spec, const struct tag *tags, struct frame *frame)
{
	uint8_t bytes[4 * TAGS];
	size_t length = 0;

	frame_build(spec, frame);
	for (int i = 0; i < TAGS && tags[i].proto; i++, length += 4) {
		write16(bytes + length, tags[i].proto);
		write16(bytes + length + 2, tags[i].tci);
	}
	memmove(frame->data + 12 + length, frame->data + 12, frame->length - 12);
	memcpy(frame->data + 12, bytes, length);
	frame->length += length;
}

static int action_of(const struct step *step)
{
	if (step->verdict >= VERDICT_DROP_RULE)
		return ACTION_XDP_DROP;
	if (step->verdict != VERDICT_FORWARD)
		return ACTION_XDP_PASS;
	return step->action ? step->action : ACTION_XDP_REDIRECT;
}

static void step_run(const struct step *step, int number, enum program program)
{
	struct place place = { program, step->iface, false };
	struct frame in, want;
	struct outcome got;

	build(&step->in, step->in_tags, &in);
	harness_run(&harness, place, &in, &got);
	if (got.verdict != step->verdict || got.action != action_of(step)) {
		frame_dump("packet", &in);
		fail_msg("packet %d, %s: want %s (%d), got %s (%d)", number, program_names[program],
			 verdict_names[step->verdict], action_of(step), verdict_names[got.verdict],
			 got.action);
	}
	if (step->verdict >= VERDICT_DROP_RULE)
		return;
	if (step->verdict == VERDICT_FORWARD)
		build(&step->out, step->out_tags, &want);
	else
		want = in;
	if (frame_equal(&want, &got.out))
		return;
	frame_dump("want", &want);
	frame_dump("got", &got.out);
	fail_msg("packet %d, %s: other bytes than expected", number, program_names[program]);
}

static void test_case(void **state)
{
	const struct vlan_case *c = *state;

	for (enum program program = XDP_WIRE; program <= XDP_GENERIC; program++) {
		apply(c->rules, 1500);
		for (int i = 0; i < STEPS && c->steps[i].in.smac; i++)
			step_run(&c->steps[i], i + 1, program);
	}
}

/* ---- what a table does not say ---- */

static const struct step tagged = {
	.in_tags = QINQ,
	.in = { AT_ETH0, UDP(VLAN_HOST(7), 4000, VLAN_EDGE(7), 53) },
	.out = { LEAVES(ETH1), UDP(VLAN_HOST(7), 4000, IN2, 53) },
};

/* From nothing behind the addresses to the first byte too few. */
static void cut_short(void **state)
{
	struct place place = { XDP_WIRE, ETH0, false };
	struct outcome got;
	struct frame in;

	(void)state;
	apply("dnat udp to :53 -> 10.0.0.2", 1500);
	build(&tagged.in, tagged.in_tags, &in);
	for (in.length = 14; in.length < 14 + 8 + 20; in.length++) {
		harness_run(&harness, place, &in, &got);
		assert_int_equal(got.verdict, VERDICT_PASS_OTHER_PROTOCOL);
		assert_int_equal(got.action, ACTION_XDP_PASS);
		assert_true(frame_equal(&in, &got.out));
	}
}

/* An interface in mode tc, or not attached: XDP is there for another one on the same device. */
static void not_for_xdp(void **state)
{
	struct step vlan = tagged, device = { .in = { AT_ETH0, UDP(OUT2, 4000, EDGE0, 53) } };

	(void)state;
	vlan.verdict = device.verdict = VERDICT_PASS_TO_TC;
	for (enum program program = XDP_WIRE; program <= XDP_GENERIC; program++) {
		apply("dnat udp to :53 -> 10.0.0.2", 1500);
		iface_change("eth0", 0, IFACE_XDP);
		step_run(&device, 1, program);
		step_run(&tagged, 2, program);
		iface_change("eth0", IFACE_XDP, 0);
		iface_change("eth0.6.7", 0, IFACE_XDP);
		step_run(&vlan, 3, program);
	}
}

/* What the device does not send with its tags on is tc's, and a byte less is not. */
static void too_long(void **state)
{
	struct step fits = {
		.iface = ETH1,
		.in = { AT_ETH1, UDP(IN2, 4000, OUT2, 53) },
		.out_tags = QINQ,
		.out = { LEAVES(ETH0), UDP(IN2, 4000, VLAN_HOST(7), 53) },
	};
	struct step too = fits;

	(void)state;
	fits.in.payload = fits.out.payload = 100;
	too.in.payload = 101;
	too.verdict = VERDICT_PASS_TO_TC;
	for (enum program program = XDP_WIRE; program <= XDP_GENERIC; program++) {
		apply("dnat in eth1 udp to :53 -> 198.51.107.2", 128);
		step_run(&too, 1, program);
		step_run(&fits, 2, program);
	}
}

static int set_up(void **state)
{
	(void)state;
	harness_up(&harness, "vlan", NULL);
	make_stand_ins();
	/* They are known from here on. */
	netdevs_free(&harness.session.devs);
	return netdevs_get(&harness.session.devs);
}

static int tear_down(void **state)
{
	(void)state;
	harness_down(&harness);
	return 0;
}

static int tests_run(void)
{
	struct CMUnitTest tests[CASES + 3] = { 0 };

	for (size_t i = 0; i < CASES; i++)
		tests[i] = (struct CMUnitTest){ cases[i].name, test_case, NULL, NULL,
						(void *)&cases[i] };
	tests[CASES] = (struct CMUnitTest)cmocka_unit_test(cut_short);
	tests[CASES + 1] = (struct CMUnitTest)cmocka_unit_test(not_for_xdp);
	tests[CASES + 2] = (struct CMUnitTest)cmocka_unit_test(too_long);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("VLANs", tests, set_up, tear_down);
}

int main(void)
{
	return harness_supervise(tests_run);
}
