// SPDX-License-Identifier: GPL-2.0-or-later
/* One `xfwd run` for each running state. */
#include "single.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "msg.h"

/* Not in bpffs: it has no files, and `xfwd down` takes the folders there away. */
#define SINGLE_DIR "/run/xfwd"

static int cannot_open(const char *path)
{
	int err = -errno;

	msg_error("cannot open %s: %s", path, strerror(-err));
	return err;
}

/* The pid that the holder wrote; it may be about to. */
static void say_who(int fd, const struct single *single)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) > 0)
		msg_error("`xfwd run` is there already, as process %d", atoi(text));
	else
		msg_error("`xfwd run` is there already (%s is locked)", single->path);
}

/* Is the file still the one at the path? Its last holder may have removed it in between. */
static bool is_there(int fd, const char *path)
{
	struct stat ours, there;

	return !fstat(fd, &ours) && !stat(path, &there) && ours.st_ino == there.st_ino &&
	       ours.st_dev == there.st_dev;
}

int single_begin(struct single *single, const struct pins *pins)
{
	const char *name = strrchr(pins->dir, '/') + 1;
	const char *kind = strstr(pins->dir, "/netns/") ? "netns-" : "";
	int fd, err;

	single->fd = -1;
	snprintf(single->path, sizeof(single->path), SINGLE_DIR "/%s%.255s.lock", kind, name);
	if (mkdir(SINGLE_DIR, 0700) && errno != EEXIST)
		return cannot_open(SINGLE_DIR);
	for (;;) {
		fd = open(single->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			return cannot_open(single->path);
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			err = -errno;
			say_who(fd, single);
			close(fd);
			return err;
		}
		if (is_there(fd, single->path))
			break;
		close(fd);
	}
	if (ftruncate(fd, 0) || dprintf(fd, "%d\n", getpid()) < 0)
		msg_note("cannot write to %s: %s", single->path, strerror(errno));
	single->fd = fd;
	return 0;
}

void single_end(struct single *single)
{
	if (single->fd < 0)
		return;
	unlink(single->path); /* while it is locked */
	close(single->fd);
	rmdir(SINGLE_DIR); /* if it was the last */
	single->fd = -1;
}
