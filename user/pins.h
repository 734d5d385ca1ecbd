/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the running state is pinned: a folder of bpffs for each network namespace.
 *
 *   /sys/fs/bpf/xfwd/host/            the namespace xfwd was called in
 *   /sys/fs/bpf/xfwd/netns/NAME/      with -n NAME
 */
#ifndef XFWD_PINS_H
#define XFWD_PINS_H

#include <limits.h>
#include <stdbool.h>

#include "lock.h"

#define PINS_ROOT "/sys/fs/bpf/xfwd"

struct pins {
	char dir[PATH_MAX];
	char loading[PATH_MAX]; /* a state that is not complete yet */
	bool named; /* of a namespace given by name */
	struct lock lock; /* the writers' */
};

/*
 * Finds the folder's name, enters the namespace (NULL: stays), and mounts bpffs where it is missing and
 * `create` says so. Prints what is wrong. 0 or -errno; -ENOENT without `create`: nothing is loaded;
 * -ENXIO: there is no such namespace.
 */
int pins_open(struct pins *pins, const char *netns, bool create);
bool pins_exist(const struct pins *pins);
/* One writer at a time in each namespace: waits for another a while, then names it. 0 or -errno. */
int pins_lock(struct pins *pins);
void pins_unlock(struct pins *pins);
/* Path of one pin below the folder, from printf's words. */
void pins_path(char path[PATH_MAX], const char *dir, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Under the lock: makes the folder of a state that is not complete yet; moves it to its place. */
int pins_begin_loading(const struct pins *pins);
int pins_end_loading(const struct pins *pins);
/* Removes the folder and all in it. 0 or -errno. */
int pins_remove(const char *dir);
/* Removes the folders above it that have become empty. */
void pins_tidy(const struct pins *pins);

#endif
