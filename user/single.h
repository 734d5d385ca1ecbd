/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One `xfwd run` for each running state: a lock of its own, that ends with the process. */
#ifndef XFWD_SINGLE_H
#define XFWD_SINGLE_H

#include <limits.h>

#include "pins.h"

struct single {
	int fd;
	char path[PATH_MAX];
};

/* Prints what is wrong, or who is running. 0 or -errno. */
int single_begin(struct single *single, const struct pins *pins);
void single_end(struct single *single);

#endif
