// SPDX-License-Identifier: GPL-2.0-or-later
/* Configurations in JSON: what is read, that it prints as it reads, and all that is said of errors. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "check.h"
#include "json.h"
#include "parse.h"
#include "print.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Everything that reading fills. */
struct parsed {
	struct config config;
	struct origins origins;
	struct diag diag;
	int result;
	char *text; /* the configuration in the words of the grammar */
	char *json;
	char *errors;
};

static struct parsed *parsed_new(const char *input)
{
	struct parsed *parsed = calloc(1, sizeof(*parsed));
	size_t length;
	FILE *out;

	assert_non_null(parsed);
	config_init(&parsed->config);
	diag_init(&parsed->diag);
	parsed->result = parse_text("a.json", input, strlen(input), &parsed->config,
				    &parsed->origins, &parsed->diag);
	check_config(&parsed->config, &parsed->origins, &parsed->diag);
	out = open_memstream(&parsed->text, &length);
	config_print(&parsed->config, out);
	fclose(out);
	out = open_memstream(&parsed->errors, &length);
	diag_print(&parsed->diag, out);
	fclose(out);
	return parsed;
}

static void parsed_free(struct parsed *parsed)
{
	diag_free(&parsed->diag);
	origins_free(&parsed->origins);
	config_free(&parsed->config);
	free(parsed->text);
	free(parsed->json);
	free(parsed->errors);
	free(parsed);
}

static void parsed_dump(struct parsed *parsed)
{
	json_t *object = json_config(&parsed->config);

	assert_non_null(object);
	parsed->json = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(object);
}

static void test_read(void **state)
{
	static const struct {
		const char *json;
		const char *text;
	} cases[] = {
		{ "{}", "" },
		{ " \r\n\t{ }\n", "" },
		{ "{\"settings\": {}, \"interfaces\": [], \"rules\": []}", "" },
		{ "{\"rules\": [{\"text\": \"accept\"}, {\"text\": \"drop in eth0 # all\"}]}",
		  "accept\ndrop in eth0\n" },
		{ "{\"rules\": [{\"text\": \"drop in \\\"any\\\"\"}]}", "drop in \"any\"\n" },
		{ "{\"settings\": {\"flows\": 1024, \"sysctl\": false, \"source-check\": false, "
		  "\"tcp-loose\": true, \"timeout\": {\"udp\": 120, \"tcp-opening\": 1}}}",
		  "set flows 1K\nset timeout tcp-opening 1s\nset timeout udp 2m\n"
		  "set tcp loose on\nset sysctl off\nset source-check off\n" },
		{ "{\"interfaces\": [{\"mode\": \"tc\", \"name\": \"eth0\"}, {\"name\": \"any\"}, "
		  "{\"name\": \"\\u00e9\"}]}",
		  "interface eth0 { mode tc }\ninterface \"any\" { mode auto }\n"
		  "interface \"\303\251\" { mode auto }\n" },
		/* The last word on an interface counts, as in text. */
		{ "{\"interfaces\": [{\"name\": \"a\", \"mode\": \"tc\"}, {\"name\": \"a\"}]}",
		  "interface a { mode auto }\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct parsed *parsed = parsed_new(cases[i].json);

		assert_string_equal(parsed->errors, "");
		assert_int_equal(parsed->result, 0);
		assert_string_equal(parsed->text, cases[i].text);
		parsed_free(parsed);
	}
}

static void test_printed(void **state)
{
	static const char text[] =
		"set flows 4K\nset timeout udp 90s\nset tcp loose on\n"
		"interface eth0 { mode tc }\n"
		"dnat in eth0 tcp to [2001:db8::1]:443 -> [2001:db8::2]:8443 name www\n"
		"drop in \"any\"\n";
	static const char json[] =
		"{\"settings\":{\"flows\":4096,\"timeout\":{\"tcp-opening\":240,\"tcp\":7440,"
		"\"tcp-closing\":240,\"udp\":90,\"sctp\":7440,\"icmp\":60,\"other\":600,"
		"\"unanswered\":120},\"tcp-loose\":true,\"sysctl\":true,\"source-check\":true},"
		"\"interfaces\":[{\"name\":\"eth0\",\"mode\":\"tc\"}],"
		"\"rules\":[{\"text\":\"dnat in eth0 tcp to [2001:db8::1]:443 -> "
		"[2001:db8::2]:8443 name www\"},{\"text\":\"drop in \\\"any\\\"\"}]}";
	struct parsed *first = parsed_new(text), *second;

	(void)state;
	assert_string_equal(first->errors, "");
	parsed_dump(first);
	assert_string_equal(first->json, json);
	second = parsed_new(json);
	assert_string_equal(second->errors, "");
	assert_string_equal(second->text, text);
	parsed_dump(second);
	assert_string_equal(second->json, json);
	parsed_free(first);
	parsed_free(second);
}

static void test_not_utf8(void **state)
{
	struct parsed *parsed = parsed_new("drop in \"\303\"\n");

	(void)state;
	assert_string_equal(parsed->errors, "");
	assert_null(json_config(&parsed->config));
	parsed_free(parsed);
}

static void test_errors(void **state)
{
	static const struct {
		const char *json;
		const char *errors;
	} cases[] = {
		/* Syntax: the line, and where in it. */
		{ "{", "a.json:2:1: string or '}' expected near end of file\n" },
		{ "{\"rules\": [],\n\t\"rules\": []}",
		  "a.json:2:2: duplicate object key near '\"rules\"'\n    \t\"rules\": []}\n"
		  "    \t^~~~~~~\n" },
		{ "{} drop",
		  "a.json:1:4: end of file expected near 'drop'\n    {} drop\n       ^~~~\n" },
		/* Members: their path. */
		{ "{\"rule\": []}", "a.json: unknown member \"rule\"; did you mean \"rules\"?\n" },
		{ "{\"nat\": []}",
		  "a.json: unknown member \"nat\"; there may be settings, interfaces, rules\n" },
		{ "{\"rules\": {}}", "a.json: rules: expected an array\n" },
		{ "{\"rules\": [\"drop\"]}", "a.json: rules[0]: expected an object\n" },
		{ "{\"rules\": [{}]}", "a.json: rules[0]: it has no \"text\"\n" },
		{ "{\"rules\": [{\"text\": 1}]}", "a.json: rules[0].text: expected a string\n" },
		{ "{\"rules\": [{\"text\": \"drop\", \"handle\": 1}]}",
		  "a.json: rules[0]: unknown member \"handle\"; there may be text\n" },
		{ "{\"settings\": []}", "a.json: settings: expected an object\n" },
		{ "{\"settings\": {\"flows\": \"1M\", \"sysctl\": 1, \"loose\": true}}",
		  "a.json: settings: unknown member \"loose\"; there may be flows, timeout, "
		  "tcp-loose, sysctl, source-check\n"
		  "a.json: settings.flows: expected a whole number, 64-16777216\n"
		  "a.json: settings.sysctl: expected true or false\n" },
		{ "{\"settings\": {\"flows\": 63, \"timeout\": {\"udp\": 1209601, \"upd\": 2, "
		  "\"tcp\": 1.5}}}",
		  "a.json: settings.flows: expected a whole number, 64-16777216\n"
		  "a.json: settings.timeout: unknown member \"upd\"; did you mean \"udp\"?\n"
		  "a.json: settings.timeout.tcp: expected a whole number, 1-1209600\n"
		  "a.json: settings.timeout.udp: expected a whole number, 1-1209600\n" },
		{ "{\"interfaces\": [{\"mode\": \"tc\"}, {\"name\": \"eth0\", \"mode\": "
		  "\"natve\"}, {\"name\": \"a\\\"b\"}, {\"name\": \"\"}, {\"name\": \"\\\"\"}]}",
		  "a.json: interfaces[0]: it has no \"name\"\n"
		  "a.json: interfaces[1].mode: no mode \"natve\"; did you mean \"native\"?\n"
		  "a.json: interfaces[2].name: \"a\"b\" cannot be an interface's name\n"
		  "    a\"b\n    ^~~\n"
		  "a.json: interfaces[3].name: \"\" cannot be an interface's name\n"
		  "a.json: interfaces[4].name: \"\"\" cannot be an interface's name\n"
		  "    \"\n    ^\n" },
		/* Rules: the caret is in their own text; the grammar's errors and those of checks. */
		{ "{\"rules\": [{\"text\": \"snat in eth0 -> 192.0.2.1\"}, {\"text\": \"drop\"}, "
		  "{\"text\": \"dnat tcp to :99999 -> 10.0.0.5\"}, {\"text\": \"drop\"}]}",
		  "a.json: rules[0].text: snat works on the way out: say \"out\"\n"
		  "    snat in eth0 -> 192.0.2.1\n"
		  "            ^~~~\n"
		  "a.json: rules[2].text: port out of range (1-65535)\n"
		  "    dnat tcp to :99999 -> 10.0.0.5\n"
		  "                 ^~~~~\n"
		  "a.json: rules[3].text: same rule as rules[1].text\n"
		  "    drop\n"
		  "    ^~~~\n" },
		/* One rule is one rule, and nothing else is. */
		{ "{\"rules\": [{\"text\": \"drop\\naccept\"}]}",
		  "a.json: rules[0].text: unexpected \"accept\"; expected the end\n"
		  "    accept\n"
		  "    ^~~~~~\n" },
		{ "{\"rules\": [{\"text\": \"set flows 1M\"}]}",
		  "a.json: rules[0].text: unexpected \"set\"; expected accept, drop, dnat, "
		  "redirect, snat, masquerade or static\n"
		  "    set flows 1M\n"
		  "    ^~~\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct parsed *parsed = parsed_new(cases[i].json);

		assert_string_equal(parsed->errors, cases[i].errors);
		parsed_free(parsed);
	}
}

/* As lines do, the rules that are right stay, to be checked in the same run. */
static void test_others_stay(void **state)
{
	struct parsed *parsed = parsed_new("{\"rules\": [{\"text\": \"drop tpc\"}, "
					   "{\"text\": \"accept\"}], \"x\": 1}");

	(void)state;
	assert_int_equal(parsed->result, -EINVAL);
	assert_string_equal(parsed->text, "accept\n");
	assert_int_equal(parsed->diag.count, 2);
	parsed_free(parsed);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),        cmocka_unit_test(test_printed),
		cmocka_unit_test(test_not_utf8),    cmocka_unit_test(test_errors),
		cmocka_unit_test(test_others_stay),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
