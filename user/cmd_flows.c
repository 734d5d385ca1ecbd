// SPDX-License-Identifier: GPL-2.0-or-later
/* The flow table: `flows [FILTER]` and `flows delete [FILTER]`. */
#include "cmd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flows.h"
#include "msg.h"
#include "session.h"

struct protocol {
	const char *name;
	__u8 number;
};

static const struct protocol protocols[] = {
	{ "icmp", IPPROTO_ICMP },     { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP },
	{ "icmpv6", IPPROTO_ICMPV6 }, { "gre", IPPROTO_GRE }, { "esp", IPPROTO_ESP },
	{ "sctp", IPPROTO_SCTP },
};

static const char *const states[] = { "opening", "established", "closing", "answered",
				      "unanswered" };

static void protocol_name(__u8 number, char name[16])
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		if (protocols[i].number == number) {
			strcpy(name, protocols[i].name);
			return;
		}
	}
	snprintf(name, 16, "%u", number);
}

static int read_protocol(const char *word, __u8 *proto)
{
	unsigned long number;

	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		if (!strcmp(protocols[i].name, word)) {
			*proto = protocols[i].number;
			return 0;
		}
	}
	if (!cmd_number(word, 255, &number) || !number)
		return -EINVAL;
	*proto = number;
	return 0;
}

static int read_state(const char *word, const char **state)
{
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (!strcmp(states[i], word)) {
			*state = states[i];
			return 0;
		}
	}
	return -EINVAL;
}

static int read_port(const char *word, __be16 *port)
{
	unsigned long number;

	if (!cmd_number(word, 65535, &number) || !number)
		return -EINVAL;
	*port = htons(number);
	return 0;
}

static int read_address(const char *word, struct flow_address *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->family = strchr(word, ':') ? FAMILY_IP6 : FAMILY_IP4;
	return inet_pton(addr->family == FAMILY_IP6 ? AF_INET6 : AF_INET, word, addr->word) == 1
		       ? 0
		       : -EINVAL;
}

/* A handle is only known to the running rules: it becomes the rule's counter slot. */
static int read_handle(const char *word, const struct config *config, struct flow_filter *filter)
{
	unsigned long handle;

	if (!cmd_number(word, UINT32_MAX, &handle))
		return -EINVAL;
	filter->none = true;
	for (size_t i = 0; i < config->rule_count; i++) {
		if (config->rules[i].handle == handle) {
			filter->rule_slot = config->rules[i].slot;
			filter->none = false;
		}
	}
	return 0;
}

/* A filter, and what it points to. */
struct filter_words {
	struct flow_filter filter;
	struct flow_address src;
	struct flow_address dst;
};

static int read_word(const char *what, const char *word, const struct config *config,
		     struct filter_words *words)
{
	struct flow_filter *filter = &words->filter;

	if (!strcmp(what, "proto"))
		return read_protocol(word, &filter->proto);
	if (!strcmp(what, "src")) {
		filter->src = &words->src;
		return read_address(word, &words->src);
	}
	if (!strcmp(what, "dst")) {
		filter->dst = &words->dst;
		return read_address(word, &words->dst);
	}
	if (!strcmp(what, "sport"))
		return read_port(word, &filter->sport);
	if (!strcmp(what, "dport"))
		return read_port(word, &filter->dport);
	if (!strcmp(what, "state"))
		return read_state(word, &filter->state);
	if (!strcmp(what, "rule"))
		return read_handle(word, config, filter);
	return -ENOENT;
}

/* Is the word before argv[at] that is said there? Each second one is a value. */
static bool said_before(const struct invocation *call, int first, int at)
{
	for (int i = first; i < at; i += 2)
		if (!strcmp(call->argv[i], call->argv[at]))
			return true;
	return false;
}

static int read_filter(const struct invocation *call, int first, const struct config *config,
		       struct filter_words *words)
{
	for (int i = first; i < call->argc; i += 2) {
		const char *what = call->argv[i], *word = call->argv[i + 1];
		int err;

		if (i + 1 == call->argc)
			return cmd_usage("flows", "\"%s\" needs a value", what);
		if (said_before(call, first, i))
			return cmd_usage("flows", "%s is given twice", what);
		err = read_word(what, word, config, words);
		if (err == -ENOENT)
			return cmd_usage("flows",
					 "\"%s\": proto, src, dst, sport, dport, state or rule "
					 "is expected",
					 what);
		if (err)
			return cmd_usage("flows", "\"%s\" is not a valid %s", word, what);
	}
	return EXIT_DONE;
}

struct printer {
	const struct config *config;
	json_t *array;
};

/* The handle behind a flow: of the rule that translates its destination, else its source. */
static __u32 flow_handle(const struct config *config, const struct flow *flow)
{
	__u32 slot = flow->rule_in ? flow->rule_in : flow->rule_out;

	for (size_t i = 0; i < config->rule_count && slot; i++)
		if (config->rules[i].slot == slot)
			return config->rules[i].handle;
	return 0;
}

static void address_text(const struct flow_key *key, const __be32 addr[4],
			 char text[INET6_ADDRSTRLEN])
{
	inet_ntop(key->family == FAMILY_IP4 ? AF_INET : AF_INET6, addr, text, INET6_ADDRSTRLEN);
}

/* Echo has one identifier for both ends; only the requesting one's port has it. */
static int port_shown(const struct flow_key *key, __be16 port)
{
	if (key->proto == IPPROTO_ICMP || key->proto == IPPROTO_ICMPV6)
		port = key->sport | key->dport;
	return ntohs(port);
}

static json_t *tuple_json(const struct flow_key *key)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];

	address_text(key, key->saddr, src);
	address_text(key, key->daddr, dst);
	return json_pack("{s:s, s:i, s:s, s:i}", "src", src, "sport", port_shown(key, key->sport),
			 "dst", dst, "dport", port_shown(key, key->dport));
}

static int flow_json(const struct flow_view *flow, void *context)
{
	struct printer *printer = context;
	const struct flow_entry *orig = &flow->entry[0], *reply = &flow->entry[1];
	char proto[16];
	json_t *object;

	protocol_name(flow->key[0].proto, proto);
	object = json_pack("{s:s, s:s, s:o, s:o, s:[I, I], s:[I, I], s:I, s:I, s:I}", "proto",
			   proto, "state", flow->state, "orig", tuple_json(&flow->key[0]), "reply",
			   tuple_json(&flow->key[1]), "packets", (json_int_t)orig->packets,
			   (json_int_t)reply->packets, "bytes", (json_int_t)orig->bytes,
			   (json_int_t)reply->bytes, "idle_ms", (json_int_t)flow->idle_ms,
			   "expires_ms", (json_int_t)flow->expires_ms, "rule",
			   (json_int_t)flow_handle(printer->config, &orig->flow));
	return json_array_append_new(printer->array, object) ? -ENOMEM : 0;
}

static void tuple_text(const struct flow_key *key, char *text, size_t size)
{
	const char *form = key->family == FAMILY_IP4 ? "%s:%u > %s:%u" : "[%s]:%u > [%s]:%u";
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];

	address_text(key, key->saddr, src);
	address_text(key, key->daddr, dst);
	snprintf(text, size, form, src, port_shown(key, key->sport), dst,
		 port_shown(key, key->dport));
}

static int flow_line(const struct flow_view *flow, void *context)
{
	const struct flow_entry *orig = &flow->entry[0], *reply = &flow->entry[1];
	struct printer *printer = context;
	char proto[16], there[128], back[128];

	protocol_name(flow->key[0].proto, proto);
	tuple_text(&flow->key[0], there, sizeof(there));
	tuple_text(&flow->key[1], back, sizeof(back));
	printf("%-4s %-11s %s, reply %s, packets %llu/%llu, bytes %llu/%llu, idle %llu s, expires "
	       "in %llu s, rule %u\n",
	       proto, flow->state, there, back, orig->packets, reply->packets, orig->bytes,
	       reply->bytes, flow->idle_ms / 1000, flow->expires_ms / 1000,
	       flow_handle(printer->config, &orig->flow));
	return 0;
}

static int show_flows(const struct invocation *call, struct session *session,
		      const struct flow_filter *filter)
{
	struct printer printer = { .config = &session->config };
	int err = 0;

	if (call->json)
		printer.array = json_array();
	if (session->open)
		err = flows_each(&session->state, filter, call->json ? flow_json : flow_line,
				 &printer);
	if (err) {
		json_decref(printer.array);
		msg_error("cannot read the flows: %s", strerror(-err));
		return EXIT_FAILED;
	}
	return call->json ? cmd_json(call, json_pack("{s:o}", "flows", printer.array)) : EXIT_DONE;
}

static int delete_flows(const struct invocation *call, struct session *session,
			const struct flow_filter *filter)
{
	size_t count = 0;
	int err = 0;

	if (session->open) {
		if (pins_lock(&session->pins))
			return EXIT_FAILED;
		err = flows_delete(&session->state, &session->pins, filter, &count);
	}
	if (err) {
		msg_error("cannot delete the flows: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (call->json)
		return cmd_json(call, json_pack("{s:I}", "deleted", (json_int_t)count));
	if (!call->quiet)
		printf("%zu flows deleted\n", count);
	return EXIT_DONE;
}

int cmd_flows(const struct invocation *call)
{
	bool deletes = call->argc > 1 && !strcmp(call->argv[1], "delete");
	struct filter_words words = { 0 };
	struct session session;
	int err = session_read(&session, call->netns);
	int code = err && err != -ENOENT ? EXIT_FAILED : EXIT_DONE;

	if (!code)
		code = read_filter(call, deletes ? 2 : 1, &session.config, &words);
	if (!code)
		code = deletes ? delete_flows(call, &session, &words.filter)
			       : show_flows(call, &session, &words.filter);
	session_close(&session);
	return code;
}
