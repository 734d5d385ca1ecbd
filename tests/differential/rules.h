/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random rules that both edges can be told, and addresses that they are about. */
#ifndef XFWD_DIFFERENTIAL_RULES_H
#define XFWD_DIFFERENTIAL_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "../unit/random.h"

#define PICK(random, array) ((array)[random_below(random, sizeof(array) / sizeof((array)[0]))])

/* As the text of a configuration file. */
void rules_random(uint64_t *random, char *text, size_t size);
/* An address that packets come from or go to. */
void host_random(uint64_t *random, bool six, uint8_t addr[16]);

#endif
