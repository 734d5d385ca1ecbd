/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said to the user on standard error: one sentence, prefixed with the program's name. */
#ifndef XFWD_MSG_H
#define XFWD_MSG_H

/* `-q` silences notes, never errors. */
void msg_quiet(int quiet);
void msg_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void msg_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
