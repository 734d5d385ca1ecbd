// SPDX-License-Identifier: GPL-2.0-or-later
/* Commands that change single rules: add, insert, replace, delete, flush; and zero. */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "commit.h"
#include "msg.h"
#include "print.h"
#include "rule_set.h"
#include "session.h"
#include "slots.h"

/*
 * An unquoted `-> :8080` is a redirection to the shell: the arrow arrives as a lone "-", and
 * standard output is a new, empty file named as the target. Nothing in the grammar is a lone "-", so
 * this can be told for certain, and undone.
 */
static void mend_arrow(const struct invocation *call)
{
	static char arrow[PATH_MAX + 4];
	char path[PATH_MAX];
	struct stat st;
	ssize_t length;

	for (int i = 1; i < call->argc; i++) {
		if (strcmp(call->argv[i], "-"))
			continue;
		length = readlink("/proc/self/fd/1", path, sizeof(path) - 1);
		if (length <= 0 || fstat(STDOUT_FILENO, &st) || !S_ISREG(st.st_mode) ||
		    st.st_size || fcntl(STDOUT_FILENO, F_GETFL) & O_APPEND)
			return;
		path[length] = '\0';
		snprintf(arrow, sizeof(arrow), "-> %s", strrchr(path, '/') + 1);
		call->argv[i] = arrow;
		unlink(path);
		msg_note("the shell took \"%s\" for a redirection into a file (removed): quote the "
			 "rule, or say \"into\" for the arrow",
			 arrow);
		return;
	}
}

/* A rule from the command line, with what is needed to point at its words. */
struct typed_rule {
	struct rule rule;
	struct rule_origin origin;
	char *text;
};

/* The rule in the words from argv[first] on. The exit code; on EXIT_DONE, free(typed->text). */
static int read_rule(const struct invocation *call, int first, struct typed_rule *typed)
{
	struct diag diag;
	int err, code;

	mend_arrow(call);
	typed->text = cmd_join(call, first);
	if (!typed->text)
		return EXIT_FAILED;
	diag_init(&diag);
	err = parse_rule(typed->text, &typed->rule, &typed->origin, &diag);
	if (!err)
		check_rule(&typed->rule, &typed->origin, &diag);
	code = cmd_outcome(call, &diag, err);
	diag_free(&diag);
	if (code)
		free(typed->text);
	return code;
}

static ssize_t find_handle(const struct config *config, unsigned long handle)
{
	for (size_t i = 0; i < config->rule_count; i++)
		if (config->rules[i].handle == handle)
			return i;
	return -1;
}

static ssize_t find_equal(const struct config *config, const struct rule *rule)
{
	for (size_t i = 0; i < config->rule_count; i++)
		if (rule_equal(&config->rules[i], rule))
			return i;
	return -1;
}

/* A change of one rule. */
struct change {
	struct typed_rule typed; /* without a text: the change names no rule */
	enum edit_kind kind; /* unless it is_flush */
	bool is_flush;
	bool is_new; /* its interface has to exist */
	bool loads; /* where nothing is running: others find no rule there */
	unsigned long number; /* position or handle */
	ssize_t at; /* where the new rule stands; -1: rules went */
	size_t deleted; /* how many */
	/* Makes it to the configuration. Prints what is wrong. 0 or -errno. */
	int (*make)(struct config *config, struct change *change);
};

/* Only the new rule: an interface of another may have gone for a while, its rule then rests. */
static int check_new(const struct session *session, struct change *change, struct diag *diag)
{
	struct origins origins = { .rules = &change->typed.origin, .rule_count = 1 };
	struct config config = { .rules = &change->typed.rule, .rule_count = 1 };

	return change->is_new ? session_check(session, &config, &origins, diag) : 0;
}

static json_t *change_json(const struct config *config, const struct change *change)
{
	if (change->at < 0)
		return json_pack("{s:I}", "deleted", (json_int_t)change->deleted);
	return json_pack("{s:I}", "handle", (json_int_t)config->rules[change->at].handle);
}

/* In place, where it can be had: then true, with the exit code. */
static bool edit_rule(const struct invocation *call, const struct change *change, int *code)
{
	struct rule rule = change->typed.rule;
	struct edit edit = { .kind = change->kind,
			     .rule = change->typed.text ? &rule : NULL,
			     .number = change->number };
	struct session session;
	int err = session_edit(&session, call->netns, &edit);

	session_close(&session);
	if (err == -EAGAIN)
		return false;
	*code = err ? EXIT_FAILED : EXIT_DONE;
	if (!err && call->json && edit.kind == EDIT_DELETE)
		*code = cmd_json(call, json_pack("{s:i}", "deleted", 1));
	else if (!err && call->json)
		*code = cmd_json(call, json_pack("{s:I}", "handle", (json_int_t)rule.handle));
	return true;
}

static int change_rules(const struct invocation *call, struct change *change)
{
	struct session session;
	struct config first;
	struct diag diag;
	int err, code;

	if (!change->is_flush && edit_rule(call, change, &code)) {
		free(change->typed.text);
		return code;
	}
	diag_init(&diag);
	config_init(&first);
	first.rules = &change->typed.rule;
	first.rule_count = change->typed.text ? 1 : 0;
	err = session_write(&session, call->netns, change->loads ? &first : NULL);
	if (!err)
		err = check_new(&session, change, &diag);
	if (!err)
		err = change->make(&session.config, change);
	if (!err && session.open)
		err = session_commit(&session, COMMIT_KEEP_ATTACHED);
	code = cmd_outcome(call, &diag, err);
	if (!code && call->json)
		code = cmd_json(call, change_json(&session.config, change));
	session_close(&session);
	diag_free(&diag);
	free(change->typed.text);
	return code;
}

static int make_insert(struct config *config, struct change *change)
{
	ssize_t same = find_equal(config, &change->typed.rule);

	if (same >= 0) {
		msg_error("the same rule is there already, with handle %u",
			  config->rules[same].handle);
		return -EEXIST;
	}
	if (change->number > config->rule_count + 1) {
		msg_error("there are %zu rules: position %lu is none", config->rule_count,
			  change->number);
		return -ERANGE;
	}
	change->at = change->number - 1;
	return config_insert(config, change->at, &change->typed.rule);
}

static int make_add(struct config *config, struct change *change)
{
	change->number = config->rule_count + 1;
	return make_insert(config, change);
}

int cmd_add(const struct invocation *call)
{
	struct change change = {
		.kind = EDIT_ADD, .make = make_add, .is_new = true, .loads = true
	};
	int code;

	if (call->argc < 2)
		return cmd_usage("add", "a rule is needed");
	code = read_rule(call, 1, &change.typed);
	return code ? code : change_rules(call, &change);
}

int cmd_insert(const struct invocation *call)
{
	struct change change = {
		.kind = EDIT_INSERT, .make = make_insert, .is_new = true, .loads = true
	};
	int code;

	if (call->argc < 3 || !cmd_number(call->argv[1], XFWD_RULES_MAX, &change.number) ||
	    !change.number)
		return cmd_usage("insert", "a position (from 1) and a rule are needed");
	code = read_rule(call, 2, &change.typed);
	return code ? code : change_rules(call, &change);
}

static int make_replace(struct config *config, struct change *change)
{
	ssize_t at = find_handle(config, change->number),
		same = find_equal(config, &change->typed.rule);

	if (at < 0) {
		msg_error("no rule has handle %lu", change->number);
		return -ENOENT;
	}
	if (same >= 0 && same != at) {
		msg_error("the same rule is there already, with handle %u",
			  config->rules[same].handle);
		return -EEXIST;
	}
	/* The place and the handle stay; the counters are the new rule's own. */
	change->typed.rule.handle = config->rules[at].handle;
	if (same == at)
		change->typed.rule.slot = config->rules[at].slot;
	config->rules[at] = change->typed.rule;
	change->at = at;
	return 0;
}

int cmd_replace(const struct invocation *call)
{
	struct change change = { .kind = EDIT_REPLACE, .make = make_replace, .is_new = true };
	int code;

	if (call->argc < 3 || !cmd_number(call->argv[1], UINT32_MAX, &change.number))
		return cmd_usage("replace", "a handle and a rule are needed");
	code = read_rule(call, 2, &change.typed);
	return code ? code : change_rules(call, &change);
}

static int make_delete(struct config *config, struct change *change)
{
	ssize_t at = change->typed.text ? find_equal(config, &change->typed.rule)
					: find_handle(config, change->number);

	if (at < 0 && change->typed.text) {
		char text[RULE_TEXT_MAX];

		rule_print(&change->typed.rule, text);
		msg_error("no such rule: %s", text);
	} else if (at < 0) {
		msg_error("no rule has handle %lu", change->number);
	}
	if (at < 0)
		return -ENOENT;
	config_remove(config, at);
	change->at = -1;
	change->deleted = 1;
	return 0;
}

int cmd_delete(const struct invocation *call)
{
	struct change change = { .kind = EDIT_DELETE, .make = make_delete };
	int code;

	if (call->argc < 2)
		return cmd_usage("delete", "a handle or a rule is needed");
	if (call->argc == 2 && cmd_number(call->argv[1], UINT32_MAX, &change.number))
		return change_rules(call, &change);
	code = read_rule(call, 1, &change.typed);
	return code ? code : change_rules(call, &change);
}

static int make_flush(struct config *config, struct change *change)
{
	change->at = -1;
	change->deleted = config->rule_count;
	config->rule_count = 0;
	return 0;
}

int cmd_flush(const struct invocation *call)
{
	struct change change = { .is_flush = true, .make = make_flush };

	if (call->argc != 1)
		return cmd_usage("flush", "it takes no words");
	return change_rules(call, &change);
}

int cmd_zero(const struct invocation *call)
{
	struct session session;
	int err;

	if (call->argc != 1)
		return cmd_usage("zero", "it takes no words");
	err = session_change(&session, call->netns);
	if (err == -ENOENT)
		msg_error("nothing is running here");
	if (!err) {
		err = slots_zero(&session.state);
		if (err)
			msg_error("cannot reset the counters: %s", strerror(-err));
	}
	session_close(&session);
	return err ? EXIT_FAILED : EXIT_DONE;
}
