// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sends the benchmark's frames from a client namespace and counts what arrives in a server's.
 *
 * Attaches its counter to the server's eth0 (and, if asked, the static forwarder to the edge's),
 * and then takes commands from standard input, one a line, with one line of JSON for each:
 *   send COUNT STRIDE CHECK FLOW    that many frames, as fast as they go, from flow number FLOW on;
 *                                   with CHECK a few at a time
 *   time MILLISECONDS STRIDE        as many frames as fit
 *   count                           none: what has arrived so far, from other generators, too
 * From one frame to the next, the flow's number grows by STRIDE. CHECK: verify all checksums, too.
 * What it attached goes away with it.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <net/if.h>
#include <linux/if_link.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"
#include "bench/frames.skel.h"

#define CHUNK_SECONDS 0.025
#define QUIET_SECONDS 0.5 /* after them nothing more arrives */
#define PORTION       64 /* frames to check: no device's ring is full of them, nor a CPU's backlog */

struct options {
	const char *client, *edge, *server;
	const char *counter; /* xdp, none */
	const char *forward; /* static, lookup, none */
	const char *kind;
	unsigned int size, first, flows, rules, table, cpu;
};

struct bench {
	struct options opt;
	struct frames_bpf *skel;
	unsigned int client_if;
	unsigned int chunk; /* frames a system call; 0: not known yet */
	unsigned char frame[2048];
};

struct tally {
	struct frames_count count;
	unsigned long long sent;
	double seconds;
};

static void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec + at.tv_nsec * 1e-9;
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

static unsigned int ifindex(const char *name)
{
	unsigned int index = if_nametoindex(name);

	if (!index)
		die(name);
	return index;
}

/* As the namespace made them: the client is 2, the edge 1 and 3, the server 4. */
static void mac(unsigned char to[6], unsigned char last)
{
	const unsigned char all[6] = { 2, 0, 0, 0, 0, last };

	memcpy(to, all, 6);
}

static void attach_xdp(struct bpf_program *prog, const char *netns, const char *name)
{
	enter(netns);
	if (!bpf_program__attach_xdp(prog, ifindex(name)))
		die("attach to eth0");
}

static void attach_counter(struct bench *b)
{
	if (!strcmp(b->opt.counter, "xdp"))
		attach_xdp(b->skel->progs.frames_count_xdp, b->opt.server, "eth0");
}

static void attach_forward(struct bench *b)
{
	unsigned int way, zero = 0;

	if (!strcmp(b->opt.forward, "static"))
		attach_xdp(b->skel->progs.frames_forward, b->opt.edge, "eth0");
	else if (!strcmp(b->opt.forward, "lookup"))
		attach_xdp(b->skel->progs.frames_lookup, b->opt.edge, "eth0");
	else
		return;
	way = ifindex("eth1");
	if (bpf_map_update_elem(bpf_map__fd(b->skel->maps.ways), &zero, &way, BPF_ANY))
		die("devmap");
	mac(b->skel->bss->forward_macs.to, 4);
	mac(b->skel->bss->forward_macs.from, 3);
}

static unsigned int words(const void *data, size_t length)
{
	const unsigned short *at = data;
	unsigned int sum = 0;

	for (size_t i = 0; i < length / 2; i++)
		sum += at[i];
	return (sum & 0xffff) + (sum >> 16);
}

/* What the generator adds the changing words to. The rest of the payload is the frame's own. */
static void sums_prepare(struct bench *b, struct frames_config *set)
{
	const unsigned short ip[] = { htons(0x4500), htons(set->ip_length), htons(0x4000),
				      htons(FRAMES_TTL << 8 | IPPROTO_UDP) };
	const unsigned short udp[] = { htons(IPPROTO_UDP), htons(set->ip_length - 20),
				       htons(set->ip_length - 20), htons(FRAMES_MAGIC >> 16),
				       htons(FRAMES_MAGIC & 0xffff) };

	set->ip_sum = words(ip, sizeof(ip));
	set->udp_sum = words(udp, sizeof(udp)) +
		       words(b->frame + FRAMES_HEADERS, b->opt.size - FRAMES_HEADERS);
	set->udp_sum = (set->udp_sum & 0xffff) + (set->udp_sum >> 16);
}

static void configure(struct bench *b)
{
	struct frames_config *set = &b->skel->bss->config;
	unsigned int slots = 1;

	while (slots * 2 <= b->opt.rules)
		slots *= 2;
	set->kind = !strcmp(b->opt.kind, "routed")  ? FRAMES_ROUTED
		    : !strcmp(b->opt.kind, "local") ? FRAMES_LOCAL
						    : FRAMES_TRANSLATED;
	set->first = b->opt.first;
	set->flows = b->opt.flows;
	set->slot_mask = slots - 1;
	set->slot_first = b->opt.rules - slots;
	set->ip_length = b->opt.size - 14;
	mac(set->to, 1);
	mac(set->from, 2);
	for (size_t i = FRAMES_HEADERS; i < b->opt.size; i++)
		b->frame[i] = i * 7;
	sums_prepare(b, set);
}

static void count_read(const struct bench *b, struct frames_count *total)
{
	struct frames_count each[1024];
	int cpus = libbpf_num_possible_cpus();
	unsigned int zero = 0;

	memset(total, 0, sizeof(*total));
	if (cpus > 1024 || bpf_map_lookup_elem(bpf_map__fd(b->skel->maps.counts), &zero, each))
		die("counts");
	for (int i = 0; i < cpus; i++) {
		total->right += each[i].right;
		total->moved += each[i].moved;
		total->wrong += each[i].wrong;
		total->bad_checksum += each[i].bad_checksum;
	}
}

static unsigned long long count_all(const struct frames_count *c)
{
	return c->right + c->moved + c->wrong + c->bad_checksum;
}

/* Sends them; returns the seconds from the first one to the last. */
static double live(struct bench *b, unsigned int frames)
{
	struct frames_clock *clock = &b->skel->bss->clock;
	struct xdp_md ctx = { .data_end = b->opt.size, .ingress_ifindex = b->client_if };
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = b->frame, .data_size_in = b->opt.size,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = (int)frames,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64);

	clock->frame = 0;
	clock->frames = frames;
	if (bpf_prog_test_run_opts(bpf_program__fd(b->skel->progs.frames_generate), &run))
		die("live frames");
	return (clock->ended - clock->began) * 1e-9;
}

/*
 * Waits until there are so many, or nothing has arrived for a while. How many seconds it took until the
 * last one was there: 0 where all were.
 */
static double settle(const struct bench *b, unsigned long long wanted, struct frames_count *count)
{
	unsigned long long before;
	double began = now(), since = began;

	count_read(b, count);
	if (!strcmp(b->opt.counter, "none"))
		return 0;
	while (count_all(count) < wanted && now() - since < QUIET_SECONDS) {
		before = count_all(count);
		usleep(1000);
		count_read(b, count);
		if (count_all(count) != before)
			since = now();
	}
	return since - began;
}

static void say(const struct tally *t, const struct frames_count *from)
{
	unsigned long long right = t->count.right - from->right,
			   moved = t->count.moved - from->moved;

	printf("{\"sent\":%llu,\"right\":%llu,\"moved\":%llu,\"wrong\":%llu,\"bad_checksum\":%llu,"
	       "\"seconds\":%.6f,\"mpps\":%.6f}\n",
	       t->sent, right, moved, t->count.wrong - from->wrong,
	       t->count.bad_checksum - from->bad_checksum, t->seconds,
	       (right + moved) / t->seconds * 1e-6);
	fflush(stdout);
}

static void command_send(struct bench *b, unsigned long long frames, unsigned int stride,
			 unsigned int check, unsigned int first)
{
	struct tally t = { .sent = frames };
	struct frames_count from;

	b->skel->bss->config.stride = stride;
	b->skel->bss->config.check = check;
	b->skel->bss->next_flow = first;
	count_read(b, &from);
	for (unsigned long long sent = 0, some; sent < frames; sent += some) {
		some = check && frames - sent > PORTION ? PORTION : frames - sent;
		t.seconds += live(b, some);
		settle(b, count_all(&from) + sent + some, &t.count);
	}
	if (check) { /* has anything come twice? */
		usleep(20000);
		count_read(b, &t.count);
	}
	say(&t, &from);
}

/* System calls of 25 to 50 ms; the first of all only finds how many frames that are. */
static void command_time(struct bench *b, double seconds, unsigned int stride)
{
	double last = 0, end = now() + seconds;
	struct frames_count from;
	struct tally t = { 0 };

	b->skel->bss->config.stride = stride;
	b->skel->bss->config.check = 0;
	if (!b->chunk)
		for (b->chunk = 512; last < CHUNK_SECONDS; last = live(b, b->chunk))
			b->chunk *= 2;
	count_read(b, &from);
	do {
		t.seconds += live(b, b->chunk);
		t.sent += b->chunk;
	} while (now() < end);
	/* what the kernel has left to ksoftirqd is still on its way */
	t.seconds += settle(b, count_all(&from) + t.sent, &t.count);
	say(&t, &from);
}

/* Since the start. */
static void command_count(const struct bench *b)
{
	struct frames_count none = { 0 };
	struct tally t = { .seconds = 1 };

	settle(b, ULLONG_MAX, &t.count);
	say(&t, &none);
}

static void serve(struct bench *b)
{
	unsigned long long number;
	unsigned int stride, check, first;
	char line[128];

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "send %llu %u %u %u", &number, &stride, &check, &first) == 4)
			command_send(b, number, stride, check, first);
		else if (sscanf(line, "time %llu %u", &number, &stride) == 2)
			command_time(b, number / 1000.0, stride);
		else if (!strcmp(line, "count\n"))
			command_count(b);
		else
			exit(2);
	}
}

static void usage(void)
{
	fprintf(stderr,
		"usage: frames --client NS --edge NS --server NS --flows N --rules N\n"
		"  [--first N] [--size BYTES] [--kind translated|routed|local] [--count xdp|none]\n"
		"  [--forward static|lookup|none] [--table FLOWS] [--cpu N]\n");
	exit(2);
}

static void options_read(struct options *opt, int argc, char **argv)
{
	static const struct option names[] = {
		{ "client", 1, NULL, 'c' }, { "edge", 1, NULL, 'e' },  { "server", 1, NULL, 's' },
		{ "flows", 1, NULL, 'f' },  { "rules", 1, NULL, 'r' }, { "size", 1, NULL, 'z' },
		{ "kind", 1, NULL, 'k' },   { "count", 1, NULL, 'n' }, { "forward", 1, NULL, 'w' },
		{ "cpu", 1, NULL, 'p' },    { "table", 1, NULL, 't' }, { "first", 1, NULL, 'i' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 'c':
			opt->client = optarg;
			break;
		case 'e':
			opt->edge = optarg;
			break;
		case 's':
			opt->server = optarg;
			break;
		case 'f':
			opt->flows = atoi(optarg);
			break;
		case 'i':
			opt->first = atoi(optarg);
			break;
		case 'r':
			opt->rules = atoi(optarg);
			break;
		case 'z':
			opt->size = atoi(optarg);
			break;
		case 'k':
			opt->kind = optarg;
			break;
		case 'n':
			opt->counter = optarg;
			break;
		case 'w':
			opt->forward = optarg;
			break;
		case 't':
			opt->table = atoi(optarg);
			break;
		case 'p':
			opt->cpu = atoi(optarg);
			break;
		default:
			usage();
		}
	}
	if (!opt->client || !opt->edge || !opt->server || !opt->flows || !opt->rules ||
	    opt->size < FRAMES_HEADERS || opt->size > 1514 || opt->size % 2)
		usage();
}

int main(int argc, char **argv)
{
	struct bench b = { .opt = { .size = 60,
				    .counter = "xdp",
				    .forward = "none",
				    .kind = "translated",
				    .table = 1 } };
	cpu_set_t cpus;

	options_read(&b.opt, argc, argv);
	CPU_ZERO(&cpus);
	CPU_SET(b.opt.cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("CPU");
	setpriority(PRIO_PROCESS, 0, -20); /* others on this machine weigh less, if it may be */
	b.skel = frames_bpf__open();
	if (!b.skel)
		die("open");
	if (!strcmp(b.opt.forward, "lookup"))
		bpf_map__set_max_entries(b.skel->maps.table, 2 * b.opt.table);
	if (frames_bpf__load(b.skel))
		die("load");
	configure(&b);
	attach_counter(&b);
	attach_forward(&b);
	enter(b.opt.client);
	b.client_if = ifindex("eth0");
	printf("{\"ready\":true}\n");
	fflush(stdout);
	serve(&b);
	frames_bpf__destroy(b.skel);
	return 0;
}
