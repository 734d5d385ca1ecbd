// SPDX-License-Identifier: GPL-2.0-or-later
/* The model of the edge. Simple before fast: a list for everything. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not an answer: go on. */
#define NO_VERDICT VERDICT_COUNT

struct parsed {
	struct tuple tuple;
	size_t ip, transport; /* offsets */
	size_t length; /* of the datagram */
	size_t transport_length;
	uint16_t id;
	uint8_t ttl;
	uint8_t tcp_flags;
	uint16_t seq_high, ack_high; /* upper halves */
	bool other_host; /* its link-layer destination is not this interface */
	bool fragment, later, more, dont_fragment;
	size_t part_at; /* of a fragment: in the whole datagram's payload */
	bool error; /* an ICMP error */
	bool has_ports; /* known, or the protocol has none */
	bool begins; /* the packet of a kind that begins a flow */
	bool broken; /* its transport header */
};

/* A packet on its way through the model. */
struct walk {
	struct model *m;
	struct place place;
	const struct frame *in;
	struct outcome *out;
	struct parsed p;
	bool held; /* a fragment that waits for its first */
	bool xdp;
};

void model_init(struct model *model, const struct config *config)
{
	memset(model, 0, sizeof(*model));
	model->config = config;
	model->counters = calloc(config->rule_count + 1, sizeof(*model->counters));
	for (size_t i = 0; i < config->rule_count; i++)
		if (config->rules[i].kind == RULE_DNAT &&
		    ntohl(config->rules[i].target.addr_min.word[0]) >> 24 == 127)
			model->guard = true;
}

void model_free(struct model *model)
{
	free(model->counters);
}

/* ---- tuples ---- */

struct tuple tuple_reverse(const struct tuple *tuple)
{
	return (struct tuple){ .saddr = tuple->daddr,
			       .daddr = tuple->saddr,
			       .sport = tuple->dport,
			       .dport = tuple->sport,
			       .proto = tuple->proto };
}

bool tuple_equal(const struct tuple *a, const struct tuple *b)
{
	return a->saddr == b->saddr && a->daddr == b->daddr && a->sport == b->sport &&
	       a->dport == b->dport && a->proto == b->proto;
}

const char *tuple_text(const struct tuple *tuple)
{
	static char texts[8][80];
	static unsigned int next;
	const uint32_t s = tuple->saddr, d = tuple->daddr;
	char *text = texts[next++ % 8];

	snprintf(text, sizeof(texts[0]), "proto %u %u.%u.%u.%u:%u -> %u.%u.%u.%u:%u", tuple->proto,
		 s >> 24, s >> 16 & 255, s >> 8 & 255, s & 255, tuple->sport, d >> 24,
		 d >> 16 & 255, d >> 8 & 255, d & 255, tuple->dport);
	return text;
}

static bool has_real_ports(const struct tuple *tuple)
{
	return tuple->proto == IPPROTO_TCP || tuple->proto == IPPROTO_UDP ||
	       tuple->proto == IPPROTO_SCTP;
}

/* ---- reading ---- */

/* As netfilter has it: a segment opens, closes, resets or acknowledges, PSH aside. */
static bool flags_make_sense(uint8_t flags)
{
	static const uint8_t sane[] = { 0x02, 0x22, 0x12, 0x04, 0x14, 0x11, 0x31, 0x10, 0x30 };

	for (size_t i = 0; i < sizeof(sane); i++)
		if ((flags & 0x37) == sane[i])
			return true;
	return false;
}

static void parse_transport(struct parsed *p, const uint8_t *at, size_t there)
{
	size_t has = p->transport_length < there ? p->transport_length : there;
	uint8_t flags;

	switch (p->tuple.proto) {
	case IPPROTO_TCP:
		p->broken = has < 20 || at[12] >> 4 < 5 || (at[12] >> 4) * 4U > has;
		if (p->broken)
			return;
		flags = at[13];
		p->tcp_flags = flags;
		p->seq_high = read16(at + 4);
		p->ack_high = read16(at + 8);
		p->broken = !flags_make_sense(flags);
		p->begins = (flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
		break;
	case IPPROTO_UDP:
		p->broken = has < 8 || read16(at + 4) < 8 ||
			    (!p->fragment && read16(at + 4) > p->transport_length);
		if (p->broken)
			return;
		p->begins = true;
		break;
	case IPPROTO_SCTP:
		p->broken = has < 16;
		if (p->broken)
			return;
		p->begins = at[12] == SCTP_INIT && !read32(at + 4);
		break;
	case IPPROTO_ICMP:
		p->broken = has < 8;
		p->begins = !p->broken && at[0] == 8;
		p->error = !p->broken && (at[0] == 3 || at[0] == 11 || at[0] == 12);
		p->has_ports = !p->broken && (at[0] == 8 || at[0] == 0);
		if (p->begins)
			p->tuple.sport = read16(at + 4);
		else if (p->has_ports)
			p->tuple.dport = read16(at + 4);
		return;
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		p->broken = has < 8;
		p->has_ports = p->begins = !p->broken;
		return;
	default:
		p->has_ports = p->begins = true;
		return;
	}
	p->has_ports = !p->broken;
	p->tuple.sport = read16(at);
	p->tuple.dport = read16(at + 2);
}

/* NO_VERDICT: it is IPv4 for this interface, and well-formed up to its transport header. */
static enum verdict parse(struct walk *w)
{
	const struct frame *f = w->in;
	const uint8_t *ip = f->data + L2_LENGTH;
	struct parsed *p = &w->p;
	uint8_t mac[6];
	uint16_t word;

	write_mac(mac, MAC_EDGE(w->place.iface));
	if (read16(f->data + 12) != 0x0800)
		return VERDICT_PASS_OTHER_PROTOCOL;
	p->other_host = w->place.program != TC_EGRESS && memcmp(f->data, mac, 6);
	if (p->other_host && w->xdp)
		return VERDICT_PASS_OTHER_HOST;
	if (f->length < L2_LENGTH + 20)
		return VERDICT_PASS_OTHER_PROTOCOL;
	p->ip = L2_LENGTH;
	p->transport = p->ip + (ip[0] & 15) * 4;
	p->length = read16(ip + 2);
	if (ip[0] >> 4 != 4 || (ip[0] & 15) < 5 || p->length < (ip[0] & 15) * 4U)
		return VERDICT_DROP_MALFORMED;
	if (p->ip + p->length > f->length)
		return w->xdp ? VERDICT_PASS_TO_TC : VERDICT_DROP_MALFORMED;
	p->transport_length = p->ip + p->length - p->transport;
	p->tuple.saddr = read32(ip + 12);
	p->tuple.daddr = read32(ip + 16);
	p->tuple.proto = ip[9];
	p->id = read16(ip + 4);
	p->ttl = ip[8];
	word = read16(ip + 6);
	p->dont_fragment = word & IP_DONT;
	p->fragment = word & 0x3fff;
	p->later = word & 0x1fff;
	p->more = word & IP_MORE;
	p->part_at = (word & 0x1fff) * 8;
	if (!p->later)
		parse_transport(p, f->data + p->transport, f->length - p->transport);
	return NO_VERDICT;
}

/* A transport checksum that is the pseudo header's sum and nothing more; of SCTP, none. */
static bool is_partial(const struct walk *w)
{
	const uint8_t *at = w->in->data + w->p.transport;
	uint16_t sum = ~sum_check(sum_pseudo(w->in->data + w->p.ip, w->p.transport_length));
	size_t there = w->in->length - w->p.transport;

	if (w->p.tuple.proto == IPPROTO_TCP)
		return there < 20 || read16(at + 16) == sum;
	if (w->p.tuple.proto == IPPROTO_UDP)
		return there < 8 || read16(at + 6) == sum;
	if (w->p.tuple.proto == IPPROTO_SCTP)
		return there < 16 || !read32(at + 8);
	return false;
}

/* ---- rules ---- */

static bool endpoint_matches(const struct endpoint *e, uint32_t addr, const struct tuple *tuple,
			     uint16_t port)
{
	uint32_t differs = ntohl(e->prefix.addr.word[0]) ^ addr;

	if (e->prefix.family && e->prefix.len && differs >> (32 - e->prefix.len))
		return false;
	if (!e->ports.min)
		return true;
	return has_real_ports(tuple) && port >= e->ports.min && port <= e->ports.max;
}

static bool rule_matches(const struct rule *rule, enum stage stage, enum iface_id iface,
			 const struct tuple *tuple)
{
	uint8_t set = rule->protocols;

	if (rule->stage != stage)
		return false;
	if (rule->ifname[0] && strcmp(rule->ifname, iface_names[iface]))
		return false;
	if (set && !(set & RULE_TCP && tuple->proto == IPPROTO_TCP) &&
	    !(set & RULE_UDP && tuple->proto == IPPROTO_UDP) &&
	    !(set & RULE_ICMP && tuple->proto == IPPROTO_ICMP) &&
	    !(set & RULE_SCTP && tuple->proto == IPPROTO_SCTP))
		return false;
	return endpoint_matches(&rule->from, tuple->saddr, tuple, tuple->sport) &&
	       endpoint_matches(&rule->to, tuple->daddr, tuple, tuple->dport);
}

int model_first_match(const struct config *config, enum stage stage, enum iface_id iface,
		      const struct tuple *tuple)
{
	for (size_t i = 0; i < config->rule_count; i++)
		if (rule_matches(&config->rules[i], stage, iface, tuple))
			return i;
	return -1;
}

static void count_rule(struct walk *w, int rule)
{
	if (rule < 0)
		return;
	w->m->counters[rule].packets++;
	w->m->counters[rule].bytes += w->p.length;
}

/* ---- routes: the harness' ---- */

enum route {
	ROUTE_HERE,
	ROUTE_NEIGHBOUR,
	ROUTE_UNKNOWN_NEIGHBOUR,
	ROUTE_TOO_LONG,
	ROUTE_REFUSED,
};

struct way {
	enum route route;
	enum iface_id iface;
	uint64_t mac;
};

static struct way route(uint32_t daddr, size_t length)
{
	struct way way = { ROUTE_NEIGHBOUR, ETH0, MAC_HOST(ETH0, 9) };
	uint32_t host = daddr & 255, net = daddr >> 8;

	if (daddr >> 24 == 127 || daddr == ADDR_EDGE(ETH0) || daddr == ADDR_EDGE(ETH1)) {
		way.route = ROUTE_HERE;
	} else if (net == ADDR(192, 0, 2, 0) >> 8) {
		way.route = ROUTE_REFUSED;
	} else if (net == ADDR(10, 0, 1, 0) >> 8) {
		way = (struct way){ ROUTE_NEIGHBOUR, ETH1, MAC_HOST(ETH1, 9) };
		if (length > 600)
			way.route = ROUTE_TOO_LONG;
	} else if (net == ADDR(10, 0, 0, 0) >> 8 || net == ADDR(198, 51, 100, 0) >> 8) {
		way.iface = net == ADDR(10, 0, 0, 0) >> 8 ? ETH1 : ETH0;
		way.mac = MAC_HOST(way.iface, host);
		if (host < 2 || host > 9)
			way.route = host == 255 ? ROUTE_HERE : ROUTE_UNKNOWN_NEIGHBOUR;
	}
	return way;
}

static bool xdp_can(const struct walk *w, const struct way *way)
{
	return way->route == ROUTE_NEIGHBOUR && w->p.ttl > 1;
}

/* ---- flows ---- */

static struct model_flow *find_flow(struct model *m, const struct tuple *tuple, int *direction)
{
	for (size_t i = 0; i < m->flow_count; i++) {
		for (int d = 0; d < 2; d++) {
			if (!tuple_equal(&m->flows[i].tuple[d], tuple))
				continue;
			*direction = d;
			return &m->flows[i];
		}
	}
	return NULL;
}

/* What packets of this direction leave as. */
static struct tuple translated(const struct model_flow *flow, int direction)
{
	return tuple_reverse(&flow->tuple[!direction]);
}

static bool changes_source(const struct model_flow *flow, int d)
{
	struct tuple to = translated(flow, d);

	return to.saddr != flow->tuple[d].saddr || to.sport != flow->tuple[d].sport;
}

static bool changes_destination(const struct model_flow *flow, int d)
{
	struct tuple to = translated(flow, d);

	return to.daddr != flow->tuple[d].daddr || to.dport != flow->tuple[d].dport;
}

static bool has_moved(const struct model_flow *flow, int d, enum iface_id by)
{
	return flow->masqueraded && d == 0 && changes_source(flow, d) && flow->by != by;
}

static void end_flow(struct model *m, struct model_flow *flow)
{
	*flow = m->flows[--m->flow_count];
}

static bool connection_closed(const struct model_flow *flow)
{
	uint8_t either = flow->tcp_seen[0] | flow->tcp_seen[1];
	uint8_t both = flow->tcp_seen[0] & flow->tcp_seen[1];

	return either & TCP_RST || both & TCP_FIN;
}

static void count_flow(const struct walk *w, const struct model_flow *flow)
{
	for (int stage = 0; stage < STAGE_COUNT; stage++)
		if (flow->rule[stage] >= 0)
			w->m->counters[flow->rule[stage]].flows++;
}

static struct model_fragment *find_fragment(struct model *m, const struct parsed *p)
{
	for (size_t i = 0; i < m->fragment_count; i++) {
		struct model_fragment *f = &m->fragments[i];

		if (f->id == p->id && f->tuple.saddr == p->tuple.saddr &&
		    f->tuple.daddr == p->tuple.daddr && f->tuple.proto == p->tuple.proto)
			return f;
	}
	return NULL;
}

static void note_fragment(struct walk *w)
{
	struct model_fragment *f = find_fragment(w->m, &w->p);

	if (!f && w->m->fragment_count < MODEL_FLOWS)
		f = &w->m->fragments[w->m->fragment_count++];
	if (f)
		*f = (struct model_fragment){ .tuple = w->p.tuple,
					      .id = w->p.id,
					      .has_ports = w->p.has_ports,
					      .place = w->place,
					      .missing = -w->p.transport_length };
}

/* What the first had is a later one's, too; once all have passed, what comes in is of another. */
static void recall_fragment(struct walk *w)
{
	struct model_fragment *f = find_fragment(w->m, &w->p);

	if (f && !f->missing && w->place.program == TC_INGRESS)
		f = NULL;
	if (!f) {
		w->held = w->place.program == TC_INGRESS && w->in->length <= HELD_FRAME;
		return;
	}
	w->p.has_ports = f->has_ports;
	if (f->has_ports)
		w->p.tuple = f->tuple;
	if (f->missing && f->place.program == w->place.program && f->place.iface == w->place.iface)
		f->missing += w->p.more ? -w->p.transport_length : w->p.part_at;
}

/* The flow that the packet belongs to; a connection that it opens anew begins again. */
static struct model_flow *packet_flow(struct walk *w, int *direction)
{
	struct model_flow *flow;
	struct model *m = w->m;

	if (w->p.fragment && !w->p.later)
		note_fragment(w);
	else if (w->p.later)
		recall_fragment(w);
	flow = w->p.has_ports ? find_flow(m, &w->p.tuple, direction) : NULL;
	if (flow && !*direction && w->p.tuple.proto == IPPROTO_TCP && w->p.begins &&
	    connection_closed(flow)) {
		flow->tcp_seen[0] = flow->tcp_seen[1] = 0;
		count_flow(w, flow);
	}
	return flow;
}

/* An RST far from what its receiver has acknowledged last: the receiver will not take it. */
static bool reset_is_bad(const struct walk *w, const struct model_flow *flow, int d)
{
	uint8_t receiver = flow->tcp_seen[!d];

	if (!(w->p.tcp_flags & TCP_RST))
		return false;
	if (!(receiver & TCP_ACK) && !(d == 0 && receiver & TCP_SYN))
		return false;
	return (uint16_t)(w->p.seq_high - flow->ack_high[!d]) > 16;
}

static void account(struct walk *w, struct model_flow *flow, int d)
{
	uint8_t flags = w->p.tcp_flags;

	count_rule(w, flow->rule[STAGE_IN]);
	count_rule(w, flow->rule[STAGE_OUT]);
	if (w->p.tuple.proto != IPPROTO_TCP || w->p.later || reset_is_bad(w, flow, d))
		return;
	if (flags & TCP_ACK && !(flags & TCP_RST))
		flow->ack_high[d] = w->p.ack_high;
	if (!(flags & TCP_RST))
		flow->tcp_seen[d] &= ~TCP_RST;
	if (flags & TCP_SYN)
		flags &= ~TCP_ACK;
	flow->tcp_seen[d] |= flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST);
}

/* ---- writing ---- */

/*
 * A checksum field after what it covers has changed by two sums: the way for a packet that does not
 * hold all that its checksum covers, or whose checksum was wrong before and must stay so.
 */
static uint16_t check_moved(uint16_t check, uint64_t before, uint64_t after)
{
	uint64_t sum = (uint16_t)~check + after + 0xffffULL * 0x10000 - before;

	sum %= 0xffff;
	if (!sum && (check != 0xffff || after != before))
		sum = 0xffff;
	return ~sum;
}

static void write_check(const struct walk *w, struct frame *out, size_t field, bool pseudo)
{
	const uint8_t *old = w->in->data + w->p.transport, *ip = w->in->data + w->p.ip;
	uint8_t *new = out->data + w->p.transport;
	bool udp = w->p.tuple.proto == IPPROTO_UDP;
	size_t length = udp ? read16(old + 4) : w->p.transport_length, words = pseudo ? 4 : 6;
	uint64_t before, after;

	if (udp && !read16(old + field))
		return;
	before = sum_bytes(pseudo ? sum_pseudo(ip, length) : 0, old, length);
	if (!w->p.fragment && (uint16_t)sum_check(before) == 0) {
		write16(new + field, 0);
		after = sum_bytes(pseudo ? sum_pseudo(out->data + w->p.ip, length) : 0, new,
				  length);
		write16(new + field, sum_check(after));
	} else {
		before = sum_bytes(pseudo ? sum_bytes(0, ip + 12, 8) : 0, old, words);
		after = sum_bytes(pseudo ? sum_bytes(0, out->data + w->p.ip + 12, 8) : 0, new,
				  words);
		write16(new + field, check_moved(read16(old + field), before, after));
	}
	if (udp && !read16(new + field))
		write16(new + field, 0xffff);
}

/* SCTP's checksum: what was right is right again, and what was wrong differs by as much. */
static void write_crc(const struct walk *w, struct frame *out)
{
	const uint8_t *old = w->in->data + w->p.transport;
	uint8_t *new = out->data + w->p.transport, whole[2][FRAME_MAX];
	size_t length = w->p.transport_length;
	uint32_t differs;

	if (!read32(old + 8))
		return;
	memcpy(whole[0], old, length);
	memcpy(whole[1], new, length);
	memset(whole[0] + 8, 0, 4);
	memset(whole[1] + 8, 0, 4);
	differs = crc32c(whole[0], length) ^ crc32c(whole[1], length);
	for (int i = 0; i < 4; i++)
		new[8 + i] = old[8 + i] ^ differs >> 8 * i;
}

static void write_addresses(struct walk *w, const struct tuple *to, bool forwarded)
{
	uint8_t *ip = w->out->out.data + w->p.ip;
	size_t header = (ip[0] & 15) * 4;
	bool was_right = !sum_check(sum_bytes(0, ip, header));
	uint64_t before = sum_bytes(0, ip, 10) + sum_bytes(0, ip + 12, 8);

	write32(ip + 12, to->saddr);
	write32(ip + 16, to->daddr);
	if (forwarded)
		ip[8]--;
	if (was_right) {
		write16(ip + 10, 0);
		write16(ip + 10, sum_check(sum_bytes(0, ip, header)));
	} else {
		write16(ip + 10, check_moved(read16(ip + 10), before,
					     sum_bytes(0, ip, 10) + sum_bytes(0, ip + 12, 8)));
	}
}

/* The checksum is of the whole packet, and the packet is not there. */
static bool checksum_is_lost(const struct walk *w, const struct tuple *to)
{
	return w->p.fragment && !w->p.later && to->proto == IPPROTO_SCTP &&
	       (to->sport != w->p.tuple.sport || to->dport != w->p.tuple.dport) &&
	       read32(w->in->data + w->p.transport + 8);
}

static void write_translation(struct walk *w, const struct tuple *to, bool forwarded)
{
	struct frame *out = &w->out->out;
	uint8_t *at = out->data + w->p.transport;

	write_addresses(w, to, forwarded);
	if (w->p.later)
		return;
	if (to->proto == IPPROTO_ICMP) {
		write16(at + 4, to->sport | to->dport); /* one of them is 0 */
		write_check(w, out, 2, false);
	} else if (has_real_ports(to)) {
		write16(at, to->sport);
		write16(at + 2, to->dport);
		if (to->proto == IPPROTO_SCTP) {
			write_crc(w, out);
			return;
		}
		write_check(w, out, to->proto == IPPROTO_TCP ? 16 : 6, true);
	}
}

static void write_way(struct walk *w, const struct way *way)
{
	struct frame *out = &w->out->out;

	if (w->xdp)
		w->out->action = way->iface == w->place.iface ? ACTION_XDP_TX : ACTION_XDP_REDIRECT;
	else
		w->out->action = ACTION_TC_REDIRECT;
	if (way->route == ROUTE_UNKNOWN_NEIGHBOUR)
		return; /* the kernel writes both addresses when it knows them */
	write_mac(out->data, way->mac);
	write_mac(out->data + 6, MAC_EDGE(way->iface));
}

/* ---- a flow begins ---- */

static enum verdict may_begin(const struct walk *w)
{
	const struct parsed *p = &w->p;

	if (p->broken)
		return VERDICT_DROP_MALFORMED;
	if (p->tuple.proto == IPPROTO_UDPLITE || p->tuple.proto == IPPROTO_DCCP)
		return VERDICT_DROP_UNSUPPORTED;
	if (p->later)
		return VERDICT_DROP_FRAGMENT;
	if (p->begins)
		return NO_VERDICT;
	if (p->tuple.proto == IPPROTO_TCP && w->m->config->options.tcp_loose &&
	    p->tcp_flags & TCP_ACK && !(p->tcp_flags & (TCP_SYN | TCP_RST | TCP_FIN)))
		return NO_VERDICT;
	return VERDICT_DROP_STRAY;
}

static bool is_multicast(uint32_t addr)
{
	return addr >> 28 == 14 || addr == UINT32_MAX;
}

static bool is_no_source(uint32_t addr)
{
	return addr >> 24 == 0 || addr >> 24 == 127 || is_multicast(addr);
}

/* By another flow, or by what the packet itself came as: an answer could not be told from it. */
static bool reply_is_taken(const struct walk *w, const struct tuple *leaves)
{
	struct tuple reply = tuple_reverse(leaves);
	int d;

	return tuple_equal(&reply, &w->p.tuple) || find_flow(w->m, &reply, &d);
}

/* What the source port of a new flow may be. */
struct port_choice {
	bool keep; /* its own, if that is free */
	bool others;
	uint16_t min, max;
};

static struct port_choice port_choice(const struct tuple *tuple, const struct rule *rule)
{
	struct port_choice c = { .min = 1, .max = 65535 };

	c.keep = tuple->sport || tuple->proto != IPPROTO_ICMP;
	c.others = has_real_ports(tuple) || tuple->proto == IPPROTO_ICMP;
	if (has_real_ports(tuple) && tuple->sport < 1024)
		c.max = 1023;
	else if (has_real_ports(tuple))
		c.min = 1024;
	if (rule && rule->target.ports.min && c.others) {
		c.min = rule->target.ports.min;
		c.max = rule->target.ports.max;
		c.keep = tuple->sport >= c.min && tuple->sport <= c.max;
	}
	if (rule && rule->random && c.others)
		c.keep = false;
	return c;
}

static void set_source_port(struct tuple *tuple, uint16_t port)
{
	tuple->sport = port;
}

static bool any_is_free(const struct walk *w, struct tuple leaves, const struct port_choice *c)
{
	for (uint32_t port = c->min; port <= c->max; port++) {
		set_source_port(&leaves, port);
		if (!reply_is_taken(w, &leaves))
			return true;
	}
	return false;
}

/* A flow as it is wanted, before its port is chosen. */
struct wanted {
	struct tuple leaves;
	struct port_choice ports;
	bool dport_unknown; /* it was free to choose, and no flow tells what it is */
	struct model_flow flow;
};

static enum verdict complain(struct walk *w, const char *text)
{
	if (!w->m->complaint)
		w->m->complaint = text;
	return VERDICT_DROP_ERROR;
}

/* Judges what was chosen where there was a choice. */
static enum verdict judge_choice(struct walk *w, struct wanted *want, const struct tuple *got)
{
	struct tuple expect = want->leaves;

	set_source_port(&expect, got->sport);
	if (!tuple_equal(&expect, got))
		return complain(w, "the new flow has another translation than the rules say");
	if (want->ports.keep && !reply_is_taken(w, &want->leaves))
		return got->sport == want->leaves.sport
			       ? NO_VERDICT
			       : complain(w, "a free source port was not kept");
	if (!want->ports.others)
		return complain(w, "a port was chosen where there is no choice");
	if (got->sport < want->ports.min || got->sport > want->ports.max)
		return complain(w, "the chosen source port is out of its range");
	if (reply_is_taken(w, got))
		return complain(w, "the chosen source port is in use");
	return NO_VERDICT;
}

static enum verdict create(struct walk *w, struct wanted *want)
{
	struct model *m = w->m;
	struct tuple got = want->leaves;
	bool kept = want->ports.keep && !reply_is_taken(w, &want->leaves);
	enum verdict verdict;

	if (!kept && (!want->ports.others || !any_is_free(w, want->leaves, &want->ports)))
		return VERDICT_DROP_NO_PORT;
	if (!m->chosen(m->context, &w->p.tuple, &got))
		return complain(w, "a flow should have begun, and there is none");
	verdict = judge_choice(w, want, &got);
	if (verdict != NO_VERDICT)
		return verdict;
	if (m->flow_count == MODEL_FLOWS)
		return complain(w, "the model has no room for another flow");
	want->flow.tuple[0] = w->p.tuple;
	want->flow.tuple[1] = tuple_reverse(&got);
	m->flows[m->flow_count++] = want->flow;
	count_flow(w, &want->flow);
	return NO_VERDICT;
}

static const struct rule *rule_at(const struct walk *w, int at)
{
	return at < 0 ? NULL : &w->m->config->rules[at];
}

static bool translates(const struct rule *rule)
{
	return rule && rule->kind != RULE_ACCEPT && rule->kind != RULE_DROP;
}

/* The stage out, for a packet that leaves at `iface`. */
static void want_source(struct walk *w, struct wanted *want, int at, enum iface_id iface)
{
	const struct rule *rule = rule_at(w, at);

	want->ports = port_choice(&want->leaves, rule);
	if (!rule)
		return;
	want->flow.rule[STAGE_OUT] = at;
	want->flow.masqueraded = rule->kind == RULE_MASQUERADE;
	want->flow.by = iface;
	want->leaves.saddr = rule->kind == RULE_MASQUERADE ? ADDR_EDGE(iface)
							   : ntohl(rule->target.addr_min.word[0]);
}

/* The stage in. */
static void want_destination(struct walk *w, struct wanted *want, int at)
{
	const struct rule *rule = rule_at(w, at);
	const struct port_range *to = &rule->target.ports, *match = &rule->to.ports;
	struct tuple got = want->leaves;

	want->flow.rule[STAGE_IN] = at;
	want->leaves.daddr = rule->kind == RULE_REDIRECT ? ADDR_EDGE(w->place.iface)
							 : ntohl(rule->target.addr_min.word[0]);
	if (!to->min || !has_real_ports(&want->leaves))
		return;
	if (to->min == to->max) {
		want->leaves.dport = to->min;
	} else if (match->min && match->max - match->min == to->max - to->min) {
		want->leaves.dport += to->min - match->min;
	} else if (want->leaves.dport < to->min || want->leaves.dport > to->max) {
		/* any of the range */
		want->dport_unknown = !w->m->chosen(w->m->context, &w->p.tuple, &got);
		want->leaves.dport = to->min;
		if (got.dport >= to->min && got.dport <= to->max)
			want->leaves.dport = got.dport;
	}
}

static struct wanted wanted_new(const struct walk *w)
{
	return (struct wanted){ .leaves = w->p.tuple, .flow.rule = { -1, -1 } };
}

/*
 * Would a rule take what answers the packet for something new? Coming in, that takes a socket of
 * this host, and it has none.
 */
static bool answer_is_taken(const struct walk *w)
{
	struct tuple answer = tuple_reverse(&w->p.tuple);
	const struct config *config = w->m->config;
	uint8_t proto = w->p.tuple.proto;

	if (w->place.program != TC_EGRESS)
		return false;
	if (!w->place.local &&
	    translates(rule_at(w, model_first_match(config, STAGE_OUT, !w->place.iface, &answer))))
		return true;
	if (proto == IPPROTO_ICMP || proto == IPPROTO_SCTP ||
	    (proto == IPPROTO_TCP && !config->options.tcp_loose))
		return false;
	return translates(rule_at(w, model_first_match(config, STAGE_IN, w->place.iface, &answer)));
}

/*
 * No rule translates the packet, but one would translate what answers it: so the connection is
 * remembered, and the answer goes back as it is.
 */
static enum verdict begin_untranslated(struct walk *w, enum verdict otherwise)
{
	struct wanted want = wanted_new(w);

	if (w->xdp || may_begin(w) != NO_VERDICT || is_multicast(w->p.tuple.daddr) ||
	    !answer_is_taken(w))
		return otherwise;
	if (reply_is_taken(w, &want.leaves))
		return otherwise;
	want.ports.keep = true;
	return create(w, &want);
}

static enum verdict begin_translated(struct walk *w, int at)
{
	enum verdict verdict = may_begin(w);
	struct wanted want = wanted_new(w);
	const struct rule *rule;
	struct way way;

	if (is_no_source(w->p.tuple.saddr))
		return VERDICT_DROP_MARTIAN;
	if (verdict == VERDICT_DROP_STRAY)
		return VERDICT_PASS_STRAY;
	if (verdict != NO_VERDICT)
		return verdict;
	want_destination(w, &want, at);
	way = route(want.leaves.daddr, w->p.length);
	if (w->xdp && !xdp_can(w, &way))
		return VERDICT_PASS_TO_TC;
	if (way.route == ROUTE_REFUSED)
		return VERDICT_DROP_UNREACHABLE;
	if (want.dport_unknown) {
		w->out->any_drop = w->m->counters_unknown = true;
		return VERDICT_DROP_RULE;
	}
	at = -1;
	if (way.route == ROUTE_HERE)
		want.flow.ends_here[0] = true;
	else
		at = model_first_match(w->m->config, STAGE_OUT, way.iface, &want.leaves);
	rule = rule_at(w, at);
	if (rule && !translates(rule)) {
		count_rule(w, at);
		if (rule->kind == RULE_DROP)
			return VERDICT_DROP_RULE;
		at = -1;
	}
	want_source(w, &want, at, way.iface);
	return create(w, &want);
}

bool model_in_pool(const struct config *config, uint32_t addr)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];

		if (rule->kind == RULE_SNAT && addr >= ntohl(rule->target.addr_min.word[0]) &&
		    addr <= ntohl(rule->target.addr_max.word[0]))
			return true;
	}
	return false;
}

/* There are no sockets here: connections would be refused, and other packets sent back. */
static bool is_nobodys(const struct walk *w)
{
	struct way way = route(w->p.tuple.daddr, w->p.length);

	if (w->p.tuple.proto == IPPROTO_TCP && w->p.begins)
		return true;
	return has_real_ports(&w->p.tuple) && way.route != ROUTE_HERE &&
	       way.iface == w->place.iface;
}

static enum verdict begin_ingress(struct walk *w)
{
	int at = model_first_match(w->m->config, STAGE_IN, w->place.iface, &w->p.tuple);
	const struct rule *rule = rule_at(w, at);

	if (!rule && !w->xdp && is_no_source(w->p.tuple.saddr) && w->p.tuple.saddr &&
	    !is_multicast(w->p.tuple.daddr))
		return VERDICT_DROP_MARTIAN;
	if (!rule && !w->xdp && model_in_pool(w->m->config, w->p.tuple.daddr) && is_nobodys(w))
		return VERDICT_DROP_UNSOLICITED;
	if (!rule)
		return begin_untranslated(w, VERDICT_PASS_NO_RULE);
	if (translates(rule))
		return begin_translated(w, at);
	if (rule->kind == RULE_DROP) {
		count_rule(w, at);
		return VERDICT_DROP_RULE;
	}
	if (!w->xdp)
		count_rule(w, at);
	return begin_untranslated(w, VERDICT_PASS_ACCEPT);
}

/* Does a rule match ports and translate sources? Then what has ports that are unknown may be meant. */
static bool asks_for_ports(const struct config *config)
{
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];

		if ((rule->kind == RULE_SNAT || rule->kind == RULE_MASQUERADE) &&
		    (rule->from.ports.min || rule->to.ports.min))
			return true;
	}
	return false;
}

static enum verdict begin_egress(struct walk *w)
{
	struct tuple answer = tuple_reverse(&w->p.tuple);
	struct wanted want = wanted_new(w);
	const struct rule *rule;
	enum verdict verdict;
	int at, d;

	if (w->p.has_ports && find_flow(w->m, &answer, &d)) {
		if (!w->place.local)
			return VERDICT_PASS_DONE;
		if (may_begin(w) != NO_VERDICT)
			return VERDICT_PASS_STRAY;
		want.flow.ends_here[1] = true;
		want_source(w, &want, -1, w->place.iface);
		return create(w, &want);
	}
	at = model_first_match(w->m->config, STAGE_OUT, w->place.iface, &w->p.tuple);
	rule = rule_at(w, at);
	if (!rule && !w->place.local && !w->p.has_ports && has_real_ports(&w->p.tuple) &&
	    asks_for_ports(w->m->config)) {
		if (w->p.broken)
			return VERDICT_DROP_MALFORMED;
		if (w->p.later)
			return VERDICT_DROP_FRAGMENT;
	}
	if (!rule)
		return begin_untranslated(w, VERDICT_PASS_NO_RULE);
	if (!translates(rule)) {
		count_rule(w, at);
		return rule->kind == RULE_DROP ? VERDICT_DROP_RULE
					       : begin_untranslated(w, VERDICT_PASS_ACCEPT);
	}
	if (is_multicast(w->p.tuple.daddr) || !w->p.tuple.saddr)
		return VERDICT_PASS_NO_RULE;
	verdict = may_begin(w);
	if (verdict != NO_VERDICT)
		return w->place.local ? VERDICT_PASS_STRAY : verdict;
	want.flow.ends_here[1] = w->place.local;
	want_source(w, &want, at, w->place.iface);
	return create(w, &want);
}

/* ---- the hooks ---- */

static enum verdict leave_ingress(struct walk *w, struct model_flow *flow, int d)
{
	struct tuple to = translated(flow, d);
	struct way way = route(to.daddr, w->p.length);
	bool source = changes_source(flow, d), destination = changes_destination(flow, d);
	bool here = flow->ends_here[d] || way.route == ROUTE_HERE;
	bool moved = !here && has_moved(flow, d, way.iface);

	if (w->xdp && (flow->ends_here[d] || moved || !xdp_can(w, &way)))
		return VERDICT_PASS_TO_TC;
	if (!here && way.route == ROUTE_REFUSED)
		return VERDICT_DROP_UNREACHABLE;
	if (!here && w->p.ttl <= 1)
		return VERDICT_ANSWER_TTL;
	if (moved && !destination)
		return VERDICT_PASS_ELSEWHERE;
	if (moved) {
		end_flow(w->m, flow);
		return VERDICT_DROP_STRAY;
	}
	if (!here && way.route == ROUTE_TOO_LONG) {
		if (w->p.dont_fragment)
			return VERDICT_ANSWER_MTU;
		if (!destination)
			return VERDICT_PASS_MTU;
		if (source) { /* the rest is done behind the stack, which makes fragments of it */
			to.saddr = w->p.tuple.saddr;
			write_addresses(w, &to, false);
			return VERDICT_DELIVER;
		}
		here = true;
	}
	account(w, flow, d);
	if (checksum_is_lost(w, &to))
		return VERDICT_DROP_FRAGMENT;
	write_translation(w, &to, !here);
	if (here)
		return VERDICT_DELIVER;
	write_way(w, &way);
	return VERDICT_FORWARD;
}

static bool on_loopback(const struct walk *w)
{
	return w->m->guard && (w->p.tuple.saddr >> 24 == 127 || w->p.tuple.daddr >> 24 == 127);
}

static enum verdict ingress(struct walk *w)
{
	struct model_flow *flow;
	enum verdict verdict;
	int d = 0;

	flow = packet_flow(w, &d);
	if (w->held)
		return VERDICT_HELD;
	if (!flow) {
		verdict = begin_ingress(w);
		if (verdict != NO_VERDICT)
			return verdict;
		flow = &w->m->flows[w->m->flow_count - 1];
	}
	if (!changes_source(flow, d) && !changes_destination(flow, d)) {
		if (!w->xdp)
			account(w, flow, d);
		return VERDICT_PASS_TRACKED;
	}
	return leave_ingress(w, flow, d);
}

static enum verdict egress(struct walk *w)
{
	struct model_flow *flow;
	enum verdict verdict;
	struct tuple to;
	int d = 0;

	flow = packet_flow(w, &d);
	if (flow && has_moved(flow, d, w->place.iface)) {
		end_flow(w->m, flow);
		flow = NULL;
	}
	if (!flow) {
		verdict = begin_egress(w);
		if (verdict != NO_VERDICT)
			return verdict;
		flow = &w->m->flows[w->m->flow_count - 1];
	}
	to = translated(flow, d);
	if (to.daddr != w->p.tuple.daddr)
		return VERDICT_DROP_STRAY;
	account(w, flow, d);
	if (!changes_source(flow, d) && !changes_destination(flow, d))
		return VERDICT_PASS_TRACKED;
	if (checksum_is_lost(w, &to))
		return VERDICT_DROP_FRAGMENT;
	write_translation(w, &to, false);
	return VERDICT_TRANSLATE;
}

void model_run(struct model *model, struct place place, const struct frame *in,
	       struct outcome *outcome)
{
	struct walk w = { .m = model, .place = place, .in = in, .out = outcome };
	enum verdict verdict;

	w.xdp = program_is_xdp(place.program);
	outcome->out = *in;
	outcome->any_drop = false;
	outcome->action = w.xdp ? ACTION_XDP_PASS : ACTION_TC_UNSPEC;
	verdict = parse(&w);
	if (verdict == NO_VERDICT && place.program != TC_EGRESS && on_loopback(&w))
		verdict = VERDICT_DROP_MARTIAN; /* broadcast frames too */
	else if (w.p.other_host)
		verdict = VERDICT_PASS_OTHER_HOST;
	if (verdict == NO_VERDICT && w.xdp && (w.p.fragment || w.p.error))
		verdict = VERDICT_PASS_TO_TC;
	if (verdict == NO_VERDICT && w.xdp && place.program != XDP_WIRE && is_partial(&w))
		verdict = VERDICT_PASS_PARTIAL;
	if (verdict == NO_VERDICT && place.program != TC_EGRESS)
		verdict = ingress(&w);
	if (verdict == NO_VERDICT) {
		verdict = egress(&w);
		if (verdict != VERDICT_TRANSLATE && on_loopback(&w))
			verdict = VERDICT_DROP_MARTIAN;
	}
	outcome->verdict = verdict;
	if (verdict == VERDICT_ANSWER_TTL || verdict == VERDICT_ANSWER_MTU)
		outcome->action = ACTION_TC_REDIRECT;
	if (verdict >= VERDICT_HELD) {
		outcome->action = w.xdp ? ACTION_XDP_DROP : ACTION_TC_SHOT;
		outcome->out = *in; /* where it is dropped nobody sees what became of it */
	}
}
