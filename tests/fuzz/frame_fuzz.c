// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any frames through the programs, with BPF_PROG_TEST_RUN: what must hold for each of them.
 *
 * An input is a few frames, one after the other, with no flows before the first. libFuzzer sees
 * nothing of the programs' own code: it is told instead which verdicts which kinds of packets have
 * had, and after which others. New inputs are mostly packets as hosts send them, in answer to or
 * about those before them, and then changed here and there.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../differential/packet.h"
#include "../prog/harness.h"
#include "../unit/random.h"
#include "config.h"
#include "flow.h"

#define RECORDS_MAX         8
#define HEAD                3 /* of a record: where it comes in, and two bytes of length */
#define LOCAL               0x10
#define REPAIR              0x20 /* checksums and the link's addresses are made right before it is sent */
#define FRAME_LEAST         (L2_LENGTH + 20) /* not even the test run makes an skb of less */
#define PICK(random, array) ((array)[random_below(random, sizeof(array) / sizeof((array)[0]))])

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one)(const uint8_t *data, size_t size));

/* What libFuzzer takes for coverage. */
static uint8_t reached[1 << 14] __attribute__((section("__libfuzzer_extra_counters"), used));

static const char rules[] =
	"drop in eth0 udp to :7\n"
	"dnat in eth0 tcp to 198.51.100.1:80 -> 10.0.0.2:8080\n"
	"dnat in eth0 tcp,udp to 198.51.100.1:1000-1003 -> 10.0.0.3:5000-5003\n"
	"dnat in eth0 udp to 198.51.100.1:53 -> 10.0.0.2-10.0.0.5:1024-65535\n"
	"dnat in eth0 to 198.51.100.2 -> 10.0.1.5 mss 1000\n"
	"dnat in eth0 icmp to 198.51.100.1 -> 10.0.0.3\n"
	"redirect in eth0 tcp to :8000 -> :9000\n"
	"static eth0 198.51.100.64/28 <-> 10.0.2.64/28\n"
	"dnat in eth0 tcp,udp to [2001:db8::1]:80 -> [fd00:1::2]:8080\n"
	"dnat in eth0 to 2001:db8::2 -> fd00:1::2-fd00:1::5\n"
	"static eth0 2001:db8:0:40::/64 <-> fd00:1:0:40::/64\n"
	"accept in eth1 to 10.0.0.0/8\n"
	"drop out eth0 tcp to :25\n"
	"masquerade out eth0 tcp,udp from 10.0.0.0/8 to 203.0.113.0/24 mss auto\n"
	"snat out eth0 udp from 10.0.0.0/8 to :53 -> 198.51.100.32-198.51.100.40 "
	"mapping endpoint-dependent\n"
	"masquerade out eth0 from 10.0.0.0/8\n"
	"snat out eth0 from fd00::/8 -> 2001:db8::77 random\n";

static struct harness harness;

static const char *const hosts4[] = { "198.51.100.1", "198.51.100.1",  "198.51.100.2",
				      "198.51.100.3", "198.51.100.66", "10.0.0.1",
				      "10.0.0.2",     "10.0.0.3",      "10.0.1.5",
				      "10.0.2.66",    "203.0.113.5",   "192.0.2.1",
				      "127.0.0.1",    "224.0.0.5" };
static const char *const hosts6[] = { "2001:db8::1",   "2001:db8::1",      "2001:db8::2",
				      "2001:db8::3",   "2001:db8:0:40::5", "fd00:1::1",
				      "fd00:1::2",     "fd00:1::3",        "fd00:1:0:40::5",
				      "2001:db8:5::5", "fe80::1",          "ff02::1" };
static const uint16_t ports[] = { 0, 7, 25, 53, 80, 80, 1000, 1001, 5000, 8000, 8080, 9000, 40000 };

/* ---- frames and the places where they come in ---- */

struct record {
	uint8_t head;
	struct frame frame;
};

static struct place record_place(const struct record *record)
{
	return (struct place){ .program = (record->head & 7) % PROGRAMS,
			       .iface = record->head >> 3 & 1,
			       .local = record->head & LOCAL };
}

static size_t records_read(const uint8_t *data, size_t size, struct record *records)
{
	size_t count = 0;

	while (size > HEAD && count < RECORDS_MAX) {
		struct record *record = &records[count++];
		size_t length = data[1] | data[2] << 8;

		if (length > size - HEAD)
			length = size - HEAD;
		if (length > FRAME_MAX - 64)
			length = FRAME_MAX - 64;
		record->head = data[0];
		record->frame.length = length;
		memcpy(record->frame.data, data + HEAD, length);
		data += HEAD + length;
		size -= HEAD + length;
	}
	return count;
}

static size_t records_write(const struct record *records, size_t count, uint8_t *data, size_t max)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		const struct frame *frame = &records[i].frame;

		if (used + HEAD + frame->length > max)
			break;
		data[used] = records[i].head;
		data[used + 1] = frame->length;
		data[used + 2] = frame->length >> 8;
		memcpy(data + used + HEAD, frame->data, frame->length);
		used += HEAD + frame->length;
	}
	return used;
}

static void sum_transport(struct frame *frame, const struct view *view)
{
	size_t length = view->end - view->transport;
	uint8_t *at = frame->data + view->transport;
	uint64_t sum = 0;

	if (!view->check || view->fragment || view->check + 2 > view->end)
		return;
	write16(frame->data + view->check, 0);
	if (view->six || view->ends.proto != IPPROTO_ICMP)
		sum = sum_bytes(length + view->ends.proto,
				frame->data + view->ip + (view->six ? 8 : 12),
				2 * address_length(view->six));
	write16(frame->data + view->check, sum_check(sum_bytes(sum, at, length)));
}

static void repair(struct record *record)
{
	struct place place = record_place(record);
	struct frame *frame = &record->frame;
	struct view view;

	if (frame->length < L2_LENGTH)
		return;
	write_mac(frame->data, MAC_EDGE(place.iface));
	if (!view_read(&view, frame))
		return;
	sum_transport(frame, &view);
	if (!view.six && view.transport <= frame->length)
		packet_sum_header(frame, view.ip);
}

/* ---- what must hold ---- */

static void fail_with(const char *what, struct place place, const struct frame *in,
		      const struct outcome *out)
{
	printf("%s: %s on %s%s said %s, %d\n", what, program_names[place.program],
	       iface_names[place.iface], place.local ? ", made by this host" : "",
	       verdict_names[out->verdict], out->action);
	frame_dump("in", in);
	frame_dump("out", &out->out);
	fflush(stdout);
	abort();
}

static bool is_inside(const uint8_t addr[16], bool six)
{
	return addr[0] == (six ? 0xfd : 10);
}

/* It has all that its header says, and is read as what it is. */
static bool is_whole(const struct view *view, const struct frame *frame)
{
	const uint8_t *ip = frame->data + view->ip;

	return view->transport <= view->end &&
	       view->ip + (view->six ? 40 + read16(ip + 4) : read16(ip + 2)) <= frame->length;
}

/* What a translation may change, and a hop, set to nothing. */
static void blank(struct frame *frame, const struct view *view)
{
	uint8_t *ip = frame->data + view->ip, *at = frame->data + view->transport;

	memset(frame->data, 0, 12);
	if (view->six) {
		ip[7] = 0;
		memset(ip + 8, 0, 32);
	} else {
		ip[8] = 0;
		memset(ip + 10, 0, 10);
	}
	if (view->check)
		write16(frame->data + view->check, 0);
	if (!view->has_ports)
		return;
	if (view->ends.proto == IPPROTO_TCP || view->ends.proto == IPPROTO_UDP ||
	    view->ends.proto == IPPROTO_SCTP)
		memset(at, 0, view->ends.proto == IPPROTO_SCTP ? 12 : 4);
	else if (view->ends.proto == IPPROTO_ICMP || view->ends.proto == IPPROTO_ICMPV6)
		write16(at + 4, 0);
	/* The segment size that TCP is told. */
	if (view->ends.proto == IPPROTO_TCP && view->tcp_flags & TCP_SYN)
		for (size_t i = 20; i < (at[12] >> 4) * 4U && view->transport + i < view->end; i++)
			at[i] = 0;
}

static void check_sums(struct place place, const struct frame *in, const struct view *before,
		       const struct view *after, const struct outcome *out)
{
	if (frame_header_is_right(in, before) != frame_header_is_right(&out->out, after))
		fail_with("header checksum", place, in, out);
	if (!before->fragment && before->check &&
	    frame_transport_is_right(in, before) != frame_transport_is_right(&out->out, after))
		fail_with("transport checksum", place, in, out);
}

/*
 * Not yet: a sum of nothing but zeroes is not kept, that of ICMP which begins no connection follows one
 * that was drawn, and extension headers may lead behind the datagram's end.
 */
static bool is_known_damage(const struct frame *in, const struct view *view)
{
	bool is_icmp = view->ends.proto == (view->six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);

	return (is_icmp && (!view->has_ports || view->icmp_type == (view->six ? 129 : 0))) ||
	       (view->six && view->transport > view->end) ||
	       (view->ends.proto == IPPROTO_ICMP && view->check &&
		read16(in->data + view->check) == 0xffff);
}

static void check_translated(struct place place, const struct frame *in, const struct outcome *out)
{
	/* From inside to outside: what came from outside may have claimed anything. */
	bool leaves = out->verdict == VERDICT_TRANSLATE
			      ? place.iface == ETH0 && !place.local
			      : out->verdict == VERDICT_FORWARD && place.iface == ETH1 &&
					out->out.data[3] == 1;
	static struct frame a, b;
	struct view before, after;

	if (out->out.length != in->length)
		fail_with("length", place, in, out);
	if (!view_read(&before, in) || !view_read(&after, &out->out))
		fail_with("translated, but not IP", place, in, out);
	if (is_known_damage(in, &before))
		return;
	if (!is_whole(&before, in))
		fail_with("translated, and not whole", place, in, out);
	check_sums(place, in, &before, &after, out);
	if (leaves && is_inside(after.ends.addr[FROM], after.six))
		fail_with("inside address outside", place, in, out);
	if (before.inner)
		return; /* what an error quotes is translated, too */
	a.length = in->length;
	b.length = in->length;
	memcpy(a.data, in->data, in->length);
	memcpy(b.data, out->out.data, in->length);
	blank(&a, &before);
	blank(&b, &after);
	if (!frame_equal(&a, &b))
		fail_with("more than a translation", place, in, out);
}

/* Nothing that a source-NAT rule covers leaves as it is, but what stays on the link. */
static void check_leak(struct place place, const struct frame *in, const struct outcome *out)
{
	struct view view;

	if (place.program != TC_EGRESS || place.iface != ETH0 || place.local ||
	    out->verdict != VERDICT_PASS_NO_RULE || !view_read(&view, in))
		return;
	if (is_inside(view.ends.addr[FROM], view.six) && view.ends.addr[TO][0] < 0xe0)
		fail_with("leaves as it came", place, in, out);
}

static void check(struct place place, const struct frame *in, const struct outcome *out)
{
	bool is_xdp = program_is_xdp(place.program);

	if (out->verdict >= VERDICT_DROP_RULE) {
		if (out->action != (is_xdp ? ACTION_XDP_DROP : ACTION_TC_SHOT))
			fail_with("not dropped", place, in, out);
		return;
	}
	switch (out->verdict) {
	case VERDICT_FORWARD:
	case VERDICT_DELIVER:
	case VERDICT_TRANSLATE:
		check_translated(place, in, out);
		return;
	case VERDICT_ANSWER_TTL:
	case VERDICT_ANSWER_MTU:
	case VERDICT_HELD:
	case VERDICT_RELEASED:
		return;
	default:
		if (out->action != (is_xdp ? ACTION_XDP_PASS : ACTION_TC_UNSPEC))
			fail_with("not passed", place, in, out);
		if (!frame_equal(in, &out->out))
			fail_with("passed, and changed", place, in, out);
		check_leak(place, in, out);
	}
}

/* ---- the target ---- */

#define COUNTERS (HOOK_COUNT * VERDICT_COUNT)

/* All verdicts in one call: nothing else takes so long. */
static void counters_read(uint64_t packets[COUNTERS])
{
	static struct verdict_counter *percpu;
	static uint32_t keys[COUNTERS];
	int cpus = libbpf_num_possible_cpus();
	uint32_t next, count = COUNTERS;

	if (!percpu)
		percpu = calloc((size_t)COUNTERS * cpus, sizeof(*percpu));
	memset(packets, 0, COUNTERS * sizeof(*packets));
	if (bpf_map_lookup_batch(harness.session.state.map[MAP_verdict_counters], NULL, &next, keys,
				 percpu, &count, NULL) &&
	    errno != ENOENT)
		fail_msg("cannot read the verdicts: %s", strerror(errno));
	for (uint32_t i = 0; i < count; i++)
		for (int cpu = 0; cpu < cpus; cpu++)
			packets[keys[i]] += percpu[i * cpus + cpu].packets;
}

/* As harness_run(), and several times as fast. False: the kernel makes no packet of that. */
static bool run(struct place place, const struct frame *in, struct outcome *outcome)
{
	static uint64_t counters[2][COUNTERS];
	struct __sk_buff skb = { .ifindex = harness.ifindex[place.iface] };
	struct xdp_md xdp = { .ingress_ifindex = skb.ifindex, .data_end = in->length };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->data, .data_size_in = in->length,
		    .data_out = outcome->out.data, .data_size_out = FRAME_MAX);
	int found = 0;

	if (program_is_xdp(place.program)) {
		opts.ctx_in = &xdp;
		opts.ctx_size_in = sizeof(xdp);
	} else {
		skb.ingress_ifindex = place.program == TC_INGRESS ? skb.ifindex
				      : place.local               ? 0
								  : harness.ifindex[!place.iface];
		opts.ctx_in = &skb;
		opts.ctx_size_in = sizeof(skb);
	}
	counters_read(counters[0]);
	if (bpf_prog_test_run_opts(harness.program[place.program], &opts))
		return false;
	counters_read(counters[1]);
	outcome->out.length = opts.data_size_out;
	outcome->action = (int)opts.retval;
	for (int i = 0; i < COUNTERS; i++) {
		uint64_t more = counters[1][i] - counters[0][i];

		if (!more)
			continue;
		if (more > 1 || found++ || i / VERDICT_COUNT != (int)program_hook(place.program))
			fail_with("more than one verdict", place, in, outcome);
		outcome->verdict = i % VERDICT_COUNT;
	}
	if (!found)
		fail_with("no verdict", place, in, outcome);
	return true;
}

/* Fragments that wait would come in again, outside of any test run. */
static void release_held(void)
{
	int map = harness.session.state.map[MAP_held_fragments];
	struct held_key key;

	while (!bpf_map_get_next_key(map, NULL, &key))
		bpf_map_delete_elem(map, &key);
}

static void note(struct place place, const struct frame *frame, enum verdict verdict,
		 enum verdict last)
{
	uint64_t key = (uint64_t)place.program << 1 | place.iface;
	struct view view;

	key = key << 6 | verdict;
	if (view_read(&view, frame)) {
		unsigned int proto = view.ends.proto == IPPROTO_TCP    ? 1
				     : view.ends.proto == IPPROTO_UDP  ? 2
				     : view.ends.proto == IPPROTO_SCTP ? 3
				     : view.check                      ? 4
								       : 5;

		key = key << 3 | proto;
		key = key << 1 | view.six;
		key = key << 1 | view.fragment;
		key = key << 1 | !!view.offset;
		key = key << 1 | !!view.inner;
		key = key << 1 | (view.end < frame->length);
	}
	reached[random_next(&key) % sizeof(reached)] = 1;
	key ^= (uint64_t)last << 40;
	reached[random_next(&key) % sizeof(reached)] = 1;
}

/*
 * This host's packets have its own addresses. Else the flow that it makes, whose source is no secret,
 * would be that of packets from inside, too.
 */
static bool is_possible(struct place place, const struct frame *frame)
{
	static const char *const own[] = { "198.51.100.1", "10.0.0.1", "2001:db8::1", "fd00:1::1" };
	uint8_t addr[16];
	struct view view;

	if (place.program != TC_EGRESS || !place.local || !view_read(&view, frame))
		return true;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		address_of(own[i], addr);
		if (!memcmp(addr, view.ends.addr[FROM], sizeof(addr)))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct record records[RECORDS_MAX];
	enum verdict last = VERDICT_COUNT;
	static struct outcome outcome;
	size_t count = records_read(data, size, records);

	harness_flush_flows(&harness);
	for (size_t i = 0; i < count; i++) {
		struct record *record = &records[i];
		struct place place = record_place(record);

		if (record->frame.length < FRAME_LEAST)
			continue;
		if (record->head & REPAIR)
			repair(record);
		if (!is_possible(place, &record->frame) || !run(place, &record->frame, &outcome))
			continue;
		if (outcome.verdict == VERDICT_HELD)
			release_held();
		check(place, &record->frame, &outcome);
		note(place, &record->frame, outcome.verdict, last);
		last = outcome.verdict;
	}
	return 0;
}

/* ---- new inputs ---- */

static void random_packet(uint64_t *random, struct packet *p, enum iface_id iface)
{
	static const uint8_t protos[] = { IPPROTO_TCP,  IPPROTO_TCP,  IPPROTO_UDP, IPPROTO_UDP,
					  IPPROTO_ICMP, IPPROTO_SCTP, 50 };
	static const uint8_t flags[] = { TCP_SYN, TCP_SYN, TCP_SYN | TCP_ACK,
					 TCP_ACK, TCP_RST, TCP_FIN | TCP_ACK };

	memset(p, 0, sizeof(*p));
	p->dmac = MAC_EDGE(iface);
	p->smac = MAC_HOST(iface, 2);
	p->ends.six = random_below(random, 2);
	for (int i = 0; i < 2; i++) {
		address_of(p->ends.six ? PICK(random, hosts6) : PICK(random, hosts4),
			   p->ends.addr[i]);
		p->ends.port[i] = PICK(random, ports);
	}
	p->ends.proto = PICK(random, protos);
	if (p->ends.six && p->ends.proto == IPPROTO_ICMP)
		p->ends.proto = IPPROTO_ICMPV6;
	p->type = p->ends.six ? 128 + random_below(random, 2) : 8 * random_below(random, 2);
	if (p->ends.proto == IPPROTO_SCTP)
		p->type = random_below(random, 3);
	p->tcp_flags = PICK(random, flags);
	p->ttl = random_below(random, 8) ? 64 : random_below(random, 3);
	p->options = random_below(random, 8) ? 0 : random_below(random, 11);
	p->payload = random_below(random, 4) ? random_below(random, 24)
					     : random_below(random, 1300);
	p->flags = random_below(random, 2) ? IP_DONT : 0;
}

/* The packet, the other way round. */
static bool turn(struct frame *frame)
{
	struct view view;
	struct ends back;

	if (!view_read(&view, frame))
		return false;
	back = ends_reverse(&view.ends);
	frame_redirect(frame, &view, NULL, &back);
	if (view.icmp_type == 8 || view.icmp_type == 128)
		frame->data[view.transport] = view.six ? 129 : 0;
	if (view.ends.proto == IPPROTO_TCP && view.transport + 14 <= frame->length)
		frame->data[view.transport + 13] |= TCP_ACK;
	return true;
}

static void quote(uint64_t *random, struct frame *frame, enum iface_id iface)
{
	static const uint8_t types[2][3] = { { 3, 11, 12 }, { 1, 2, 3 } };
	static uint8_t inner[FRAME_MAX];
	struct packet error = { 0 };
	struct view view;

	if (!view_read(&view, frame))
		return;
	error.inner_length = frame->length - view.ip;
	if (error.inner_length > 600 || random_below(random, 2))
		error.inner_length = view.transport - view.ip + 8;
	if (error.inner_length > frame->length - view.ip)
		error.inner_length = frame->length - view.ip;
	memcpy(inner, frame->data + view.ip, error.inner_length);
	error.inner = inner;
	error.ends = ends_reverse(&view.ends);
	error.ends.proto = view.six ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	error.type = PICK(random, types[view.six]);
	error.code = random_below(random, 5);
	error.info = random_below(random, 2) ? 1300 : 0;
	error.dmac = MAC_EDGE(iface);
	error.smac = MAC_HOST(iface, 2);
	packet_build(&error, frame);
}

static void cut_fragment(uint64_t *random, struct frame *frame)
{
	static struct frame part;

	if (!packet_fragment(frame, random_below(random, 3), 8 * random_below(random, 4),
			     8 * (1 + random_below(random, 8)), &part))
		return;
	frame->length = part.length;
	memcpy(frame->data, part.data, part.length);
}

/* One that is made of an earlier one, or anew. */
static void record_make(uint64_t *random, const struct record *records, size_t count,
			struct record *to)
{
	struct packet packet;
	enum iface_id iface;

	to->head = random_next(random);
	if (random_below(random, 8))
		to->head |= REPAIR;
	iface = record_place(to).iface;
	if (count && random_below(random, 4)) {
		const struct record *from = &records[random_below(random, count)];

		to->frame.length = from->frame.length;
		memcpy(to->frame.data, from->frame.data, from->frame.length);
	} else {
		random_packet(random, &packet, iface);
		packet_build(&packet, &to->frame);
	}
	switch (random_below(random, 6)) {
	case 0:
	case 1:
		turn(&to->frame);
		break;
	case 2:
		quote(random, &to->frame, iface);
		break;
	case 3:
		cut_fragment(random, &to->frame);
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	static struct record records[RECORDS_MAX];
	size_t count = records_read(data, size, records), at;
	uint64_t random = seed;

	at = count ? random_below(&random, count) : 0;
	switch (random_below(&random, 8)) {
	case 0:
		if (count > 1) {
			memmove(&records[at], &records[at + 1],
				(count - at - 1) * sizeof(records[0]));
			count--;
			break;
		}
		/* fall through */
	case 1:
	case 2:
	case 3:
		if (count < RECORDS_MAX)
			at = count++;
		record_make(&random, records, at, &records[at]);
		break;
	case 4:
		if (count)
			records[at].head = random_next(&random);
		break;
	default:
		if (count)
			records[at].frame.length = LLVMFuzzerMutate(
				records[at].frame.data, records[at].frame.length, FRAME_MAX - 64);
	}
	return records_write(records, count, data, max);
}

/* ---- running it ---- */

static int count_arguments;
static char **arguments;

/* With its own packets dropped before they come to tc_egress, where they would be counted. */
static void add_ip6(void)
{
	harness_shell(
		"ip netns exec %s nft 'table inet quiet { chain out { type filter hook output "
		"priority 0; policy drop; }; }'",
		harness.netns);
	harness_shell("ip netns exec %s sysctl -q -w net.ipv6.conf.all.disable_ipv6=0 "
		      "net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth1.disable_ipv6=0 "
		      "net.ipv6.conf.all.forwarding=1",
		      harness.netns);
	harness_shell(
		"ip -n %s address add 2001:db8::1/64 dev eth0 nodad && "
		"ip -n %s address add fd00:1::1/64 dev eth1 nodad && "
		"for i in 2 3 4 5 9; do "
		"ip -n %s neighbour add 2001:db8::$i lladdr 02:00:00:01:00:0$i dev eth0 && "
		"ip -n %s neighbour add fd00:1::$i lladdr 02:00:00:02:00:0$i dev eth1 || exit 1; "
		"done && ip -n %s route add default via 2001:db8::9",
		harness.netns, harness.netns, harness.netns, harness.netns, harness.netns);
}

static int fuzz(void)
{
	struct config config;

	config_init(&config);
	config.options.flows = XFWD_FLOWS_MIN;
	config.options.source_check = 0;
	harness_up(&harness, "fuzz", &config);
	add_ip6();
	harness_apply(&harness, rules);
	return LLVMFuzzerRunDriver(&count_arguments, &arguments, LLVMFuzzerTestOneInput);
}

int main(int argc, char **argv)
{
	count_arguments = argc;
	arguments = argv;
	return harness_supervise(fuzz);
}
