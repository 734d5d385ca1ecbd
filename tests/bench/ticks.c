// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long the timer of one map took each time it expired.
 *   ticks MAP-PIN SECONDS      prints JSON: nanoseconds of every expiration, and the seconds that passed
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ticks.h"
#include "bench/ticks.skel.h"

static void die(const char *what)
{
	fprintf(stderr, "ticks: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec + at.tv_nsec * 1e-9;
}

static unsigned int map_id(const char *pin)
{
	struct bpf_map_info info = { 0 };
	unsigned int size = sizeof(info);
	int fd = bpf_obj_get(pin);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
		die(pin);
	close(fd);
	return info.id;
}

/* Where every BPF timer's expiration goes through. */
static unsigned long long callback(void)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	unsigned long long address;
	char line[512], name[128];

	if (!file)
		die("/proc/kallsyms");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx %*c %127s", &address, name) != 2 ||
		    strcmp(name, "bpf_timer_cb"))
			continue;
		fclose(file);
		return address;
	}
	errno = ENOENT;
	die("bpf_timer_cb");
	return 0;
}

int main(int argc, char **argv)
{
	struct ticks_bpf *skel;
	double began;

	if (argc != 3)
		return 2;
	skel = ticks_bpf__open();
	if (!skel)
		die("open");
	skel->bss->ticks.callback = callback();
	skel->bss->ticks.map_id = map_id(argv[1]);
	if (ticks_bpf__load(skel) || ticks_bpf__attach(skel))
		die("attach");
	began = now();
	usleep(atof(argv[2]) * 1e6);
	printf("{\"seconds\":%.3f,\"took\":[", now() - began);
	ticks_bpf__detach(skel);
	for (unsigned int i = 0; i < skel->bss->ticks.count; i++)
		printf("%s%u", i ? "," : "", skel->bss->ticks.took[i]);
	printf("]}\n");
	ticks_bpf__destroy(skel);
	return 0;
}
