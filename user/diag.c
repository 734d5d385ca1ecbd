// SPDX-License-Identifier: GPL-2.0-or-later
/* Owns the list of errors found in the input, and how they are shown and near misses are found. */
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"

/* A longer line is cut to what stands around the error: one line may be megabytes. */
#define SOURCE_MAX    160
#define SOURCE_BEFORE 60
#define ELLIPSIS      "..."

/* Longest word for which near misses are looked for. */
#define WORD_MAX      32
#define DISTANCE_MAX  2

void diag_init(struct diag *diag)
{
	memset(diag, 0, sizeof(*diag));
}

static void entry_free(struct diag_entry *entry)
{
	free(entry->file);
	free(entry->member);
	free(entry->text);
	free(entry->source);
}

void diag_free(struct diag *diag)
{
	for (size_t i = 0; i < diag->count; i++)
		entry_free(&diag->entries[i]);
	free(diag->entries);
	diag_init(diag);
}

/* Input is quoted in messages, and a terminal obeys control characters. */
static void make_printable(char *text)
{
	for (; *text; text++) {
		if (*text != '\t' && iscntrl((unsigned char)*text))
			*text = '?';
	}
}

/* How many bytes of a long line are left out before the part that is shown. */
static size_t source_skipped(int first_column)
{
	return first_column > SOURCE_MAX - SOURCE_BEFORE ? first_column - 1 - SOURCE_BEFORE : 0;
}

/* The part of the line that is shown; NULL where there is none. */
static char *source_copy(const char *source, int first_column)
{
	size_t skip = source_skipped(first_column);
	size_t length;
	char *copy;

	if (skip && memchr(source, '\n', strnlen(source, skip)))
		return NULL;
	if (strnlen(source, skip) < skip)
		return NULL;

	source += skip;
	length = strcspn(source, "\n");
	if (length && source[length - 1] == '\r')
		length--;
	if (asprintf(&copy, "%s%.*s%s", skip ? ELLIPSIS : "",
		     (int)(length > SOURCE_MAX ? SOURCE_MAX : length), source,
		     length > SOURCE_MAX ? ELLIPSIS : "") < 0)
		return NULL;
	make_printable(copy);
	return copy;
}

static struct diag_entry *entry_new(struct diag *diag)
{
	struct diag_entry *entries;
	size_t room;

	if (diag->count == diag->room) {
		room = diag->room ? 2 * diag->room : 16;
		entries = reallocarray(diag->entries, room, sizeof(*entries));
		if (!entries)
			return NULL;
		diag->entries = entries;
		diag->room = room;
	}
	return memset(&diag->entries[diag->count], 0, sizeof(*diag->entries));
}

void diag_verror(struct diag *diag, const struct location *where, const char *source,
		 const char *format, va_list arguments)
{
	struct diag_entry *entry = entry_new(diag);

	if (!entry)
		return;
	entry->line = where->line;
	entry->first_column = where->first_column;
	entry->last_column = where->last_column;
	entry->file = strdup(where->file);
	entry->member = where->member ? strdup(where->member) : NULL;
	if (vasprintf(&entry->text, format, arguments) < 0)
		entry->text = NULL;
	if (source)
		entry->source = source_copy(source, where->first_column);

	if (!entry->file || !entry->text || !entry->member != !where->member) {
		entry_free(entry);
		return;
	}
	make_printable(entry->text);
	diag->count++;
}

void diag_error(struct diag *diag, const struct location *where, const char *source,
		const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	diag_verror(diag, where, source, format, arguments);
	va_end(arguments);
}

/* A byte inside a UTF-8 character takes no column of its own on the terminal. */
static bool takes_column(char byte)
{
	return ((unsigned char)byte & 0xc0) != 0x80;
}

static void caret_print(const struct diag_entry *entry, FILE *out)
{
	size_t skip = source_skipped(entry->first_column);
	size_t shift = skip ? strlen(ELLIPSIS) : 0;
	size_t first = entry->first_column - 1 - skip + shift;
	size_t last = entry->last_column - 1 - skip + shift;
	const char *source = entry->source;
	size_t i;

	fputs("    ", out);
	for (i = 0; i < first && source[i]; i++) {
		if (takes_column(source[i]))
			fputc(source[i] == '\t' ? '\t' : ' ', out);
	}
	fputc('^', out);
	for (i = source[i] ? i + 1 : i; i <= last && source[i]; i++) {
		if (takes_column(source[i]))
			fputc('~', out);
	}
	fputc('\n', out);
}

static void entry_print(const struct diag_entry *entry, FILE *out)
{
	fputs(entry->file, out);
	if (entry->member)
		fprintf(out, ": %s", entry->member);
	else if (entry->line > 0 && entry->first_column > 0)
		fprintf(out, ":%d:%d", entry->line, entry->first_column);
	else if (entry->line > 0)
		fprintf(out, ":%d", entry->line);
	fprintf(out, ": %s\n", entry->text);

	if (!entry->source || !*entry->source)
		return;
	fprintf(out, "    %s\n", entry->source);
	if (entry->first_column > 0)
		caret_print(entry, out);
}

/* An entry's place in print: files in the order in which they were first reported. */
struct sort_key {
	const struct diag_entry *entry;
	size_t file;
};

static int sort_key_compare(const void *left, const void *right)
{
	const struct sort_key *a = left, *b = right;

	if (a->file != b->file)
		return a->file < b->file ? -1 : 1;
	if (a->entry->member && b->entry->member && strcmp(a->entry->member, b->entry->member))
		return strverscmp(a->entry->member, b->entry->member);
	if (a->entry->line != b->entry->line)
		return a->entry->line < b->entry->line ? -1 : 1;
	if (a->entry->first_column != b->entry->first_column)
		return a->entry->first_column < b->entry->first_column ? -1 : 1;
	return a->entry < b->entry ? -1 : a->entry > b->entry;
}

void diag_print(const struct diag *diag, FILE *out)
{
	struct sort_key *keys = calloc(diag->count + 1, sizeof(*keys));
	size_t first;

	for (size_t i = 0; i < diag->count; i++) {
		if (!keys) {
			entry_print(&diag->entries[i], out);
			continue;
		}
		/* Errors of one file mostly come together. */
		first = i ? keys[i - 1].file : 0;
		if (strcmp(diag->entries[first].file, diag->entries[i].file)) {
			first = 0;
			while (strcmp(diag->entries[first].file, diag->entries[i].file))
				first++;
		}
		keys[i].entry = &diag->entries[i];
		keys[i].file = first;
	}
	if (!keys)
		return;

	qsort(keys, diag->count, sizeof(*keys), sort_key_compare);
	for (size_t i = 0; i < diag->count; i++)
		entry_print(keys[i].entry, out);
	free(keys);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * Insertions, deletions, replacements and exchanges of neighbours that turn one word into the
 * other (optimal string alignment). Case is ignored: "DNAT" is very near to "dnat".
 */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t cost[WORD_MAX + 1][WORD_MAX + 1];

	for (size_t i = 0; i <= a_length; i++)
		cost[i][0] = i;
	for (size_t j = 0; j <= b_length; j++)
		cost[0][j] = j;

	for (size_t i = 1; i <= a_length; i++) {
		for (size_t j = 1; j <= b_length; j++) {
			int a_now = tolower((unsigned char)a[i - 1]);
			int b_now = tolower((unsigned char)b[j - 1]);

			cost[i][j] = least(cost[i - 1][j - 1] + (a_now != b_now),
					   least(cost[i - 1][j], cost[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a_now == tolower((unsigned char)b[j - 2]) &&
			    b_now == tolower((unsigned char)a[i - 2]))
				cost[i][j] = least(cost[i][j], cost[i - 2][j - 2] + 1);
		}
	}
	return cost[a_length][b_length];
}

const char *diag_nearest(const char *word, const char *const *candidates, size_t count)
{
	size_t length = strnlen(word, WORD_MAX + 1);
	size_t best = DISTANCE_MAX + 1;
	const char *nearest = NULL;

	if (length > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t other = strnlen(candidates[i], WORD_MAX + 1);
		size_t distance;

		if (other > WORD_MAX || other > length + DISTANCE_MAX ||
		    length > other + DISTANCE_MAX)
			continue;
		distance = edit_distance(word, length, candidates[i], other);
		if (distance < best && 2 * distance < length) {
			best = distance;
			nearest = candidates[i];
		}
	}
	return nearest;
}
