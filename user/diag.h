/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Diagnostics: every error in the input, each with its place, the line and a caret.
 *
 *   xfwd.conf:12:22: port out of range (1-65535)
 *       dnat in eth0 tcp to :99999 -> 10.0.0.5
 *                            ^~~~~
 *
 * Of a file in JSON, members take the place of lines:
 *
 *   xfwd.json: rules[3].text: port out of range (1-65535)
 */
#ifndef XFWD_DIAG_H
#define XFWD_DIAG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

/*
 * Where a token stands; lines and columns count from 1, columns in bytes. last_column is included.
 * line 0: the file as a whole.
 */
struct location {
	const char *file; /* "command line" for arguments; diag_error() keeps a copy */
	int line;
	int first_column;
	int last_column;
	const char *member; /* "rules[3].text": columns are of its text; NULL: not JSON's */
};

struct diag_entry {
	char *file;
	char *member;
	int line;
	int first_column;
	int last_column;
	char *text; /* the message */
	char *source; /* the line it is about, without its newline, a long one cut; may be NULL */
};

struct diag {
	struct diag_entry *entries;
	size_t count;
	size_t room;
};

void diag_init(struct diag *diag);
void diag_free(struct diag *diag);
/*
 * `source` is the text of the line (up to newline or NUL), or NULL. Where there is no memory left
 * the error is not kept: do not judge success by diag->count.
 */
void diag_error(struct diag *diag, const struct location *where, const char *source,
		const char *format, ...) __attribute__((format(printf, 4, 5)));
void diag_verror(struct diag *diag, const struct location *where, const char *source,
		 const char *format, va_list arguments) __attribute__((format(printf, 4, 0)));
/*
 * Prints every entry, in order of line or member, file after file in the order of their first
 * errors.
 */
void diag_print(const struct diag *diag, FILE *out);
/*
 * The candidate nearest to `word`, or NULL: edit distance at most 2 and less than half its length,
 * upper and lower case taken as the same.
 */
const char *diag_nearest(const char *word, const char *const *candidates, size_t count);

#endif
