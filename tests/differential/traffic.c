// SPDX-License-Identifier: GPL-2.0-or-later
/* Random packets. */
#include "traffic.h"

#include <arpa/inet.h>
#include <string.h>

#include "packet.h"
#include "rules.h"

/* A packet, and where it goes in. */
struct draft {
	struct packet packet;
	enum iface_id iface;
};

static const uint16_t few_ports[] = {
	1, 53, 80, 80, 1000, 1003, 1023, 1024, 5000, 5001, 8080, 65535
};

/* Of TCP that begins; 0: it does not say. */
static const uint16_t segments[] = { 0, 0, 400, 536, 1000, 1220, 1440, 1460, 8960 };

static bool one_in(uint64_t *random, unsigned int n)
{
	return !random_below(random, n);
}

static enum iface_id iface_of(const struct ends *ends)
{
	return ends->addr[FROM][0] == (ends->six ? 0xfd : 10) ? ETH1 : ETH0;
}

static bool is_of_edge(const uint8_t addr[16], bool six)
{
	static const char *const own[2][2] = { { "198.51.100.1", "10.0.0.1" },
					       { "2001:db8::1", "fd00:1::1" } };
	uint8_t bytes[16];

	for (int i = 0; i < 2; i++) {
		address_of(own[six][i], bytes);
		if (!memcmp(bytes, addr, 16))
			return true;
	}
	return false;
}

/* Whose link-layer address frames of that source have: its own, or the router's. */
static unsigned int neighbour_of(const struct ends *ends, enum iface_id iface)
{
	static const char *const nets[IFACES][2] = { { "198.51.100.0", "2001:db8::" },
						     { "10.0.0.0", "fd00:1::" } };
	size_t last = address_length(ends->six) - 1;
	uint8_t net[16];

	address_of(nets[iface][ends->six], net);
	return memcmp(net, ends->addr[FROM], ends->six ? 8 : 3) ? 9 : ends->addr[FROM][last];
}

static void draft_begin(uint64_t *random, struct draft *draft, const struct ends *ends,
			enum iface_id iface)
{
	struct packet *p = &draft->packet;

	memset(draft, 0, sizeof(*draft));
	draft->iface = iface;
	p->ends = *ends;
	p->dmac = MAC_EDGE(iface);
	p->smac = MAC_HOST(iface, neighbour_of(ends, iface));
	p->serial = random_next(random);
	p->id = random_next(random);
	p->payload = random_below(random, 40);
	if (one_in(random, 20))
		p->payload = 200 + random_below(random, 1000);
	p->flags = random_below(random, 2) ? IP_DONT : 0;
	p->tos = one_in(random, 8) ? random_below(random, 256) & 0xfc : 0;
	p->options = one_in(random, 40) ? random_below(random, 11) : 0;
	p->seq = 1000001;
	p->ack = 2000001;
	if (one_in(random, 30))
		p->ttl = 2 + random_below(random, 254);
	if (one_in(random, 30))
		p->ttl = 1;
}

/* ---- new connections ---- */

static bool rule_has_family(const struct rule *rule, bool six)
{
	uint8_t family = rule->family ? rule->family : rule_address_family(rule);

	return !family || family == (six ? AF_INET6 : AF_INET);
}

static void aim_port(uint64_t *random, const struct port_range *range, uint16_t *port)
{
	if (range->min)
		*port = range->min + random_below(random, range->max - range->min > 8 ? 8 : 5);
}

/* What a rule may match. */
static void aim_at_rule(uint64_t *random, struct ends *ends)
{
	const struct config *config = wire_config();
	const struct rule *rule = &config->rules[random_below(random, config->rule_count)];

	if (!rule_has_family(rule, ends->six))
		return;
	if (rule->from.prefix.len == family_bits(rule->from.prefix.family) && rule->from.prefix.len)
		memcpy(ends->addr[FROM], rule->from.prefix.addr.word, 16);
	if (rule->to.prefix.len == family_bits(rule->to.prefix.family) && rule->to.prefix.len)
		memcpy(ends->addr[TO], rule->to.prefix.addr.word, 16);
	aim_port(random, &rule->from.ports, &ends->port[FROM]);
	aim_port(random, &rule->to.ports, &ends->port[TO]);
	if (rule->protocols & RULE_TCP)
		ends->proto = IPPROTO_TCP;
	else if (rule->protocols & RULE_UDP)
		ends->proto = IPPROTO_UDP;
	else if (rule->protocols & RULE_ICMP)
		ends->proto = ends->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
}

static void random_proto(uint64_t *random, struct ends *ends)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_TCP,  IPPROTO_TCP,
					  IPPROTO_UDP, IPPROTO_UDP,  IPPROTO_UDP,
					  IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMP };
	static const uint8_t others[] = { 50, 253, 89, IPPROTO_UDPLITE, IPPROTO_DCCP };

	ends->proto = PICK(random, protos);
	if (one_in(random, 20))
		ends->proto = PICK(random, others);
	if (one_in(random, 8))
		ends->proto = IPPROTO_SCTP;
	if (ends->six && ends->proto == IPPROTO_ICMP)
		ends->proto = IPPROTO_ICMPV6;
}

static bool has_ports(const struct ends *ends)
{
	return ends->proto == IPPROTO_TCP || ends->proto == IPPROTO_UDP ||
	       ends->proto == IPPROTO_SCTP || ends->proto == IPPROTO_UDPLITE ||
	       ends->proto == IPPROTO_DCCP;
}

static void random_ends(uint64_t *random, struct ends *ends)
{
	memset(ends, 0, sizeof(*ends));
	ends->six = random_below(random, 2);
	random_proto(random, ends);
	do
		host_random(random, ends->six, ends->addr[FROM]);
	while (is_of_edge(ends->addr[FROM], ends->six));
	ends->port[FROM] = 1024 + random_below(random, 64512);
	if (one_in(random, 5))
		ends->port[FROM] = PICK(random, few_ports);
	host_random(random, ends->six, ends->addr[TO]);
	ends->port[TO] = PICK(random, few_ports);
	if (random_below(random, 3))
		aim_at_rule(random, ends);
	if (is_of_edge(ends->addr[FROM], ends->six) ||
	    !memcmp(ends->addr[FROM], ends->addr[TO], 16))
		ends->addr[FROM][ends->six ? 15 : 3] ^= 8;
	if (ends->proto == IPPROTO_ICMP || ends->proto == IPPROTO_ICMPV6)
		ends->port[TO] = ends->port[FROM];
	else if (!has_ports(ends))
		ends->port[FROM] = ends->port[TO] = 0;
}

static void draft_new(uint64_t *random, struct draft *draft)
{
	struct ends ends;
	enum iface_id iface;

	random_ends(random, &ends);
	iface = iface_of(&ends);
	draft_begin(random, draft, &ends, iface);
	draft->packet.tcp_flags = TCP_SYN;
	draft->packet.seq = 1000000;
	draft->packet.ack = 0;
	draft->packet.type = ends.proto == IPPROTO_SCTP ? 1 : ends.six ? 128 : 8;
	if (ends.proto == IPPROTO_TCP) {
		draft->packet.payload = 0;
		draft->packet.mss = PICK(random, segments);
	}
}

/* ---- of a connection ---- */

static uint8_t tcp_next(uint64_t *random, struct known *known, bool is_reply)
{
	static const uint8_t any[] = { TCP_SYN,          TCP_SYN | TCP_ACK, TCP_ACK,
				       TCP_RST,          TCP_RST | TCP_ACK, TCP_FIN | TCP_ACK,
				       TCP_ACK | TCP_PSH };

	if (one_in(random, 12))
		return PICK(random, any);
	if (is_reply && !known->phase) {
		known->phase = 1;
		return TCP_SYN | TCP_ACK;
	}
	if (!is_reply && !known->phase)
		return TCP_SYN;
	if (!is_reply && known->phase == 1)
		known->phase = 2;
	else if (one_in(random, 8))
		return TCP_FIN | TCP_ACK;
	return random_below(random, 2) ? TCP_ACK : TCP_ACK | TCP_PSH;
}

static void draft_known(uint64_t *random, struct known *known, bool is_reply, struct draft *draft)
{
	struct ends ends = is_reply ? ends_reverse(&known->out) : known->in;
	struct packet *p = &draft->packet;

	draft_begin(random, draft, &ends, is_reply ? known->to : known->from);
	if (ends.proto == IPPROTO_TCP)
		p->tcp_flags = tcp_next(random, known, is_reply);
	if (is_reply) {
		p->seq = 2000001;
		p->ack = 1000001;
	}
	if (p->tcp_flags & TCP_SYN) {
		p->seq--;
		p->payload = 0;
		p->mss = PICK(random, segments);
	}
	if (!(p->tcp_flags & TCP_ACK))
		p->ack = 0;
	if (ends.proto == IPPROTO_SCTP)
		p->type = is_reply ? 2 : 1;
	else
		p->type = is_reply ? (ends.six ? 129 : 0) : (ends.six ? 128 : 8);
}

static struct known *pick_known(uint64_t *random, struct judge *judge)
{
	size_t recent = judge->known_count < 24 ? judge->known_count : 24;

	/* Mostly of those that are young, so that some get far. */
	if (!recent)
		return NULL;
	if (one_in(random, 6))
		return &judge->known[random_below(random, judge->known_count)];
	return &judge->known[judge->known_count - 1 - random_below(random, recent)];
}

/* A new one where there is none. */
static void draft_any(uint64_t *random, struct judge *judge, struct draft *draft)
{
	struct known *known = pick_known(random, judge);

	if (known && random_below(random, 4))
		draft_known(random, known, !known->is_local && random_below(random, 2), draft);
	else
		draft_new(random, draft);
}

/* ---- what is strange ---- */

/* Valid, and of no connection, or out of its order. */
static void draft_stray(uint64_t *random, struct judge *judge, struct draft *draft)
{
	static const uint8_t types[] = { 0, 8, 13, 14, 17, 129, 128, 42 };

	draft_any(random, judge, draft);
	draft->packet.tcp_flags = random_next(random) & 0x3f;
	if (random_below(random, 2))
		draft->packet.seq = random_next(random);
	draft->packet.type = PICK(random, types);
	if (draft->packet.ends.six && draft->packet.type < 128)
		draft->packet.type |= 128;
}

static void break_ip4(uint64_t *random, struct frame *frame, const struct view *view)
{
	uint8_t *ip = frame->data + view->ip;

	switch (random_below(random, 5)) {
	case 0:
		ip[0] = 4 << 4 | random_below(random, 16);
		break;
	case 1:
		write16(ip + 2, read16(ip + 2) + random_below(random, 81) - 40);
		break;
	case 2:
		write16(ip + 2, random_next(random));
		break;
	case 3:
		ip[0] = random_below(random, 16) << 4 | 5;
		break;
	default:
		ip[9] = random_next(random);
		break;
	}
	if (random_below(random, 8) && (ip[0] & 15) * 4U + view->ip <= frame->length)
		packet_sum_header(frame, view->ip);
}

static void break_ip6(uint64_t *random, struct frame *frame, const struct view *view)
{
	uint8_t *ip = frame->data + view->ip;

	switch (random_below(random, 4)) {
	case 0:
		write16(ip + 4, read16(ip + 4) + random_below(random, 81) - 40);
		break;
	case 1:
		write16(ip + 4, random_next(random));
		break;
	case 2:
		ip[0] = random_below(random, 16) << 4;
		break;
	default:
		ip[6] = random_next(random);
	}
}

static void break_transport(uint64_t *random, struct frame *frame, const struct view *view)
{
	size_t length = view->end - view->transport;
	uint8_t *at = frame->data + view->transport;

	if (length < 8)
		return;
	switch (random_below(random, 4)) {
	case 0:
		if (view->check)
			write16(frame->data + view->check, random_next(random));
		break;
	case 1:
		if (view->check)
			write16(frame->data + view->check, 0);
		break;
	case 2:
		if (view->ends.proto == IPPROTO_TCP)
			at[12] = random_below(random, 16) << 4;
		else if (view->ends.proto == IPPROTO_UDP)
			write16(at + 4, read16(at + 4) + random_below(random, 61) - 30);
		break;
	default:
		at[random_below(random, length)] ^= 1 << random_below(random, 8);
	}
}

static void break_frame(uint64_t *random, struct frame *frame)
{
	unsigned int more;
	struct view view;

	if (!view_read(&view, frame))
		return;
	switch (random_below(random, 8)) {
	case 0:
	case 1:
		(view.six ? break_ip6 : break_ip4)(random, frame, &view);
		break;
	case 2:
	case 3:
	case 4:
		break_transport(random, frame, &view);
		break;
	case 5:
		frame->length -= random_below(random, frame->length - L2_LENGTH);
		break;
	case 6:
		more = 1 + random_below(random, 46);
		memset(frame->data + frame->length, random_next(random), more);
		frame->length += more;
		break;
	default:
		frame->data[view.ip + random_below(random, frame->length - view.ip)] ^=
			1 << random_below(random, 8);
	}
}

/* ---- errors ---- */

/* About a packet of the connection, from where it went to. */
static void error_about(uint64_t *random, struct known *known, struct frame *frame)
{
	static const uint8_t types[2][6] = { { 3, 3, 3, 11, 12, 3 }, { 1, 1, 2, 3, 4, 1 } };
	static const uint8_t codes[2][4] = { { 0, 1, 3, 4 }, { 0, 1, 3, 4 } };
	bool about_reply = random_below(random, 2), six = known->in.six;
	static struct frame inner;
	struct ends ends, saved[2];
	enum iface_id iface = about_reply ? known->from : known->to;
	struct draft draft;
	size_t length;

	draft_known(random, known, about_reply, &draft);
	saved[0] = known->in;
	saved[1] = known->out;
	draft.packet.ends = about_reply ? ends_reverse(&saved[0]) : saved[1];
	draft.packet.ttl = 1 + random_below(random, 64);
	packet_build(&draft.packet, &inner);
	length = inner.length - L2_LENGTH;
	if (random_below(random, 2) && length > (six ? 48U : 28U))
		length = six ? 48 : 28;
	if (length > 576)
		length = 576;
	ends = draft.packet.ends;
	ends.proto = six ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	memcpy(ends.addr[TO], draft.packet.ends.addr[FROM], 16);
	memcpy(ends.addr[FROM], draft.packet.ends.addr[TO], 16);
	if (random_below(random, 2)) /* a router on the way */
		address_of(iface == ETH0 ? (six ? "2001:db8::8" : "198.51.100.8")
					 : (six ? "fd00:1::8" : "10.0.0.8"),
			   ends.addr[FROM]);
	draft_begin(random, &draft, &ends, iface);
	draft.packet.type = PICK(random, types[six]);
	draft.packet.code = PICK(random, codes[six]);
	draft.packet.info = draft.packet.type == 3 || draft.packet.type == 2 ? 1300 : 0;
	draft.packet.inner = inner.data + L2_LENGTH;
	draft.packet.inner_length = length;
	packet_build(&draft.packet, frame);
}

/* ---- steps ---- */

static void step_add(struct step *step, const struct draft *draft)
{
	struct input *in = &step->in[step->count++];

	in->iface = draft->iface;
	packet_build(&draft->packet, &in->frame);
}

/* Packets that have their connection already: nothing is chosen. */
static void step_burst(uint64_t *random, struct judge *judge, struct step *step)
{
	int count = 2 + random_below(random, BURST_MAX - 1);
	struct draft draft;

	while (count--) {
		struct known *known = pick_known(random, judge);

		if (!known_is_steady(known))
			continue;
		draft_known(random, known, random_below(random, 2), &draft);
		draft.packet.tcp_flags = TCP_ACK;
		draft.packet.ttl = 64;
		step_add(step, &draft);
	}
	if (!step->count) {
		draft_any(random, judge, &draft);
		step_add(step, &draft);
	}
}

static void step_fragments(uint64_t *random, struct judge *judge, struct step *step)
{
	static struct frame whole;
	struct draft draft;
	size_t at = 0, length;
	uint32_t id = random_next(random);

	draft_any(random, judge, &draft);
	draft.packet.payload = 64 + random_below(random, 900);
	draft.packet.options = 0;
	packet_build(&draft.packet, &whole);
	do {
		length = 8 * (3 + random_below(random, 60));
		if (step->count == BURST_MAX - 1)
			length = 0;
		step->in[step->count].iface = draft.iface;
		if (!packet_fragment(&whole, id, at, length, &step->in[step->count].frame))
			break;
		step->count++;
		at += length;
	} while (length && step->count < BURST_MAX);
	for (int i = step->count - 1; i > 0 && one_in(random, 3); i--) {
		static struct input other;
		int with = random_below(random, i + 1);

		other = step->in[i];
		step->in[i] = step->in[with];
		step->in[with] = other;
	}
}

void traffic_step(uint64_t *random, struct judge *judge, struct step *step)
{
	unsigned int dice = random_below(random, 100);
	struct known *known = pick_known(random, judge);
	struct draft draft;

	step->count = 0;
	if (dice < 6 && known && !known->is_local) {
		step->in[0].iface = ETH0;
		error_about(random, known, &step->in[0].frame);
		step->in[0].iface = step->in[0].frame.data[5] == 2 ? ETH1 : ETH0;
		step->count = 1;
		if (one_in(random, 8))
			break_frame(random, &step->in[0].frame);
		return;
	}
	if (dice < 10) {
		step_fragments(random, judge, step);
		return;
	}
	if (dice < 20 && known) {
		step_burst(random, judge, step);
		return;
	}
	if (dice < 42)
		draft_new(random, &draft);
	else if (dice < 48)
		draft_stray(random, judge, &draft);
	else
		draft_any(random, judge, &draft);
	step_add(step, &draft);
	if (one_in(random, 9))
		break_frame(random, &step->in[0].frame);
}
