// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any bytes as a configuration in JSON: no crash, no leak, every refusal has its reason, and what is
 * accepted is the same again as it prints, in JSON and in text.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "json.h"
#include "parse.h"
#include "print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is it a configuration? Free it in both cases. */
static bool accepted(const char *text, size_t size, struct config *config)
{
	FILE *out = fopen("/dev/null", "w");
	struct origins origins;
	struct diag diag;
	bool is_good;

	config_init(config);
	diag_init(&diag);
	is_good = !parse_text("fuzz.json", text, size, config, &origins, &diag) &&
		  !check_config(config, &origins, &diag);
	if (is_good != !diag.count)
		abort();
	diag_print(&diag, out);
	fclose(out);
	diag_free(&diag);
	origins_free(&origins);
	return is_good;
}

static char *json_of(const struct config *config)
{
	json_t *object = json_config(config);
	char *text = object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;

	json_decref(object);
	if (!text)
		abort();
	return text;
}

static char *text_of(const struct config *config)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	config_print(config, out);
	fclose(out);
	return text;
}

/* Does this, whatever it is written in, say what that JSON says? Takes the text. */
static void same(char *text, const char *json)
{
	struct config config;
	char *again;

	if (!accepted(text, strlen(text), &config))
		abort();
	again = json_of(&config);
	if (strcmp(again, json))
		abort();
	free(again);
	free(text);
	config_free(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config;
	char *json;

	if (!size || data[0] != '{')
		return -1; /* config_fuzz.c's */
	if (accepted((const char *)data, size, &config)) {
		json = json_of(&config);
		same(strdup(json), json);
		same(text_of(&config), json);
		free(json);
	}
	config_free(&config);
	return 0;
}
