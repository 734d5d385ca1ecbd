/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a rule may not say although the grammar allows it. Needs no root and no kernel. */
#ifndef XFWD_CHECK_H
#define XFWD_CHECK_H

#include "config.h"
#include "diag.h"
#include "parse.h"

/*
 * One rule: target family, port without protocol, wrong direction word, ranges that do not fit …
 * Every finding goes to diag. Returns how many.
 */
size_t check_rule(const struct rule *rule, const struct rule_origin *origin, struct diag *diag);
/* Every rule, and rules against each other (a rule that an earlier identical one hides). */
size_t check_config(const struct config *config, const struct origins *origins, struct diag *diag);
/*
 * Interfaces against those that exist (`names`, `count`): `no interface "wna0"; did you mean
 * "wan0"?`. Returns how many are missing.
 */
size_t check_interfaces(const struct config *config, const struct origins *origins,
			const char *const *names, size_t count, struct diag *diag);

#endif
