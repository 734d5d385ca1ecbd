// SPDX-License-Identifier: GPL-2.0-or-later
/* Owns the JSON form of a configuration: what its members are called, and what they may be. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "parser.h"
#include "print.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* "settings.timeout.tcp-opening", "interfaces[4294967295].name" */
#define PATH_SIZE    64

enum { SETTINGS, INTERFACES, RULES };
static const char *const config_members[] = { "settings", "interfaces", "rules" };

enum { FLOWS, TIMEOUT, TCP_LOOSE, SYSCTL, SOURCE_CHECK };
static const char *const setting_members[] = { "flows", "timeout", "tcp-loose", "sysctl",
					       "source-check" };

enum { NAME, MODE };
static const char *const interface_members[] = { "name", "mode" };

enum { TEXT };
static const char *const rule_members[] = { "text" };

/* ---- reading ---- */

/* Reads the member that is `which` of its object, or of its array; `path` is what errors call it. */
typedef void member_read(struct parser *parser, const char *path, size_t which, json_t *value);

__attribute__((format(printf, 3, 4))) static void
member_error(struct parser *parser, const char *path, const char *format, ...)
{
	struct location where = { .file = parser->file, .member = *path ? path : NULL };
	va_list arguments;

	if (!parser->result)
		parser->result = -EINVAL;
	va_start(arguments, format);
	diag_verror(parser->diag, &where, NULL, format, arguments);
	va_end(arguments);
}

static void unknown_member(struct parser *parser, const char *path, const char *key,
			   const char *const *names, size_t count)
{
	const char *nearest = diag_nearest(key, names, count);
	char all[128] = "";

	for (size_t i = 0; i < count; i++) {
		strcat(all, i ? ", " : "");
		strcat(all, names[i]);
	}
	if (nearest)
		member_error(parser, path, "unknown member \"%.*s\"; did you mean \"%s\"?",
			     WORD_MAX, key, nearest);
	else
		member_error(parser, path, "unknown member \"%.*s\"; there may be %s", WORD_MAX,
			     key, all);
}

/* The path and what comes behind it; dots where there is no room, in a file that is no configuration. */
__attribute__((format(printf, 3, 4))) static void
path_join(char joined[PATH_SIZE], const char *path, const char *format, ...)
{
	size_t length = strlen(path);
	va_list args;

	memcpy(joined, path, length + 1);
	va_start(args, format);
	if (vsnprintf(joined + length, PATH_SIZE - length, format, args) >=
	    (int)(PATH_SIZE - length))
		strcpy(joined + PATH_SIZE - sizeof("..."), "...");
	va_end(args);
}

/* Each member of an object by the reader. */
static void object_read(struct parser *parser, const char *path, json_t *object,
			const char *const *names, size_t count, member_read *read)
{
	char inner[PATH_SIZE];
	const char *key;
	json_t *value;

	if (!json_is_object(object)) {
		member_error(parser, path, "expected an object");
		return;
	}
	json_object_foreach(object, key, value) {
		size_t which = 0;

		while (which < count && strcmp(names[which], key))
			which++;
		if (which == count) {
			unknown_member(parser, path, key, names, count);
			continue;
		}
		path_join(inner, path, "%s%s", *path ? "." : "", names[which]);
		read(parser, inner, which, value);
	}
}

static void array_read(struct parser *parser, const char *path, json_t *array, member_read *read)
{
	char inner[PATH_SIZE];
	json_t *value;
	size_t which;

	if (!json_is_array(array))
		member_error(parser, path, "expected an array");
	json_array_foreach(array, which, value) {
		path_join(inner, path, "[%zu]", which);
		read(parser, inner, which, value);
	}
}

/* A whole number in these bounds, or 0. */
static uint32_t number_read(struct parser *parser, const char *path, json_t *value, uint32_t min,
			    uint32_t max)
{
	json_int_t number = json_integer_value(value);

	if (json_is_integer(value) && min <= number && number <= max)
		return number;
	member_error(parser, path, "expected a whole number, %u-%u", min, max);
	return 0;
}

static bool switch_read(struct parser *parser, const char *path, json_t *value)
{
	if (!json_is_boolean(value))
		member_error(parser, path, "expected true or false");
	return json_is_true(value);
}

/* NULL where it is none, which is said. */
static const char *string_read(struct parser *parser, const char *path, json_t *value)
{
	if (!json_is_string(value))
		member_error(parser, path, "expected a string");
	return json_string_value(value);
}

static void timeout_read(struct parser *parser, const char *path, size_t which, json_t *value)
{
	parser->config->options.timeout[which] = number_read(parser, path, value, 1, TIMEOUT_MAX);
}

static void setting_read(struct parser *parser, const char *path, size_t which, json_t *value)
{
	struct options *options = &parser->config->options;

	switch (which) {
	case FLOWS:
		options->flows = number_read(parser, path, value, XFWD_FLOWS_MIN, XFWD_FLOWS_MAX);
		break;
	case TIMEOUT:
		object_read(parser, path, value, timeout_names, TIMEOUT_COUNT, timeout_read);
		break;
	case TCP_LOOSE:
		options->tcp_loose = switch_read(parser, path, value);
		break;
	case SYSCTL:
		options->sysctl = switch_read(parser, path, value);
		break;
	case SOURCE_CHECK:
		options->source_check = switch_read(parser, path, value);
	}
}

static int mode_read(struct parser *parser, const char *path, const char *name)
{
	const char *nearest;

	for (int mode = 0; mode < MODE_COUNT; mode++)
		if (!strcmp(attach_mode_names[mode], name))
			return mode;
	nearest = diag_nearest(name, attach_mode_names, MODE_COUNT);
	if (nearest)
		member_error(parser, path, "no mode \"%.*s\"; did you mean \"%s\"?", WORD_MAX, name,
			     nearest);
	else
		member_error(parser, path, "no mode \"%.*s\"", WORD_MAX, name);
	return -1;
}

static void interface_member_read(struct parser *parser, const char *path, size_t which,
				  json_t *value)
{
	const char *text = string_read(parser, path, value);

	if (text && which == NAME)
		interface_text(parser, path, text);
	else if (text)
		parser->mode = mode_read(parser, path, text);
}

static void interface_read(struct parser *parser, const char *path, size_t which, json_t *value)
{
	(void)which;
	parser->ifname[0] = '\0';
	parser->mode = -1;
	object_read(parser, path, value, interface_members, COUNT(interface_members),
		    interface_member_read);
	if (json_is_object(value) && !json_object_get(value, interface_members[NAME]))
		member_error(parser, path, "it has no \"%s\"", interface_members[NAME]);
	interface_end(parser);
}

static void rule_member_read(struct parser *parser, const char *path, size_t which, json_t *value)
{
	const char *text = string_read(parser, path, value);

	(void)which;
	if (text)
		rule_text(parser, path, text);
}

static void rule_read(struct parser *parser, const char *path, size_t which, json_t *value)
{
	(void)which;
	object_read(parser, path, value, rule_members, COUNT(rule_members), rule_member_read);
	if (json_is_object(value) && !json_object_get(value, rule_members[TEXT]))
		member_error(parser, path, "it has no \"%s\"", rule_members[TEXT]);
}

static void config_member_read(struct parser *parser, const char *path, size_t which, json_t *value)
{
	switch (which) {
	case SETTINGS:
		object_read(parser, path, value, setting_members, COUNT(setting_members),
			    setting_read);
		break;
	case INTERFACES:
		array_read(parser, path, value, interface_read);
		break;
	case RULES:
		array_read(parser, path, value, rule_read);
	}
}

/* What jansson says, with the line. It has read up to the end of the word that it quotes. */
static void syntax_error(struct parser *parser, const json_error_t *error)
{
	struct location where = { .file = parser->file, .line = error->line };
	const char *line = parser->text, *word = strstr(error->text, "near '");

	for (int i = 1; i < error->line && strchr(line, '\n'); i++)
		line = strchr(line, '\n') + 1;
	parser->line_start = line - parser->text;
	where.last_column = error->position - (int)parser->line_start;
	where.first_column = where.last_column;
	if (word)
		where.first_column -= (int)strlen(word) - (int)sizeof("near ''");
	if (where.first_column < 1)
		where.first_column = 1;
	parser_error(parser, &where, "%s", error->text);
}

bool json_begins(const char *text)
{
	return text[strspn(text, " \t\r\n")] == '{';
}

int json_run(struct parser *parser, size_t length)
{
	json_error_t error;
	json_t *all = json_loadb(parser->text, length, JSON_REJECT_DUPLICATES, &error);

	if (all)
		object_read(parser, "", all, config_members, COUNT(config_members),
			    config_member_read);
	else
		syntax_error(parser, &error);
	json_decref(all);
	return parser->result;
}

/* ---- printing ---- */

static json_t *settings_json(const struct options *options)
{
	json_t *timeouts = json_object();

	for (int i = 0; i < TIMEOUT_COUNT; i++)
		json_object_set_new(timeouts, timeout_names[i], json_integer(options->timeout[i]));
	return json_pack("{s:I, s:o, s:b, s:b, s:b}", setting_members[FLOWS],
			 (json_int_t)options->flows, setting_members[TIMEOUT], timeouts,
			 setting_members[TCP_LOOSE], options->tcp_loose, setting_members[SYSCTL],
			 options->sysctl, setting_members[SOURCE_CHECK], options->source_check);
}

/* Takes the element over. Without either there is no array, either. */
static json_t *array_add(json_t *array, json_t *element)
{
	if (!json_array_append_new(array, element))
		return array;
	json_decref(array);
	return NULL;
}

json_t *json_config(const struct config *config)
{
	json_t *interfaces = json_array(), *rules = json_array();
	char text[RULE_TEXT_MAX];

	for (size_t i = 0; i < config->interface_count; i++) {
		const struct interface *interface = &config->interfaces[i];

		interfaces =
			array_add(interfaces, json_pack("{s:s, s:s}", interface_members[NAME],
							interface->name, interface_members[MODE],
							attach_mode_names[interface->mode]));
	}
	for (size_t i = 0; i < config->rule_count; i++) {
		rule_print(&config->rules[i], text);
		rules = array_add(rules, json_pack("{s:s}", rule_members[TEXT], text));
	}
	return json_pack("{s:o, s:o, s:o}", config_members[SETTINGS],
			 settings_json(&config->options), config_members[INTERFACES], interfaces,
			 config_members[RULES], rules);
}
