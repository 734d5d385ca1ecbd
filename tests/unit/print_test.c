// SPDX-License-Identifier: GPL-2.0-or-later
/* What is printed, and that it reads back as it was: for random rules, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <arpa/inet.h>

#include "check.h"
#include "parse.h"
#include "print.h"

#define RANDOM_RULES 50000

/* xorshift64: the same rules in every run. */
static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint32_t random_below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 32) % limit;
}

static void random_ifname(char name[IF_NAMESIZE])
{
	static const char *const odd[] = { "any",  "in",  "tcp",   "->",  "a b", "-",    "x-",
					   "#1",   "a;b", "{",     "a,b", "..x", "a->b", "\303\251",
					   "name", "1.2", "1.2:3", "::1", "<->", "1",    "with" };
	static const char letters[] = "abcxyz0189._-@:";
	uint32_t length = 1 + random_below(IF_NAMESIZE - 1);

	if (random_below(4) == 0) {
		/* A blank is the one among them that no interface has. */
		strcpy(name, odd[random_below(sizeof(odd) / sizeof(odd[0]))]);
		if (strchr(name, ' '))
			strcpy(name, "eth0");
		return;
	}
	name[0] = 'a' + random_below(26);
	for (uint32_t i = 1; i < length; i++)
		name[i] = letters[random_below(sizeof(letters) - 1)];
}

static struct port_range random_ports(void)
{
	uint16_t a = 1 + random_below(65535), b = 1 + random_below(65535);

	if (random_below(2))
		return (struct port_range){ a, a };
	return a < b ? (struct port_range){ a, b } : (struct port_range){ b, a };
}

/* Any that may be a target: 1.0.0.0 to 223.255.255.255, 1::/16 to dfff::/16. */
static struct address random_address(uint8_t family)
{
	struct address addr = { { htonl(0x1000000 + random_below(0xdf000000)) } };

	for (int i = 1; family == AF_INET6 && i < 4; i++)
		addr.word[i] = random_below(3) ? htonl(random_below(UINT32_MAX)) : 0;
	if (family == AF_INET6)
		addr.word[0] |= htonl(0x10000);
	return addr;
}

static struct prefix random_prefix(uint8_t family)
{
	uint8_t len = random_below(family_bits(family) + 1);
	struct address addr = random_address(family);

	return (struct prefix){ address_first(&addr, len), family, len, {} };
}

static struct endpoint random_endpoint(uint8_t family, bool ports)
{
	struct endpoint endpoint = {};

	if (random_below(3))
		endpoint.prefix = random_prefix(family);
	if (ports && random_below(2))
		endpoint.ports = random_ports();
	return endpoint;
}

/* Up to 2^32 addresses of IPv4, and 2^64 of IPv6. */
static struct address random_end(const struct address *min, uint8_t family)
{
	struct address end = *min;
	int from = family == AF_INET6 ? 2 : 0, to = family == AF_INET6 ? 4 : 1;

	for (int i = from; i < to; i++) {
		uint32_t word = ntohl(end.word[i]);
		uint32_t room = (i ? UINT32_MAX : 0xdfffffff) - word;

		end.word[i] = htonl(word + (room ? random_below(room) : 0));
	}
	return end;
}

static void random_target(struct rule *rule, uint8_t family, bool ports)
{
	bool address = rule->kind == RULE_DNAT || rule->kind == RULE_SNAT;

	if (rule->kind == RULE_ACCEPT || rule->kind == RULE_DROP)
		return;
	if (address) {
		rule->target.family = family;
		rule->target.addr_min = random_address(family);
		rule->target.addr_max = rule->target.addr_min;
		if (random_below(2))
			rule->target.addr_max = random_end(&rule->target.addr_min, family);
	}
	if (ports && random_below(2))
		rule->target.ports = random_ports();
}

/* Two prefixes of one length that differ in their first bits. */
static void random_static(struct rule *rule, uint8_t family)
{
	uint8_t len = 4 + random_below(family_bits(family) - 3);
	struct address outside = random_address(family), inside = random_address(family);

	outside.word[0] = (outside.word[0] & htonl(0x0fffffff)) | htonl(0x20000000);
	inside.word[0] = (inside.word[0] & htonl(0x0fffffff)) | htonl(0x40000000);
	rule->to.prefix = (struct prefix){ address_first(&outside, len), family, len, {} };
	rule->target.family = family;
	rule->target.addr_min = address_first(&inside, len);
	rule->target.addr_max = address_last(&inside, family, len);
}

static void random_options(struct rule *rule)
{
	bool source = rule->kind == RULE_SNAT || rule->kind == RULE_MASQUERADE;

	if (source) {
		rule->random = random_below(2);
		rule->mapping = random_below(MAPPING_COUNT);
		rule->filtering = rule->mapping ? 0 : random_below(FILTERING_COUNT);
	}
	if (rule->kind == RULE_DNAT)
		rule->hairpin = random_below(2);
	if (!source && rule->kind != RULE_DNAT && rule->kind != RULE_REDIRECT)
		return;
	if (random_below(4) == 0)
		rule->limit_flows = 1 + random_below(XFWD_FLOWS_MAX);
	if (random_below(4) == 0)
		rule->limit_rate = 1 + random_below(LIMIT_RATE_MAX);
	if (random_below(4) == 0 && (!rule->protocols || rule->protocols & RULE_TCP))
		rule->mss = random_below(2) ? RULE_MSS_AUTO : MSS_MIN + random_below(1000);
}

/* What parsing makes of it: the addresses say it, or a word does. */
static void random_family(struct rule *rule, uint8_t family)
{
	rule->family = rule_address_family(rule);
	if (!rule->family && (random_below(2) || rule->kind == RULE_MASQUERADE))
		rule->family = family;
}

static void random_match(struct rule *rule, uint8_t family)
{
	bool ports;

	rule->protocols = random_below(16);
	ports = rule->protocols && !(rule->protocols & RULE_ICMP);
	rule->from = random_endpoint(family, ports);
	rule->to = random_endpoint(family, ports);
	random_target(rule, family, ports);
}

static void random_rule(struct rule *rule)
{
	static const char letters[] = "abcXYZ0189_.-";
	uint8_t family = random_below(2) ? AF_INET : AF_INET6;

	memset(rule, 0, sizeof(*rule));
	rule->kind = random_below(RULE_KIND_COUNT);
	if (rule->kind == RULE_SNAT || rule->kind == RULE_MASQUERADE)
		rule->stage = STAGE_OUT;
	if (rule->kind == RULE_ACCEPT || rule->kind == RULE_DROP)
		rule->stage = random_below(STAGE_COUNT);
	if (random_below(2))
		random_ifname(rule->ifname);
	if (rule->kind == RULE_STATIC)
		random_static(rule, family);
	else
		random_match(rule, family);
	random_family(rule, family);
	random_options(rule);
	if (random_below(3) == 0) {
		for (uint32_t i = 0, length = 1 + random_below(31); i < length; i++)
			rule->name[i] = letters[random_below(sizeof(letters) - 1)];
	}
}

static void test_random_rules(void **state)
{
	struct rule rule, read;
	struct rule_origin origin;
	char text[RULE_TEXT_MAX];
	struct diag diag;

	(void)state;
	diag_init(&diag);
	for (int i = 0; i < RANDOM_RULES; i++) {
		random_rule(&rule);
		rule_print(&rule, text);
		if (parse_rule(text, &read, &origin, &diag) || check_rule(&read, &origin, &diag)) {
			diag_print(&diag, stderr);
			fail_msg("not read back: %s", text);
		}
		if (memcmp(&rule, &read, sizeof(rule)) || !rule_equal(&rule, &read))
			fail_msg("read back as another rule: %s", text);
	}
	diag_free(&diag);
}

static void assert_printed(const struct rule *rule, const char *expected)
{
	char text[RULE_TEXT_MAX];

	rule_print(rule, text);
	assert_string_equal(text, expected);
}

static void test_golden(void **state)
{
	struct rule rule = { .kind = RULE_DROP };

	(void)state;
	assert_printed(&rule, "drop");
	rule.stage = STAGE_OUT;
	assert_printed(&rule, "drop out any");
	strcpy(rule.ifname, "any");
	assert_printed(&rule, "drop out \"any\"");

	rule = (struct rule){ .kind = RULE_DNAT,
			      .ifname = "eth0",
			      .protocols = RULE_TCP | RULE_UDP };
	rule.from.prefix = (struct prefix){ { { htonl(0x0a000000) } }, AF_INET, 8, {} };
	rule.to.prefix = (struct prefix){ { { htonl(0xcb007107) } }, AF_INET, 32, {} };
	rule.to.ports = (struct port_range){ 80, 90 };
	rule.target.family = AF_INET;
	rule.target.addr_min.word[0] = htonl(0x0a000005);
	rule.target.addr_max.word[0] = htonl(0x0a000009);
	rule.target.ports = (struct port_range){ 8080, 8080 };
	strcpy(rule.name, "www");
	assert_printed(&rule, "dnat in eth0 tcp,udp from 10.0.0.0/8 to 203.0.113.7:80-90 "
			      "-> 10.0.0.5-10.0.0.9:8080 name www");

	rule = (struct rule){ .kind = RULE_MASQUERADE, .stage = STAGE_OUT, .random = 1 };
	rule.protocols = RULE_TCP;
	rule.target.ports = (struct port_range){ 1024, 65535 };
	assert_printed(&rule, "masquerade tcp -> :1024-65535 random");
}

static void test_ip6(void **state)
{
	struct rule rule = { .kind = RULE_DNAT, .protocols = RULE_TCP };

	(void)state;
	rule.from.prefix = (struct prefix){ { { htonl(0x20010db8) } }, AF_INET6, 32, {} };
	rule.to.prefix =
		(struct prefix){ { { htonl(0x20010db8), 0, 0, htonl(1) } }, AF_INET6, 128, {} };
	rule.to.ports = (struct port_range){ 443, 443 };
	rule.target.family = AF_INET6;
	rule.target.addr_min.word[0] = htonl(0x20010db8);
	rule.target.addr_max = rule.target.addr_min;
	rule.target.addr_max.word[3] = htonl(9);
	assert_printed(&rule, "dnat tcp from 2001:db8::/32 to [2001:db8::1]:443 "
			      "-> 2001:db8::-2001:db8::9");
	rule.target.ports = (struct port_range){ 1, 2 };
	assert_printed(&rule, "dnat tcp from 2001:db8::/32 to [2001:db8::1]:443 "
			      "-> [2001:db8::]-[2001:db8::9]:1-2");
	rule.from.ports = (struct port_range){ 9, 9 };
	assert_printed(&rule, "dnat tcp from [2001:db8::/32]:9 to [2001:db8::1]:443 "
			      "-> [2001:db8::]-[2001:db8::9]:1-2");
}

/* No rule is longer than what there is room for. */
static void test_longest(void **state)
{
	struct rule rule = { .kind = RULE_MASQUERADE,
			     .stage = STAGE_OUT,
			     .random = 1,
			     .mapping = MAPPING_DEPENDENT,
			     .filtering = FILTERING_INDEPENDENT,
			     .hairpin = 1,
			     .limit_flows = UINT32_MAX,
			     .limit_rate = UINT32_MAX,
			     .mss = MSS_MAX };
	char text[RULE_TEXT_MAX];

	(void)state;
	rule.protocols = RULE_TCP | RULE_UDP | RULE_ICMP | RULE_SCTP;
	memset(rule.ifname, '@', sizeof(rule.ifname) - 1);
	memset(rule.name, 'n', sizeof(rule.name) - 1);
	memset(&rule.from.prefix.addr, 0xff, sizeof(rule.from.prefix.addr));
	rule.from.prefix.family = AF_INET6;
	rule.from.prefix.len = 127;
	rule.from.ports = (struct port_range){ 65534, 65535 };
	rule.to = rule.from;
	rule.target.family = AF_INET6;
	rule.target.ports = rule.from.ports;
	rule.target.addr_min = rule.target.addr_max = rule.from.prefix.addr;
	rule.target.addr_min.word[3] = htonl(0xfffffffe);
	rule_print(&rule, text);
	assert_true(strlen(text) < RULE_TEXT_MAX - 64);
	assert_string_equal(strstr(text, " name "), " name nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
}

/* As it is printed; for one test at a time. */
static const char *config_text(const struct config *config)
{
	static char text[4096];
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	text[0] = '\0';
	config_print(config, out);
	fclose(out);
	return text;
}

static void test_config(void **state)
{
	static const char expected[] = "set flows 96K\n"
				       "set timeout tcp-opening 90s\n"
				       "set timeout tcp 2h\n"
				       "set timeout udp 14d\n"
				       "set timeout icmp 61s\n"
				       "set timeout other 1m\n"
				       "set tcp loose on\n"
				       "set sysctl off\n"
				       "set source-check off\n"
				       "interface eth0 { mode tc }\n"
				       "interface \"any\" { mode auto }\n"
				       "drop\n"
				       "accept\n";
	struct rule rule = { .kind = RULE_ACCEPT };
	struct config config, read;
	struct origins origins;
	struct diag diag;
	const char *text;

	(void)state;
	config_init(&config);
	assert_string_equal(config_text(&config), "");

	config.options.flows = 96 * 1024;
	config.options.timeout[TIMEOUT_TCP_OPENING] = 90;
	config.options.timeout[TIMEOUT_TCP_ESTABLISHED] = 7200;
	config.options.timeout[TIMEOUT_UDP] = 14 * 24 * 3600;
	config.options.timeout[TIMEOUT_ICMP] = 61;
	config.options.timeout[TIMEOUT_OTHER] = 60;
	config.options.tcp_loose = 1;
	config.options.sysctl = 0;
	config.options.source_check = 0;
	assert_int_equal(config_interface(&config, "eth0", MODE_NATIVE), 0);
	assert_int_equal(config_interface(&config, "any", MODE_AUTO), 0);
	assert_int_equal(config_interface(&config, "eth0", MODE_TC), 0);
	assert_int_equal(config_insert(&config, 0, &rule), 0);
	rule.kind = RULE_DROP;
	assert_int_equal(config_insert(&config, 0, &rule), 0);
	assert_int_equal(config_insert(&config, 1, &rule), 0);
	config_remove(&config, 1);
	text = config_text(&config);
	assert_string_equal(text, expected);

	config_init(&read);
	diag_init(&diag);
	assert_int_equal(parse_text("a", text, strlen(text), &read, &origins, &diag), 0);
	assert_memory_equal(&read.options, &config.options, sizeof(read.options));
	assert_int_equal(read.rule_count, 2);
	assert_int_equal(read.interface_count, 2);
	assert_memory_equal(read.interfaces, config.interfaces, 2 * sizeof(*read.interfaces));
	diag_free(&diag);
	origins_free(&origins);
	config_free(&read);
	config_free(&config);
}

static void test_flows(void **state)
{
	static const struct {
		uint32_t flows;
		const char *text;
	} cases[] = {
		{ XFWD_FLOWS_DEFAULT, "" },           { 100, "set flows 100\n" },
		{ 1024, "set flows 1K\n" },           { 1025, "set flows 1025\n" },
		{ 1024 * 1024, "set flows 1M\n" },    { XFWD_FLOWS_MAX, "set flows 16M\n" },
		{ 1536 * 1024, "set flows 1536K\n" },
	};
	struct config config;

	(void)state;
	config_init(&config);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		config.options.flows = cases[i].flows;
		assert_string_equal(config_text(&config), cases[i].text);
	}
	config_free(&config);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),  cmocka_unit_test(test_ip6),
		cmocka_unit_test(test_longest), cmocka_unit_test(test_random_rules),
		cmocka_unit_test(test_config),  cmocka_unit_test(test_flows),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("print", tests, NULL, NULL);
}
