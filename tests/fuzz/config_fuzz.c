// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any bytes as a configuration: no crash, no leak, and what is accepted prints as it reads.
 * clang -fsanitize=fuzzer,address, with the objects that `make` calls MODEL.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "parse.h"
#include "print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The configuration as it prints; NULL where it is not accepted. */
static char *accepted(const char *text, size_t size, size_t *length)
{
	struct origins origins;
	struct config config;
	struct diag diag;
	char *printed = NULL;
	FILE *out;

	config_init(&config);
	diag_init(&diag);
	if (!parse_text("fuzz.conf", text, size, &config, &origins, &diag) &&
	    !check_config(&config, &origins, &diag)) {
		out = open_memstream(&printed, length);
		config_print(&config, out);
		fclose(out);
	} else if (!diag.count) {
		abort();
	}
	out = fopen("/dev/null", "w");
	diag_print(&diag, out);
	fclose(out);
	diag_free(&diag);
	origins_free(&origins);
	config_free(&config);
	return printed;
}

static void one_rule(const char *data, size_t size)
{
	char *text = strndup(data, size);
	struct rule_origin origin;
	struct rule rule;
	struct diag diag;

	diag_init(&diag);
	if (!parse_rule(text, &rule, &origin, &diag) != !diag.count)
		abort();
	diag_free(&diag);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t first_length, second_length;
	char *first, *second;

	one_rule((const char *)data, size);
	first = accepted((const char *)data, size, &first_length);
	if (!first)
		return 0;
	second = accepted(first, first_length, &second_length);
	if (!second || first_length != second_length || strcmp(first, second))
		abort();
	free(first);
	free(second);
	return 0;
}
