// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The same rules and first packets for the programs, the model and the kernel's own NAT (nf_tables,
 * in a second namespace of the same shape): all three choose the same translation.
 *
 * The kernel's choice is read from its connection tracking. Left out is what netfilter does not
 * express, or decides by chance: where a port may be any of a range, only the range is compared.
 */
#include "generate.h"

#include <netinet/ip_icmp.h>
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_packet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <net/ethernet.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "compare.h"
#include "print.h"
#include "../unit/random.h"

#define RULESETS  40
#define PACKETS   32

/* The last packet of a round: accepted whatever the rules, so seeing it says that all were seen. */
#define LAST_PORT 9

struct connection {
	struct tuple first;
	struct tuple translated;
};

struct connections {
	struct connection list[256];
	size_t count;
};

/* A packet, and what became of it in the programs. */
struct trial {
	struct tuple first;
	enum iface_id iface;
	bool gone; /* dropped, or refused by the route */
	struct tuple translated;
	struct frame frame;
};

static struct harness harness;
static const char *rules_now;

static struct kernel {
	char netns[64];
	int far[IFACES]; /* packet sockets on the far ends of its links */
	struct mnl_socket *tracking;
} kernel;

/* ---- rules to nf_tables ---- */

struct text {
	char *at;
	size_t left;
};

static void say(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct text *text, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text->at, text->left, format, args);
	va_end(args);
	assert_true(length >= 0 && (size_t)length < text->left);
	text->at += length;
	text->left -= length;
}

static void say_address(struct text *text, __be32 word)
{
	struct in_addr addr = { word };

	say(text, "%s", inet_ntoa(addr));
}

static void say_endpoint(struct text *text, const struct endpoint *e, const char *addr,
			 const char *proto, const char *port)
{
	if (e->prefix.family) {
		say(text, "ip %s ", addr);
		say_address(text, e->prefix.addr.word[0]);
		say(text, "/%u ", e->prefix.len);
	}
	if (e->ports.min)
		say(text, "%s %s %u-%u ", proto, port, e->ports.min, e->ports.max);
}

static void say_ports(struct text *text, const struct port_range *ports)
{
	if (ports->min == ports->max)
		say(text, ":%u", ports->min);
	else
		say(text, ":%u-%u", ports->min, ports->max);
}

static void say_verdict(struct text *text, const struct rule *rule, const struct port_range *ports)
{
	say(text, "%s", rule_kind_names[rule->kind]);
	if (rule->target.family || ports->min)
		say(text, " to ");
	if (rule->target.family)
		say_address(text, rule->target.addr_min.word[0]);
	if (ports->min)
		say_ports(text, ports);
	say(text, "\n");
}

/* One rule of ours for one protocol; `port` is a destination port of its own, or 0. */
static void say_rule(struct text *text, const struct rule *rule, const char *proto, uint16_t port)
{
	struct port_range target = rule->target.ports;
	struct endpoint to = rule->to;

	if (port) {
		target.min = target.max = rule->target.ports.min + port - rule->to.ports.min;
		to.ports.min = to.ports.max = port;
	}
	say(text, "%s ", rule->stage == STAGE_IN ? "iifname" : "oifname");
	say(text, rule->ifname[0] ? "\"%s\" " : "{ \"eth0\", \"eth1\" } ", rule->ifname);
	if (proto)
		say(text, "ip protocol %s ", proto);
	say_endpoint(text, &rule->from, "saddr", proto, "sport");
	say_endpoint(text, &to, "daddr", proto, "dport");
	say_verdict(text, rule, &target);
}

/* nft cannot shift a range: a rule for each port. */
static bool rule_shifts(const struct rule *rule)
{
	const struct port_range *from = &rule->to.ports, *to = &rule->target.ports;

	return rule->stage == STAGE_IN && from->min && from->max > from->min &&
	       from->max - from->min == to->max - to->min && from->min != to->min;
}

static void say_rules(struct text *text, const struct config *config, enum stage stage)
{
	static const char *const protos[] = { "tcp", "udp", "icmp", "sctp" };

	for (size_t i = 0; i < config->rule_count; i++) {
		const struct rule *rule = &config->rules[i];

		if (rule->stage != stage)
			continue;
		if (!rule->protocols)
			say_rule(text, rule, NULL, 0);
		for (int bit = 0; bit < 4; bit++) {
			if (!(rule->protocols & 1 << bit))
				continue;
			if (!rule_shifts(rule)) {
				say_rule(text, rule, protos[bit], 0);
				continue;
			}
			for (uint32_t p = rule->to.ports.min; p <= rule->to.ports.max; p++)
				say_rule(text, rule, protos[bit], p);
		}
	}
}

static void say_ruleset(const struct config *config, char *buffer, size_t size)
{
	struct text text = { buffer, size };

	/* No answers of its own: a RST would take the connection out of the table. */
	say(&text,
	    "flush ruleset\ntable ip nat {\n"
	    "chain quiet { type filter hook output priority -300; policy drop;\n"
	    "ct state new drop\n}\n" /* tracks connections even where nothing is translated */
	    "chain in { type nat hook prerouting priority -100;\n"
	    "udp sport %d accept\n",
	    LAST_PORT);
	say_rules(&text, config, STAGE_IN);
	say(&text,
	    "}\nchain out { type nat hook postrouting priority 100;\n"
	    "udp sport %d accept\n",
	    LAST_PORT);
	say_rules(&text, config, STAGE_OUT);
	say(&text, "}\n}\n");
}

/* ---- the kernel's side ---- */

static void kernel_up(void)
{
	struct sockaddr_ll link = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	char far[IF_NAMESIZE];

	harness_namespace(kernel.netns, "kernel");
	harness_shell("ip netns exec %s sh -c 'for i in all eth0 eth1; do "
		      "echo 0 >/proc/sys/net/ipv4/conf/$i/send_redirects; done'",
		      kernel.netns);
	for (int i = 0; i < IFACES; i++) {
		snprintf(far, sizeof(far), "%s-far", iface_names[i]);
		link.sll_ifindex = if_nametoindex(far);
		kernel.far[i] = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
		assert_true(kernel.far[i] >= 0 && link.sll_ifindex);
		link.sll_protocol = 0; /* for sending only */
		assert_int_equal(bind(kernel.far[i], (void *)&link, sizeof(link)), 0);
	}
	kernel.tracking = mnl_socket_open(NETLINK_NETFILTER);
	assert_non_null(kernel.tracking);
	assert_int_equal(mnl_socket_bind(kernel.tracking, 0, MNL_SOCKET_AUTOPID), 0);
}

static void kernel_apply(const struct config *config)
{
	static char text[1 << 20];
	FILE *nft;

	say_ruleset(config, text, sizeof(text));
	harness_enter(kernel.netns);
	nft = popen("nft -f -", "w");
	assert_non_null(nft);
	fputs(text, nft);
	if (pclose(nft))
		fail_msg("nft does not take this:\n%s", text);
	harness_enter(harness.netns);
}

static struct nlmsghdr *tracking_request(char *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *nf;

	msg->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | type;
	msg->nlmsg_flags = NLM_F_REQUEST | flags;
	msg->nlmsg_seq = 1;
	nf = mnl_nlmsg_put_extra_header(msg, sizeof(*nf));
	nf->nfgen_family = AF_INET;
	return msg;
}

static void tracking_ask(struct nlmsghdr *msg, mnl_cb_t handle, void *context)
{
	static char buffer[65536];
	int more = 1;

	assert_true(mnl_socket_sendto(kernel.tracking, msg, msg->nlmsg_len) > 0);
	while (more > 0) {
		ssize_t length = mnl_socket_recvfrom(kernel.tracking, buffer, sizeof(buffer));

		assert_true(length > 0);
		more = mnl_cb_run(buffer, length, 1, mnl_socket_get_portid(kernel.tracking), handle,
				  context);
	}
	assert_int_equal(more, 0);
}

static void tracking_flush(void)
{
	char buffer[256];

	tracking_ask(tracking_request(buffer, IPCTNL_MSG_CT_DELETE, NLM_F_ACK), NULL, NULL);
}

static void read_tuple(const struct nlattr *nest, struct tuple *tuple)
{
	const struct nlattr *group, *attr;

	mnl_attr_for_each_nested(group, nest)
	{
		bool ip = mnl_attr_get_type(group) == CTA_TUPLE_IP;

		mnl_attr_for_each_nested(attr, group)
		{
			uint16_t type = mnl_attr_get_type(attr);

			if (ip && type == CTA_IP_V4_SRC)
				tuple->saddr = ntohl(mnl_attr_get_u32(attr));
			else if (ip && type == CTA_IP_V4_DST)
				tuple->daddr = ntohl(mnl_attr_get_u32(attr));
			else if (!ip && type == CTA_PROTO_NUM)
				tuple->proto = mnl_attr_get_u8(attr);
			else if (!ip && type == CTA_PROTO_SRC_PORT)
				tuple->sport = ntohs(mnl_attr_get_u16(attr));
			else if (!ip && type == CTA_PROTO_DST_PORT)
				tuple->dport = ntohs(mnl_attr_get_u16(attr));
			else if (!ip && type == CTA_PROTO_ICMP_ID)
				tuple->sport = tuple->dport = ntohs(mnl_attr_get_u16(attr));
			else if (!ip && type == CTA_PROTO_ICMP_TYPE) /* it comes behind the id */
				*(mnl_attr_get_u8(attr) == ICMP_ECHO ? &tuple->dport
								     : &tuple->sport) = 0;
		}
	}
}

static int read_connection(const struct nlmsghdr *msg, void *context)
{
	struct connections *all = context;
	struct connection *c = &all->list[all->count];
	struct tuple reply = { 0 };
	const struct nlattr *attr;

	memset(c, 0, sizeof(*c));
	mnl_attr_for_each(attr, msg, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(attr) == CTA_TUPLE_ORIG)
			read_tuple(attr, &c->first);
		else if (mnl_attr_get_type(attr) == CTA_TUPLE_REPLY)
			read_tuple(attr, &reply);
	}
	c->translated = tuple_reverse(&reply);
	if (all->count < sizeof(all->list) / sizeof(all->list[0]) - 1)
		all->count++;
	return MNL_CB_OK;
}

static const struct connection *find_connection(const struct connections *all,
						const struct tuple *first)
{
	for (size_t i = 0; i < all->count; i++)
		if (tuple_equal(&all->list[i].first, first))
			return &all->list[i];
	return NULL;
}

/* Everything is sent from one CPU, on which the kernel also handles it, in order. */
static void kernel_run(const struct trial *trials, struct connections *all)
{
	struct spec spec = {
		.dmac = MAC_EDGE(ETH0),
		.smac = MAC_HOST(ETH0, 2),
		.proto = IPPROTO_UDP,
		.saddr = ADDR(198, 51, 100, 2),
		.daddr = ADDR(198, 51, 100, 1),
		.sport = LAST_PORT,
		.dport = LAST_PORT,
	};
	struct tuple last = { spec.saddr, spec.daddr, LAST_PORT, LAST_PORT, IPPROTO_UDP };
	struct frame frame;
	char buffer[256];

	tracking_flush();
	for (int i = 0; i < PACKETS; i++)
		assert_true(send(kernel.far[trials[i].iface], trials[i].frame.data,
				 trials[i].frame.length, 0) > 0);
	frame_build(&spec, &frame);
	assert_true(send(kernel.far[ETH0], frame.data, frame.length, 0) > 0);
	for (int i = 0; i < 2000; i++) {
		all->count = 0;
		tracking_ask(tracking_request(buffer, IPCTNL_MSG_CT_GET, NLM_F_DUMP),
			     read_connection, all);
		if (find_connection(all, &last))
			return;
		usleep(1000);
	}
	fail_msg("the kernel did not see the last packet");
}

/* ---- our side ---- */

static struct tuple frame_tuple(const struct frame *frame)
{
	const uint8_t *ip = frame->data + L2_LENGTH, *at = ip + 20;
	struct tuple tuple = { read32(ip + 12), read32(ip + 16), read16(at), read16(at + 2),
			       ip[9] };

	if (tuple.proto == IPPROTO_ICMP) { /* as in a flow's key */
		tuple.sport = at[0] == ICMP_ECHO ? read16(at + 4) : 0;
		tuple.dport = at[0] == ICMP_ECHOREPLY ? read16(at + 4) : 0;
	}
	return tuple;
}

/* Program and model agree on the packet at this place. */
static void run_both(struct model *model, struct place place, const struct frame *in,
		     struct outcome *got)
{
	struct outcome want;

	harness_run(&harness, place, in, got);
	model_run(model, place, in, &want);
	if (!compare_outcomes(model, place, in, &want, got))
		fail_msg("program and model differ, under these rules:\n%s", rules_now);
}

/* What the stack does between the two hooks. False: the packet is for this host, or refused. */
static bool stack_forwards(struct trial *trial, struct frame *frame, struct place *place)
{
	uint32_t daddr = trial->first.daddr;

	if (daddr == ADDR_EDGE(ETH0) || daddr == ADDR_EDGE(ETH1))
		return false;
	if (daddr >> 8 == ADDR(192, 0, 2, 0) >> 8) {
		trial->gone = true;
		return false;
	}
	frame->data[L2_LENGTH + 8]--;
	write16(frame->data + L2_LENGTH + 10, 0);
	write16(frame->data + L2_LENGTH + 10, sum_check(sum_bytes(0, frame->data + L2_LENGTH, 20)));
	*place = (struct place){ TC_EGRESS, daddr >> 24 == 10 ? ETH1 : ETH0, false };
	return true;
}

static void edge_run(struct model *model, struct trial *trial)
{
	struct place place = { TC_INGRESS, trial->iface, false };
	struct outcome got;

	run_both(model, place, &trial->frame, &got);
	trial->gone = got.verdict >= VERDICT_DROP_RULE;
	if (got.verdict > VERDICT_TRANSLATE && !trial->gone) {
		struct frame forwarded = got.out;

		if (stack_forwards(trial, &forwarded, &place)) {
			run_both(model, place, &forwarded, &got);
			trial->gone = got.verdict >= VERDICT_DROP_RULE;
		}
	}
	trial->translated = frame_tuple(&got.out);
}

/* A first packet, of a source port of its own: what one flow has got is nothing to the next. */
static void trial_make(uint64_t *random, const struct config *config, struct trial *trials, int n)
{
	static struct model empty; /* nothing that packets could be answers to */
	static unsigned int fresh;
	struct trial *trial = &trials[n];
	struct place place;
	struct spec spec;
	bool good;

	empty.config = config;
	do {
		generate_packet(random, &empty, &place, &spec);
		/* The kernel lets a source keep its port from one connection to the next. */
		if (spec.sport < 10000)
			spec.sport = 10000 + fresh++ % 10000;
		good = spec.proto == IPPROTO_TCP || spec.proto == IPPROTO_UDP ||
		       spec.proto == IPPROTO_ICMP || spec.proto == IPPROTO_SCTP;
		good = good && spec.saddr != ADDR_EDGE(ETH0) && spec.saddr != ADDR_EDGE(ETH1) &&
		       spec.saddr >> 8 != ADDR(192, 0, 2, 0) >> 8 && spec.saddr >> 24 != 127 &&
		       spec.saddr >> 28 < 14 && spec.saddr >> 24 && (spec.saddr & 255) > 0;
		good = good && spec.daddr >> 24 != 127 && spec.daddr >> 28 < 14 &&
		       spec.daddr >> 24 && spec.dport && (spec.daddr & 255) > 0;
		good = good && !model_in_pool(config, spec.daddr); /* netfilter sends it on */
		for (int i = 0; i < n; i++)
			good = good && trials[i].first.sport != spec.sport &&
			       trials[i].first.dport != spec.sport &&
			       trials[i].first.sport != spec.dport;
	} while (!good);
	spec = (struct spec){
		.dmac = MAC_EDGE(place.iface),
		.smac = MAC_HOST(place.iface, 2),
		.proto = spec.proto,
		.saddr = spec.saddr,
		.daddr = spec.daddr,
		.sport = spec.sport,
		.dport = spec.dport,
		.icmp_type = 8,
		.payload = 16, /* all of SCTP's INIT */
	};
	trial->iface = place.iface;
	frame_build(&spec, &trial->frame);
	trial->first = frame_tuple(&trial->frame);
}

/* ---- comparing ---- */

/* The rule whose range of ports was free to choose from at this stage, or NULL. */
static const struct rule *free_choice(const struct config *config, enum stage stage,
				      enum iface_id iface, const struct tuple *tuple)
{
	int at = model_first_match(config, stage, iface, tuple);
	const struct rule *rule = at < 0 ? NULL : &config->rules[at];

	if (!rule || rule->target.ports.min == rule->target.ports.max)
		return NULL;
	return rule_shifts(rule) ? NULL : rule;
}

static bool same_port(uint16_t ours, uint16_t theirs, const struct rule *choice)
{
	const struct port_range *range = choice ? &choice->target.ports : NULL;

	if (ours == theirs)
		return true;
	return range && theirs >= range->min && theirs <= range->max && ours >= range->min &&
	       ours <= range->max;
}

static bool trial_agrees(const struct config *config, const struct trial *trial,
			 const struct connection *c)
{
	const struct tuple *ours = &trial->translated, *theirs;
	struct tuple between = trial->first;
	const struct rule *in, *out;
	enum iface_id leaves;

	in = free_choice(config, STAGE_IN, trial->iface, &trial->first);
	theirs = c ? &c->translated : NULL;
	/* Another port by chance: what the rules out make of that is another packet's story. */
	if (in && (!c || trial->gone || ours->dport != theirs->dport))
		return true;
	if (!c || trial->gone)
		return !c && trial->gone;
	/* Sent back to where it came from, ports and all, an answer looks like the packet itself. */
	if (ours->daddr == trial->first.saddr)
		return true;
	leaves = ours->daddr >> 24 == 10 ? ETH1 : ETH0;
	between.daddr = ours->daddr;
	between.dport = ours->dport;
	out = free_choice(config, STAGE_OUT, leaves, &between);
	return ours->saddr == theirs->saddr && ours->daddr == theirs->daddr &&
	       same_port(ours->dport, theirs->dport, in) &&
	       same_port(ours->sport, theirs->sport, out);
}

static void trial_explain(const struct trial *trial, const struct connection *c, const char *rules)
{
	printf("# packet on %s: %s\n# xfwd: %s\n# kernel: %s\n# rules:\n#   ",
	       iface_names[trial->iface], tuple_text(&trial->first),
	       trial->gone ? "dropped" : tuple_text(&trial->translated),
	       c ? tuple_text(&c->translated) : "dropped");
	for (; *rules; rules++)
		printf(*rules == '\n' && rules[1] ? "\n#   " : "%c", *rules);
}

static void round_run(uint64_t *random, const char *rules, uint64_t seed, unsigned int *translated)
{
	static struct trial trials[PACKETS];
	const struct config *config = &harness.session.config;
	static struct connections all;
	struct model model;

	rules_now = rules;
	harness_apply(&harness, rules);
	kernel_apply(config);
	model_init(&model, config);
	compare_listen(&model, &harness);
	for (int i = 0; i < PACKETS; i++) {
		trial_make(random, config, trials, i);
		edge_run(&model, &trials[i]);
	}
	kernel_run(trials, &all);
	for (int i = 0; i < PACKETS; i++) {
		const struct trial *trial = &trials[i];
		const struct connection *c = find_connection(&all, &trial->first);

		*translated += c && !tuple_equal(&c->first, &c->translated);
		if (trial_agrees(config, trial, c))
			continue;
		trial_explain(trial, c, rules);
		fail_msg("the kernel chooses otherwise; XFWD_SEED=0x%" PRIx64
			 " begins with this ruleset",
			 seed);
	}
	compare_counters(&model, &harness);
	model_free(&model);
}

static void kernel_agrees(void **state)
{
	const struct taste taste = { .rules_max = 12, .plain = true };
	unsigned int count = generate_count(RULESETS), translated = 0;
	uint64_t random = random_seed();
	char text[16384];

	(void)state;
	for (unsigned int i = 0; i < count; i++) {
		uint64_t seed = random;

		generate_rules(&random, &taste, text, sizeof(text));
		round_run(&random, text, seed, &translated);
	}
	printf("# %u rulesets, %u packets, %u translated by the kernel, by program and model alike\n",
	       count, count * PACKETS, translated);
}

static int set_up(void **state)
{
	cpu_set_t cpu;

	(void)state;
	CPU_ZERO(&cpu);
	CPU_SET(sched_getcpu(), &cpu);
	assert_int_equal(sched_setaffinity(0, sizeof(cpu), &cpu), 0);
	kernel_up();
	harness_up(&harness, "edge", NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	harness_down(&harness);
	return 0;
}

static int tests_run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_agrees),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("the kernel's NAT", tests, set_up, tear_down);
}

int main(void)
{
	return harness_supervise(tests_run);
}
