// SPDX-License-Identifier: GPL-2.0-or-later
/* Commands that take a file: check and apply. */
#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "msg.h"
#include "print.h"
#include "rule_set.h"
#include "session.h"

static json_t *errors_json(const struct diag *diag)
{
	json_t *array = json_array();

	for (size_t i = 0; i < diag->count; i++) {
		const struct diag_entry *entry = &diag->entries[i];
		json_t *error = json_pack("{s:o}", "file", cmd_string(entry->file));

		if (entry->member)
			json_object_set_new(error, "member", json_string(entry->member));
		else
			json_object_set_new(error, "line", json_integer(entry->line));
		json_object_set_new(error, "column", json_integer(entry->first_column));
		json_object_set_new(error, "message", cmd_string(entry->text));
		json_array_append_new(array, error);
	}
	return json_pack("{s:o}", "errors", array);
}

int cmd_outcome(const struct invocation *call, const struct diag *diag, int err)
{
	if (!diag->count)
		return err ? EXIT_FAILED : EXIT_DONE;
	if (call->json)
		cmd_json(call, errors_json(diag));
	else
		diag_print(diag, stderr);
	return EXIT_USAGE;
}

/*
 * The same for a file. That its rules cannot be in force anywhere is its fault; that it could not be read,
 * for want of something here, is not.
 */
static int file_outcome(const struct invocation *call, const struct diag *diag, int err)
{
	int code = cmd_outcome(call, diag, err);

	if (err == -EDOM)
		return EXIT_USAGE;
	return err == -EIO ? EXIT_FAILED : code;
}

static int read_file(const char *path, struct config *config, struct origins *origins,
		     struct diag *diag)
{
	int err = parse_file(path, config, origins, diag);

	/* What the grammar refused has no rule to check, but the others are still worth a look. */
	if (err == 0 || err == -EINVAL)
		if (check_config(config, origins, diag))
			err = -EINVAL;
	if (err && !diag->count)
		msg_error("%s: %s", path, strerror(-err));
	return err;
}

int cmd_check(const struct invocation *call)
{
	struct origins origins = { 0 };
	struct config config;
	struct diag diag;
	int err, code;

	if (call->argc != 2)
		return cmd_usage("check", "one FILE is needed");
	config_init(&config);
	diag_init(&diag);
	err = read_file(call->argv[1], &config, &origins, &diag);
	code = file_outcome(call, &diag, err);
	if (!code && call->json)
		code = cmd_json(call, json_pack("{s:[], s:I}", "errors", "rules",
						(json_int_t)config.rule_count));
	else if (!code && !call->quiet)
		printf("%s: %zu rules, no errors\n", call->argv[1], config.rule_count);
	diag_free(&diag);
	origins_free(&origins);
	config_free(&config);
	return code;
}

/*
 * Rules that stay keep their handles and their counters. *stays: for each running rule, whether it
 * does; free() it. Prints what is wrong. 0 or -ENOMEM.
 */
static int keep_handles(struct config *config, const struct config *running, bool **stays)
{
	struct rule_set set;

	*stays = calloc(running->rule_count + 1, sizeof(**stays));
	if (!*stays || rule_set_init(&set, running->rules, running->rule_count)) {
		msg_error("cannot compare the rules: %s", strerror(ENOMEM));
		return -ENOMEM;
	}
	for (size_t i = 0; i < running->rule_count; i++)
		rule_set_add(&set, i);
	for (size_t i = 0; i < config->rule_count; i++) {
		ssize_t at = rule_set_find(&set, &config->rules[i]);

		if (at < 0)
			continue;
		(*stays)[at] = true;
		config->rules[i].handle = running->rules[at].handle;
		config->rules[i].slot = running->rules[at].slot;
	}
	rule_set_free(&set);
	return 0;
}

static void print_rule(char sign, const struct rule *rule)
{
	char text[RULE_TEXT_MAX];

	rule_print(rule, text);
	printf("%c %s\n", sign, text);
}

/* What `apply` would change: rules that go, and rules that come. */
static int print_changes(const struct invocation *call, const struct config *running,
			 const bool *stays, const struct config *config)
{
	size_t gone = 0, come = 0;

	for (size_t i = 0; i < running->rule_count; i++) {
		if (stays[i])
			continue;
		gone++;
		if (!call->json)
			print_rule('-', &running->rules[i]);
	}
	for (size_t i = 0; i < config->rule_count; i++) {
		if (config->rules[i].handle)
			continue;
		come++;
		if (!call->json)
			print_rule('+', &config->rules[i]);
	}
	if (call->json)
		return cmd_json(call, json_pack("{s:I, s:I, s:I}", "added", (json_int_t)come,
						"removed", (json_int_t)gone, "kept",
						(json_int_t)(config->rule_count - come)));
	if (!call->quiet)
		printf("%zu added, %zu removed, %zu kept\n", come, gone, config->rule_count - come);
	return EXIT_DONE;
}

static int dry_run(const struct invocation *call, struct config *config,
		   const struct origins *origins, struct diag *diag)
{
	struct session session;
	int err = session_read(&session, call->netns), code;
	bool *stays = NULL;

	if (!err || err == -ENOENT) /* nothing is running: all of it is new */
		err = session_interfaces(&session);
	if (!err)
		err = session_check(&session, config, origins, diag);
	if (!err)
		err = session_try(&session, config);
	if (!err)
		err = keep_handles(config, &session.config, &stays);
	code = file_outcome(call, diag, err);
	if (!code)
		code = print_changes(call, &session.config, stays, config);
	free(stays);
	session_close(&session);
	return code;
}

/* `run` goes on with the flow table that is there: what has to be mended by hand ends no service. */
static void keep_flows(struct config *config, const struct config *running)
{
	if (config->options.flows == running->options.flows)
		return;
	msg_note(
		"the flow table keeps its room for %u flows: the file's %u are for after `xfwd down`",
		running->options.flows, config->options.flows);
	config->options.flows = running->options.flows;
}

static int apply_config(const struct invocation *call, struct config *config,
			const struct origins *origins, struct diag *diag)
{
	struct session session;
	struct config running;
	int err = session_write(&session, call->netns, config);
	bool *stays = NULL;

	if (!err)
		err = keep_handles(config, &session.config, &stays);
	free(stays);
	if (!err && call->follows)
		keep_flows(config, &session.config);
	else if (!err)
		err = session_check(&session, config, origins, diag);
	if (!err) {
		running = session.config;
		session.config = *config;
		err = session_commit(&session, 0);
		*config = session.config;
		session.config = running;
	}
	session_close(&session);
	return err;
}

int cmd_apply(const struct invocation *call)
{
	struct origins origins = { 0 };
	const char *path = NULL;
	struct config config;
	struct diag diag;
	bool dry = false;
	int err, code;

	for (int i = 1; i < call->argc; i++) {
		if (!strcmp(call->argv[i], "--dry-run"))
			dry = true;
		else if (path || (call->argv[i][0] == '-' && call->argv[i][1]))
			return cmd_usage("apply", "\"%s\" is not expected here", call->argv[i]);
		else
			path = call->argv[i];
	}
	if (!path)
		return cmd_usage("apply", "a FILE is needed");
	config_init(&config);
	diag_init(&diag);
	err = read_file(path, &config, &origins, &diag);
	if (!err && dry) {
		code = dry_run(call, &config, &origins, &diag);
	} else {
		if (!err)
			err = apply_config(call, &config, &origins, &diag);
		code = file_outcome(call, &diag, err);
	}
	diag_free(&diag);
	origins_free(&origins);
	config_free(&config);
	return code;
}
