/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands: what each does with its words. None of them touches libbpf. */
#ifndef XFWD_CMD_H
#define XFWD_CMD_H

#include <jansson.h>
#include <stdbool.h>

#include "diag.h"
#include "netdev.h"
#include "pins.h"
#include "state.h"

/* Exit codes. */
#define EXIT_DONE   0
#define EXIT_FAILED 1 /* nothing changed, or only the output could not be written */
#define EXIT_USAGE  2 /* also: an invalid file or rule */

/* One call of the program: global options, and the command's own words. */
struct invocation {
	const char *netns;
	bool json;
	bool pretty;
	bool quiet;
	bool follows; /* `run`: an interface may be missing, for it is attached when it comes */
	int argc;
	char **argv;
};

int cmd_apply(const struct invocation *call);
int cmd_run(const struct invocation *call);
int cmd_check(const struct invocation *call);
int cmd_add(const struct invocation *call);
int cmd_insert(const struct invocation *call);
int cmd_replace(const struct invocation *call);
int cmd_delete(const struct invocation *call);
int cmd_flush(const struct invocation *call);
int cmd_zero(const struct invocation *call);
int cmd_list(const struct invocation *call);
int cmd_save(const struct invocation *call);
int cmd_flows(const struct invocation *call);
int cmd_status(const struct invocation *call);
int cmd_stats(const struct invocation *call);
int cmd_down(const struct invocation *call);

/*
 * The exit code of a command that read rules, after 0 or -errno; findings are printed. An invalid
 * input is the user's to mend; anything else failed.
 */
int cmd_outcome(const struct invocation *call, const struct diag *diag, int err);
/* Says that the words are wrong, and returns EXIT_USAGE. */
int cmd_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The words from argv[first] on, with blanks between; free() it. NULL: out of memory. */
char *cmd_join(const struct invocation *call, int first);
/* A decimal number of at most `max`, and nothing else. */
bool cmd_number(const char *word, unsigned long max, unsigned long *number);
/* A JSON string of text that may be anything: bytes that are no UTF-8 become '?'. */
json_t *cmd_string(const char *text);
/* Prints the object, takes it, and returns the exit code. */
int cmd_json(const struct invocation *call, json_t *object);

#endif
