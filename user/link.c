// SPDX-License-Identifier: GPL-2.0-or-later
/* Links of programs to interfaces, pinned. */
#include "link.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <unistd.h>

int link_pin(const struct pins *pins, int link, unsigned int ifindex, const char *suffix)
{
	char path[PATH_MAX];
	int err = 0;

	pins_path(path, pins->dir, "links/%u_%s", ifindex, suffix);
	unlink(path); /* of an interface that had this index before */
	if (bpf_obj_pin(link, path))
		err = -errno;
	close(link);
	return err;
}

int link_unpin(const struct pins *pins, unsigned int ifindex, const char *suffix)
{
	char path[PATH_MAX];
	int fd;

	pins_path(path, pins->dir, "links/%u_%s", ifindex, suffix);
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

/*
 * The link of an interface that has gone is dead: its index is 0, though another interface may have
 * got it since. (All kinds of link that are used here begin what they tell with the index; that of
 * TCX has no name yet in the headers that we build with.)
 */
bool link_is_alive(const struct pins *pins, unsigned int ifindex, const char *suffix)
{
	struct bpf_link_info info = { 0 };
	__u32 size = sizeof(info);
	char path[PATH_MAX];
	int fd, err;

	pins_path(path, pins->dir, "links/%u_%s", ifindex, suffix);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return false;
	err = bpf_obj_get_info_by_fd(fd, &info, &size);
	close(fd);
	return !err && info.xdp.ifindex == ifindex;
}
