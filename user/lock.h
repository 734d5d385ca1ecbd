/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks of a running state: files that root alone can open, so that nobody else can hold them. They end
 * with the process.
 */
#ifndef XFWD_LOCK_H
#define XFWD_LOCK_H

#include <limits.h>

struct lock {
	int fd; /* -1: not held */
	char path[PATH_MAX];
};

/* Names the lock, which is not held: for `what`, of the state that is pinned in `dir`. */
void lock_init(struct lock *lock, const char *dir, const char *what);
/* 0; -EWOULDBLOCK: another process has it; or -errno, which was printed. */
int lock_try(struct lock *lock);
/* The process that has it; 0: it has not said so yet. */
int lock_holder(const struct lock *lock);
void lock_release(struct lock *lock);

#endif
