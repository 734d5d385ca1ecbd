// SPDX-License-Identifier: GPL-2.0-or-later
/* Every rule that the grammar allows and the checks refuse, with all that is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "check.h"
#include "parse.h"

/* As it is printed; for one test at a time. */
static const char *printed(const struct diag *diag)
{
	static char text[16384];
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	text[0] = '\0';
	diag_print(diag, out);
	fclose(out);
	return text;
}

static void assert_checked(const char *text, size_t found, const char *expected)
{
	struct origins origins;
	struct config config;
	struct diag diag;

	config_init(&config);
	diag_init(&diag);
	if (parse_text("a.conf", text, strlen(text), &config, &origins, &diag)) {
		diag_print(&diag, stderr);
		fail_msg("not parsed: %s", text);
	}
	assert_int_equal(check_config(&config, &origins, &diag), found);
	assert_string_equal(printed(&diag), expected);
	diag_free(&diag);
	origins_free(&origins);
	config_free(&config);
}

static void test_good(void **state)
{
	static const char *const rules[] = {
		"accept",
		"drop out any",
		"accept in eth0 icmp",
		"drop tcp,udp from :1 to :2",
		"dnat -> 10.0.0.5",
		"dnat in eth0 icmp -> 10.0.0.5-10.0.0.9",
		"dnat tcp to :80-90 -> 10.0.0.5-10.0.0.9:80-90",
		"dnat tcp to :80 -> 127.0.0.1:3306",
		"dnat -> 223.255.255.255",
		"redirect tcp to :80 -> :8080",
		"redirect tcp to :80",
		"redirect",
		"snat -> 10.0.0.5",
		"snat out eth0 udp -> 10.0.0.5-10.0.0.9:1024-65535 random",
		"masquerade",
		"masquerade out any tcp,udp -> :1024-65535 random",
		"masquerade out any -> :1024-65535",
		"snat out any icmp -> 10.0.0.5-10.0.0.9:1024-65535",
		"drop sctp to :80",
		"drop ipv6 icmp",
		"dnat tcp to [2001:db8::1]:443 -> [2001:db8::2]:8443 hairpin",
		"dnat -> 2001:db8::1-2001:db8::ffff:ffff:ffff:ffff",
		"dnat -> fe7f:ffff::",
		"dnat -> fec0::1",
		"dnat -> feff::ffff",
		"static 9.9.9.0/24 <-> 10.0.0.0/24",
		"static eth0 2001:db8:1::/48 <-> 2001:db8:2::/48",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		assert_checked(rules[i], 0, "");
}

static const struct {
	const char *rule;
	const char *expected;
} bad[] = {
	{ "dnat out eth0 -> 10.0.0.5", "a.conf:1:10: dnat works on the way in: say \"in\"\n"
				       "    dnat out eth0 -> 10.0.0.5\n"
				       "             ^~~~\n" },
	{ "dnat out any -> 10.0.0.5", "a.conf:1:10: dnat works on the way in: say \"in\"\n"
				      "    dnat out any -> 10.0.0.5\n"
				      "             ^~~\n" },
	{ "redirect out eth0 tcp -> :8", "a.conf:1:14: redirect works on the way in: say \"in\"\n"
					 "    redirect out eth0 tcp -> :8\n"
					 "                 ^~~~\n" },
	{ "snat in eth0 -> 10.0.0.5", "a.conf:1:9: snat works on the way out: say \"out\"\n"
				      "    snat in eth0 -> 10.0.0.5\n"
				      "            ^~~~\n" },
	{ "masquerade in eth0", "a.conf:1:15: masquerade works on the way out: say \"out\"\n"
				"    masquerade in eth0\n"
				"                  ^~~~\n" },
	{ "accept -> 10.0.0.5", "a.conf:1:11: accept takes no target\n"
				"    accept -> 10.0.0.5\n"
				"              ^~~~~~~~\n" },
	{ "drop -> :80", "a.conf:1:9: drop takes no target\n"
			 "    drop -> :80\n"
			 "            ^~~\n" },
	{ "dnat", "a.conf:1:1: dnat needs a target: -> ADDRESS[:PORT]\n"
		  "    dnat\n"
		  "    ^~~~\n" },
	{ "snat", "a.conf:1:1: snat needs a target: -> ADDRESS[:PORT-PORT]\n"
		  "    snat\n"
		  "    ^~~~\n" },
	{ "dnat tcp to :80 -> :8080",
	  "a.conf:1:20: dnat needs an address; for a port of this host use redirect\n"
	  "    dnat tcp to :80 -> :8080\n"
	  "                       ^~~~~\n" },
	{ "snat tcp -> :1024-65535",
	  "a.conf:1:13: snat needs an address; for the interface's own use masquerade\n"
	  "    snat tcp -> :1024-65535\n"
	  "                ^~~~~~~~~~~\n" },
	{ "redirect tcp -> 10.0.0.5:80",
	  "a.conf:1:17: redirect leads to this host and takes a port only; for another address "
	  "use dnat\n"
	  "    redirect tcp -> 10.0.0.5:80\n"
	  "                    ^~~~~~~~~~~\n" },
	{ "masquerade -> 10.0.0.5",
	  "a.conf:1:15: masquerade takes the interface's address; for another use snat\n"
	  "    masquerade -> 10.0.0.5\n"
	  "                  ^~~~~~~~\n" },
	{ "dnat -> 0.0.0.0", "a.conf:1:9: 0.0.0.0 cannot be a target\n"
			     "    dnat -> 0.0.0.0\n"
			     "            ^~~~~~~\n" },
	{ "dnat -> 224.0.0.1",
	  "a.conf:1:9: a multicast, reserved or broadcast address cannot be a target\n"
	  "    dnat -> 224.0.0.1\n"
	  "            ^~~~~~~~~\n" },
	{ "snat -> 10.0.0.1-255.255.255.255",
	  "a.conf:1:9: a multicast, reserved or broadcast address cannot be a target\n"
	  "    snat -> 10.0.0.1-255.255.255.255\n"
	  "            ^~~~~~~~~~~~~~~~~~~~~~~~\n" },
	{ "drop from 10.0.0.0/8:80", "a.conf:1:11: a port needs tcp, udp or sctp\n"
				     "    drop from 10.0.0.0/8:80\n"
				     "              ^~~~~~~~~~~~~\n" },
	{ "drop to :80", "a.conf:1:9: a port needs tcp, udp or sctp\n"
			 "    drop to :80\n"
			 "            ^~~\n" },
	{ "redirect -> :8080", "a.conf:1:13: a port needs tcp, udp or sctp\n"
			       "    redirect -> :8080\n"
			       "                ^~~~~\n" },
	{ "drop icmp to :80", "a.conf:1:14: icmp has no ports\n"
			      "    drop icmp to :80\n"
			      "                 ^~~\n" },
	{ "drop ipv6 tcp,icmp to :80", "a.conf:1:23: icmp has no ports\n"
				       "    drop ipv6 tcp,icmp to :80\n"
				       "                          ^~~\n" },
	{ "dnat -> ::", "a.conf:1:9: :: cannot be a target\n"
			"    dnat -> ::\n"
			"            ^~\n" },
	{ "dnat -> ::1",
	  "a.conf:1:9: nothing from a wire is taken for ::1; for this host use redirect\n"
	  "    dnat -> ::1\n"
	  "            ^~~\n" },
	{ "snat -> ff02::1", "a.conf:1:9: a multicast address cannot be a target\n"
			     "    snat -> ff02::1\n"
			     "            ^~~~~~~\n" },
	{ "dnat -> fe80::1", "a.conf:1:9: a link-local address cannot be a target\n"
			     "    dnat -> fe80::1\n"
			     "            ^~~~~~~\n" },
	{ "dnat -> febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff-fec0::",
	  "a.conf:1:9: a link-local address cannot be a target\n"
	  "    dnat -> febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff-fec0::\n"
	  "            ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~\n" },
	{ "redirect -> [2001:db8::1]:80",
	  "a.conf:1:13: redirect leads to this host and takes a port only; for another address "
	  "use dnat\n"
	  "    redirect -> [2001:db8::1]:80\n"
	  "                ^~~~~~~~~~~~~~~~\n" },
	{ "static 224.0.0.0/24 <-> 10.0.0.0/24",
	  "a.conf:1:8: a multicast, reserved or broadcast address cannot be a target\n"
	  "    static 224.0.0.0/24 <-> 10.0.0.0/24\n"
	  "           ^~~~~~~~~~~~\n" },
	{ "static 9.9.9.9 <-> 0.0.0.0", "a.conf:1:20: 0.0.0.0 cannot be a target\n"
					"    static 9.9.9.9 <-> 0.0.0.0\n"
					"                       ^~~~~~~\n" },
	{ "static fc00::/7 <-> fe00::/7", "a.conf:1:21: a link-local address cannot be a target\n"
					  "    static fc00::/7 <-> fe00::/7\n"
					  "                        ^~~~~~~~\n" },
	{ "dnat tcp,icmp -> 10.0.0.5:80", "a.conf:1:18: icmp has no ports\n"
					  "    dnat tcp,icmp -> 10.0.0.5:80\n"
					  "                     ^~~~~~~~~~~\n" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_checked(bad[i].rule, 1, bad[i].expected);
}

/* Two mistakes in different places are both named. */
static void test_two(void **state)
{
	(void)state;
	assert_checked(
		"snat in eth0 tcp -> :80", 2,
		"a.conf:1:9: snat works on the way out: say \"out\"\n"
		"    snat in eth0 tcp -> :80\n"
		"            ^~~~\n"
		"a.conf:1:21: snat needs an address; for the interface's own use masquerade\n"
		"    snat in eth0 tcp -> :80\n"
		"                        ^~~\n");
}

static void test_same(void **state)
{
	(void)state;
	assert_checked("drop in eth0 tcp to :80 name a\n"
		       "drop in eth1 tcp to :80\n"
		       "drop out eth0 tcp to :80\n"
		       "accept in eth0 tcp to :80\n"
		       "  drop to :80 tcp in \"eth0\"   # the first, in other words\n"
		       "drop tcp to :80 in eth0\n",
		       2,
		       "a.conf:5:3: same rule as line 1\n"
		       "      drop to :80 tcp in \"eth0\"   # the first, in other words\n"
		       "      ^~~~\n"
		       "a.conf:6:1: same rule as line 1\n"
		       "    drop tcp to :80 in eth0\n"
		       "    ^~~~\n");
	/* Nor is it another rule for a family that is said twice; an option makes one. */
	assert_checked("drop from 10.0.0.1\n"
		       "drop from 10.0.0.1 ipv4\n"
		       "drop\n"
		       "drop ipv4\n"
		       "redirect\n"
		       "redirect mss auto\n",
		       1,
		       "a.conf:2:1: same rule as line 1\n"
		       "    drop from 10.0.0.1 ipv4\n"
		       "    ^~~~\n");
	/* What an earlier rule hides may still be meant: netfilter takes it, too. */
	assert_checked("dnat tcp to :80 -> 10.0.0.1\n"
		       "dnat tcp to :80 -> 10.0.0.2\n"
		       "drop tcp to :80\n",
		       0, "");
}

static void test_same_in_other_file(void **state)
{
	const struct rule rule = { .kind = RULE_DROP };
	struct rule_origin places[] = {
		{ .rule = { "a.conf", 7, 1, 4, NULL }, .source = "drop" },
		{ .rule = { "b.conf", 2, 1, 4, NULL }, .source = "drop" },
	};
	const struct origins origins = { .rules = places, .rule_count = 2 };
	struct config config;
	struct diag diag;

	(void)state;
	config_init(&config);
	diag_init(&diag);
	assert_int_equal(config_insert(&config, 0, &rule), 0);
	assert_int_equal(config_insert(&config, 0, &rule), 0);
	assert_int_equal(check_config(&config, &origins, &diag), 1);
	assert_string_equal(printed(&diag), "b.conf:2:1: same rule as a.conf:7\n"
					    "    drop\n"
					    "    ^~~~\n");
	diag_free(&diag);
	config_free(&config);
}

/* Only counts: no rule is looked at beyond what the kernel side can hold. */
static void test_too_many(void **state)
{
	size_t length = 0, size = (XFWD_RULES_MAX + 1) * 40UL;
	char *text = malloc(size);
	struct origins origins;
	struct config config;
	struct diag diag;

	(void)state;
	assert_non_null(text);
	for (unsigned int i = 0; i <= XFWD_RULES_MAX; i++)
		length += snprintf(text + length, size - length, "drop from 10.%u.%u.%u\n", i >> 16,
				   i >> 8 & 255, i & 255);
	for (unsigned int i = 0; i <= XFWD_INTERFACES_MAX; i++)
		length += snprintf(text + length, size - length, "interface eth%u\n", i);

	config_init(&config);
	diag_init(&diag);
	assert_int_equal(parse_text("a.conf", text, length, &config, &origins, &diag), 0);
	assert_int_equal(check_config(&config, &origins, &diag), 2);
	assert_string_equal(printed(&diag), "a.conf:1048576:1: more than 1048575 rules\n"
					    "    drop from 10.15.255.255\n"
					    "    ^~~~\n"
					    "a.conf:1048833:1: more than 256 interfaces\n"
					    "    interface eth256\n"
					    "    ^~~~~~~~~\n");
	diag_free(&diag);
	origins_free(&origins);
	config_free(&config);
	free(text);
}

static void test_hairpins(void **state)
{
	char text[1024];
	size_t length = 0;

	(void)state;
	for (int i = 0; i < 16; i++)
		length += snprintf(text + length, sizeof(text) - length,
				   "dnat in eth%d tcp to :%d -> 10.0.0.5 hairpin\n", i % 7, 80 + i);
	length += snprintf(text + length, sizeof(text) - length,
			   "dnat in eth8 -> 10.0.0.5\n"
			   "dnat to 10.0.0.8 -> 10.0.0.5 hairpin\n");
	assert_checked(text, 0, "");
	snprintf(text + length, sizeof(text) - length,
		 "dnat in eth8 to 10.0.0.8 -> 10.0.0.5 hairpin\n"
		 "dnat in eth9 to 10.0.0.8 -> 10.0.0.5 hairpin\n");
	assert_checked(text, 1,
		       "a.conf:19:9: hairpin on more than 7 interfaces\n"
		       "    dnat in eth8 to 10.0.0.8 -> 10.0.0.5 hairpin\n"
		       "            ^~~~\n");
}

static void test_interfaces(void **state)
{
	static const char text[] = "interface wan0\n"
				   "interface wnaa { mode tc }\n"
				   "drop in any\n"
				   "accept\n"
				   "accept in wna0\n"
				   "drop in wna0\n"
				   "masquerade out zz9 tcp\n";
	static const char *const names[] = { "lo", "lan0", "wan0" };
	struct origins origins;
	struct config config;
	struct diag diag;

	(void)state;
	config_init(&config);
	diag_init(&diag);
	assert_int_equal(parse_text("a.conf", text, strlen(text), &config, &origins, &diag), 0);
	assert_int_equal(check_interfaces(&config, &origins, names, 3, &diag), 3);
	/* Each missing one is named once, where it is mentioned first. */
	assert_string_equal(printed(&diag), "a.conf:2:11: no interface \"wnaa\"\n"
					    "    interface wnaa { mode tc }\n"
					    "              ^~~~\n"
					    "a.conf:5:11: no interface \"wna0\"; did you mean "
					    "\"wan0\"?\n"
					    "    accept in wna0\n"
					    "              ^~~~\n"
					    "a.conf:7:16: no interface \"zz9\"\n"
					    "    masquerade out zz9 tcp\n"
					    "                   ^~~\n");
	diag_free(&diag);
	origins_free(&origins);
	config_free(&config);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),       cmocka_unit_test(test_bad),
		cmocka_unit_test(test_two),        cmocka_unit_test(test_same),
		cmocka_unit_test(test_too_many),   cmocka_unit_test(test_same_in_other_file),
		cmocka_unit_test(test_interfaces), cmocka_unit_test(test_hairpins),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
