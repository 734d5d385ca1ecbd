/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links of programs to interfaces, pinned: "links/INDEX_SUFFIX". */
#ifndef XFWD_LINK_H
#define XFWD_LINK_H

#include "pins.h"

/* Pins the link and lets go of it: from here on it lives as long as the pin. 0 or -errno. */
int link_pin(const struct pins *pins, int link, unsigned int ifindex, const char *suffix);
/* At once: a link that merely loses its last pin is detached some time later. 0 or -errno. */
int link_unpin(const struct pins *pins, unsigned int ifindex, const char *suffix);
/* Is the link there, and of this interface? */
bool link_is_alive(const struct pins *pins, unsigned int ifindex, const char *suffix);

#endif
