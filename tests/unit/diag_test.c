// SPDX-License-Identifier: GPL-2.0-or-later
/* How errors are shown, in which order, and what counts as a near miss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "diag.h"

/* As it is printed; for one test at a time. */
static const char *printed(const struct diag *diag)
{
	static char text[4096];
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	text[0] = '\0';
	diag_print(diag, out);
	fclose(out);
	return text;
}

static void assert_one(const struct location *where, const char *source, const char *expected)
{
	struct diag diag;

	diag_init(&diag);
	diag_error(&diag, where, source, "wrong");
	assert_string_equal(printed(&diag), expected);
	diag_free(&diag);
}

static void test_shown(void **state)
{
	static const struct {
		struct location where;
		const char *source;
		const char *expected;
	} cases[] = {
		{ { "a.conf", 3, 6, 9, NULL },
		  "drop eth0 x",
		  "a.conf:3:6: wrong\n    drop eth0 x\n"
		  "         ^~~~\n" },
		{ { "a.conf", 1, 1, 1, NULL }, "x", "a.conf:1:1: wrong\n    x\n    ^\n" },
		/* The line ends at its newline, and the caret may stand behind it. */
		{ { "a.conf", 1, 5, 5, NULL },
		  "drop\nx",
		  "a.conf:1:5: wrong\n    drop\n        ^\n" },
		{ { "a.conf", 1, 5, 5, NULL },
		  "drop\r\nx",
		  "a.conf:1:5: wrong\n    drop\n        ^\n" },
		/* Places beyond the line do no harm. */
		{ { "a.conf", 1, 50, 60, NULL },
		  "drop",
		  "a.conf:1:50: wrong\n    drop\n        ^\n" },
		{ { "a.conf", 1, 3, 2, NULL }, "drop", "a.conf:1:3: wrong\n    drop\n      ^\n" },
		{ { "a.conf", 1, 4, 400, NULL },
		  "drop x",
		  "a.conf:1:4: wrong\n    drop x\n       ^~~\n" },
		{ { "a.conf", 1, 500, 600, NULL }, "drop", "a.conf:1:500: wrong\n" },
		{ { "a.conf", 1, 500, 600, NULL }, "drop\n%s", "a.conf:1:500: wrong\n" },
		/* Tabs are repeated, so that the caret stands right however wide they are. */
		{ { "a.conf", 2, 7, 8, NULL },
		  "\tdrop\txx",
		  "a.conf:2:7: wrong\n    \tdrop\txx\n    \t    \t^~\n" },
		/* A character of several bytes takes one column on the screen. */
		{ { "a.conf", 1, 6, 9, NULL },
		  "\"\303\251\" \303\251t\303\251",
		  "a.conf:1:6: wrong\n    \"\303\251\" \303\251t\303\251\n        ^~~\n" },
		/* Nothing reaches the terminal that it would obey. */
		{ { "a.conf", 1, 1, 3, NULL },
		  "a\033[7m",
		  "a.conf:1:1: wrong\n    a?[7m\n    ^~~\n" },
		{ { "a.conf", 1, 1, 3, NULL }, NULL, "a.conf:1:1: wrong\n" },
		{ { "a.conf", 1, 1, 3, NULL }, "", "a.conf:1:1: wrong\n" },
		{ { "a.conf", 4, 0, 0, NULL }, "drop", "a.conf:4: wrong\n    drop\n" },
		{ { "a.conf", 0, 0, 0, NULL }, NULL, "a.conf: wrong\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_one(&cases[i].where, cases[i].source, cases[i].expected);
}

/* Of a long line, only what stands around the error is kept and shown. */
static void test_long_line(void **state)
{
	size_t length = 1 << 20;
	char *line = malloc(length + 1);
	struct location where = { "a.conf", 1, 1000001, 1000004, NULL };
	struct diag diag;
	const char *text, *caret, *shown;

	(void)state;
	assert_non_null(line);
	memset(line, 'a', length);
	line[length] = '\0';
	memcpy(line + 1000000, "here", 4);

	diag_init(&diag);
	diag_error(&diag, &where, line, "wrong");
	text = printed(&diag);
	assert_true(strlen(text) < 400);
	shown = strchr(text, '\n') + 1;
	caret = strchr(shown, '\n') + 1;
	assert_memory_equal(shown, "    ...a", 8);
	assert_int_equal(strstr(shown, "here") - shown, strchr(caret, '^') - caret);
	assert_string_equal(strchr(caret, '^'), "^~~~\n");
	assert_memory_equal(caret - 5, "a...\n", 5);

	diag_free(&diag);
	free(line);
}

static void test_order(void **state)
{
	static const struct {
		struct location where;
		const char *text;
	} errors[] = {
		{ { "main", 9, 1, 1, NULL }, "e" },  { { "other", 5, 1, 1, NULL }, "g" },
		{ { "main", 2, 7, 7, NULL }, "c" },  { { "main", 2, 3, 3, NULL }, "a" },
		{ { "other", 1, 1, 1, NULL }, "f" }, { { "main", 2, 3, 5, NULL }, "b" },
		{ { "main", 3, 1, 1, NULL }, "d" },
	};
	struct diag diag;

	(void)state;
	diag_init(&diag);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		diag_error(&diag, &errors[i].where, NULL, "%s", errors[i].text);
	assert_string_equal(printed(&diag), "main:2:3: a\n"
					    "main:2:3: b\n"
					    "main:2:7: c\n"
					    "main:3:1: d\n"
					    "main:9:1: e\n"
					    "other:1:1: f\n"
					    "other:5:1: g\n");
	diag_free(&diag);
}

static void test_empty(void **state)
{
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_string_equal(printed(&diag), "");
	diag_free(&diag);
	assert_int_equal(diag.count, 0);
}

static void test_nearest(void **state)
{
	static const char *const candidates[] = { "dnat", "snat",      "redirect", "masquerade",
						  "in",   "interface", "eth0",     "wan0" };
	static const struct {
		const char *word;
		const char *nearest;
	} cases[] = {
		{ "redirct", "redirect" }, /* a letter is missing */
		{ "rediirect", "redirect" }, /* one too many */
		{ "redirekt", "redirect" }, /* another */
		{ "wna0", "wan0" }, /* two exchanged */
		{ "maskerade", "masquerade" }, /* "qu" as "k" */
		{ "DNAT", "dnat" }, /* as iptables writes it */
		{ "interfaces", "interface" },
		{ "dnat", "dnat" },
		{ "xnat", "dnat" }, /* the first of two equally near */
		{ "ni", NULL }, /* half of the word would be wrong */
		{ "rdrct", NULL }, /* three letters are missing */
		{ "pool", NULL },
		{ "", NULL },
		{ "a-word-that-is-longer-than-any-that-is-compared", NULL },
	};
	size_t count = sizeof(candidates) / sizeof(candidates[0]);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *nearest = diag_nearest(cases[i].word, candidates, count);

		if (!cases[i].nearest)
			assert_null(nearest);
		else if (!nearest)
			fail_msg("nothing near \"%s\"", cases[i].word);
		else
			assert_string_equal(nearest, cases[i].nearest);
	}
	assert_null(diag_nearest("dnat", candidates, 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shown),   cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_order),   cmocka_unit_test(test_empty),
		cmocka_unit_test(test_nearest),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("diag", tests, NULL, NULL);
}
