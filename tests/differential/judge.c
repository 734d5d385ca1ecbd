// SPDX-License-Identifier: GPL-2.0-or-later
/* Whether both edges make the same of a packet. */
#include "judge.h"

#include <stdio.h>
#include <string.h>

#include "outputs.h"
#include "packet.h"

uint64_t excuses[EXCUSE_COUNT], packets_sent, packets_translated;

const char *const excuse_names[] = {
#define EXCUSE_NAME(name, reason) #name,
	EXCUSES(EXCUSE_NAME)
#undef EXCUSE_NAME
};

const char *const excuse_reasons[] = {
#define EXCUSE_REASON(name, reason) reason,
	EXCUSES(EXCUSE_REASON)
#undef EXCUSE_REASON
};

/* ---- what was chosen ---- */

/* How packets of a connection leave: as frames say it, and as each edge does it. */
struct choice {
	struct ends in, said, actual[EDGES];
};

static struct choice mappings[KNOWN_MAX];
static size_t mapping_count;

/* Connections that only one of the two has. */
static struct ends doubtful[4 * KNOWN_MAX];
static size_t doubtful_count;

enum direction { TO_EDGE, FROM_EDGE };

/*
 * Packets of the first direction are as said when they come in, and as the edge chose when they
 * leave; answers the other way round. `inner`: what an error is about goes the other way.
 */
static const struct ends *mapping_find(enum edge edge, enum direction direction, bool inner,
				       const struct ends *ends, struct ends *reversed)
{
	bool is_answer = inner == (direction == FROM_EDGE);
	struct ends seen = is_answer ? ends_reverse(ends) : *ends;

	for (size_t i = mapping_count; i-- > 0;) {
		const struct ends *said = &mappings[i].said, *actual = &mappings[i].actual[edge];
		const struct ends *to = direction == TO_EDGE ? actual : said;

		if (!ends_equal(direction == TO_EDGE ? said : actual, &seen))
			continue;
		*reversed = ends_reverse(to);
		return is_answer ? reversed : to;
	}
	return NULL;
}

/* Of an answer that leaves as it came. Where the edge chose what was there before, it has to. */
static const struct ends *answer_find(enum edge edge, const struct ends *ends,
				      struct ends *reversed)
{
	struct ends back = ends_reverse(ends);

	for (size_t i = 0; i < mapping_count; i++)
		if (ends_equal(&mappings[i].in, &back))
			return NULL;
	return mapping_find(edge, FROM_EDGE, true, ends, reversed);
}

/* The link-layer addresses of neighbours end as their own do. */
static void link_follows(struct frame *frame, const struct view *view, const struct ends *to)
{
	size_t last = address_length(view->six) - 1;

	if (frame->data[5] == view->ends.addr[TO][last])
		frame->data[5] = to->addr[TO][last];
}

/* What is said into what the edge does, or the other way round. Was there anything to change? */
static bool translate(enum edge edge, enum direction direction, struct frame *frame)
{
	struct view view, inner;
	const struct ends *to;
	struct ends reversed, outer;

	if (!mapping_count || !view_read(&view, frame))
		return false;
	if (view_inner(&inner, frame, &view) && inner.has_ports) {
		to = mapping_find(edge, direction, true, &inner.ends, &reversed);
		if (!to)
			return false;
		frame_redirect(frame, &inner, &view, to);
		outer = view.ends;
		for (int i = 0; i < 2; i++) {
			if (!memcmp(outer.addr[i], inner.ends.addr[!i], 16))
				memcpy(outer.addr[i], to->addr[!i], 16);
		}
		link_follows(frame, &view, &outer);
		frame_redirect(frame, &view, NULL, &outer);
		return true;
	}
	to = view.has_ports ? mapping_find(edge, direction, false, &view.ends, &reversed) : NULL;
	if (!to && view.has_ports && direction == FROM_EDGE) /* an answer that was not translated */
		to = answer_find(edge, &view.ends, &reversed);
	if (!to)
		return false;
	if (direction == TO_EDGE &&
	    frame->data[11] == view.ends.addr[FROM][address_length(view.six) - 1])
		frame->data[11] = to->addr[FROM][address_length(view.six) - 1];
	link_follows(frame, &view, to);
	frame_redirect(frame, &view, NULL, to);
	return true;
}

static void mapping_set(const struct ends *in, const struct ends *said,
			const struct ends actual[EDGES])
{
	size_t at = 0;

	while (at < mapping_count && !ends_equal(&mappings[at].said, said))
		at++;
	if (at == KNOWN_MAX)
		at = 0;
	else if (at == mapping_count)
		mapping_count++;
	mappings[at].in = *in;
	mappings[at].said = *said;
	memcpy(mappings[at].actual, actual, sizeof(mappings[at].actual));
}

static struct known *known_find(struct judge *j, const struct ends *ends, bool *is_reply)
{
	struct ends back = ends_reverse(ends);

	for (size_t i = 0; i < j->known_count; i++) {
		struct known *known = &j->known[i];

		*is_reply = ends_equal(&known->out, &back);
		if (*is_reply || ends_equal(&known->in, ends))
			return known;
	}
	return NULL;
}

/* What came in, for the kernel tracks that, too. */
static struct ends seen[4 * KNOWN_MAX];
static size_t seen_count;

static void see(const struct ends *ends)
{
	if (seen_count < sizeof(seen) / sizeof(seen[0]))
		seen[seen_count++] = *ends;
}

static bool was_seen(const struct ends *ends)
{
	for (size_t i = 0; i < seen_count; i++)
		if (ends_equal(&seen[i], ends))
			return true;
	return false;
}

/* What came in with its last hop, and began a connection to xfwd alone. */
static struct ends expired[KNOWN_MAX];
static size_t expired_count;

static void expire(const struct ends *ends)
{
	if (expired_count < KNOWN_MAX)
		expired[expired_count++] = *ends;
}

/* From any address, for that may have been translated. */
static bool was_expired(uint8_t proto, uint16_t port_from)
{
	for (size_t i = 0; i < expired_count; i++)
		if (expired[i].proto == proto && expired[i].port[FROM] == port_from)
			return true;
	return false;
}

/* Has the same source sent to the same port of another address? */
static bool was_redirected(const struct ends *ends)
{
	for (size_t i = 0; i < seen_count; i++)
		if (seen[i].proto == ends->proto && seen[i].port[FROM] == ends->port[FROM] &&
		    seen[i].port[TO] == ends->port[TO] && ends->port[TO] &&
		    !memcmp(seen[i].addr[FROM], ends->addr[FROM], 16) &&
		    memcmp(seen[i].addr[TO], ends->addr[TO], 16))
			return true;
	return false;
}

static void doubt(const struct ends *ends)
{
	if (doubtful_count < sizeof(doubtful) / sizeof(doubtful[0]))
		doubtful[doubtful_count++] = *ends;
}

static bool is_doubtful(const struct ends *ends)
{
	struct ends back = ends_reverse(ends);

	for (size_t i = 0; i < doubtful_count; i++)
		if (ends_equal(&doubtful[i], ends) || ends_equal(&doubtful[i], &back))
			return true;
	return false;
}

/* ---- is that choice allowed? ---- */

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

/* ---- frames ---- */

/* What is wrong with a packet, whatever came before it. */
struct fault {
	bool header_sum, transport_sum, malformed, options, unsupported, query, zero_udp6,
		extension;
};

static bool tcp_flags_are_sane(uint8_t flags)
{
	switch (flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) {
	case TCP_SYN:
	case TCP_SYN | TCP_ACK:
	case TCP_RST:
	case TCP_RST | TCP_ACK:
	case TCP_FIN | TCP_ACK:
	case TCP_ACK:
		break;
	default:
		return false;
	}
	/* Urgent: with SYN alone, with FIN and ACK, or with ACK. */
	if (flags & 0x20)
		return !(flags & TCP_RST) && (flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK);
	return true;
}

static bool transport_is_malformed(const struct frame *frame, const struct view *view)
{
	const uint8_t *at = frame->data + view->transport;
	size_t length = view->end - view->transport;

	if (view->offset)
		return false;
	switch (view->ends.proto) {
	case IPPROTO_TCP:
		return length < 20 || at[12] >> 4 < 5 || (at[12] >> 4) * 4U > length ||
		       !tcp_flags_are_sane(at[13] & 0x3f);
	case IPPROTO_UDP:
		return length < 8 || read16(at + 4) < 8 || (!view->more && read16(at + 4) > length);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return length < 8;
	case IPPROTO_SCTP:
		return length < 16;
	default:
		return false;
	}
}

static bool ip_is_malformed(const struct frame *frame, const struct view *view)
{
	const uint8_t *ip = frame->data + view->ip;
	size_t length;

	if (view->six)
		length = 40 + read16(ip + 4);
	else
		length = read16(ip + 2);
	return view->transport > view->end || view->ip + length > frame->length;
}

/* Farther behind extension headers than xfwd looks. */
static bool is_far(const struct view *view)
{
	return view->six && view->transport > 511;
}

/* Not to be read as IP: `view` is then empty. */
static struct fault frame_fault(const struct frame *frame, const struct view *view, bool is_ip)
{
	struct fault fault = { 0 };

	if (!is_ip || ip_is_malformed(frame, view)) {
		fault.malformed = true;
		return fault;
	}
	fault.header_sum = !frame_header_is_right(frame, view);
	fault.malformed = transport_is_malformed(frame, view) || is_far(view);
	/* Mobility, HIP, shim6, authentication, and no next one. */
	fault.extension = view->six && (view->ends.proto == 135 || view->ends.proto == 139 ||
					view->ends.proto == 140 || view->ends.proto == 51 ||
					view->ends.proto == 59);
	fault.zero_udp6 = !fault.malformed && view->six && view->ends.proto == IPPROTO_UDP &&
			  !view->offset && !read16(frame->data + view->transport + 6);
	fault.transport_sum = !fault.malformed && !frame_transport_is_right(frame, view);
	for (size_t at = view->ip + 20; !view->six && at < view->transport; at++)
		fault.options |= frame->data[at] != 1;
	fault.unsupported = view->ends.proto == IPPROTO_UDPLITE || view->ends.proto == IPPROTO_DCCP;
	fault.query = view->ends.proto == (view->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP) &&
		      !view->has_ports && !view->inner;
	return fault;
}

/* Without what is known, does it begin a connection? */
static bool frame_begins(const struct view *view)
{
	const uint8_t opening = TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN;

	if (view->ends.proto == IPPROTO_TCP)
		return (view->tcp_flags & opening) == TCP_SYN;
	if (view->ends.proto == IPPROTO_SCTP)
		return view->chunk == SCTP_INIT;
	if (view->ends.proto == (view->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return view->icmp_type == (view->six ? 128 : 8);
	return true;
}

static bool is_icmp(const struct view *view)
{
	return view->ends.proto == (view->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

/* Where in the datagram the one differs from the other, with one word made equal. */
static bool equal_but(const struct frame *a, const struct frame *b, size_t word, size_t sum)
{
	static struct frame copy;

	if (a->length != b->length || word + 2 > a->length || sum + 2 > a->length)
		return false;
	copy.length = b->length;
	memcpy(copy.data, b->data, b->length);
	write16(copy.data + word, read16(a->data + word));
	write16(copy.data + sum, read16(a->data + sum));
	return frame_equal(a, &copy);
}

/*
 * Do two errors say the same to the same, in whatever name? Of its own, an edge chooses TOS and id,
 * and xfwd sends it to the neighbour that it came from, where the kernel asks its routes.
 */
static bool equal_but_source(const struct frame *a, const struct frame *b, const struct view *view,
			     bool is_own)
{
	size_t at = view->ip + (view->six ? 8 : 12), length = address_length(view->six);
	static struct frame copy;

	if (!view->inner || a->length != b->length)
		return false;
	copy.length = b->length;
	memcpy(copy.data, b->data, b->length);
	memcpy(copy.data + at, a->data + at, length);
	if (view->six)
		memcpy(copy.data + view->check, a->data + view->check, 2);
	else
		memcpy(copy.data + view->ip + 10, a->data + view->ip + 10, 2);
	if (is_own)
		memcpy(copy.data, a->data, 6);
	if (!view->six && is_own) {
		copy.data[view->ip + 1] = a->data[view->ip + 1];
		memcpy(copy.data + view->ip + 4, a->data + view->ip + 4, 2);
	}
	return frame_equal(a, &copy);
}

/* Do the edges themselves answer this, as its time is exceeded? */
static bool is_own_answer(const struct step *step, const struct view *view)
{
	for (int i = 0; i < step->count; i++)
		if (step->in[i].frame.data[L2_LENGTH + (view->six ? 7 : 8)] <= 1)
			return true;
	return false;
}

/* Is it about a connection that has another port at one of the two? */
static bool quotes_choice(const struct frame *frame, const struct view *view)
{
	struct view inner;
	struct ends back;

	if (!view_inner(&inner, frame, view))
		return false;
	back = ends_reverse(&inner.ends);
	for (size_t i = 0; i < mapping_count; i++)
		if (ends_equal(&mappings[i].said, &inner.ends) ||
		    ends_equal(&mappings[i].said, &back) ||
		    ends_equal(&mappings[i].in, &inner.ends))
			return true;
	return false;
}

/* Is it about a connection of which a port is translated, and the address beside it is not? */
static bool quotes_changed_port(struct judge *j, const struct frame *frame, const struct view *view)
{
	const struct known *known;
	struct view inner;
	bool is_reply;

	if (!view_inner(&inner, frame, view))
		return false;
	known = known_find(j, &inner.ends, &is_reply);
	for (int end = 0; known && end < 2; end++)
		if (known->in.port[end] != known->out.port[end] &&
		    !memcmp(known->in.addr[end], known->out.addr[end], 16))
			return true;
	return false;
}

/* Why these two may pass for the same; EXCUSE_COUNT where they are, -1 where they are not. */
static int pair_excuse(struct judge *j, const struct step *step, const struct frame *a,
		       const struct frame *b)
{
	static struct frame cut;
	struct view view;
	int excuse;

	if (frame_equal(a, b))
		return EXCUSE_COUNT;
	if (!view_read(&view, a))
		return -1;
	if (b->length > a->length && a->length == view.end) {
		cut.length = a->length;
		memcpy(cut.data, b->data, a->length);
		excuse = pair_excuse(j, step, a, &cut);
		return excuse == EXCUSE_COUNT ? EXCUSE_TRAILER : excuse;
	}
	for (int i = 0; i < step->count && !view.six; i++) {
		struct view in;

		if (view_read(&in, &step->in[i].frame) && in.id == view.id)
			break;
		if (equal_but(a, b, view.ip + 4, view.ip + 10))
			return EXCUSE_IP_ID;
	}
	if ((is_own_answer(step, &view) && equal_but_source(a, b, &view, true)) ||
	    (quotes_choice(a, &view) && equal_but_source(a, b, &view, false)))
		return EXCUSE_ANSWER_SOURCE;
	if (quotes_changed_port(j, a, &view) && equal_but_source(a, b, &view, false))
		return EXCUSE_ROUTER;
	if (mapping_count && view.check && equal_but(a, b, view.check, view.check)) {
		uint16_t sums[] = { read16(a->data + view.check), read16(b->data + view.check) };

		if ((!sums[0] && sums[1] == 0xffff) || (sums[0] == 0xffff && !sums[1]))
			return EXCUSE_ZERO_SUM;
	}
	return -1;
}

/* Takes out what is the same in both. */
static void outputs_match(struct judge *j, const struct step *step, struct outputs rest[EDGES])
{
	for (size_t a = 0; a < rest[KERNEL].count;) {
		int excuse = -1;

		for (size_t b = 0; b < rest[XFWD].count && excuse < 0; b++) {
			if (rest[KERNEL].list[a].iface != rest[XFWD].list[b].iface)
				continue;
			excuse = pair_excuse(j, step, &rest[KERNEL].list[a].frame,
					     &rest[XFWD].list[b].frame);
			if (excuse >= 0)
				outputs_remove(&rest[XFWD], b);
		}
		if (excuse < 0) {
			a++;
			continue;
		}
		outputs_remove(&rest[KERNEL], a);
		if (excuse < EXCUSE_COUNT)
			excuses[excuse]++;
	}
}

/* ---- a step ---- */

bool judge_begin(struct judge *j, const struct scenario *s)
{
	uint64_t unused[VERDICT_COUNT];

	j->known_count = 0;
	j->loose = s->manner.loose;
	mapping_count = 0;
	doubtful_count = 0;
	seen_count = 0;
	expired_count = 0;
	if (!wire_apply(s->rules, &s->manner))
		return false;
	wire_verdicts(unused);
	return true;
}

/* The one datagram that came out, of the connection that the one that went in began. */
static bool output_ends(const struct outputs *outputs, struct view *view)
{
	return outputs->count == 1 && view_read(view, &outputs->list[0].frame) && view->has_ports &&
	       !view->fragment;
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

/* Both forwarded the first packet of a connection: notes how, if that is allowed. */
static void learn(struct judge *j, struct step *step, const struct view *in,
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
	}
	if (!ends_equal(&out[KERNEL], &out[XFWD]) || !ends_equal(&said, &out[KERNEL])) {
		mapping_set(&in->ends, &said, out);
		step->has_chosen = true;
		step->chosen = said;
	}
	known_set(j, known, step, in, &said)->to = raw[KERNEL].list[0].iface;
}

static bool counted_drop(const struct judge *j, enum verdict verdict)
{
	return j->verdicts[verdict];
}

/* What came out is the packet as its connection is translated. */
static bool is_as_known(struct judge *j, const struct view *in, const struct outputs *outputs)
{
	struct known *known;
	struct view view;
	struct ends want;
	bool is_reply;

	known = known_find(j, &in->ends, &is_reply);
	if (!known || !output_ends(outputs, &view))
		return false;
	want = is_reply ? ends_reverse(&known->in) : known->out;
	return ends_equal(&want, &view.ends);
}

static enum excuse fault_excuse(const struct judge *j, const struct fault *fault,
				const struct outputs rest[EDGES])
{
	if (fault->header_sum && !j->outputs[KERNEL].count)
		return EXCUSE_WRONG_HEADER_SUM;
	if (fault->options)
		return EXCUSE_OPTIONS;
	if (fault->extension)
		return EXCUSE_EXTENSION;
	if (fault->zero_udp6)
		return EXCUSE_ZERO_UDP6;
	if (fault->malformed && !rest[XFWD].count && counted_drop(j, VERDICT_DROP_MALFORMED))
		return EXCUSE_DROPPED_MALFORMED;
	if ((fault->malformed || fault->transport_sum || fault->unsupported || fault->query) &&
	    !rest[XFWD].count && counted_drop(j, VERDICT_DROP_RULE))
		return EXCUSE_DROPPED_BY_RULE;
	if (fault->transport_sum && !counted_drop(j, VERDICT_DROP_ERROR))
		return EXCUSE_TRANSLATED_WRONG_SUM;
	if (fault->unsupported && !rest[XFWD].count && counted_drop(j, VERDICT_DROP_UNSUPPORTED))
		return EXCUSE_DROPPED_UNSUPPORTED;
	if (fault->query)
		return EXCUSE_QUERY;
	return EXCUSE_NONE;
}

/* What the kernel sent is an answer in a connection that is not translated, or the edge's own. */
static bool is_untranslated_answer(struct judge *j, const struct view *in)
{
	bool is_reply;
	struct known *known = known_find(j, &in->ends, &is_reply);

	return known && is_reply && ends_equal(&known->in, &known->out);
}

static bool is_answer(struct judge *j, const struct view *in, const struct outputs *kernel)
{
	struct ends back = ends_reverse(&in->ends);
	struct view view, inner;

	if (is_untranslated_answer(j, in))
		return true;
	if (kernel->count != 1 || !view_read(&view, &kernel->list[0].frame))
		return false;
	if (view_inner(&inner, &kernel->list[0].frame, &view))
		return ends_equal(&inner.ends, &in->ends);
	return ends_equal(&view.ends, &back);
}

/* Is it of a connection to the edge itself? */
static bool is_delivered(struct judge *j, const struct view *in)
{
	bool is_reply;
	struct known *known = known_find(j, &in->ends, &is_reply);

	return known && known->is_local && !is_reply;
}

/* Is it for somebody who is on a link by the address, and not there? Nothing comes out then. */
static bool is_for_nobody(struct judge *j, const struct view *in)
{
	const struct known *known;
	bool is_reply;

	known = known_find(j, &in->ends, &is_reply);
	return known &&
	       !wire_has_host(is_reply ? known->in.addr[FROM] : known->out.addr[TO], in->six);
}

/* Is an echo a request where one is due, or an answer to one? */
static bool is_in_turn(struct judge *j, const struct view *in)
{
	bool is_reply;

	return known_find(j, &in->ends, &is_reply) && is_reply != frame_begins(in);
}

/* An error about no connection, or one that is not translated. */
static bool is_error_of_none(struct judge *j, const struct frame *frame, const struct view *view)
{
	const struct known *known;
	struct view inner;
	struct ends back;
	bool is_reply;

	if (!view_inner(&inner, frame, view))
		return false;
	back = ends_reverse(&inner.ends);
	known = known_find(j, &back, &is_reply);
	return !known || ends_equal(&known->in, &known->out);
}

/* Does the answer leave by another interface than what it answers came by? */
static bool is_asymmetric(struct judge *j, const struct view *in)
{
	bool is_inside = in->ends.addr[TO][0] == (in->six ? 0xfd : 10), is_reply;
	struct known *known = known_find(j, &in->ends, &is_reply);

	return known && is_inside != (known->from == ETH1);
}

/* Does another connection leave so, and get its answers? */
static bool is_taken(const struct judge *j, const struct ends *ends)
{
	for (size_t i = 0; i < j->known_count; i++)
		if (ends_equal(&j->known[i].out, ends) && !ends_equal(&j->known[i].in, ends))
			return true;
	return false;
}

/* As packets of a host whose address others are translated to. */
static bool leaves_as_seen(const struct outputs *outputs)
{
	struct view view;

	return outputs->count == 1 && view_read(&view, &outputs->list[0].frame) &&
	       was_seen(&view.ends);
}

/* As answers to what came before, of a protocol without ports? */
static bool leaves_as_answer(const struct outputs *outputs)
{
	struct view view;
	struct ends back;

	if (outputs->count != 1 || !view_read(&view, &outputs->list[0].frame))
		return false;
	back = ends_reverse(&view.ends);
	return view.has_ports && !view.check && !view.ends.port[FROM] && was_seen(&back);
}

/* Would its answers look like the beginning of a translated connection? */
static bool is_opposite(const struct judge *j, const struct ends *ends)
{
	struct ends back = ends_reverse(ends);

	for (size_t i = 0; i < j->known_count; i++)
		if (ends_equal(&j->known[i].in, &back) && !ends_equal(&j->known[i].out, &back))
			return true;
	return false;
}

/* Does the same source have a connection to the edge already, by another address? */
static bool is_beside_redirect(const struct judge *j, const struct ends *ends)
{
	for (size_t i = 0; i < j->known_count; i++) {
		const struct ends *other = &j->known[i].in;

		if (j->known[i].is_local && other->proto == ends->proto &&
		    other->port[FROM] == ends->port[FROM] &&
		    !memcmp(other->addr[FROM], ends->addr[FROM], 16) &&
		    memcmp(other->addr[TO], ends->addr[TO], 16))
			return true;
	}
	return was_redirected(ends);
}

static bool quotes_sctp(const struct outputs *outputs)
{
	struct view view, inner;

	for (size_t i = 0; i < outputs->count; i++)
		if (view_read(&view, &outputs->list[i].frame) &&
		    view_inner(&inner, &outputs->list[i].frame, &view) &&
		    inner.ends.proto == IPPROTO_SCTP)
			return true;
	return false;
}

static bool quotes_any(const struct outputs *outputs)
{
	struct view view;

	for (size_t i = 0; i < outputs->count; i++)
		if (view_read(&view, &outputs->list[i].frame) && view.inner)
			return true;
	return false;
}

static bool has_self(const struct outputs *outputs)
{
	struct view view;

	for (size_t i = 0; i < outputs->count; i++)
		if (view_read(&view, &outputs->list[i].frame) &&
		    !memcmp(view.ends.addr[FROM], view.ends.addr[TO], 16))
			return true;
	return false;
}

/* Does the packet leave as what would answer it? */
static bool is_mirrored(const struct view *in, const struct outputs *outputs)
{
	struct ends back = ends_reverse(&in->ends);
	struct view view;

	return outputs->count == 1 && view_read(&view, &outputs->list[0].frame) &&
	       ends_equal(&view.ends, &back);
}

static bool has_doubtful(const struct outputs *outputs)
{
	struct view view;

	for (size_t i = 0; i < outputs->count; i++)
		if (view_read(&view, &outputs->list[i].frame) && is_doubtful(&view.ends))
			return true;
	return false;
}

/* Parts of a datagram, without its first? */
static bool are_later_parts(const struct outputs *outputs)
{
	struct view view;

	for (size_t i = 0; i < outputs->count; i++)
		if (!view_read(&view, &outputs->list[i].frame) || !view.offset)
			return false;
	return outputs->count;
}

static enum excuse parts_excuse(const struct outputs rest[EDGES])
{
	if (quotes_any(&rest[KERNEL]) || quotes_any(&rest[XFWD]))
		return EXCUSE_QUOTED_PART;
	return are_later_parts(&rest[XFWD]) ? EXCUSE_REST : EXCUSE_NONE;
}

static enum excuse error_excuse(struct judge *j, const struct frame *frame, const struct view *view,
				const struct outputs rest[EDGES])
{
	struct known *known;
	struct view inner;
	struct ends back;
	bool is_reply;

	if (!view_inner(&inner, frame, view))
		return EXCUSE_NONE;
	if (is_doubtful(&inner.ends))
		return EXCUSE_FOLLOWS;
	if (inner.end < inner.transport + 8 && counted_drop(j, VERDICT_DROP_MALFORMED))
		return EXCUSE_DROPPED_MALFORMED;
	if (inner.ends.proto == IPPROTO_SCTP)
		return EXCUSE_SCTP_QUOTE;
	if (inner.end < inner.transport + 8 && !rest[KERNEL].count &&
	    j->verdicts[VERDICT_PASS_NO_RULE])
		return EXCUSE_SHORT_QUOTE;
	if (inner.ends.proto == IPPROTO_TCP && inner.end >= inner.transport + 18 &&
	    inner.end < inner.transport + 20)
		return EXCUSE_QUOTED_SUM;
	back = ends_reverse(&inner.ends);
	known = known_find(j, &back, &is_reply);
	if (is_icmp(&inner) && (!known || known->is_local || is_reply != frame_begins(&inner)))
		return EXCUSE_TRANSLATED_ECHO;
	/* Netfilter forgets a connection that is answered with a reset. */
	return known && known->is_closing ? EXCUSE_TRANSLATED_STATE : EXCUSE_NONE;
}

/* Why the two may differ in what became of one packet. */
static enum excuse step_excuse(struct judge *j, const struct outputs rest[EDGES])
{
	const struct frame *frame = &j->whole;
	enum excuse excuse;
	struct fault fault;
	struct view view;
	bool is_ip = view_read(&view, frame), is_reply;

	fault = frame_fault(frame, &view, is_ip);
	excuse = fault_excuse(j, &fault, rest);
	if (excuse != EXCUSE_NONE || !is_ip)
		return excuse;
	if (view.fragment)
		return EXCUSE_FRAGMENTS;
	excuse = j->is_parts ? parts_excuse(rest) : EXCUSE_NONE;
	if (excuse != EXCUSE_NONE)
		return excuse;
	if (view.ends.proto == (view.six ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return EXCUSE_OTHER_ICMP;
	if (view.ends.proto == IPPROTO_GRE)
		return EXCUSE_GRE;
	/* Of two without ports, the second leads nowhere, unless they go to different addresses. */
	if (counted_drop(j, VERDICT_DROP_NO_PORT) && mapping_count && !view.ends.port[FROM])
		return EXCUSE_ADDRESS_OF_RANGE;
	if (counted_drop(j, VERDICT_DROP_NO_PORT) &&
	    was_expired(view.ends.proto, view.ends.port[FROM]))
		return EXCUSE_EXPIRED;
	if (view.ends.proto == IPPROTO_SCTP && view.chunk != SCTP_INIT &&
	    !known_find(j, &view.ends, &is_reply))
		return EXCUSE_SCTP_MIDDLE;
	if (quotes_sctp(&rest[KERNEL]))
		return EXCUSE_SCTP_QUOTE;
	if (is_taken(j, &view.ends) || is_opposite(j, &view.ends) ||
	    (!rest[KERNEL].count && leaves_as_seen(&rest[XFWD])))
		return EXCUSE_PORT_CLASH;
	if (!rest[KERNEL].count && leaves_as_answer(&rest[XFWD]))
		return EXCUSE_OWN_PEER;
	if (is_beside_redirect(j, &view.ends))
		return EXCUSE_BESIDE_REDIRECT;
	if (has_self(&rest[KERNEL]) || has_self(&rest[XFWD]) ||
	    (counted_drop(j, VERDICT_DROP_NO_PORT) && is_mirrored(&view, &rest[KERNEL])))
		return EXCUSE_SELF;
	if (j->verdicts[VERDICT_DROP_UNSOLICITED] && !rest[XFWD].count)
		return EXCUSE_UNSOLICITED;
	if (is_doubtful(&view.ends) || has_doubtful(&rest[KERNEL]) || has_doubtful(&rest[XFWD]))
		return EXCUSE_FOLLOWS;
	if (!known_find(j, &view.ends, &is_reply) && !frame_begins(&view) && !view.inner &&
	    !rest[XFWD].count) {
		if (counted_drop(j, VERDICT_DROP_STRAY))
			return EXCUSE_DROPPED_STRAY;
		if (counted_drop(j, VERDICT_DROP_RULE))
			return EXCUSE_DROPPED_BY_RULE;
	}
	if (counted_drop(j, VERDICT_DROP_UNSOLICITED) && !rest[XFWD].count)
		return EXCUSE_SILENT;
	if (counted_drop(j, VERDICT_DROP_RULE) && !rest[XFWD].count &&
	    is_answer(j, &view, &rest[KERNEL]))
		return EXCUSE_DROPPED_ANSWER;
	excuse = error_excuse(j, frame, &view, rest);
	if (excuse != EXCUSE_NONE)
		return excuse;
	if (!rest[XFWD].count && is_error_of_none(j, frame, &view) &&
	    (counted_drop(j, VERDICT_DROP_STRAY) || counted_drop(j, VERDICT_DROP_RULE)))
		return EXCUSE_DROPPED_ERROR;
	if (is_untranslated_answer(j, &view) && view.ends.proto == IPPROTO_TCP &&
	    frame_begins(&view))
		return EXCUSE_OPENS_AGAIN;
	if (is_untranslated_answer(j, &view) && is_asymmetric(j, &view))
		return EXCUSE_ASYMMETRIC;
	if (is_icmp(&view) && view.has_ports && !is_in_turn(j, &view))
		return EXCUSE_TRANSLATED_ECHO;
	if (view.ends.proto != IPPROTO_TCP && view.ends.proto != IPPROTO_SCTP)
		return EXCUSE_NONE;
	if (is_as_known(j, &view, &j->outputs[XFWD]) && !is_as_known(j, &view, &j->outputs[KERNEL]))
		return EXCUSE_TRANSLATED_STATE;
	if (known_find(j, &view.ends, &is_reply) && j->verdicts[VERDICT_ANSWER_TTL])
		return EXCUSE_TRANSLATED_STATE;
	if (is_delivered(j, &view) && j->verdicts[VERDICT_DELIVER])
		return EXCUSE_TRANSLATED_STATE;
	if (is_for_nobody(j, &view) && !is_as_known(j, &view, &j->outputs[KERNEL]) &&
	    !rest[XFWD].count && j->verdicts[VERDICT_FORWARD])
		return EXCUSE_TRANSLATED_STATE;
	return EXCUSE_NONE;
}

bool known_is_steady(const struct known *known)
{
	return !known->is_local && known->passed[0] && known->passed[1] && !known->is_closing &&
	       !known->is_doubtful;
}

/* Of packets sent at once, only those are compared whose connection had its choices behind it. */
static enum excuse burst_excuse(struct judge *j, const struct step *step)
{
	struct view view;
	bool is_reply;

	for (int i = 0; i < step->count; i++) {
		const struct known *known;

		if (!view_read(&view, &step->in[i].frame))
			return EXCUSE_FOLLOWS;
		known = known_find(j, &view.ends, &is_reply);
		if (!known || !known_is_steady(known))
			return EXCUSE_FOLLOWS;
	}
	return EXCUSE_NONE;
}

/* What a difference looks like, in few words. */
static void describe(struct judge *j, const struct outputs rest[EDGES])
{
	struct view view;
	int length;

	length = snprintf(j->kind, sizeof(j->kind), "kernel %zu, xfwd %zu of %zu, %zu;",
			  rest[KERNEL].count, rest[XFWD].count, j->outputs[KERNEL].count,
			  j->outputs[XFWD].count);
	if (view_read(&view, &j->whole))
		length += snprintf(j->kind + length, sizeof(j->kind) - length,
				   " IPv%d %u:", view.six ? 6 : 4, view.ends.proto);
	for (int v = VERDICT_DROP_RULE; v < VERDICT_COUNT; v++)
		if (j->verdicts[v])
			length += snprintf(j->kind + length, sizeof(j->kind) - length, " %s",
					   verdict_names[v]);
}

/* The part again, of the datagram as the edge is to see it. */
static void cut_again(struct frame *part, const struct frame *whole)
{
	static struct frame before;
	struct view view;

	before = *part;
	if (view_read(&view, &before))
		packet_fragment(whole, view.id, view.offset, view.end - view.transport, part);
}

static void run_edges(const struct judge *j, const struct step *step, struct outputs raw[EDGES])
{
	static struct frame frame, whole;

	for (int e = 0; e < EDGES; e++) {
		whole = j->whole;
		translate(e, TO_EDGE, &whole);
		for (int i = 0; i < step->count; i++) {
			frame = step->in[i].frame;
			if (j->is_parts)
				cut_again(&frame, &whole);
			else
				translate(e, TO_EDGE, &frame);
			wire_send(e, step->in[i].iface, &frame);
		}
		wire_collect(e, &raw[e]);
		outputs_join(&raw[e]);
	}
}

static bool differ(struct judge *j, struct step *step)
{
	static struct outputs rest[EDGES];
	enum excuse excuse;
	struct view view;

	for (int e = 0; e < EDGES; e++)
		outputs_copy(&rest[e], &j->outputs[e]);
	outputs_match(j, step, rest);
	if (!rest[KERNEL].count && !rest[XFWD].count)
		return false;
	excuse = j->is_one ? step_excuse(j, rest) : burst_excuse(j, step);
	describe(j, rest);
	if (excuse == EXCUSE_NONE)
		return true;
	excuses[excuse]++;
	/* The one or the other may have a connection now. */
	if (view_read(&view, &j->whole))
		doubt(&view.ends);
	for (int e = 0; e < EDGES; e++)
		for (size_t i = 0; i < rest[e].count; i++)
			if (view_read(&view, &rest[e].list[i].frame))
				doubt(&view.ends);
	return false;
}

/* Of a connection that both have: how far it is. Closing, too, is what comes in no right order. */
static void follow(struct judge *j, const struct view *in)
{
	struct known *known;
	bool is_reply, is_same;

	known = known_find(j, &in->ends, &is_reply);
	if (!known)
		return;
	is_same = j->outputs[KERNEL].count == 1 && j->outputs[XFWD].count == 1 &&
		  frame_equal(&j->outputs[KERNEL].list[0].frame, &j->outputs[XFWD].list[0].frame) &&
		  is_as_known(j, in, &j->outputs[KERNEL]);
	/* Requests both ways, with one identifier. */
	if (is_icmp(in) && !is_in_turn(j, in)) {
		doubt(&known->in);
		doubt(&known->out);
	}
	known->is_doubtful |= is_doubtful(&in->ends) || !is_same;
	known->is_closing |= in->ends.proto ==
			     IPPROTO_SCTP; /* no bursts: its state is not followed */
	if (in->ends.proto != IPPROTO_TCP) {
		known->passed[is_reply] |= is_same && (!is_icmp(in) || is_in_turn(j, in));
		return;
	}
	switch (in->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) {
	case TCP_SYN:
		known->is_closing |= is_reply || known->passed[0] || known->passed[1];
		break;
	case TCP_SYN | TCP_ACK:
		known->is_closing |= !is_reply || known->passed[0];
		known->passed[1] |= is_same;
		break;
	case TCP_ACK:
		known->passed[0] |= is_same && !is_reply && known->passed[1];
		break;
	default:
		known->is_closing = true;
	}
}

bool judge_step(struct judge *j, struct step *step)
{
	static struct outputs raw[EDGES];
	struct fault fault;
	struct view view;
	bool is_ip;

	j->is_one = step_whole(step, &j->whole);
	j->is_parts = view_read(&view, &step->in[0].frame) && view.fragment && j->is_one;
	run_edges(j, step, raw);
	wire_verdicts(j->verdicts);
	packets_sent += step->count;
	is_ip = view_read(&view, &j->whole);
	fault = frame_fault(&j->whole, &view, is_ip);
	if (j->is_one && view.has_ports && !view.fragment && !fault.malformed &&
	    !fault.header_sum && !fault.transport_sum)
		learn(j, step, &view, raw);
	for (int e = 0; e < EDGES; e++) {
		for (size_t i = 0; i < raw[e].count; i++)
			translate(e, FROM_EDGE, &raw[e].list[i].frame);
		outputs_copy(&j->outputs[e], &raw[e]);
	}
	if (is_ip && raw[KERNEL].count == 1) {
		struct view out;

		packets_translated += view_read(&out, &raw[KERNEL].list[0].frame) &&
				      !ends_equal(&out.ends, &view.ends);
	}
	if (differ(j, step))
		return false;
	/* May be of that connection to the one, and of another to the other. */
	if (is_ip && view.ends.proto == IPPROTO_TCP && frame_begins(&view) &&
	    is_untranslated_answer(j, &view))
		doubt(&view.ends);
	/* Netfilter takes up no connection whose first packet goes no further. */
	if (is_ip && j->verdicts[VERDICT_ANSWER_TTL]) {
		doubt(&view.ends);
		expire(&view.ends);
	}
	for (int i = 0; i < step->count && !j->is_parts; i++)
		if (view_read(&view, &step->in[i].frame) && view.has_ports)
			see(&view.ends);
	is_ip = view_read(&view, &j->whole);
	if (j->is_parts && view.has_ports)
		see(&view.ends);
	if (j->is_one && is_ip && !fault.malformed && !fault.header_sum && !fault.transport_sum &&
	    !fault.zero_udp6)
		follow(j, &view);
	return true;
}

void judge_explain(const struct judge *j, const struct step *step)
{
	static const char *const titles[] = { "the kernel's edge sent", "xfwd's edge sent" };

	printf("# %s\n", j->kind);
	for (int i = 0; i < step->count; i++) {
		struct view view;

		if (view_read(&view, &step->in[i].frame))
			printf("# %s, TCP flags %02x, ICMP type %u\n", ends_text(&view.ends),
			       view.tcp_flags, view.icmp_type);
		printf("# to %s:\n", iface_names[step->in[i].iface]);
		frame_dump("packet", &step->in[i].frame);
	}
	for (int e = 0; e < EDGES; e++)
		for (size_t i = 0; i < j->outputs[e].count; i++) {
			const struct output *output = &j->outputs[e].list[i];
			struct view view;

			printf("# out of %s: %s\n", iface_names[output->iface],
			       view_read(&view, &output->frame) ? ends_text(&view.ends) : "?");
			frame_dump(titles[e], &output->frame);
		}
	for (int v = 0; v < VERDICT_COUNT; v++)
		if (j->verdicts[v])
			printf("# xfwd counted %s: %ju\n", verdict_names[v],
			       (uintmax_t)j->verdicts[v]);
}
