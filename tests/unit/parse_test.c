// SPDX-License-Identifier: GPL-2.0-or-later
/* What the grammar takes, and all that is said about what it does not take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parse.h"
#include "print.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Everything that parsing fills. */
struct parsed {
	struct config config;
	struct origins origins;
	struct diag diag;
	int result;
	char config_text[4096];
	char errors[16384];
};

static void parsed_print(struct parsed *parsed)
{
	FILE *out = fmemopen(parsed->config_text, sizeof(parsed->config_text), "w");

	assert_non_null(out);
	config_print(&parsed->config, out);
	fclose(out);
	out = fmemopen(parsed->errors, sizeof(parsed->errors), "w");
	assert_non_null(out);
	diag_print(&parsed->diag, out);
	fclose(out);
}

static struct parsed *parsed_new(void)
{
	struct parsed *parsed = calloc(1, sizeof(*parsed));

	assert_non_null(parsed);
	config_init(&parsed->config);
	diag_init(&parsed->diag);
	return parsed;
}

static struct parsed *parsed_bytes(const char *text, size_t length)
{
	struct parsed *parsed = parsed_new();

	parsed->result = parse_text("a.conf", text, length, &parsed->config, &parsed->origins,
				    &parsed->diag);
	parsed_print(parsed);
	return parsed;
}

static struct parsed *parsed_text(const char *text)
{
	return parsed_bytes(text, strlen(text));
}

static struct parsed *parsed_file(const char *path)
{
	struct parsed *parsed = parsed_new();

	parsed->result = parse_file(path, &parsed->config, &parsed->origins, &parsed->diag);
	parsed_print(parsed);
	return parsed;
}

static void parsed_free(struct parsed *parsed)
{
	diag_free(&parsed->diag);
	origins_free(&parsed->origins);
	config_free(&parsed->config);
	free(parsed);
}

static void assert_config(const char *text, const char *expected)
{
	struct parsed *parsed = parsed_text(text);

	assert_string_equal(parsed->errors, "");
	assert_int_equal(parsed->result, 0);
	assert_string_equal(parsed->config_text, expected);
	parsed_free(parsed);
}

static void assert_errors(const char *text, const char *expected)
{
	struct parsed *parsed = parsed_text(text);

	assert_string_equal(parsed->errors, expected);
	assert_int_equal(parsed->result, -EINVAL);
	parsed_free(parsed);
}

/* A rule, and how it is printed; NULL: as it was written. */
static const struct {
	const char *text;
	const char *printed;
} good_rules[] = {
	{ "redirect tcp to :80 into :8080", "redirect tcp to :80 -> :8080" },
	{ "accept", NULL },
	{ "drop", NULL },
	{ "dnat in eth0 tcp to 203.0.113.7:443 -> 10.0.0.5:8443", NULL },
	{ "dnat in eth0 tcp from 192.168.1.0/24 to :1111 -> 2.2.2.2:1111", NULL },
	{ "dnat in eth0 tcp to :59999 -> 127.0.0.1:3306", NULL },
	{ "dnat in eth0 udp to :27000-27100 -> 10.0.0.9", NULL },
	{ "dnat -> 10.0.0.1-10.0.0.9:1-65535", NULL },
	{ "redirect in eth0 tcp to :80 -> :8080", NULL },
	{ "redirect tcp to :80 -> :8080-8090", NULL },
	{ "snat out eth0 from 10.0.1.0/24 -> 203.0.113.8-203.0.113.15", NULL },
	{ "snat out eth0 tcp,udp -> 203.0.113.8:1024-65535 random name pool-1", NULL },
	{ "masquerade out eth0 from 10.0.0.0/24", NULL },
	{ "masquerade tcp -> :1024-65535", NULL },
	{ "drop in eth0 tcp from 198.51.100.0/24 to :22", NULL },
	{ "drop out any", NULL },
	{ "drop from 0.0.0.0/0", NULL },
	{ "drop from 128.0.0.0/1:1-65535", NULL },
	{ "drop in any", "drop" },
	{ "drop from any to any", "drop" },
	{ "drop from any:5 to any:6-6", "drop from :5 to :6" },
	{ "drop from 10.0.0.1/32", "drop from 10.0.0.1" },
	{ "drop from :0080", "drop from :80" },
	{ "masquerade out any", "masquerade" },
	{ "dnat -> 10.0.0.5-10.0.0.5", "dnat -> 10.0.0.5" },
	/* Any order, any blanks. */
	{ "drop to :80 from 10.0.0.1 udp , tcp in eth0",
	  "drop in eth0 tcp,udp from 10.0.0.1 to :80" },
	{ " \tdrop\t\tto   :80 # all of it ; drop", "drop to :80" },
	{ "dnat tcp->10.0.0.5:80", "dnat tcp -> 10.0.0.5:80" },
	{ "dnat tcp to :80->10.0.0.5", "dnat tcp to :80 -> 10.0.0.5" },
	{ "dnat in eth0->10.0.0.5", "dnat in eth0 -> 10.0.0.5" },
	{ "snat -> 10.0.0.5 name x random", "snat -> 10.0.0.5 random name x" },
	{ "masquerade\r\n", "masquerade" },
	/* A name is a name whatever it says. */
	{ "drop in in", NULL },
	{ "drop out out from 10.0.0.1", NULL },
	{ "drop in tcp tcp", NULL },
	{ "drop in \"any\"", NULL },
	{ "drop in \"eth0\"", "drop in eth0" },
	{ "drop in eth0.771", NULL },
	{ "drop in eth0:1", NULL },
	{ "drop in br-lan@if3", NULL },
	{ "drop in \"a->b\"", NULL },
	{ "drop in 6to4", NULL },
	{ "drop in fifteen-letters", NULL },
	{ "drop name drop", NULL },
	{ "drop name \"x\"", "drop name x" },
	{ "drop name -", NULL },
	{ "drop name a-", NULL },
	{ "drop name A-Za-z0-9_.-67890123456789-31", NULL },
	/* IPv6, with ports in brackets; the address says the family, else a word does. */
	{ "drop from 2001:DB8:0:0::1", "drop from 2001:db8::1" },
	{ "drop from ::/0 to ::", NULL },
	{ "drop from 2001:db8::/48 to [2001:db8:1::1]",
	  "drop from 2001:db8::/48 to 2001:db8:1::1" },
	{ "dnat in eth0 tcp to [2001:db8::1]:443 -> [2001:db8::2]:8443", NULL },
	{ "drop tcp to [2001:db8::/48]:1000-2000", NULL },
	{ "drop tcp to [2001:db8::]/48:80", "drop tcp to [2001:db8::/48]:80" },
	{ "drop tcp to 2001:db8::/48:80", "drop tcp to [2001:db8::/48]:80" },
	{ "drop from 2001:db8::1/128", "drop from 2001:db8::1" },
	{ "dnat -> 2001:db8::1-2001:db8::9", NULL },
	{ "dnat -> 2001:db8::-2001:db8::ffff:ffff:ffff:ffff", NULL },
	{ "dnat -> [2001:db8::1]", "dnat -> 2001:db8::1" },
	{ "dnat udp->[2001:db8::1]-[2001:db8::9]:80-90",
	  "dnat udp -> [2001:db8::1]-[2001:db8::9]:80-90" },
	{ "drop ipv6", NULL },
	{ "drop ipv4 tcp", NULL },
	{ "drop tcp ipv4 in eth0", "drop in eth0 ipv4 tcp" },
	{ "drop ipv6 from ::1", "drop from ::1" },
	{ "drop ipv4 from any to 10.0.0.1", "drop to 10.0.0.1" },
	{ "drop icmpv6", "drop ipv6 icmp" },
	{ "drop icmpv6,tcp", "drop ipv6 tcp,icmp" },
	{ "drop sctp,udp to :80", "drop udp,sctp to :80" },
	{ "masquerade ipv4 out eth0", "masquerade out eth0" },
	{ "masquerade out eth0 ipv6", NULL },
	{ "masquerade ipv6 from 2001:db8::/48", "masquerade from 2001:db8::/48" },
	/* One to one. */
	{ "static eth0 9.9.9.1 <-> 10.55.0.62", NULL },
	{ "static 9.9.9.1<->10.55.0.62", "static 9.9.9.1 <-> 10.55.0.62" },
	{ "static 9.9.9.0/24 with 10.55.0.0/24 name x",
	  "static 9.9.9.0/24 <-> 10.55.0.0/24 name x" },
	{ "static wan0 2001:db8:1::/48 <-> [2001:db8:2::]/48",
	  "static wan0 2001:db8:1::/48 <-> 2001:db8:2::/48" },
	{ "static [::2] <-> ::3", "static ::2 <-> ::3" },
	{ "static any 1.1.1.1 <-> 2.2.2.2", "static 1.1.1.1 <-> 2.2.2.2" },
	{ "static \"any\" 1.1.1.1 <-> 2.2.2.2", NULL },
	{ "static tcp 1.1.1.1 <-> 2.2.2.2", NULL },
	{ "static \"1.1\" 1.1.1.1 <-> 2.2.2.2", NULL },
	{ "static \"9.9:1\" 1.1.1.1 <-> 2.2.2.2", NULL },
	{ "static \"a::b\" 1.1.1.1 <-> 2.2.2.2", NULL },
	{ "static 6to4 1.1.1.1 <-> 2.2.2.2", NULL },
	{ "static eth0:1 1.1.1.1 <-> 2.2.2.2", NULL },
	/* Options. */
	{ "dnat -> 10.0.0.5 hairpin limit flows 100 limit rate 20/s mss auto name x", NULL },
	{ "dnat -> 10.0.0.5 name x mss 1400 limit rate 20/s hairpin limit flows 100",
	  "dnat -> 10.0.0.5 hairpin limit flows 100 limit rate 20/s mss 1400 name x" },
	{ "redirect tcp limit flows 16777216 limit rate 1000000/s mss 65495", NULL },
	{ "masquerade mss 536", NULL },
	{ "masquerade random mapping endpoint-dependent", NULL },
	{ "snat -> 10.0.0.5 filtering endpoint-independent", NULL },
	{ "snat -> 10.0.0.5 filtering address-dependent", NULL },
	{ "snat -> 10.0.0.5 mapping endpoint-independent filtering address-and-port-dependent",
	  "snat -> 10.0.0.5" },
};

static void test_good_rules(void **state)
{
	struct rule_origin origin;
	char text[RULE_TEXT_MAX];
	struct rule rule;
	struct diag diag;

	(void)state;
	diag_init(&diag);
	for (size_t i = 0; i < COUNT(good_rules); i++) {
		if (parse_rule(good_rules[i].text, &rule, &origin, &diag)) {
			diag_print(&diag, stderr);
			fail_msg("refused: %s", good_rules[i].text);
		}
		rule_print(&rule, text);
		assert_string_equal(text, good_rules[i].printed ? good_rules[i].printed
								: good_rules[i].text);
	}
	diag_free(&diag);
}

/* Every field, in the byte order that the model has. */
static void test_fields(void **state)
{
	static const char text[] = "snat out eth0 tcp,udp from 10.1.0.0/16:5-6 to 192.0.2.1:7 "
				   "-> 1.2.3.4-1.2.3.9:8-9 random name n";
	struct rule expected = {
		.kind = RULE_SNAT,
		.stage = STAGE_OUT,
		.protocols = RULE_TCP | RULE_UDP,
		.family = AF_INET,
		.random = 1,
		.ifname = "eth0",
		.from = { .prefix = { .family = AF_INET, .len = 16 }, .ports = { 5, 6 } },
		.to = { .prefix = { .family = AF_INET, .len = 32 }, .ports = { 7, 7 } },
		.target = { .family = AF_INET, .ports = { 8, 9 } },
		.name = "n",
	};
	struct rule_origin origin;
	struct rule rule;
	struct diag diag;

	(void)state;
	expected.from.prefix.addr.word[0] = htonl(0x0a010000);
	expected.to.prefix.addr.word[0] = htonl(0xc0000201);
	expected.target.addr_min.word[0] = htonl(0x01020304);
	expected.target.addr_max.word[0] = htonl(0x01020309);

	diag_init(&diag);
	assert_int_equal(parse_rule(text, &rule, &origin, &diag), 0);
	assert_memory_equal(&rule, &expected, sizeof(rule));
	assert_ptr_equal(origin.source, text);
	assert_string_equal(origin.rule.file, "command line");
	assert_int_equal(origin.rule.first_column, 1);
	assert_int_equal(origin.ifname.first_column, 10);
	assert_int_equal(origin.from.first_column, 28);
	assert_int_equal(origin.from.last_column, 42);
	assert_int_equal(origin.to.first_column, 47);
	assert_int_equal(origin.target.first_column, 62);
	assert_int_equal(origin.target.last_column, 80);

	assert_int_equal(parse_rule("drop", &rule, &origin, &diag), 0);
	assert_int_equal(origin.ifname.line, 0);
	assert_int_equal(origin.from.line, 0);
	assert_int_equal(origin.to.line, 0);
	assert_int_equal(origin.target.line, 0);
	diag_free(&diag);
}

#define OPTIONS      "name, random, mapping, filtering, hairpin, limit, mss or the end of the line"
#define AFTER_ACTION "in, out, ipv4, ipv6, tcp, udp, sctp, icmp, icmpv6, from, to, ->, " OPTIONS
#define ACTIONS      "accept, drop, dnat, redirect, snat, masquerade, static"
#define ACTIONS_OR   "accept, drop, dnat, redirect, snat, masquerade or static"

/* A rule, where the error is, and what is said. */
static const struct {
	const char *text;
	int first_column;
	int last_column;
	const char *message;
} bad_rules[] = {
	{ "", 1, 1, "the line ends too early; expected " ACTIONS_OR },
	{ "# drop", 7, 7, "the line ends too early; expected " ACTIONS_OR },
	{ "redirct to :80", 1, 7, "unknown word \"redirct\"; did you mean \"redirect\"?" },
	{ "DNAT to :80", 1, 4, "unknown word \"DNAT\"; did you mean \"dnat\"?" },
	{ "set flows 1M", 1, 3, "unexpected \"set\"; expected " ACTIONS_OR },
	{ "drop\ndrop", 1, 4, "unexpected \"drop\"; expected the end" },
	{ "drop; drop", 5, 5, "unexpected \";\"; expected " AFTER_ACTION },
	{ "drop drop", 6, 9, "unexpected \"drop\"; expected " AFTER_ACTION },
	{ "drop tpc", 6, 8, "unknown word \"tpc\"; did you mean \"tcp\"?" },
	{ "drop stcp", 6, 9, "unknown word \"stcp\"; did you mean \"tcp\"?" },
	{ "drop ipv5", 6, 9, "unknown word \"ipv5\"; did you mean \"ipv4\"?" },
	{ "drop log", 6, 8, "unknown word \"log\"; expected " AFTER_ACTION },
	{ "dnat -> pool web", 9, 12, "\"pool\" is not an address" },
	{ "dnat -> 10.0.0.5 hairpinn", 18, 25,
	  "unknown word \"hairpinn\"; did you mean \"hairpin\"?" },
	{ "dnat -> 10.0.0.5 to :80", 18, 19, "unexpected \"to\"; expected " OPTIONS },
	{ "drop > 10.0.0.5", 6, 6, "unexpected \">\"; expected " AFTER_ACTION },
	{ "drop to 10.0.0.5 :80", 18, 20, "unknown word \":80\"; expected " AFTER_ACTION },
	{ "drop 80", 6, 7, "unexpected \"80\"; expected " AFTER_ACTION },
	{ "drop \"tcp\"", 6, 10, "unexpected \"tcp\"; expected " AFTER_ACTION },
	{ "drop in", 8, 8, "the line ends too early; expected a name" },
	{ "drop in -> 1.2.3.4", 9, 10, "unexpected \"->\"; expected a name" },
	{ "drop from", 10, 10, "the line ends too early; expected an address or :port" },
	{ "drop from to", 11, 12, "\"to\" is not an address" },
	{ "dnat ->", 8, 8, "the line ends too early; expected an address or :port" },
	{ "dnat -> random", 9, 14, "\"random\" is not an address" },
	{ "drop tcp,", 10, 10, "the line ends too early; expected tcp, udp, sctp, icmp or icmpv6" },
	{ "drop to :", 10, 10, "the line ends too early; expected a port" },
	{ "drop to : 80", 11, 12, "unexpected \"80\"; expected a port" },
	{ "drop to 10.0.0.0/", 18, 18, "the line ends too early; expected a prefix length" },
	{ "drop to 10.0.0.0/8/8", 19, 19, "unexpected \"/\"; expected " AFTER_ACTION },

	{ "drop in a in b", 11, 12, "in is given twice" },
	{ "drop in any in b", 13, 14, "in is given twice" },
	{ "drop out a out b", 12, 14, "out is given twice" },
	{ "drop in a out b", 11, 13, "a rule has either in or out, not both" },
	{ "drop from :1 to :2 from :3", 20, 23, "from is given twice" },
	{ "drop to :1 to :2", 12, 13, "to is given twice" },
	{ "drop tcp udp", 10, 12, "the protocol is given twice; a list is written tcp,udp" },
	{ "drop tcp,tcp", 10, 12, "this protocol is given twice" },
	{ "drop name a name b", 13, 16, "name is given twice" },
	{ "snat -> 1.2.3.4 random random", 24, 29, "random is given twice" },
	{ "dnat -> 1.2.3.4 random", 17, 22, "random goes with snat and masquerade only" },

	{ "drop to :0", 10, 10, "port out of range (1-65535)" },
	{ "drop to :65536", 10, 14, "port out of range (1-65535)" },
	{ "drop to :18446744073709551696", 10, 29, "port out of range (1-65535)" },
	{ "drop to :80abc", 10, 14, "\"80abc\" is not a port (1-65535)" },
	{ "drop to :http", 10, 13, "\"http\" is not a port (1-65535)" },
	{ "drop to :80-abc", 13, 15, "\"abc\" is not a port (1-65535)" },
	{ "drop to :90-80", 13, 14, "the port range ends before it begins" },
	{ "drop from 10.0.0.256", 11, 20, "\"10.0.0.256\" is not an IPv4 address" },
	{ "drop from 10.0.0", 11, 16, "\"10.0.0\" is not an IPv4 address" },
	{ "drop from 10.0.0.010", 11, 20, "\"10.0.0.010\" is not an IPv4 address" },
	{ "drop from 1000000000000000000000000000000000000000000000", 11, 56,
	  "\"1000000000000000000000000000000000000000\" is not an IPv4 address" },
	{ "drop from example.com:80", 11, 21, "\"example.com\" is not an address" },
	{ "dnat -> any", 9, 11, "\"any\" is not an address" },
	{ "drop from any/8", 11, 13, "any has no prefix length" },
	{ "drop from 10.0.0.0/33", 20, 21, "\"33\" is not a prefix length (0-32)" },
	{ "drop from 10.0.0.0/255.0.0.0", 20, 28, "\"255.0.0.0\" is not a prefix length (0-32)" },
	{ "drop from 10.0.0.5/8", 11, 18,
	  "the address has bits set after the prefix; did you mean 10.0.0.0/8?" },
	{ "drop from 1.0.0.0/0", 11, 17,
	  "the address has bits set after the prefix; did you mean 0.0.0.0/0?" },
	{ "dnat -> 10.0.0.9-10.0.0.5", 18, 25, "the address range ends before it begins" },
	{ "dnat -> 10.0.0.9-5", 18, 18, "\"5\" is not an IPv4 address" },

	{ "drop from 2001:db8::g", 11, 21, "\"2001:db8::g\" is not an IPv6 address" },
	{ "drop from 2001:db8::1/48", 11, 21,
	  "the address has bits set after the prefix; did you mean 2001:db8::/48?" },
	{ "drop from [2001:db8::1/48]:80", 11, 26,
	  "the address has bits set after the prefix; did you mean 2001:db8::/48?" },
	{ "drop from [2001:db8::/48]/48", 11, 25, "the prefix length is given twice" },
	{ "drop from [2001:db8::/128]/64", 11, 26, "the prefix length is given twice" },
	{ "drop from ::/0 to [::1/128]/128", 19, 27, "the prefix length is given twice" },
	{ "drop from 2001:db8::/129", 22, 24, "\"129\" is not a prefix length (0-128)" },
	{ "drop from [2001:db8::/129]", 11, 26, "\"129\" is not a prefix length (0-128)" },
	{ "drop from [::/]", 11, 15, "\"\" is not a prefix length (0-128)" },
	{ "drop from fe80::1%eth0", 11, 22, "an address has no %zone here: name the interface" },
	{ "drop from ::ffff:10.0.0.1", 11, 25, "this is an IPv4 address: say 10.0.0.1" },
	{ "drop from ::ffff:a00:1", 11, 22, "this is an IPv4 address: say 10.0.0.1" },
	{ "dnat -> 2001:db8::9-2001:db8::1", 21, 31, "the address range ends before it begins" },
	{ "dnat -> 2001:db8::-2001:db8:0:1::", 20, 33,
	  "the address range has more than 2^64 addresses" },
	{ "dnat -> [2001:db8::/48]", 9, 23, "a target is an address or a range, not a prefix" },
	{ "dnat -> 2001:db8::/48", 19, 19, "unexpected \"/\"; expected " OPTIONS },
	{ "drop to :80:90", 9, 14, "\":80:90\" is not an IPv6 address" },
	{ "drop to [10.0.0.5]:80", 9, 18, "\"[10.0.0.5]\" is not an IPv6 address" },
	{ "drop to []", 9, 10, "\"[]\" is not an IPv6 address" },

	{ "dnat to 2001:db8::1 -> 10.0.0.1", 24, 31, "this is IPv4, what comes before is IPv6" },
	{ "dnat -> 2001:db8::1-10.0.0.1", 21, 28, "this is IPv4, what comes before is IPv6" },
	{ "drop from 10.0.0.1 to ::2", 23, 25, "this is IPv6, what comes before is IPv4" },
	{ "drop ipv4 from ::1", 16, 18, "this is IPv6, what comes before is IPv4" },
	{ "drop from 10.0.0.1 ipv6", 20, 23, "this is IPv6, what comes before is IPv4" },
	{ "drop ipv4 icmpv6", 11, 16, "this is IPv6, what comes before is IPv4" },
	{ "drop ipv6 ipv4", 11, 14, "ipv4 or ipv6 is given twice" },
	{ "drop ipv6 ipv6", 11, 14, "ipv4 or ipv6 is given twice" },
	{ "drop icmp,icmpv6", 11, 16, "this protocol is given twice" },

	{ "static", 7, 7, "the line ends too early; expected a name or an address" },
	{ "static eth0", 12, 12, "the line ends too early; expected an address" },
	{ "static in eth0 9.9.9.1 <-> 1.1.1.1", 11, 14, "\"eth0\" is not an address" },
	{ "static 9.9.9.1", 15, 15, "the line ends too early; expected <->" },
	{ "static 9.9.9.1 <->", 19, 19, "the line ends too early; expected an address" },
	{ "static 9.9.9.1 -> 1.1.1.1", 16, 17, "unexpected \"->\"; expected <->" },
	{ "static 9.9.9.1:80 <-> 1.1.1.1:80", 15, 15, "unexpected \":\"; expected <->" },
	{ "static 9.9.9 <-> 1.1.1.1", 8, 12, "\"9.9.9\" is not an IPv4 address" },
	{ "static a/b 9.9.9.1 <-> 1.1.1.1", 8, 10, "\"a/b\" cannot be an interface's name" },
	{ "static 9.9.9.1 <-> any", 20, 22, "static needs an address or a prefix on both sides" },
	{ "static any any <-> 1.1.1.1", 12, 14,
	  "static needs an address or a prefix on both sides" },
	{ "static 9.9.9.0/24 <-> 1.1.1.0/25", 23, 32,
	  "both sides have to be of one length: /25 is not /24" },
	{ "static 9.9.9.1 <-> 9.9.9.1", 20, 26, "both sides are the same" },
	{ "static 9.9.9.1 <-> ::2", 20, 22, "this is IPv6, what comes before is IPv4" },
	{ "static 9.9.9.1 <-> 1.1.1.1 mss auto", 28, 35,
	  "mss goes with dnat, redirect, snat and masquerade only" },
	{ "dnat to 9.9.9.1 <-> 1.1.1.1", 17, 19, "unexpected \"<->\"; expected " AFTER_ACTION },

	{ "drop limit flows 4", 6, 18, "limit goes with dnat, redirect, snat and masquerade only" },
	{ "snat -> 1.1.1.1 hairpin", 17, 23, "hairpin goes with dnat only" },
	{ "dnat -> 1.1.1.1 mapping endpoint-dependent", 17, 42,
	  "mapping goes with snat and masquerade only" },
	{ "redirect filtering address-dependent", 10, 36,
	  "filtering goes with snat and masquerade only" },
	{ "dnat -> 1.1.1.1 hairpin hairpin", 25, 31, "hairpin is given twice" },
	{ "dnat -> 1.1.1.1 mss 1400 mss auto", 26, 33, "mss is given twice" },
	{ "masquerade mapping endpoint-independent mapping endpoint-dependent", 41, 66,
	  "mapping is given twice" },
	{ "masquerade filtering address-dependent filtering address-dependent", 40, 66,
	  "filtering is given twice" },
	{ "redirect limit flows 5 limit flows 5", 24, 36, "limit flows is given twice" },
	{ "redirect limit rate 5/s limit rate 5/s", 25, 38, "limit rate is given twice" },
	{ "redirect limit", 15, 15, "the line ends too early; expected flows or rate" },
	{ "redirect limit rat", 16, 18, "unknown word \"rat\"; did you mean \"rate\"?" },
	{ "redirect limit flows 0", 22, 22, "flows out of range (1-16777216)" },
	{ "redirect limit flows 1K", 22, 23, "\"1K\" is not a number" },
	{ "redirect limit rate 5", 21, 21, "\"5\" is not a rate (100/s)" },
	{ "redirect limit rate 5/m", 21, 23, "\"5/m\" is not a rate (100/s)" },
	{ "redirect limit rate 0/s", 21, 23, "rate out of range (1-1000000)" },
	{ "redirect mss 535", 14, 16, "mss out of range (536-65495)" },
	{ "redirect mss 65496", 14, 18, "mss out of range (536-65495)" },
	{ "redirect mss al", 14, 15, "unknown word \"al\"; expected auto or a number" },
	{ "redirect udp mss auto", 14, 21, "mss needs tcp" },
	{ "masquerade mapping endpoint-dependnet", 20, 37,
	  "unknown word \"endpoint-dependnet\"; did you mean \"endpoint-dependent\"?" },
	{ "masquerade filtering x", 22, 22,
	  "unknown word \"x\"; expected endpoint-independent, address-dependent or "
	  "address-and-port-dependent" },
	{ "masquerade mapping endpoint-dependent filtering endpoint-independent", 39, 68,
	  "filtering endpoint-independent needs mapping endpoint-independent" },
	{ "masquerade filtering address-dependent mapping endpoint-dependent", 40, 65,
	  "filtering address-dependent needs mapping endpoint-independent" },
	{ "drop to [::1", 9, 12, "unexpected \"[::1\"; expected an address or :port" },

	{ "drop in sixteen--letters", 9, 24, "an interface name has at most 15 characters" },
	{ "drop in \"\"", 9, 10, "\"\" cannot be an interface's name" },
	{ "drop in a/b", 9, 11, "\"a/b\" cannot be an interface's name" },
	{ "drop in \"a b\"", 9, 13, "\"a b\" cannot be an interface's name" },
	{ "drop in .", 9, 9, "\".\" cannot be an interface's name" },
	{ "drop in ..", 9, 10, "\"..\" cannot be an interface's name" },
	{ "drop name a/b", 11, 13, "a name has 1-31 letters, digits, \"_\", \".\" or \"-\"" },
	{ "drop name \"\"", 11, 12, "a name has 1-31 letters, digits, \"_\", \".\" or \"-\"" },
	{ "drop name thirty-two-letters-are-too-many-", 11, 42,
	  "a name has 1-31 letters, digits, \"_\", \".\" or \"-\"" },
	{ "drop in \"eth0", 9, 13, "the string has no closing quote" },
};

static void test_bad_rules(void **state)
{
	struct rule_origin origin;
	struct rule rule;
	struct diag diag;

	(void)state;
	for (size_t i = 0; i < COUNT(bad_rules); i++) {
		diag_init(&diag);
		if (parse_rule(bad_rules[i].text, &rule, &origin, &diag) != -EINVAL)
			fail_msg("taken: %s", bad_rules[i].text);
		assert_int_equal(diag.count, 1);
		assert_string_equal(diag.entries[0].text, bad_rules[i].message);
		assert_string_equal(diag.entries[0].file, "command line");
		if (diag.entries[0].first_column != bad_rules[i].first_column ||
		    diag.entries[0].last_column != bad_rules[i].last_column)
			fail_msg("%s: columns %d-%d", bad_rules[i].text,
				 diag.entries[0].first_column, diag.entries[0].last_column);
		diag_free(&diag);
	}
}

static void test_config(void **state)
{
	(void)state;
	assert_config("", "");
	assert_config("\n\n;;\n# only a comment", "");
	assert_config("set flows 1M\nset flows 64", "set flows 64\n");
	assert_config("set flows 2K; set timeout udp 2m; set timeout tcp 2h",
		      "set flows 2K\nset timeout tcp 2h\nset timeout udp 2m\n");
	assert_config("set timeout \"icmp\" 1\nset timeout tcp-closing 14d",
		      "set timeout tcp-closing 14d\nset timeout icmp 1s\n");
	assert_config("set tcp loose on\nset sysctl off", "set tcp loose on\nset sysctl off\n");
	assert_config("set tcp loose off\nset sysctl on\nset source-check on", "");
	assert_config("set source-check off", "set source-check off\n");
	assert_config("interface eth0\ninterface interface { }\n",
		      "interface eth0 { mode auto }\ninterface interface { mode auto }\n");
	assert_config("interface a { mode auto }\ninterface b { mode native; }\n"
		      "interface c {\n\n\tmode generic # forced\n\n}\ninterface d{mode tc}\n",
		      "interface a { mode auto }\ninterface b { mode native }\n"
		      "interface c { mode generic }\ninterface d { mode tc }\n");
	/* The last one holds. */
	assert_config("interface a { mode tc }\ninterface b\ninterface a { mode native }",
		      "interface a { mode native }\ninterface b { mode auto }\n");
	assert_config("drop; accept\nsnat -> 1.2.3.4", "drop\naccept\nsnat -> 1.2.3.4\n");
}

#define TIMEOUTS "tcp-opening tcp tcp-closing udp sctp icmp other unanswered"

static const struct {
	const char *text;
	const char *expected;
} bad_configs[] = {
	{ "pool", "a.conf:1:1: unknown word \"pool\"; expected " ACTIONS
		  ", set, interface or include\n    pool\n    ^~~~\n" },
	{ "}", "a.conf:1:1: unexpected \"}\"; expected " ACTIONS
	       ", set, interface or include\n    }\n    ^\n" },
	{ "set",
	  "a.conf:1:4: the line ends too early; expected tcp, flows, timeout, sysctl or source-check\n"
	  "    set\n       ^\n" },
	{ "set flow 1M", "a.conf:1:5: unknown word \"flow\"; did you mean \"flows\"?\n"
			 "    set flow 1M\n        ^~~~\n" },
	{ "set flows many", "a.conf:1:11: unknown word \"many\"; expected a number\n"
			    "    set flows many\n              ^~~~\n" },
	{ "set flows 1m", "a.conf:1:11: \"1m\" is not a count (131072, 128K, 1M)\n"
			  "    set flows 1m\n              ^~\n" },
	{ "set flows 1KM", "a.conf:1:11: \"1KM\" is not a count (131072, 128K, 1M)\n"
			   "    set flows 1KM\n              ^~~\n" },
	{ "set flows 63", "a.conf:1:11: flows out of range (64-16777216)\n"
			  "    set flows 63\n              ^~\n" },
	{ "set flows 17M", "a.conf:1:11: flows out of range (64-16777216)\n"
			   "    set flows 17M\n              ^~~\n" },
	{ "set flows 99999999999999999999K", "a.conf:1:11: flows out of range (64-16777216)\n"
					     "    set flows 99999999999999999999K\n"
					     "              ^~~~~~~~~~~~~~~~~~~~~\n" },
	{ "set timeout upd 1m", "a.conf:1:13: no timeout \"upd\"; did you mean \"udp\"?\n"
				"    set timeout upd 1m\n                ^~~\n" },
	{ "set timeout dccp99 1m", "a.conf:1:13: no timeout \"dccp99\"; there are " TIMEOUTS "\n"
				   "    set timeout dccp99 1m\n                ^~~~~~\n" },
	{ "set timeout gre 1m", "a.conf:1:13: no timeout \"gre\"; there are " TIMEOUTS "\n"
				"    set timeout gre 1m\n                ^~~\n" },
	{ "set timeout udp 1w", "a.conf:1:17: \"1w\" is not a duration (30s, 2m, 1h, 1d)\n"
				"    set timeout udp 1w\n                    ^~\n" },
	{ "set timeout udp 0s", "a.conf:1:17: timeout out of range (1s-14d)\n"
				"    set timeout udp 0s\n                    ^~\n" },
	{ "set timeout udp 15d", "a.conf:1:17: timeout out of range (1s-14d)\n"
				 "    set timeout udp 15d\n                    ^~~\n" },
	{ "set source-chek on",
	  "a.conf:1:5: unknown word \"source-chek\"; did you mean "
	  "\"source-check\"?\n    set source-chek on\n        ^~~~~~~~~~~\n" },
	{ "set sysctl yes", "a.conf:1:12: unknown word \"yes\"; expected on or off\n"
			    "    set sysctl yes\n               ^~~\n" },
	{ "interface {}", "a.conf:1:11: unexpected \"{\"; expected a name\n"
			  "    interface {}\n              ^\n" },
	{ "interface eth0 auto", "a.conf:1:16: unexpected \"auto\"; expected { or the end of the "
				 "line\n    interface eth0 auto\n                   ^~~~\n" },
	{ "interface eth0 { auto }", "a.conf:1:18: unexpected \"auto\"; expected mode, } or the "
				     "end of the line\n    interface eth0 { auto }\n"
				     "                     ^~~~\n" },
	{ "interface eth0 { mode nativ }", "a.conf:1:23: unknown word \"nativ\"; did you mean "
					   "\"native\"?\n    interface eth0 { mode nativ }\n"
					   "                          ^~~~~\n" },
	{ "interface eth0 { mode tc; mode tc }", "a.conf:1:27: mode is given twice\n"
						 "    interface eth0 { mode tc; mode tc }\n"
						 "                              ^~~~\n" },
	{ "drop\ninterface eth0 { \n mode tc\n", "a.conf:2:1: the block that begins here has no }\n"
						 "    interface eth0 { \n    ^~~~~~~~~\n" },
	{ "include a.conf", "a.conf:1:9: unknown word \"a.conf\"; expected a string in quotes\n"
			    "    include a.conf\n            ^~~~~~\n" },
};

static void test_bad_configs(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad_configs); i++)
		assert_errors(bad_configs[i].text, bad_configs[i].expected);
}

/* Each wrong line is reported, once, and the lines between them are read. */
static void test_every_line(void **state)
{
	static const char text[] =
		"redirct tcp to :80 -> :8080\n"
		"drop # good\n"
		"dnat in eth0 tcp to :99999 -> 10.0.0.500\n"
		"\tdnat in\teth0 tcp fron :80 -> 10.0.0.5\n"
		"drop in\n"
		"drop from 10.0.0.5/8; drop frm x\n"
		"set timeout tpc 1h\n"
		"interface eth0 {\n"
		"    mod native\n"
		"    mode nativ\n"
		"}\n"
		"accept # good\n"
		"pool web {\n"
		"    server 10.0.0.5:80 { weight 2 } # one error: \"}\" and all\n"
		"    server \"}\"\n"
		"}\n"
		"drop to [::1]:80 from 10.0.0.1\n"
		"masquerade # good\n"
		"drop to \"\n"
		"snat -> 10.0.0.1";
	static const char expected[] =
		"a.conf:1:1: unknown word \"redirct\"; did you mean \"redirect\"?\n"
		"    redirct tcp to :80 -> :8080\n"
		"    ^~~~~~~\n"
		"a.conf:3:22: port out of range (1-65535)\n"
		"    dnat in eth0 tcp to :99999 -> 10.0.0.500\n"
		"                         ^~~~~\n"
		"a.conf:4:19: unknown word \"fron\"; did you mean \"from\"?\n"
		"    \tdnat in\teth0 tcp fron :80 -> 10.0.0.5\n"
		"    \t       \t         ^~~~\n"
		"a.conf:5:8: the line ends too early; expected a name\n"
		"    drop in\n"
		"           ^\n"
		"a.conf:6:11: the address has bits set after the prefix; did you mean 10.0.0.0/8?\n"
		"    drop from 10.0.0.5/8; drop frm x\n"
		"              ^~~~~~~~\n"
		"a.conf:7:13: no timeout \"tpc\"; did you mean \"tcp\"?\n"
		"    set timeout tpc 1h\n"
		"                ^~~\n"
		"a.conf:9:5: unknown word \"mod\"; did you mean \"mode\"?\n"
		"        mod native\n"
		"        ^~~\n"
		"a.conf:10:10: unknown word \"nativ\"; did you mean \"native\"?\n"
		"        mode nativ\n"
		"             ^~~~~\n"
		"a.conf:13:1: unknown word \"pool\"; expected " ACTIONS
		", set, interface or include\n"
		"    pool web {\n"
		"    ^~~~\n"
		"a.conf:17:23: this is IPv4, what comes before is IPv6\n"
		"    drop to [::1]:80 from 10.0.0.1\n"
		"                          ^~~~~~~~\n"
		"a.conf:19:9: the string has no closing quote\n"
		"    drop to \"\n"
		"            ^\n";
	struct parsed *parsed = parsed_text(text);

	(void)state;
	assert_string_equal(parsed->errors, expected);
	assert_int_equal(parsed->result, -EINVAL);
	assert_string_equal(parsed->config_text, "interface eth0 { mode auto }\ndrop\naccept\n"
						 "masquerade\nsnat -> 10.0.0.1\n");
	parsed_free(parsed);
}

/* A block that is not understood is skipped; what follows is not. */
static void test_skipped_block(void **state)
{
	(void)state;
	assert_errors("interface {\n mode tc\n}\ndrp\n",
		      "a.conf:1:11: unexpected \"{\"; expected a name\n"
		      "    interface {\n"
		      "              ^\n"
		      "a.conf:4:1: unknown word \"drp\"; did you mean \"drop\"?\n"
		      "    drp\n"
		      "    ^~~\n");
	assert_errors(
		"interface eth0 {\n queue { # inner\n x\n }\n mode t\n}\ndrop in\n",
		"a.conf:2:2: unknown word \"queue\"; expected mode, } or the end of the line\n"
		"     queue { # inner\n"
		"     ^~~~~\n"
		"a.conf:5:7: unknown word \"t\"; expected auto, native, generic or tc\n"
		"     mode t\n"
		"          ^\n"
		"a.conf:7:8: the line ends too early; expected a name\n"
		"    drop in\n"
		"           ^\n");
	/* A brace in the middle of a line opens nothing. */
	assert_errors("drop { to :80\ndrop out\n",
		      "a.conf:1:6: unexpected \"{\"; expected " AFTER_ACTION "\n"
		      "    drop { to :80\n"
		      "         ^\n"
		      "a.conf:2:9: the line ends too early; expected a name\n"
		      "    drop out\n"
		      "            ^\n");
	assert_errors("pool {\n {{{\n \"}\n", "a.conf:1:1: unknown word \"pool\"; expected " ACTIONS
					      ", set, interface or include\n"
					      "    pool {\n"
					      "    ^~~~\n");
}

static void test_bytes(void **state)
{
	static const char nul[] = "drop\ndr\0op\ndrop";
	static const char utf16[] = "\377\376d\0r\0o\0p\0";
	struct parsed *parsed;
	size_t size = 1 << 20;
	char *text = malloc(size);

	(void)state;
	assert_non_null(text);
	parsed = parsed_bytes(nul, sizeof(nul) - 1);
	assert_string_equal(parsed->errors, "a.conf:2:3: a NUL byte; this is not a text file\n"
					    "    dr\n"
					    "      ^\n");
	parsed_free(parsed);
	parsed = parsed_bytes(utf16, sizeof(utf16) - 1);
	assert_int_equal(parsed->result, -EINVAL);
	assert_int_equal(parsed->diag.count, 1);
	parsed_free(parsed);

	/* One long word, one long string, one long comment, blocks in blocks, names without end. */
	for (const char *fill = "a\"#{}:[-/;,\t>0\377\001"; *fill; fill++) {
		memset(text, *fill, size);
		parsed = parsed_bytes(text, size);
		assert_true(strlen(parsed->errors) < 1024);
		parsed_free(parsed);
		memcpy(text, "drop from ", 10);
		parsed = parsed_bytes(text, size);
		assert_true(strlen(parsed->errors) < 1024);
		parsed_free(parsed);
	}
	free(text);
}

/* As many rules as fit into a day's work, on as many lines, or on one. */
static void test_many(void **state)
{
	const unsigned int count = 100000;
	size_t length = 0, size = count * 64UL;
	char *text = malloc(size);
	struct parsed *parsed = parsed_new();

	(void)state;
	assert_non_null(text);
	for (unsigned int i = 0; i < count; i++)
		length += snprintf(text + length, size - length,
				   "dnat tcp to 10.%u.%u.%u:80 -> 10.0.0.%u:8080%c", i >> 16,
				   i >> 8 & 255, i & 255, i & 255, i < count / 2 ? '\n' : ';');
	assert_int_equal(parse_text("a.conf", text, length, &parsed->config, &parsed->origins,
				    &parsed->diag),
			 0);
	assert_int_equal(parsed->config.rule_count, count);
	assert_int_equal(parsed->origins.rule_count, count);
	assert_int_equal(parsed->origins.rules[count / 2 - 1].rule.line, count / 2);
	assert_int_equal(parsed->origins.rules[count - 1].rule.line, count / 2 + 1);
	assert_memory_equal(parsed->origins.rules[1].source, "dnat tcp to 10.0.0.1:80", 23);
	parsed_free(parsed);
	free(text);
}

static void test_origins(void **state)
{
	struct parsed *parsed =
		parsed_text("\n\taccept; drop in eth0\n"
			    "interface a\ninterface bc {\n mode tc\n}\ninterface a");
	const struct rule_origin *origin;

	(void)state;
	assert_int_equal(parsed->result, 0);
	assert_int_equal(parsed->origins.rule_count, 2);
	origin = &parsed->origins.rules[1];
	assert_string_equal(origin->rule.file, "a.conf");
	assert_int_equal(origin->rule.line, 2);
	assert_int_equal(origin->rule.first_column, 10);
	assert_int_equal(origin->rule.last_column, 13);
	assert_int_equal(origin->ifname.first_column, 18);
	assert_memory_equal(origin->source, "\taccept; drop in eth0\n", 22);

	assert_int_equal(parsed->origins.interface_count, 2);
	origin = &parsed->origins.interfaces[0];
	assert_int_equal(origin->rule.line, 7);
	origin = &parsed->origins.interfaces[1];
	assert_int_equal(origin->rule.line, 4);
	assert_int_equal(origin->ifname.first_column, 11);
	assert_int_equal(origin->ifname.last_column, 12);
	assert_memory_equal(origin->source, "interface bc {\n", 15);
	parsed_free(parsed);
}

/* A folder for one test, and the process in it. */
static int folder_enter(void **state)
{
	char *path = strdup("/tmp/xfwd-parse-XXXXXX");

	*state = path;
	return path && mkdtemp(path) && !chdir(path) ? 0 : -1;
}

static int folder_leave(void **state)
{
	char command[64];
	int err;

	snprintf(command, sizeof(command), "rm -r %s", (char *)*state);
	err = chdir("/") || system(command);
	free(*state);
	return err ? -1 : 0;
}

static void write_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

static void assert_file(const char *path, const char *config, const char *errors)
{
	struct parsed *parsed = parsed_file(path);

	assert_string_equal(parsed->errors, errors);
	assert_int_equal(parsed->result, *errors ? -EINVAL : 0);
	assert_string_equal(parsed->config_text, config);
	parsed_free(parsed);
}

/* Paths are relative to the file that names them, and rules come where the include stands. */
static void test_include(void **state)
{
	(void)state;
	assert_int_equal(mkdir("etc", 0700), 0);
	assert_int_equal(mkdir("etc/conf.d", 0700), 0);
	assert_int_equal(mkdir("etc/[a]*", 0700), 0);
	write_file("main.conf", "drop in first\ninclude \"etc/sub.conf\"\ndrop in last\n");
	write_file("etc/sub.conf", "include \"conf.d/*.conf\"; drop in sub\n"
				   "include \"none/*.conf\"\ninclude \"conf.d/*.none\"\n"
				   "include \"?a?*/sub.conf\"");
	write_file("etc/conf.d/2.conf", "drop in two\nset flows 100");
	write_file("etc/conf.d/1.conf", "drop in one");
	write_file("etc/conf.d/3.other", "wrong");
	write_file("etc/[a]*/sub.conf", "include \"b?.conf\"");
	write_file("etc/[a]*/b1.conf", "drop in b1");
	assert_file("main.conf",
		    "set flows 100\ndrop in first\ndrop in one\ndrop in two\ndrop in sub\n"
		    "drop in b1\ndrop in last\n",
		    "");
}

/* Of UTF-8, at the beginning of files alone. */
static void test_byte_order_mark(void **state)
{
	(void)state;
	write_file("main.conf", "\357\273\277drop in first\ninclude \"a.conf\"\n");
	write_file("a.conf", "\357\273\277drp");
	assert_file("main.conf", "drop in first\n",
		    "a.conf:1:1: unknown word \"drp\"; did you mean \"drop\"?\n"
		    "    drp\n"
		    "    ^~~\n");
	write_file("main.conf", "\357\273\277{ \"rules\": [ { \"text\": \"drop in b\" } ] }");
	assert_file("main.conf", "drop in b\n", "");
	write_file("main.conf", "\357\273\277");
	assert_file("main.conf", "", "");
}

static void test_include_errors(void **state)
{
	(void)state;
	write_file("main.conf", "drp\ninclude \"a.conf\"\naccept\ninclude \"none.conf\"\n"
				"include \"/proc/\"\ninclude \"\"\ninclude \"loop/*\"\n");
	write_file("a.conf", "drop in\n\ndrop to :0\n");
	assert_int_equal(symlink("loop", "loop"), 0);
	assert_file("main.conf", "accept\n",
		    "main.conf:1:1: unknown word \"drp\"; did you mean \"drop\"?\n"
		    "    drp\n"
		    "    ^~~\n"
		    "main.conf:4:9: cannot read \"none.conf\": No such file or directory\n"
		    "    include \"none.conf\"\n"
		    "            ^~~~~~~~~~~\n"
		    "main.conf:5:9: cannot read \"/proc/\": not a regular file\n"
		    "    include \"/proc/\"\n"
		    "            ^~~~~~~~\n"
		    "main.conf:6:9: cannot read \"\": No such file or directory\n"
		    "    include \"\"\n"
		    "            ^~\n"
		    "main.conf:7:9: cannot search \"loop/*\": Too many levels of symbolic links\n"
		    "    include \"loop/*\"\n"
		    "            ^~~~~~~~\n"
		    "a.conf:1:8: the line ends too early; expected a name\n"
		    "    drop in\n"
		    "           ^\n"
		    "a.conf:3:10: port out of range (1-65535)\n"
		    "    drop to :0\n"
		    "             ^\n");
}

static void test_include_cycle(void **state)
{
	(void)state;
	write_file("main.conf", "drop\ninclude \"a.conf\"\n");
	write_file("a.conf", "accept; include \"*n.conf\"\n");
	assert_file("main.conf", "drop\naccept\n",
		    "a.conf:1:17: \"main.conf\" includes itself\n"
		    "    accept; include \"*n.conf\"\n"
		    "                    ^~~~~~~~~\n");
}

static void test_include_depth(void **state)
{
	char name[32], text[64];

	(void)state;
	for (int i = 0; i <= 17; i++) {
		snprintf(name, sizeof(name), "%d.conf", i);
		snprintf(text, sizeof(text), i < 17 ? "include \"%d.conf\"\n" : "drop\n", i + 1);
		write_file(name, text);
	}
	assert_file("1.conf", "drop\n", "");
	assert_file("0.conf", "",
		    "16.conf:1:9: includes nest more than 16 deep\n"
		    "    include \"17.conf\"\n"
		    "            ^~~~~~~~~\n");
}

static void test_files(void **state)
{
	int saved = dup(STDIN_FILENO);

	(void)state;
	assert_file("none.conf", "", "none.conf: cannot read it: No such file or directory\n");
	assert_file(".", "", ".: cannot read it: Is a directory\n");
	write_file("empty.conf", "");
	assert_file("empty.conf", "", "");

	write_file("in.conf", "drop\ninclude \"empty.conf\"\nbad");
	assert_non_null(freopen("in.conf", "r", stdin));
	assert_file("-", "drop\n",
		    "standard input:3:1: unknown word \"bad\"; expected " ACTIONS
		    ", set, interface or include\n"
		    "    bad\n"
		    "    ^~~\n");
	assert_true(dup2(saved, STDIN_FILENO) >= 0);
	close(saved);
	/* No end, or none that is near. */
	assert_file("/dev/zero", "", "/dev/zero: cannot read it: File too large\n");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_rules),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_bad_configs),
		cmocka_unit_test(test_every_line),
		cmocka_unit_test(test_skipped_block),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_origins),
		cmocka_unit_test_setup_teardown(test_include, folder_enter, folder_leave),
		cmocka_unit_test_setup_teardown(test_byte_order_mark, folder_enter, folder_leave),
		cmocka_unit_test_setup_teardown(test_include_errors, folder_enter, folder_leave),
		cmocka_unit_test_setup_teardown(test_include_cycle, folder_enter, folder_leave),
		cmocka_unit_test_setup_teardown(test_include_depth, folder_enter, folder_leave),
		cmocka_unit_test_setup_teardown(test_files, folder_enter, folder_leave),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
