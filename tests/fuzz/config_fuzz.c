// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any bytes as a configuration: no crash, no leak, and what is accepted prints as it reads.
 * clang -fsanitize=fuzzer,address, with the objects that `make` calls MODEL.
 */
#include <stdlib.h>

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t first_length, second_length;
	char *first, *second;

	first = accepted((const char *)data, size, &first_length);
	if (!first)
		return 0;
	second = accepted(first, first_length, &second_length);
	if (!second || first_length != second_length)
		abort();
	for (size_t i = 0; i < first_length; i++) {
		if (first[i] != second[i])
			abort();
	}
	free(first);
	free(second);
	return 0;
}
