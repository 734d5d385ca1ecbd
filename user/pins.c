// SPDX-License-Identifier: GPL-2.0-or-later
/* Where the running state is pinned: namespaces, bpffs and the writers' lock. */
#include "pins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "msg.h"

#define BPFFS        "/sys/fs/bpf"
#define NETNS_RUN    "/run/netns"
#define LOCK_SECONDS 10
#define LOCK_POLL_MS 5 /* well below the time between two calls of who calls on and on */

void pins_path(char path[PATH_MAX], const char *dir, const char *format, ...)
{
	int length = snprintf(path, PATH_MAX, "%s/", dir);
	va_list args;

	va_start(args, format);
	vsnprintf(path + length, PATH_MAX - length, format, args);
	va_end(args);
}

/* Says so, and returns -errno. */
static int cannot(const char *what, const char *path)
{
	int err = -errno;

	msg_error("cannot %s %s: %s", what, path, strerror(-err));
	return err;
}

/* Without this, what follows fails in ways that would have to be guessed at. */
static int check_privilege(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	const __u32 bpf = CAP_TO_MASK(CAP_BPF), admin = CAP_TO_MASK(CAP_SYS_ADMIN);

	if (syscall(SYS_capget, &header, data))
		return 0;
	if (data[CAP_TO_INDEX(CAP_BPF)].effective & bpf ||
	    data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & admin)
		return 0;
	msg_error("this needs root (or CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN)");
	return -EPERM;
}

/*
 * `ip netns exec` gives a command a mount namespace with a /sys of its own: a bpffs mounted there,
 * and with it every pin and link, would be gone when the command ends. It can be told from the
 * source of that mount, which is the namespace's name.
 */
static int check_mounts(void)
{
	char line[PATH_MAX], source[NAME_MAX + 1], path[PATH_MAX], found[NAME_MAX + 1] = "";
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	const char *type;

	while (mounts && fgets(line, sizeof(line), mounts)) {
		type = strstr(line, " - sysfs ");
		if (!type || !strstr(line, " /sys ") || sscanf(type, " - sysfs %255s", source) != 1)
			continue;
		snprintf(path, sizeof(path), NETNS_RUN "/%s", source);
		strcpy(found, access(path, F_OK) ? "" : source);
	}
	if (mounts)
		fclose(mounts);
	if (!found[0])
		return 0;
	msg_error(
		"`ip netns exec` gives a command a /sys of its own, where nothing can be kept: run "
		"`xfwd -n %s …` outside of it instead",
		found);
	return -EINVAL;
}

static int enter_netns(const char *name)
{
	char path[PATH_MAX];
	int fd, err = 0;

	if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..")) {
		msg_error("\"%s\" is no name of a network namespace", name);
		return -EINVAL;
	}
	snprintf(path, sizeof(path), "%s/%s", NETNS_RUN, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err = errno == ENOENT ? -ENXIO : -errno;
		msg_error("cannot open network namespace \"%s\": %s", name, strerror(errno));
		return err;
	}
	if (setns(fd, CLONE_NEWNET)) {
		err = -errno;
		msg_error("cannot enter network namespace \"%s\": %s", name, strerror(-err));
	}
	close(fd);
	return err;
}

/* bpffs allows no dot in a name. */
static void append_escaped(char *to, size_t size, const char *name)
{
	size_t at = strlen(to);

	for (; *name && at + 4 < size; name++) {
		if (*name == '.' || *name == '%')
			at += snprintf(to + at, size - at, "%%%02x", (unsigned char)*name);
		else
			to[at++] = *name;
		to[at] = '\0';
	}
}

static int mount_bpffs(bool create)
{
	struct statfs fs;

	if (!statfs(BPFFS, &fs) && (unsigned long)fs.f_type == BPF_FS_MAGIC)
		return 0;
	if (!create)
		return -ENOENT;
	if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return cannot("mount bpffs on", BPFFS);
	return 0;
}

static int make_dir(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST ? cannot("make", path) : 0;
}

static void name_folders(struct pins *pins, const char *netns)
{
	pins->named = netns;
	strcpy(pins->dir, PINS_ROOT "/host");
	strcpy(pins->loading, PINS_ROOT "/host-loading");
	if (netns) {
		strcpy(pins->dir, PINS_ROOT "/netns/");
		append_escaped(pins->dir, sizeof(pins->dir), netns);
		strcpy(pins->loading, PINS_ROOT "/netns-loading/");
		append_escaped(pins->loading, sizeof(pins->loading), netns);
	}
	lock_init(&pins->lock, pins->dir, "writer");
}

int pins_open(struct pins *pins, const char *netns, bool create)
{
	int err;

	name_folders(pins, netns);
	err = check_privilege();
	if (!err)
		err = check_mounts();
	if (!err && netns)
		err = enter_netns(netns);
	if (!err)
		err = mount_bpffs(create);
	return err;
}

bool pins_exist(const struct pins *pins)
{
	return !access(pins->dir, F_OK);
}

/* Waits for who has it, a while; then says who that is. 0 or -errno. */
static int lock_wait(struct lock *lock)
{
	const struct timespec pause = { .tv_nsec = LOCK_POLL_MS * 1000 * 1000 };

	for (int i = 0; i < LOCK_SECONDS * 1000 / LOCK_POLL_MS; i++) {
		int err = lock_try(lock);

		if (err != -EWOULDBLOCK)
			return err;
		nanosleep(&pause, NULL);
	}
	msg_error("another xfwd (process %d) is changing the rules; nothing was done",
		  lock_holder(lock));
	return -EBUSY;
}

int pins_lock(struct pins *pins)
{
	return lock_wait(&pins->lock);
}

void pins_unlock(struct pins *pins)
{
	lock_release(&pins->lock);
}

/*
 * The folders that the namespaces share come and go with the first and the last of them: never while
 * another one is at it. For moments only.
 */
static int lock_parents(struct lock *parents)
{
	lock_init(parents, PINS_ROOT, "folders");
	return lock_wait(parents);
}

static int make_parents(void)
{
	int err = make_dir(PINS_ROOT);

	if (!err)
		err = make_dir(PINS_ROOT "/netns");
	if (!err)
		err = make_dir(PINS_ROOT "/netns-loading");
	return err;
}

int pins_begin_loading(const struct pins *pins)
{
	struct lock parents;
	int err = lock_parents(&parents);

	if (err)
		return err;
	err = make_parents();
	if (!err && mkdir(pins->loading, 0700))
		err = -errno;
	lock_release(&parents);
	return err;
}

int pins_end_loading(const struct pins *pins)
{
	struct lock parents;
	int err = lock_parents(&parents);

	if (err)
		return err;
	err = make_parents();
	if (!err && rename(pins->loading, pins->dir))
		err = -errno;
	lock_release(&parents);
	return err;
}

int pins_remove(const char *dir)
{
	char path[PATH_MAX];
	struct dirent *entry;
	struct stat st;
	DIR *stream = opendir(dir);
	int err = 0;

	if (!stream)
		return errno == ENOENT ? 0 : -errno;
	while (!err && (entry = readdir(stream))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		pins_path(path, dir, "%s", entry->d_name);
		if (!lstat(path, &st) && S_ISDIR(st.st_mode))
			err = pins_remove(path);
		else if (unlink(path))
			err = -errno;
	}
	closedir(stream);
	if (!err && rmdir(dir))
		err = -errno;
	return err;
}

void pins_tidy(const struct pins *pins)
{
	struct lock parents;

	pins_remove(pins->loading);
	if (lock_parents(&parents))
		return;
	rmdir(PINS_ROOT "/netns-loading");
	rmdir(PINS_ROOT "/netns");
	rmdir(PINS_ROOT);
	lock_release(&parents);
}
