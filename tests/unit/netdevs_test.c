// SPDX-License-Identifier: GPL-2.0-or-later
/* What lies under an interface: itself, a device with one tag or two, or nothing that is of use. */
#include "netdev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define Q    0x8100
#define AD   0x88a8
#define GONE 99 /* the index of no interface here */

#define VLAN(lower, tpid, vid) \
	.kind = "vlan", .up = true, \
	.vlan = { .ifindex = (lower), \
		  .proto = __builtin_bswap16(tpid), \
		  .id = __builtin_bswap16(vid) }

static struct netdev list[] = {
	{ .ifindex = 2, .name = "eth0", .up = true },
	{ .ifindex = 3, .name = "eth0.5", VLAN(2, Q, 5) },
	{ .ifindex = 4, .name = "eth0.6", VLAN(2, AD, 6), .has_priorities = true },
	{ .ifindex = 5, .name = "eth0.6.7", VLAN(4, Q, 7) },
	{ .ifindex = 6, .name = "eth0.6.7.8", VLAN(5, Q, 8) },
	{ .ifindex = 7, .name = "eth9.5", VLAN(GONE, Q, 5) },
	{ .ifindex = 8, .name = "far.5", VLAN(0, Q, 5) }, /* of another namespace */
	{ .ifindex = 9, .name = "veth0", .kind = "veth" },
};

static const struct netdevs devs = { .list = list, .count = sizeof(list) / sizeof(list[0]) };

static int carrier_of(const char *name, struct carrier *carrier)
{
	return netdev_carrier(&devs, netdev_by_name(&devs, name), carrier);
}

static void assert_tag(const struct vlan_tag *tag, uint16_t proto, uint16_t id)
{
	assert_int_equal(ntohs(tag->proto), proto);
	assert_int_equal(ntohs(tag->tci), id);
}

static void without_tags(void **state)
{
	struct carrier carrier;

	(void)state;
	assert_int_equal(carrier_of("eth0", &carrier), 0);
	assert_string_equal(carrier.dev->name, "eth0");
	assert_int_equal(carrier.count, 0);
	assert_tag(&carrier.tags[0], 0, 0);
	assert_int_equal(carrier_of("veth0", &carrier), 0);
	assert_string_equal(carrier.dev->name, "veth0");
}

static void with_tags(void **state)
{
	struct carrier carrier;

	(void)state;
	assert_int_equal(carrier_of("eth0.5", &carrier), 0);
	assert_string_equal(carrier.dev->name, "eth0");
	assert_int_equal(carrier.count, 1);
	assert_false(carrier.has_priorities);
	assert_tag(&carrier.tags[0], Q, 5);
	assert_tag(&carrier.tags[1], 0, 0);

	assert_int_equal(carrier_of("eth0.6.7", &carrier), 0);
	assert_string_equal(carrier.dev->name, "eth0");
	assert_int_equal(carrier.count, 2);
	assert_true(carrier.has_priorities); /* of its outer tag */
	assert_tag(&carrier.tags[0], AD, 6);
	assert_tag(&carrier.tags[1], Q, 7);
}

static void without_carrier(void **state)
{
	struct carrier carrier;

	(void)state;
	assert_int_equal(carrier_of("eth0.6.7.8", &carrier), -E2BIG);
	assert_null(carrier.dev);
	assert_int_equal(carrier_of("eth9.5", &carrier), -ENODEV);
	assert_null(carrier.dev);
	assert_int_equal(carrier_of("far.5", &carrier), -ENODEV);
	assert_null(carrier.dev);
}

static void has_vlans(void **state)
{
	(void)state;
	assert_true(netdev_has_vlans(&devs, netdev_by_name(&devs, "eth0")));
	assert_true(netdev_has_vlans(&devs, netdev_by_name(&devs, "eth0.6.7")));
	assert_false(netdev_has_vlans(&devs, netdev_by_name(&devs, "eth0.5")));
	assert_false(netdev_has_vlans(&devs, netdev_by_name(&devs, "veth0")));
}

static void found_by(void **state)
{
	(void)state;
	assert_null(netdev_by_name(&devs, "eth"));
	assert_null(netdev_by_index(&devs, GONE));
	assert_string_equal(netdev_by_index(&devs, 4)->name, "eth0.6");
	assert_int_equal(netdevs_ifindex("eth0.6", (void *)&devs), 4);
	assert_int_equal(netdevs_ifindex("eth", (void *)&devs), UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_tags),    cmocka_unit_test(with_tags),
		cmocka_unit_test(without_carrier), cmocka_unit_test(has_vlans),
		cmocka_unit_test(found_by),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("interfaces", tests, NULL, NULL);
}
