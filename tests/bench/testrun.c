// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What one packet costs in xfwd's XDP program, without a driver: nanoseconds, net of the harness.
 *
 * A test run repeats a program on one buffer, which the program has changed: the second time, the
 * packet would be another one. Here flows lead into each other: what one makes of the packet is the
 * packet of the next, and 200 repeats are 200 translations (its time to live begins at 255). The
 * result is looked at, so a packet that went another way fails the run.
 *
 * The cycle: from one address to the other and back, with another port each time, so that all 32768
 * flows come before the first one comes again. Two more flows, outside of it, lead into each other
 * only: what those cost with everything in the nearest cache. The program with one bare lookup goes
 * the same ways in a table of its own, which has the same size.
 *
 *   testrun rules                          prints the rules that make the cycle
 *   testrun EDGE CLIENT PROGRAM-PIN CPU    prints each round's as JSON; needs links idle0, idle1 and
 *                                          idle2 in the client's namespace
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"
#include "bench/frames.skel.h"

#define REPEATS    200 /* even: two flows come out at the first one again */
#define CALLS      20 /* for two flows; the kernel rounds each one's mean down */
#define ROUNDS     31
#define COURSES    6
#define TTL        255

#define FLOWS      32768 /* half of them towards each of two addresses */
#define HALF       (FLOWS / 2)
#define PASS_CALLS ((FLOWS + REPEATS - 1) / REPEATS)
#define PORT       32768 /* + 0 ... HALF - 1 */
#define SHIFT_AWAY 10125 /* of the port, from the first address to the second */
#define SHIFT_BACK 4122 /* the two together are odd, so that all ports get their turn */
#define PORT_ALONE 1000 /* of the two flows that are not part of the cycle */
#define SOURCE     5000
#define TABLE      (2 * 131072) /* entries: as `set flows` has them by default */

static const char *const host[2] = { "198.18.0.1", "203.0.113.2" };
static const char *const target[2] = { "203.0.113.1", "203.0.113.3" };

struct packet {
	unsigned char to[6];
	unsigned char from[6];
	unsigned short ethertype;
	struct iphdr ip;
	struct udphdr udp;
	unsigned char payload[18];
} __attribute__((packed));

/* Where a packet comes from and goes to, before or after a translation. */
struct place {
	unsigned int saddr, daddr; /* network byte order */
	unsigned short dport; /* host byte order */
};

enum check {
	CHECK_NOTHING, /* it leaves the packet alone, or always makes the same of it */
	CHECK_PLACE, /* it writes a time to live of its own */
	CHECK_ALL,
};

/* One program, and how it gets from place to place. */
struct course {
	const char *name;
	int prog;
	unsigned int ifindex;
	unsigned int calls;
	struct place (*place)(unsigned int i);
	enum check check;
};

static void die(const char *what)
{
	fprintf(stderr, "testrun: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- the cycle ---- */

static void rules_shift(int from, unsigned int shift)
{
	const char *a = target[from], *b = target[!from];
	unsigned int last = PORT + HALF - 1;

	printf("dnat in eth0 udp to %s:%u-%u -> %s:%u-%u\n", a, PORT, last - shift, b, PORT + shift,
	       last);
	printf("dnat in eth0 udp to %s:%u-%u -> %s:%u-%u\n", a, last - shift + 1, last, b, PORT,
	       PORT + shift - 1);
	printf("dnat in eth0 udp to %s:%u -> %s:%u\n", a, PORT_ALONE, b, PORT_ALONE);
	printf("snat out eth1 from %s to %s -> %s mapping endpoint-dependent\n", host[from], b,
	       host[!from]);
}

static void rules(void)
{
	printf("set source-check off\n"); /* both hosts are behind one interface */
	rules_shift(0, SHIFT_AWAY);
	rules_shift(1, SHIFT_BACK);
}

static struct place place_xfwd(unsigned int i, unsigned int port)
{
	return (struct place){ inet_addr(host[i % 2]), inet_addr(target[i % 2]), port };
}

static unsigned int port_of(unsigned int i)
{
	i %= FLOWS;
	return (i / 2 * (SHIFT_AWAY + SHIFT_BACK) + i % 2 * SHIFT_AWAY) % HALF;
}

static struct place xfwd_many(unsigned int i)
{
	return place_xfwd(i, PORT + port_of(i));
}

static struct place xfwd_two(unsigned int i)
{
	return place_xfwd(i, PORT_ALONE);
}

/* The bare programs write these two addresses, whatever the packet had. */
static struct place place_bare(unsigned int port)
{
	return (struct place){ htonl(FRAMES_EDGE), htonl(FRAMES_TARGET), port };
}

static struct place bare_many(unsigned int i)
{
	return place_bare(PORT + i % 2 * HALF + port_of(i));
}

static struct place bare_two(unsigned int i)
{
	return place_bare(PORT_ALONE + i % 2);
}

/* ---- packets ---- */

static unsigned short sum_words(const void *data, size_t length, unsigned int sum)
{
	const unsigned char *at = data;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += at[i] << 8 | at[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return htons(~(sum + (sum >> 16)));
}

/* 0 when the checksum in it is right. */
static unsigned short sum_udp(const struct packet *p)
{
	unsigned int pseudo = IPPROTO_UDP + sizeof(p->udp) + sizeof(p->payload);

	pseudo += ntohs(~sum_words(&p->ip.saddr, 8, 0) & 0xffff);
	return sum_words(&p->udp, sizeof(p->udp) + sizeof(p->payload), pseudo);
}

static void packet_make(struct packet *p, struct place at)
{
	*p = (struct packet){
		.to = { 2, 0, 0, 0, 0, 1 },
		.from = { 2, 0, 0, 0, 0, 2 },
		.ethertype = htons(0x0800),
		.ip = { .version = 4, .ihl = 5, .tot_len = htons(46), .ttl = TTL, .protocol = 17 },
		.udp = { .source = htons(SOURCE), .dest = htons(at.dport), .len = htons(26) },
	};
	p->ip.saddr = at.saddr;
	p->ip.daddr = at.daddr;
	p->ip.check = sum_words(&p->ip, sizeof(p->ip), 0);
	p->udp.check = sum_udp(p);
}

static int packet_is_at(const struct packet *p, struct place at)
{
	return p->ip.saddr == at.saddr && p->ip.daddr == at.daddr &&
	       p->udp.source == htons(SOURCE) && p->udp.dest == htons(at.dport);
}

static void packet_check(const struct packet *p, const struct course *c, unsigned int first)
{
	if (c->check == CHECK_NOTHING)
		return;
	if (packet_is_at(p, c->place(first + REPEATS)) &&
	    (c->check == CHECK_PLACE ||
	     (p->ip.ttl == TTL - REPEATS && !sum_words(&p->ip, sizeof(p->ip), 0) && !sum_udp(p))))
		return;
	fprintf(stderr, "testrun: a packet did not go its way: ttl %u, to port %u\n", p->ip.ttl,
		ntohs(p->udp.dest));
	exit(1);
}

/* ---- the flows ---- */

/* Any order that is not the one in which they are used. */
static unsigned int *shuffled(void)
{
	unsigned int *all = calloc(FLOWS, sizeof(*all)), other, swap;

	if (!all)
		die("memory");
	srandom(1);
	for (unsigned int i = 0; i < FLOWS; i++) {
		other = random() % (i + 1);
		swap = all[other];
		all[i] = swap;
		all[other] = i;
	}
	return all;
}

static void enter(const char *netns)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(path);
	close(fd);
}

/* Each flow's first packet, as from a client: it begins them in the program as it is attached. */
static void flows_begin(const unsigned int *order)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET };
	int fd;

	at.sll_ifindex = if_nametoindex("eth0");
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || bind(fd, (void *)&at, sizeof(at)))
		die("socket");
	for (unsigned int i = 0; i < FLOWS; i++) {
		struct packet p;

		packet_make(&p, xfwd_many(order[i]));
		while (send(fd, &p, sizeof(p), 0) != sizeof(p)) {
			if (errno != ENOBUFS)
				die("send");
			usleep(1000); /* the other end has not taken what is under way */
		}
	}
	close(fd);
}

/* An entry of the bare table, and one for the answers as a NAT has it. */
static void table_add(int map, struct place from, struct place to)
{
	struct frames_key key = { from.saddr, from.daddr, htons(SOURCE), htons(from.dport),
				  IPPROTO_UDP };
	struct frames_key answer = { to.daddr, to.saddr, htons(to.dport), htons(SOURCE),
				     IPPROTO_UDP };
	struct frames_entry value = { .dport = htons(to.dport) };

	if (bpf_map_update_elem(map, &answer, &value, BPF_ANY) ||
	    bpf_map_update_elem(map, &key, &value, BPF_ANY))
		die("table");
}

static void table_fill(int map, const unsigned int *order)
{
	for (unsigned int i = 0; i < FLOWS; i++)
		table_add(map, bare_many(order[i]), bare_many(order[i] + 1));
	table_add(map, bare_two(0), bare_two(1));
	table_add(map, bare_two(1), bare_two(0));
}

/* ---- the runs ---- */

/* Nanoseconds a packet, of REPEATS from that place on. */
static double run(const struct course *c, unsigned int first, struct packet *out)
{
	struct xdp_md ctx = { .data_end = sizeof(struct packet), .ingress_ifindex = c->ifindex };
	struct packet in;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &in, .data_size_in = sizeof(in),
		    .data_out = out, .data_size_out = sizeof(*out), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = REPEATS);

	packet_make(&in, c->place(first));
	if (bpf_prog_test_run_opts(c->prog, &opts))
		die("test run");
	return opts.duration + 0.5; /* the kernel rounds down */
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

/* Of many calls, less the highest eighth: those in which something else ran. */
static double mean(double *values, unsigned int count)
{
	unsigned int kept = count - count / 8;
	double total = 0;

	qsort(values, count, sizeof(*values), compare);
	for (unsigned int i = 0; i < kept; i++)
		total += values[i];
	return total / kept;
}

/* Calls that follow each other's flows: one time round the cycle, or always the same two. */
static double pass(const struct course *c)
{
	double values[PASS_CALLS];
	struct packet out;

	for (unsigned int i = 0; i < c->calls; i++) {
		values[i] = run(c, i * REPEATS, &out);
		packet_check(&out, c, i * REPEATS);
	}
	return mean(values, c->calls);
}

static void say(const char *name, const double *values, double base)
{
	printf("\"%s\":[", name);
	for (int i = 0; i < ROUNDS; i++)
		printf("%s%.1f", i ? "," : "", values[i] - base);
	printf("]");
}

/*
 * All in turn, and again: how much of the last cache others leave, on this machine and beside it,
 * changes from one second to the next. Before each pass that counts there is one that does not, so
 * that the caches have what this program leaves there, and not the one before it.
 */
static void measure(const struct course *all, unsigned int count)
{
	double values[COURSES][ROUNDS], harness[ROUNDS];

	for (int round = 0; round < ROUNDS; round++)
		for (unsigned int i = 0; i < count; i++) {
			pass(&all[i]);
			values[i][round] = pass(&all[i]);
		}
	memcpy(harness, values[0], sizeof(harness));
	for (unsigned int i = 0; i < count; i++) {
		printf("%c", i ? ',' : '{');
		say(all[i].name, values[i], i ? median(harness) : 0);
	}
	printf("}\n");
}

static void measure_all(const struct frames_bpf *skel, int prog, unsigned int ifindex)
{
	int none = bpf_program__fd(skel->progs.frames_pass);
	int fixed = bpf_program__fd(skel->progs.frames_forward);
	int lookup = bpf_program__fd(skel->progs.frames_lookup);
	const struct course all[COURSES] = {
		{ "harness", none, ifindex, CALLS, bare_two, CHECK_NOTHING },
		{ "ceiling", fixed, ifindex, CALLS, bare_two, CHECK_NOTHING },
		{ "lookup", lookup, ifindex, CALLS, bare_two, CHECK_PLACE },
		{ "xfwd", prog, ifindex, CALLS, xfwd_two, CHECK_ALL },
		{ "lookup_many", lookup, ifindex, PASS_CALLS, bare_many, CHECK_PLACE },
		{ "xfwd_many", prog, ifindex, PASS_CALLS, xfwd_many, CHECK_ALL },
	};

	measure(all, COURSES);
}

/*
 * A program that is attached nowhere gets a trampoline with each test run, and loses it again: that
 * takes the kernel 20 ms. These links only have to be there.
 */
static void attach(const struct bpf_program *prog, const char *name)
{
	if (bpf_xdp_attach(if_nametoindex(name), bpf_program__fd(prog), XDP_FLAGS_SKB_MODE, NULL))
		die(name);
}

static struct frames_bpf *load(void)
{
	struct frames_bpf *skel = frames_bpf__open();

	if (!skel || bpf_map__set_max_entries(skel->maps.table, TABLE) || frames_bpf__load(skel))
		die("load");
	attach(skel->progs.frames_pass, "idle0");
	attach(skel->progs.frames_forward, "idle1");
	attach(skel->progs.frames_lookup, "idle2");
	return skel;
}

static void pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("CPU");
	setpriority(PRIO_PROCESS, 0, -20); /* others on this machine weigh less, if it may be */
}

int main(int argc, char **argv)
{
	struct frames_bpf *skel;
	unsigned int *order;
	int prog;

	if (argc == 2 && !strcmp(argv[1], "rules")) {
		rules();
		return 0;
	}
	if (argc != 5)
		return 2;
	pin(atoi(argv[4]));
	prog = bpf_obj_get(argv[3]);
	if (prog < 0)
		die(argv[3]);
	order = shuffled();
	enter(argv[2]);
	skel = load();
	table_fill(bpf_map__fd(skel->maps.table), order);
	flows_begin(order);
	enter(argv[1]);
	measure_all(skel, prog, if_nametoindex("eth0"));
	frames_bpf__destroy(skel);
	free(order);
	return 0;
}
