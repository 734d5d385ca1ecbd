// SPDX-License-Identifier: GPL-2.0-or-later
/* Locks of a running state. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "msg.h"

/* Not in bpffs: it has no files, and `xfwd down` takes the folders there away. */
#define LOCK_DIR "/run/xfwd"

void lock_init(struct lock *lock, const char *dir, const char *what)
{
	const char *kind = strstr(dir, "/netns/") ? "netns-" : "";

	lock->fd = -1;
	snprintf(lock->path, sizeof(lock->path), LOCK_DIR "/%s%.255s.%s.lock", kind,
		 strrchr(dir, '/') + 1, what);
}

static int cannot_open(const char *path)
{
	int err = -errno;

	msg_error("cannot open %s: %s", path, strerror(-err));
	return err;
}

/* Is the file still the one at the path? Its last holder may have removed it in between. */
static bool is_there(int fd, const char *path)
{
	struct stat ours, there;

	return !fstat(fd, &ours) && !stat(path, &there) && ours.st_ino == there.st_ino &&
	       ours.st_dev == there.st_dev;
}

int lock_try(struct lock *lock)
{
	int fd, err;

	for (;;) {
		if (mkdir(LOCK_DIR, 0700) && errno != EEXIST)
			return cannot_open(LOCK_DIR);
		fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0 && errno == ENOENT)
			continue; /* the folder was removed in between */
		if (fd < 0)
			return cannot_open(lock->path);
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			err = errno == EWOULDBLOCK ? -EWOULDBLOCK : cannot_open(lock->path);
			close(fd);
			return err;
		}
		if (is_there(fd, lock->path))
			break;
		close(fd);
	}
	if (ftruncate(fd, 0) || dprintf(fd, "%d\n", getpid()) < 0)
		msg_note("cannot write to %s: %s", lock->path, strerror(errno));
	lock->fd = fd;
	return 0;
}

int lock_holder(const struct lock *lock)
{
	int fd = open(lock->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[16] = "";
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return length > 0 ? atoi(text) : 0;
}

void lock_release(struct lock *lock)
{
	if (lock->fd < 0)
		return;
	unlink(lock->path); /* while it is locked */
	close(lock->fd);
	rmdir(LOCK_DIR); /* if it was the last */
	lock->fd = -1;
}
