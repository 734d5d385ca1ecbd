/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text to rule model. One grammar serves files and command line. Needs no root and no kernel. */
#ifndef XFWD_PARSE_H
#define XFWD_PARSE_H

#include "config.h"
#include "diag.h"

/*
 * Where each rule and interface of a config came from, so that later checks can point at it.
 * Parallel to config->rules and config->interfaces.
 */
struct rule_origin {
	struct location rule; /* its first word */
	struct location ifname; /* line 0: not given */
	struct location from;
	struct location to;
	struct location target;
	const char *source; /* its line, up to newline or NUL; borrowed from origins.texts */
};

struct origins {
	struct rule_origin *rules;
	size_t rule_count;
	struct rule_origin *interfaces; /* only rule, ifname and source are used */
	size_t interface_count;
	char **files; /* names that locations point to; also of members */
	char **texts; /* what the files hold; parallel to files */
	size_t file_count;
};

void origins_free(struct origins *origins);

/*
 * The whole file, with its includes ("-": standard input), into a config fresh from config_init().
 * One that begins with a brace is JSON (json.h).
 * Errors go to diag, every wrong line once; rules of the other lines are in config all the same, so
 * that they can be checked in the same run. origins needs origins_free() on failure, too.
 * 0, -EINVAL, -ENOMEM; -EIO: a file could not be read, as diag says, and another time it can be.
 */
int parse_file(const char *path, struct config *config, struct origins *origins, struct diag *diag);
/* The same for text at hand; `name` is what errors call it, and its includes are relative to. */
int parse_text(const char *name, const char *text, size_t length, struct config *config,
	       struct origins *origins, struct diag *diag);
/* Exactly one rule, as after `xfwd add`. origin->source is `text` itself. 0, -EINVAL, -ENOMEM. */
int parse_rule(const char *text, struct rule *rule, struct rule_origin *origin, struct diag *diag);

#endif
