// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What one packet costs in xfwd's XDP program, without a driver: nanoseconds, net of the harness.
 *
 * A test run repeats a program on one buffer, which the program has changed: the second time, the
 * packet would be another one. Here two flows lead into each other: what one makes of the packet is
 * the packet of the other, and 200 repeats are 200 translations (its time to live begins at 255).
 * The result is looked at, so a packet that went another way fails the run.
 *
 *   testrun NETNS PROGRAM-PIN      prints the medians as JSON
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frames.h"
#include "bench/frames.skel.h"

#define REPEATS 200 /* even: the packet comes out at the first flow again */
#define CALLS   15 /* each takes the kernel 20 ms, to make a trampoline and take it away */
#define ROUNDS  7

struct packet {
	unsigned char to[6];
	unsigned char from[6];
	unsigned short ethertype;
	struct iphdr ip;
	struct udphdr udp;
	unsigned char payload[18];
} __attribute__((packed));

static void die(const char *what)
{
	fprintf(stderr, "testrun: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned short sum_words(const void *data, size_t length)
{
	const unsigned char *at = data;
	unsigned int sum = 0;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += at[i] << 8 | at[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return htons(~(sum + (sum >> 16)));
}

static void packet_make(struct packet *p)
{
	*p = (struct packet){
		.to = { 2, 0, 0, 0, 0, 1 },
		.from = { 2, 0, 0, 0, 0, 2 },
		.ethertype = htons(0x0800),
		.ip = { .version = 4, .ihl = 5, .tot_len = htons(46), .ttl = 255, .protocol = 17 },
		.udp = { .source = htons(5000), .dest = htons(1000), .len = htons(26) },
	};
	p->ip.saddr = inet_addr("198.18.0.1");
	p->ip.daddr = inet_addr("203.0.113.1");
	p->ip.check = sum_words(&p->ip, sizeof(p->ip));
}

/* Nanoseconds a packet: the mean of many calls, each of which the kernel rounds down. */
static double cost(int prog, unsigned int ifindex, struct packet *out)
{
	struct xdp_md ctx = { .data_end = sizeof(struct packet), .ingress_ifindex = ifindex };
	double total = 0;
	struct packet in;

	packet_make(&in);
	for (int i = 0; i < CALLS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = &in, .data_size_in = sizeof(in),
			    .data_out = out, .data_size_out = sizeof(*out), .ctx_in = &ctx,
			    .ctx_size_in = sizeof(ctx), .repeat = REPEATS);

		if (bpf_prog_test_run_opts(prog, &run))
			die("test run");
		total += run.duration + 0.5;
	}
	return total / CALLS;
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

int main(int argc, char **argv)
{
	double harness[ROUNDS], fixed[ROUNDS], xfwd[ROUNDS], base;
	struct frames_bpf *skel;
	struct packet out, ignored;
	unsigned int ifindex;
	int prog;

	if (argc != 3)
		return 2;
	prog = bpf_obj_get(argv[2]);
	if (prog < 0)
		die(argv[2]);
	enter(argv[1]);
	ifindex = if_nametoindex("eth0");
	skel = frames_bpf__open_and_load();
	if (!skel)
		die("load");
	for (int i = 0; i < ROUNDS; i++) {
		harness[i] = cost(bpf_program__fd(skel->progs.frames_pass), ifindex, &ignored);
		fixed[i] = cost(bpf_program__fd(skel->progs.frames_forward), ifindex, &ignored);
		xfwd[i] = cost(prog, ifindex, &out);
	}
	if (out.ip.ttl != 255 - REPEATS || out.ip.daddr != inet_addr("203.0.113.1") ||
	    out.ip.saddr != inet_addr("198.18.0.1") || out.udp.dest != htons(1000)) {
		fprintf(stderr, "testrun: the packet did not go round: ttl %u\n", out.ip.ttl);
		return 1;
	}
	base = median(harness);
	printf("{\"harness\":%.1f,\"ceiling\":%.1f,\"xfwd\":%.1f}\n", base, median(fixed) - base,
	       median(xfwd) - base);
	frames_bpf__destroy(skel);
	return 0;
}
