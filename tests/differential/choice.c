// SPDX-License-Identifier: GPL-2.0-or-later
/* What each edge chose for a connection, and whether it may. */
#include "choice.h"

#include <string.h>

#include "fault.h"
#include "history.h"
#include "outputs.h"

static bool in_range(const struct port_range *range, uint16_t port)
{
	return range->min <= port && port <= range->max;
}

static bool is_target(const struct rule *rule, const uint8_t addr[16])
{
	struct address given;

	memcpy(given.word, addr, 16);
	return memcmp(&rule->target.addr_min, &given, 16) <= 0 &&
	       memcmp(&given, &rule->target.addr_max, 16) <= 0;
}

/* Do the two edges differ in this by a rule that leaves the choice? */
static bool rule_lets_choose(enum stage stage, const struct ends out[EDGES], bool addresses)
{
	const struct config *config = wire_config();
	int end = stage == STAGE_IN ? TO : FROM;

	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];
		const struct port_range *ports = &rule->target.ports;

		if (rule->stage != stage || rule->kind == RULE_ACCEPT || rule->kind == RULE_DROP)
			continue;
		if (addresses ? is_target(rule, out[KERNEL].addr[end]) &&
					is_target(rule, out[XFWD].addr[end])
			      : ports->min < ports->max && in_range(ports, out[KERNEL].port[end]) &&
					in_range(ports, out[XFWD].port[end]))
			return true;
	}
	return false;
}

/* Does a connection leave so at one of the two, where they had a choice? */
static bool was_chosen(const struct ends *out)
{
	for (size_t i = 0; i < mapping_count; i++)
		if (ends_equal(&mappings[i].actual[KERNEL], out) ||
		    ends_equal(&mappings[i].actual[XFWD], out))
			return true;
	return false;
}

/* Is it the end of a packet's source that begins these ends? */
static bool same_from(const struct ends *a, const struct ends *b)
{
	return a->proto == b->proto && a->port[FROM] == b->port[FROM] &&
	       !memcmp(a->addr[FROM], b->addr[FROM], 16);
}

/* How the connection leaves at xfwd. */
static const struct ends *leaves_xfwd(const struct known *known)
{
	for (size_t i = 0; i < mapping_count; i++)
		if (ends_equal(&mappings[i].said, &known->out))
			return &mappings[i].actual[XFWD];
	return &known->out;
}

/* Does it leave in the edge's own name? */
static bool is_own_address(const struct ends *out)
{
	static const char *const own[] = { "198.51.100.1", "10.0.0.1", "2001:db8::1", "fd00:1::1" };
	uint8_t addr[16];

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		address_of(own[i], addr);
		if (!memcmp(addr, out->addr[FROM], 16))
			return true;
	}
	return false;
}

/* Is no mapping made with this port: where the edge's own connections begin, or a rule has a say? */
static bool is_kept_off(const struct ends *out, uint16_t port)
{
	const struct config *config = wire_config();

	/* Linux's default for its own. */
	if (port >= 32768 && port <= 60999 && is_own_address(out))
		return true;
	for (size_t i = 0; i < config->rule_count; i++)
		if (config->rules[i].stage == STAGE_IN &&
		    in_range(&config->rules[i].to.ports, port))
			return true;
	return false;
}

/* Does the port follow from a mapping: the same source's, or another's who has the port? */
static bool follows_mapping(const struct judge *j, const struct ends *in, const struct ends *out)
{
	struct ends kept = *out;

	kept.port[FROM] = in->port[FROM];
	for (size_t i = 0; i < j->known_count; i++) {
		const struct known *known = &j->known[i];
		bool is_own = same_from(&known->in, in);

		if (same_from(leaves_xfwd(known), is_own ? out : &kept))
			return true;
	}
	for (size_t i = 0; i < doubtful_count; i++)
		if (same_from(&doubtful[i], &kept))
			return true;
	return is_kept_off(out, in->port[FROM]);
}

/* Are mappings made? */
static bool rules_map(void)
{
	const struct config *config = wire_config();

	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];

		if ((rule->kind == RULE_SNAT || rule->kind == RULE_MASQUERADE) &&
		    rule->mapping == MAPPING_INDEPENDENT)
			return true;
	}
	return false;
}

/* Does a rule for packets that leave hold for one of these destination ports alone? */
static bool rule_tells_apart(const struct ends out[EDGES])
{
	const struct config *config = wire_config();

	for (size_t i = 0; i < config->rule_count; i++) {
		const struct port_range *to = &config->rules[i].to.ports;

		if (config->rules[i].stage == STAGE_OUT && to->min &&
		    in_range(to, out[KERNEL].port[TO]) != in_range(to, out[XFWD].port[TO]))
			return true;
	}
	return false;
}

/* Why the two may leave with these different ports; EXCUSE_NONE: they may not. */
static enum excuse choice_excuse(struct judge *j, const struct ends *in,
				 const struct ends out[EDGES])
{
	struct ends kept = out[KERNEL], back;

	if (out[KERNEL].port[TO] != out[XFWD].port[TO] && rule_lets_choose(STAGE_IN, out, false) &&
	    rule_tells_apart(out))
		return EXCUSE_PORT_OF_RANGE;
	for (int end = 0; end < 2; end++) {
		if (!memcmp(out[KERNEL].addr[end], out[XFWD].addr[end], 16))
			continue;
		if (!rule_lets_choose(end == TO ? STAGE_IN : STAGE_OUT, out, true))
			return EXCUSE_NONE;
		return EXCUSE_ADDRESS_OF_RANGE;
	}
	if (out[KERNEL].port[TO] != out[XFWD].port[TO] && in->proto != IPPROTO_ICMP &&
	    in->proto != IPPROTO_ICMPV6 && !rule_lets_choose(STAGE_IN, out, false))
		return EXCUSE_NONE;
	if (out[KERNEL].port[FROM] == out[XFWD].port[FROM] ||
	    rule_lets_choose(STAGE_OUT, out, false))
		return EXCUSE_PORT_OF_RANGE;
	if (!in->port[FROM])
		return EXCUSE_RESERVED_PORT;
	if (was_expired(in->proto, in->port[FROM]))
		return EXCUSE_EXPIRED;
	if (rules_map() && follows_mapping(j, in, &out[XFWD]))
		return EXCUSE_MAPPED;
	/* Whose port is it that would be kept? */
	kept.port[FROM] = in->port[FROM];
	back = ends_reverse(&kept);
	if (is_doubtful(&kept) || ends_equal(&back, in) || was_seen(&back) || was_chosen(&kept))
		return EXCUSE_PORT_CLASH;
	for (size_t i = 0; i < j->known_count; i++) {
		const struct known *known = &j->known[i];
		back = ends_reverse(&known->in);
		if (ends_equal(&known->out, &kept) || ends_equal(&back, &kept))
			return EXCUSE_PORT_CLASH;
		if (known->in.port[FROM] == in->port[FROM] && known->in.proto == in->proto &&
		    !memcmp(known->in.addr[FROM], in->addr[FROM], 16) &&
		    known->out.port[FROM] == out[KERNEL].port[FROM])
			return EXCUSE_PORT_REUSED;
	}
	return EXCUSE_NONE;
}

/* A new one, or one that is opened again. */
static struct known *known_set(struct judge *j, struct known *known, const struct step *step,
			       const struct view *in, const struct ends *out)
{
	if (!known && j->known_count == KNOWN_MAX)
		j->known_count--;
	if (!known)
		known = &j->known[j->known_count++];
	memset(known, 0, sizeof(*known));
	known->in = in->ends;
	known->out = *out;
	known->from = known->to = step->in[0].iface;
	return known;
}

/* The same, where TCP may begin in the middle. */
static bool begins(const struct judge *j, const struct view *in)
{
	const uint8_t opening = TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN;

	return frame_begins(in) ||
	       (j->loose && in->ends.proto == IPPROTO_TCP && (in->tcp_flags & opening) == TCP_ACK);
}

void learn(struct judge *j, struct step *step, const struct view *in,
	   const struct outputs raw[EDGES])
{
	struct view view[EDGES];
	struct ends out[EDGES], said;
	struct known *known;
	enum excuse excuse;
	bool is_reply;

	if (!output_ends(&raw[KERNEL], &view[KERNEL]) || !output_ends(&raw[XFWD], &view[XFWD]) ||
	    raw[KERNEL].list[0].iface != raw[XFWD].list[0].iface ||
	    view[KERNEL].ends.proto != in->ends.proto || view[XFWD].ends.proto != in->ends.proto)
		return;
	known = known_find(j, &in->ends, &is_reply);
	if (!begins(j, in) ||
	    (known && (is_reply || in->ends.proto != IPPROTO_TCP || !frame_begins(in))))
		return;
	for (int e = 0; e < EDGES; e++)
		out[e] = view[e].ends;
	said = ends_reverse(&in->ends);
	if (ends_equal(&out[KERNEL], &said)) {
		if (ends_equal(&out[XFWD], &said))
			known_set(j, known, step, in, &in->ends)->is_local = true;
		return;
	}
	said = step->has_chosen ? step->chosen : out[KERNEL];
	if (!ends_equal(&out[KERNEL], &out[XFWD])) {
		excuse = choice_excuse(j, &in->ends, out);
		if (excuse == EXCUSE_NONE)
			return;
		excuses[excuse]++;
		/* What it does not translate, it does not know: answers may be another's. */
		if (ends_equal(&out[XFWD], &in->ends))
			doubt(&said);
	}
	if (!ends_equal(&out[KERNEL], &out[XFWD]) || !ends_equal(&said, &out[KERNEL])) {
		mapping_set(&in->ends, &said, out);
		step->has_chosen = true;
		step->chosen = said;
	}
	known_set(j, known, step, in, &said)->to = raw[KERNEL].list[0].iface;
}

/* Does a rule drop what leaves for some of these ports, but not for this one? */
static bool drops_others(const struct config *config, const struct port_range *range, uint16_t port)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];
		const struct port_range *to = &rule->to.ports;

		if (rule->kind == RULE_DROP && rule->stage == STAGE_OUT && to->min &&
		    to->min <= range->max && range->min <= to->max && !in_range(to, port))
			return true;
	}
	return false;
}

bool choice_decides(const struct outputs rest[EDGES])
{
	const struct outputs *sent = rest[KERNEL].count ? &rest[KERNEL] : &rest[XFWD];
	const struct config *config = wire_config();
	struct view view;

	if (!rest[KERNEL].count == !rest[XFWD].count || !output_ends(sent, &view))
		return false;
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct port_range *range = &config->rules[i].target.ports;

		if (config->rules[i].stage == STAGE_IN && range->min < range->max &&
		    in_range(range, view.ends.port[TO]) &&
		    drops_others(config, range, view.ends.port[TO]))
			return true;
	}
	return false;
}
