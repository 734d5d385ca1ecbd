// SPDX-License-Identifier: GPL-2.0-or-later
/* Commands that show what is running: list, save, status, stats. */
#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "counters.h"
#include "flows.h"
#include "json.h"
#include "msg.h"
#include "peers.h"
#include "print.h"
#include "session.h"

/* Opens for reading. Where nothing runs, there is nothing to show, which is no error. */
static int show_open(struct session *session, const struct invocation *call)
{
	int err;

	if (call->argc != 1)
		return cmd_usage(call->argv[0], "it takes no words");
	err = session_read(session, call->netns);
	if (err == -ENOENT)
		return EXIT_DONE;
	return err ? EXIT_FAILED : EXIT_DONE;
}

static int failed(const char *what, int err)
{
	msg_error("cannot read the %s: %s", what, strerror(-err));
	return EXIT_FAILED;
}

static json_t *rule_json(const struct rule *rule, const char *text, const struct rule_counter *sum)
{
	json_t *object = json_pack("{s:I, s:o, s:I, s:I, s:I}", "handle", (json_int_t)rule->handle,
				   "text", cmd_string(text), "flows", (json_int_t)sum->flows,
				   "packets", (json_int_t)sum->packets, "bytes",
				   (json_int_t)sum->bytes);

	if (object && rule->name[0])
		json_object_set_new(object, "name", json_string(rule->name));
	return object;
}

static int list_rules(const struct invocation *call, struct session *session)
{
	const struct config *config = &session->config;
	struct counter_reader reader;
	struct rule_counter sum;
	json_t *array = json_array();
	char text[RULE_TEXT_MAX];
	int err = counter_reader_open(&reader, &session->state);

	if (!call->json && config->rule_count)
		printf("%7s %10s %12s %14s  %s\n", "handle", "flows", "packets", "bytes", "rule");
	for (size_t i = 0; i < config->rule_count && !err; i++) {
		const struct rule *rule = &config->rules[i];

		rule_print(rule, text);
		err = counter_read(&reader, rule->slot, &sum);
		if (err)
			break;
		if (call->json)
			json_array_append_new(array, rule_json(rule, text, &sum));
		else
			printf("%7u %10llu %12llu %14llu  %s\n", rule->handle, sum.flows,
			       sum.packets, sum.bytes, text);
	}
	counter_reader_close(&reader);
	if (err) {
		json_decref(array);
		return failed("counters", err);
	}
	if (call->json)
		return cmd_json(call, json_pack("{s:o}", "rules", array));
	json_decref(array);
	return EXIT_DONE;
}

int cmd_list(const struct invocation *call)
{
	struct session session;
	int code = show_open(&session, call);

	if (code == EXIT_USAGE)
		return code;
	if (!code && session.open)
		code = list_rules(call, &session);
	else if (!code && call->json)
		code = cmd_json(call, json_pack("{s:[]}", "rules"));
	session_close(&session);
	return code;
}

static int save_json(const struct invocation *call, const struct config *config)
{
	json_t *object = json_config(config);

	if (object)
		return cmd_json(call, object);
	msg_error(
		"no memory, or a name that is not UTF-8: JSON cannot say it, save without -j can");
	return EXIT_FAILED;
}

int cmd_save(const struct invocation *call)
{
	struct session session;
	int code = show_open(&session, call);

	if (code == EXIT_USAGE)
		return code;
	if (!code && call->json)
		code = save_json(call, &session.config);
	else if (!code)
		config_print(&session.config, stdout);
	session_close(&session);
	return code;
}

/* The device under a VLAN interface, where XDP sits. */
static bool xdp_is_elsewhere(const struct attachment *at, char device[IF_NAMESIZE])
{
	return at->carrier && if_indextoname(at->carrier, device) && strcmp(device, at->name);
}

static void print_attachment(const struct attachment *at, bool to_peer)
{
	char device[IF_NAMESIZE];

	printf("%-15s ", at->name);
	if (at->mode != MODE_TC)
		printf("%s XDP ", attach_mode_names[at->mode]);
	if (xdp_is_elsewhere(at, device))
		printf("on %s ", device);
	printf("%s%s", at->mode == MODE_TC ? "" : "+ ", at->clsact ? "tc (clsact)" : "tc");
	if (at->wanted == MODE_AUTO)
		printf(", chosen by auto");
	if (at->offload)
		printf(", rx-vlan-offload off");
	if (to_peer)
		printf(", straight to the veth's other end");
	if (at->reason[0])
		printf(" (%s)", at->reason);
	putchar('\n');
}

static json_t *attachment_json(const struct attachment *at, bool to_peer)
{
	char device[IF_NAMESIZE];
	json_t *object;

	object = json_pack("{s:o, s:s, s:s, s:s, s:s}", "name", cmd_string(at->name), "mode",
			   attach_mode_names[at->mode], "wanted", attach_mode_names[at->wanted],
			   "tc", at->clsact ? "clsact" : "tcx", "reason", at->reason);
	if (object && xdp_is_elsewhere(at, device))
		json_object_set_new(object, "xdp_on", cmd_string(device));
	if (object && at->offload)
		json_object_set_new(object, "rx_vlan_offload", json_string("off"));
	if (object && to_peer)
		json_object_set_new(object, "to_peer", json_true());
	return object;
}

static int show_status(const struct invocation *call, struct session *session)
{
	unsigned int *list = NULL;
	struct attachment at;
	json_t *array = json_array();
	__u64 flows = 0;
	size_t count = 0;
	int err = attachment_list(&session->state, &list, &count);

	if (!err)
		err = flows_count(&session->state, &flows);
	for (size_t i = 0; i < count && !err; i++) {
		bool to_peer = peers_are_used(&session->state, list[i]);

		if (attachment_get(&session->state, list[i], &at))
			continue;
		if (call->json)
			json_array_append_new(array, attachment_json(&at, to_peer));
		else
			print_attachment(&at, to_peer);
	}
	free(list);
	if (err) {
		json_decref(array);
		return failed("attachments", err);
	}
	if (call->json)
		return cmd_json(call, json_pack("{s:b, s:o, s:I, s:{s:I, s:I}}", "running", 1,
						"interfaces", array, "rules",
						(json_int_t)session->config.rule_count, "flows",
						"used", (json_int_t)flows, "max",
						(json_int_t)session->config.options.flows));
	json_decref(array);
	printf("%zu rules, %llu of %u flows\n", session->config.rule_count, flows,
	       session->config.options.flows);
	return EXIT_DONE;
}

int cmd_status(const struct invocation *call)
{
	struct session session;
	int code = show_open(&session, call);

	if (code == EXIT_USAGE)
		return code;
	if (!code && session.open)
		code = show_status(call, &session);
	else if (!code && call->json)
		code = cmd_json(call, json_pack("{s:b, s:[]}", "running", 0, "interfaces"));
	else if (!code)
		puts("nothing is running here");
	session_close(&session);
	return code;
}

static const char *const hook_names[HOOK_COUNT] = {
#define HOOK_NAME(name, text) [HOOK_##name] = text,
	XFWD_HOOKS(HOOK_NAME)
#undef HOOK_NAME
};

static const struct {
	const char *name;
	const char *help;
} verdicts[VERDICT_COUNT] = {
#define VERDICT_TEXT(name, text, help) [VERDICT_##name] = { text, help },
	XFWD_VERDICTS(VERDICT_TEXT)
#undef VERDICT_TEXT
};

static json_t *stats_json(struct verdict_counter sums[HOOK_COUNT][VERDICT_COUNT])
{
	json_t *stats = json_object();

	for (int hook = 0; hook < HOOK_COUNT; hook++) {
		json_t *object = json_object();

		for (int i = 0; i < VERDICT_COUNT; i++)
			json_object_set_new(object, verdicts[i].name,
					    json_pack("{s:I, s:I}", "packets",
						      (json_int_t)sums[hook][i].packets, "bytes",
						      (json_int_t)sums[hook][i].bytes));
		json_object_set_new(stats, hook_names[hook], object);
	}
	return stats;
}

static void print_stats(struct verdict_counter sums[HOOK_COUNT][VERDICT_COUNT])
{
	for (int hook = 0; hook < HOOK_COUNT; hook++)
		for (int i = 0; i < VERDICT_COUNT; i++)
			if (sums[hook][i].packets)
				printf("%-12s %-18s %12llu packets %14llu bytes  %s\n",
				       hook_names[hook], verdicts[i].name, sums[hook][i].packets,
				       sums[hook][i].bytes, verdicts[i].help);
}

int cmd_stats(const struct invocation *call)
{
	struct verdict_counter sums[HOOK_COUNT][VERDICT_COUNT] = { 0 };
	struct session session;
	__u64 flows = 0;
	int code = show_open(&session, call), err = 0;

	if (code == EXIT_USAGE)
		return code;
	if (!code && session.open)
		err = counters_verdicts(&session.state, sums);
	if (!err && session.open)
		err = flows_count(&session.state, &flows);
	if (err)
		code = failed("counters", err);
	else if (!code && call->json)
		code = cmd_json(call, json_pack("{s:o, s:{s:I, s:I}}", "stats", stats_json(sums),
						"flows", "used", (json_int_t)flows, "max",
						(json_int_t)session.config.options.flows));
	else if (!code) {
		print_stats(sums);
		printf("%llu of %u flows in use\n", flows, session.config.options.flows);
	}
	session_close(&session);
	return code;
}
