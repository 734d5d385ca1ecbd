// SPDX-License-Identifier: GPL-2.0-or-later
/* Bringing the programs and maps into the kernel, where they stay. */
#include "loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bucket.h"
#include "flow_ports.h"
#include "msg.h"
#include "next_hop.h"
#include "records.h"
#include "state.h"
#include "sweeper.h"
#include "task.h"
#include "xfwd.skel.h"

struct map_job {
	const struct pins *pins;
	const struct options *options;
};

/* The last thing that libbpf warned of: the verifier's or the kernel's reason, which errno lacks. */
static char last_words[512];
static pthread_mutex_t last_words_lock = PTHREAD_MUTEX_INITIALIZER;

static int listen_print(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	if (getenv("XFWD_DEBUG"))
		fputs(line, stderr);
	if (!strncmp(line, "libbpf: ", 8))
		memmove(line, line + 8, strlen(line + 8) + 1);
	line[strcspn(line, "\n")] = '\0';
	if (!strncmp(line, "failed to load ", 15)) /* the object, for what was said before */
		return 0;
	pthread_mutex_lock(&last_words_lock);
	strcpy(last_words, line);
	pthread_mutex_unlock(&last_words_lock);
	return 0;
}

void loader_listen(void)
{
	last_words[0] = '\0';
	libbpf_set_print(listen_print);
}

const char *loader_words(void)
{
	static char words[sizeof(last_words)];

	strcpy(words, last_words);
	last_words[0] = '\0';
	return words;
}

/* How many jiffies make a second: the clocks that go by jiffies tell how fine they are. */
static int find_hz(__u32 *hz)
{
	const long second = 1000000000;
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick))
		return -errno;
	if (tick.tv_sec || tick.tv_nsec <= 0)
		return -EINVAL;
	*hz = (second + tick.tv_nsec / 2) / tick.tv_nsec;
	return 0;
}

static int write_settings(const struct xfwd_bpf *skel, const struct options *options)
{
	struct settings settings = { .layout = XFWD_LAYOUT, .flow_max = options->flows };
	union {
		struct running running;
		char room[XFWD_RUNNING_RECORD_SIZE];
	} value;
	__u32 zero = 0;
	int err;

	err = find_hz(&settings.hz);
	if (!err && getrandom(&settings.secret, sizeof(settings.secret), 0) < 0)
		err = -errno;
	if (err)
		return err;
	memset(&value, 0, sizeof(value));
	value.running.netns_cookie = state_netns_cookie();
	value.running.options = *options;
	value.running.next_handle = 1;
	value.running.next_slot = 1;
	err = bpf_map_update_elem(bpf_map__fd(skel->maps.running), &zero, &value, BPF_ANY);
	return err ? err
		   : bpf_map_update_elem(bpf_map__fd(skel->maps.data_settings), &zero, &settings,
					 BPF_ANY);
}

/* The name that a map is pinned under: its own, or its only variable's. */
static const char *map_name(const struct bpf_map *map)
{
	static const char variable[] = ".data.";
	const char *name = bpf_map__name(map);

	return strncmp(name, variable, strlen(variable)) ? name : name + strlen(variable);
}

static int pin_maps(const struct xfwd_bpf *skel, const struct pins *pins)
{
	char path[PATH_MAX];
	struct bpf_map *map;

	bpf_object__for_each_map(map, skel->obj) {
		if (!bpf_map__autocreate(map))
			continue;
		pins_path(path, pins->loading, "maps/%s", map_name(map));
		if (bpf_obj_pin(bpf_map__fd(map), path))
			return -errno;
	}
	return 0;
}

static int make_dirs(const struct pins *pins)
{
	static const char *const below[] = { "maps", "programs", "links" };
	char path[PATH_MAX];
	int err;

	err = pins_remove(pins->loading);
	if (!err)
		err = pins_remove(pins->dir);
	if (!err)
		err = pins_begin_loading(pins);
	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]) && !err; i++) {
		pins_path(path, pins->loading, "%s", below[i]);
		err = mkdir(path, 0700) ? -errno : 0;
	}
	return err;
}

/* Programs that most interfaces, and most commands, do without: loaded when the first one asks. */
static bool is_loaded_late(const char *name)
{
	return !strncmp(name, "xdp_", 4) || !strcmp(name, "flow_forget");
}

/*
 * Opens the object with one of its programs to be loaded, or with none (NULL). `frags`: the flag for
 * frames of several buffers.
 */
static struct xfwd_bpf *open_program(const char *wanted, __u32 frags)
{
	struct xfwd_bpf *skel = xfwd_bpf__open();
	struct bpf_program *program;

	if (!skel)
		return NULL;
	bpf_program__set_flags(skel->progs.xdp_wire, frags);
	bpf_program__set_flags(skel->progs.xdp_virtual, frags);
	bpf_object__for_each_program(program, skel->obj)
		bpf_program__set_autoload(program,
					  wanted && !strcmp(bpf_program__name(program), wanted));
	return skel;
}

/* Has the object use the maps that are pinned; those that are not are the programs' own. */
static int reuse_maps(const struct xfwd_bpf *skel, const char *dir)
{
	char path[PATH_MAX];
	struct bpf_map *map;
	int fd, err = 0;

	bpf_object__for_each_map(map, skel->obj) {
		pins_path(path, dir, "maps/%s", map_name(map));
		fd = bpf_obj_get(path);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return -errno;
		err = bpf_map__reuse_fd(map, fd);
		close(fd);
		if (err)
			break;
	}
	return err;
}

/*
 * Loads the program over the maps that are pinned in the folder. Each has an object to itself, and so
 * a request of its own to work in (see request.h): one may interrupt another. XDP's with the flag for
 * frames of several buffers (Linux 5.18), and without where that is unknown. Its fd, or -errno.
 */
static int load_program(const char *dir, const char *name)
{
	static const __u32 flags[] = { BPF_F_XDP_HAS_FRAGS, 0 };
	struct xfwd_bpf *skel;
	int fd, err = -EINVAL;

	for (size_t i = is_loaded_late(name) ? 0 : 1; i < 2 && err == -EINVAL; i++) {
		skel = open_program(name, flags[i]);
		if (!skel)
			return -errno;
		err = reuse_maps(skel, dir);
		if (!err)
			err = xfwd_bpf__load(skel);
		fd = bpf_program__fd(bpf_object__find_program_by_name(skel->obj, name));
		fd = err ? err : fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (!err && fd < 0)
			err = fd = -errno;
		xfwd_bpf__destroy(skel);
	}
	return fd;
}

static int load_pinned(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int err, fd = load_program(dir, name);

	if (fd < 0)
		return fd;
	pins_path(path, dir, "programs/%s", name);
	err = bpf_obj_pin(fd, path) ? -errno : 0;
	if (err)
		close(fd);
	return err ? err : fd;
}

int loader_program(const struct pins *pins, const char *name)
{
	char path[PATH_MAX];
	int fd;

	pins_path(path, pins->dir, "programs/%s", name);
	fd = bpf_obj_get(path);
	if (fd >= 0)
		return fd;
	return errno == ENOENT && is_loaded_late(name) ? load_pinned(pins->dir, name) : -errno;
}

__u32 loader_program_id(const struct pins *pins, const char *name)
{
	struct bpf_prog_info info = { 0 };
	__u32 size = sizeof(info);
	int fd = loader_program(pins, name);

	if (fd < 0)
		return 0;
	bpf_obj_get_info_by_fd(fd, &info, &size);
	close(fd);
	return info.id;
}

/* Keys of mappings that are gone stay in the queue until the sweeper comes by. */
static __u32 queue_room(__u32 flows)
{
	return flows + flows / 8 + 64;
}

/* As slow to make as all other maps together, so that they are made beside these. */
static bool is_of_mappings(const char *name)
{
	return !strcmp(name, "mappings") || !strcmp(name, "outsides") ||
	       !strcmp(name, "mapping_queue");
}

static void size_maps(const struct xfwd_bpf *skel, __u32 flows)
{
	bpf_map__set_map_flags(bpf_map__inner_map(skel->maps.rule_records), RECORDS_MAP_FLAGS);
	bpf_map__set_max_entries(skel->maps.flows4, flow_buckets(flows));
	bpf_map__set_max_entries(skel->maps.halves4, flow_buckets(flows));
	bpf_map__set_max_entries(skel->maps.mappings, flows);
	bpf_map__set_max_entries(skel->maps.outsides, flows);
	bpf_map__set_max_entries(skel->maps.mapping_queue, queue_room(flows));
}

/* Makes and pins the mappings' maps, or all others that are pinned, and writes the settings there. */
static int load_maps(const struct map_job *job, bool of_mappings)
{
	struct xfwd_bpf *skel = open_program(NULL, 0);
	struct bpf_map *map;
	int err;

	if (!skel)
		return -errno;
	size_maps(skel, job->options->flows);
	bpf_object__for_each_map(map, skel->obj) {
		const char *name = map_name(map);

		bpf_map__set_autocreate(map,
					state_has_map(name) && is_of_mappings(name) == of_mappings);
	}
	err = bpf_object__load(skel->obj); /* the skeleton's own maps every variable into memory */
	if (!err && !of_mappings)
		err = write_settings(skel, job->options);
	if (!err)
		err = pin_maps(skel, job->pins);
	xfwd_bpf__destroy(skel);
	return err;
}

static int load_mappings(void *job)
{
	return load_maps(job, true);
}

static int load_all_maps(struct map_job *job)
{
	struct task task;
	int err, failed;

	task_start(&task, load_mappings, job);
	err = load_maps(job, false);
	failed = task_end(&task);
	return err ? err : failed;
}

static int load_hook(const struct pins *pins, const char *name)
{
	int fd = load_pinned(pins->loading, name);

	return fd < 0 ? fd : close(fd);
}

static int load_ingress(void *pins)
{
	return load_hook(pins, "tc_ingress");
}

#define START_TRIES 100

/* Runs sweep_start once, on a dummy packet: the timer then holds on to the program. */
static int start_sweeper(const struct pins *pins)
{
	char frame[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame));
	int err, tries = START_TRIES, fd = load_program(pins->loading, "sweep_start");

	if (fd < 0)
		return fd;
	/* The kernel (6.18) has no memory for a timer where another CPU is at the allocator just then. */
	do {
		err = bpf_prog_test_run_opts(fd, &opts);
	} while (!err && opts.retval == SWEEP_NO_TIMER && --tries && !usleep(1000));
	if (!err && opts.retval)
		err = -EIO;
	close(fd);
	return err;
}

/* Side by side: the kernel verifies each for a while, tc_ingress the longest. */
static int load_programs(const struct pins *pins)
{
	struct task task;
	int err, failed;

	task_start(&task, load_ingress, (void *)pins);
	err = load_hook(pins, "tc_egress");
	if (!err)
		err = start_sweeper(pins);
	failed = task_end(&task);
	return err ? err : failed;
}

/* BPF timers are the newest that there is no doing without. */
static void load_failed(const char *step, int err)
{
	const char *words = loader_words();

	if (err == -EPERM)
		msg_error("loading the programs needs root (or CAP_BPF, CAP_NET_ADMIN, "
			  "CAP_PERFMON and CAP_SYS_ADMIN)");
	else if (!libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_timer_init, NULL))
		msg_error("this kernel has no BPF timers: xfwd needs Linux 5.15 or later");
	else
		msg_error("cannot %s: %s%s%s", step, strerror(-err), *words ? ": " : "", words);
}

int loader_load(const struct pins *pins, const struct config *config)
{
	struct map_job job = { pins, &config->options };
	const char *step = "pin to " PINS_ROOT;
	int err;

	err = make_dirs(pins);
	if (!err) {
		step = "make the maps";
		err = load_all_maps(&job);
	}
	if (!err) {
		step = "load the programs and start the sweeper";
		err = load_programs(pins);
	}
	if (!err)
		err = pins_end_loading(pins);
	if (err) {
		load_failed(step, err);
		pins_remove(pins->loading);
	}
	return err;
}
