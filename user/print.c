// SPDX-License-Identifier: GPL-2.0-or-later
/* Owns how rules and configurations look as text; the inverse of the grammar. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "print.h"

/* Text that grows at its end. */
struct text {
	char *at;
	size_t left;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *text, const char *format,
							   ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text->at, text->left, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	if ((size_t)length >= text->left)
		length = text->left - 1;
	text->at += length;
	text->left -= length;
}

void address_print(const struct address *addr, uint8_t family, char text[INET6_ADDRSTRLEN])
{
	if (!inet_ntop(family, addr->word, text, INET6_ADDRSTRLEN))
		text[0] = '\0';
}

/* A name that the grammar would take for something else without quotes. */
static bool needs_quotes(const char *name)
{
	if (!strcmp(name, "any") || !isalnum((unsigned char)name[0]))
		return true;
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && !strchr("._-@:", *name))
			return true;
	}
	return false;
}

static void ifname_add(struct text *text, const char *name)
{
	text_add(text, needs_quotes(name) ? " \"%s\"" : " %s", name);
}

/* After `static` there is no word before a name: an address would be taken for one. */
static bool looks_like_address(const char *name)
{
	const char *colon = strchr(name, ':'), *end = name + strspn(name, "0123456789.");

	return !*end || end == colon || (colon && strchr(colon + 1, ':'));
}

static void static_ifname_add(struct text *text, const char *name)
{
	if (name[0])
		text_add(text, looks_like_address(name) || needs_quotes(name) ? " \"%s\"" : " %s",
			 name);
}

static void direction_add(struct text *text, const struct rule *rule)
{
	bool either = rule->kind == RULE_ACCEPT || rule->kind == RULE_DROP;

	if (!rule->ifname[0] && !(either && rule->stage == STAGE_OUT))
		return;
	text_add(text, rule->stage == STAGE_OUT ? " out" : " in");
	if (rule->ifname[0])
		ifname_add(text, rule->ifname);
	else
		text_add(text, " any");
}

/* Where no address says it. */
static void family_add(struct text *text, const struct rule *rule)
{
	if (!rule->family || rule_address_family(rule) ||
	    (rule->kind == RULE_MASQUERADE && rule->family == AF_INET))
		return;
	text_add(text, rule->family == AF_INET6 ? " ipv6" : " ipv4");
}

static void protocols_add(struct text *text, unsigned int protocols)
{
	static const char *const names[] = { "tcp", "udp", "icmp", "sctp" };
	const char *separator = " ";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(protocols & (1U << i)))
			continue;
		text_add(text, "%s%s", separator, names[i]);
		separator = ",";
	}
}

static void ports_add(struct text *text, struct port_range ports)
{
	if (!ports.min)
		return;
	text_add(text, ":%u", ports.min);
	if (ports.max != ports.min)
		text_add(text, "-%u", ports.max);
}

static void prefix_add(struct text *text, const struct prefix *prefix)
{
	char address[INET6_ADDRSTRLEN];

	address_print(&prefix->addr, prefix->family, address);
	text_add(text, "%s", address);
	if (prefix->len != family_bits(prefix->family))
		text_add(text, "/%u", prefix->len);
}

static void endpoint_add(struct text *text, const char *word, const struct endpoint *endpoint)
{
	const struct prefix *prefix = &endpoint->prefix;
	bool brackets = prefix->family == AF_INET6 && endpoint->ports.min;

	if (!prefix->family && !endpoint->ports.min)
		return;
	text_add(text, brackets ? " %s [" : " %s ", word);
	if (prefix->family)
		prefix_add(text, prefix);
	if (brackets)
		text_add(text, "]");
	ports_add(text, endpoint->ports);
}

static void target_add(struct text *text, const struct target *target)
{
	bool brackets = target->family == AF_INET6 && target->ports.min;
	char address[INET6_ADDRSTRLEN];

	if (!target->family && !target->ports.min)
		return;
	text_add(text, " -> ");
	if (target->family) {
		address_print(&target->addr_min, target->family, address);
		text_add(text, brackets ? "[%s]" : "%s", address);
		if (memcmp(&target->addr_min, &target->addr_max, sizeof(target->addr_min))) {
			address_print(&target->addr_max, target->family, address);
			text_add(text, brackets ? "-[%s]" : "-%s", address);
		}
	}
	ports_add(text, target->ports);
}

static void match_add(struct text *text, const struct rule *rule)
{
	direction_add(text, rule);
	family_add(text, rule);
	protocols_add(text, rule->protocols);
	endpoint_add(text, "from", &rule->from);
	endpoint_add(text, "to", &rule->to);
	target_add(text, &rule->target);
}

static void static_add(struct text *text, const struct rule *rule)
{
	struct prefix inside = rule->to.prefix;

	inside.addr = rule->target.addr_min;
	static_ifname_add(text, rule->ifname);
	text_add(text, " ");
	prefix_add(text, &rule->to.prefix);
	text_add(text, " <-> ");
	prefix_add(text, &inside);
}

/* Those that are not as they are without a word. */
static void options_add(struct text *text, const struct rule *rule)
{
	if (rule->random)
		text_add(text, " random");
	if (rule->mapping)
		text_add(text, " mapping %s", mapping_names[rule->mapping]);
	if (rule->filtering)
		text_add(text, " filtering %s", filtering_names[rule->filtering]);
	if (rule->hairpin)
		text_add(text, " hairpin");
	if (rule->limit_flows)
		text_add(text, " limit flows %u", rule->limit_flows);
	if (rule->limit_rate)
		text_add(text, " limit rate %u/s", rule->limit_rate);
	if (rule->mss == RULE_MSS_AUTO)
		text_add(text, " mss auto");
	else if (rule->mss)
		text_add(text, " mss %u", rule->mss);
	if (rule->name[0])
		text_add(text, " name %s", rule->name);
}

void rule_print(const struct rule *rule, char text[RULE_TEXT_MAX])
{
	struct text end = { text, RULE_TEXT_MAX };

	text_add(&end, "%s", rule_kind_names[rule->kind]);
	if (rule->kind == RULE_STATIC)
		static_add(&end, rule);
	else
		match_add(&end, rule);
	options_add(&end, rule);
}

/* The largest unit that says it exactly. */
static void count_print(uint32_t count, FILE *out)
{
	if (count % (1024 * 1024) == 0)
		fprintf(out, "set flows %uM\n", count / (1024 * 1024));
	else if (count % 1024 == 0)
		fprintf(out, "set flows %uK\n", count / 1024);
	else
		fprintf(out, "set flows %u\n", count);
}

static void timeout_print(const char *name, uint32_t seconds, FILE *out)
{
	static const struct {
		uint32_t seconds;
		char letter;
	} units[] = { { 24 * 60 * 60, 'd' }, { 60 * 60, 'h' }, { 60, 'm' }, { 1, 's' } };
	size_t i = 0;

	while (seconds % units[i].seconds)
		i++;
	fprintf(out, "set timeout %s %u%c\n", name, seconds / units[i].seconds, units[i].letter);
}

static void options_print(const struct options *options, FILE *out)
{
	struct config defaults;

	config_init(&defaults);
	if (options->flows != defaults.options.flows)
		count_print(options->flows, out);
	for (size_t i = 0; i < TIMEOUT_COUNT; i++) {
		if (options->timeout[i] != defaults.options.timeout[i])
			timeout_print(timeout_names[i], options->timeout[i], out);
	}
	if (options->tcp_loose != defaults.options.tcp_loose)
		fprintf(out, "set tcp loose %s\n", options->tcp_loose ? "on" : "off");
	if (options->sysctl != defaults.options.sysctl)
		fprintf(out, "set sysctl %s\n", options->sysctl ? "on" : "off");
	if (options->source_check != defaults.options.source_check)
		fprintf(out, "set source-check %s\n", options->source_check ? "on" : "off");
	config_free(&defaults);
}

static void interface_print(const struct interface *interface, FILE *out)
{
	char name[IF_NAMESIZE + 4];
	struct text end = { name, sizeof(name) };

	ifname_add(&end, interface->name);
	fprintf(out, "interface%s { mode %s }\n", name, attach_mode_names[interface->mode]);
}

void config_print(const struct config *config, FILE *out)
{
	char text[RULE_TEXT_MAX];

	options_print(&config->options, out);
	for (size_t i = 0; i < config->interface_count; i++)
		interface_print(&config->interfaces[i], out);
	for (size_t i = 0; i < config->rule_count; i++) {
		rule_print(&config->rules[i], text);
		fprintf(out, "%s\n", text);
	}
}
