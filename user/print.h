/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rule model to text: the inverse of the grammar. What it prints, parse_* reads back unchanged. */
#ifndef XFWD_PRINT_H
#define XFWD_PRINT_H

#include <stdio.h>

#include "config.h"

#define RULE_TEXT_MAX 768

/* "dnat in eth0 tcp to :443 -> 10.0.0.5:8443 name www"; never truncated at RULE_TEXT_MAX. */
void rule_print(const struct rule *rule, char text[RULE_TEXT_MAX]);
/* A whole configuration in file form; options at their defaults are left out. */
void config_print(const struct config *config, FILE *out);
/* "10.0.0.5", "2001:db8::1". */
void address_print(const struct address *addr, uint8_t family, char text[INET6_ADDRSTRLEN]);

#endif
