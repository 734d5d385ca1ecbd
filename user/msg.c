// SPDX-License-Identifier: GPL-2.0-or-later
/* What is said to the user on standard error. */
#include "msg.h"

#include <stdarg.h>
#include <stdio.h>

static int be_quiet;

void msg_quiet(int quiet)
{
	be_quiet = quiet;
}

static void say(const char *format, va_list args)
{
	fputs("xfwd: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

void msg_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

void msg_note(const char *format, ...)
{
	va_list args;

	if (be_quiet)
		return;
	va_start(args, format);
	say(format, args);
	va_end(args);
}
