// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Scenarios, and their files: a line each for how the interfaces are attached, whether TCP may begin
 * in the middle, each rule, each frame, and how a frame left where that was a choice.
 */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct step *scenario_add(struct scenario *s)
{
	if (s->count == s->room) {
		s->room = s->room ? 2 * s->room : 64;
		s->steps = realloc(s->steps, s->room * sizeof(*s->steps));
	}
	s->steps[s->count] = malloc(sizeof(struct step));
	s->steps[s->count]->count = 0;
	s->steps[s->count]->has_chosen = false;
	return s->steps[s->count++];
}

void scenario_clear(struct scenario *s)
{
	while (s->count)
		free(s->steps[--s->count]);
	s->rules[0] = '\0';
}

static bool read_hex(const char *text, struct frame *frame)
{
	unsigned int byte;

	memset(frame, 0, sizeof(*frame));
	while (sscanf(text, "%2x", &byte) == 1 && frame->length < FRAME_MAX) {
		frame->data[frame->length++] = byte;
		text += 2;
	}
	return frame->length > 0;
}

static bool read_frame(struct scenario *s, const char *word, const char *iface, const char *hex)
{
	bool is_next = !strcmp(word, "also") && s->count;
	struct step *step = is_next ? s->steps[s->count - 1] : scenario_add(s);

	if (step->count == BURST_MAX)
		return false;
	step->in[step->count].iface = strcmp(iface, "eth1") ? ETH0 : ETH1;
	return read_hex(hex, &step->in[step->count++].frame);
}

static bool read_mode(struct manner *manner, const char *words)
{
	char name[IFACES][16];

	if (sscanf(words, "%15s %15s", name[ETH0], name[ETH1]) != 2)
		return false;
	for (int i = 0; i < IFACES; i++) {
		int mode = 0;

		while (mode < MODE_COUNT && strcmp(attach_mode_names[mode], name[i]))
			mode++;
		if (mode == MODE_COUNT)
			return false;
		manner->mode[i] = mode;
	}
	return true;
}

static bool read_line(struct scenario *s, char *line)
{
	char word[32], iface[32];
	int at = 0;

	if (sscanf(line, "%31s %n", word, &at) < 1 || word[0] == '#')
		return true;
	if (!strcmp(word, "mode"))
		return read_mode(&s->manner, line + at);
	if (!strcmp(word, "loose"))
		return s->manner.loose = true;
	if (!strcmp(word, "rule")) {
		strncat(s->rules, line + at, RULES_TEXT - 1 - strlen(s->rules));
		return true;
	}
	if (!strcmp(word, "chosen") && s->count) {
		s->steps[s->count - 1]->has_chosen = true;
		return ends_parse(&s->steps[s->count - 1]->chosen, line + at);
	}
	if (strcmp(word, "send") && strcmp(word, "also"))
		return false;
	line += at;
	return sscanf(line, "%31s %n", iface, &at) == 1 && read_frame(s, word, iface, line + at);
}

bool scenario_read(struct scenario *s, const char *path)
{
	static char line[2 * FRAME_MAX + 64];
	FILE *file = fopen(path, "r");
	bool is_good = file != NULL;

	scenario_clear(s);
	memset(&s->manner, 0, sizeof(s->manner));
	for (int n = 1; is_good && fgets(line, sizeof(line), file); n++) {
		is_good = read_line(s, line);
		if (!is_good)
			printf("# %s:%d: not understood\n", path, n);
	}
	if (file)
		fclose(file);
	else
		printf("# cannot read %s\n", path);
	return is_good;
}

/* `text` with a word before each line. */
static void write_lines(FILE *file, const char *word, const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "\n");

		fprintf(file, "%s %.*s\n", word, (int)length, text);
		text += length + (text[length] == '\n');
	}
}

bool scenario_write(const struct scenario *s, const char *path, const char *comment)
{
	FILE *file = fopen(path, "w");

	if (!file)
		return false;
	write_lines(file, "#", comment);
	fprintf(file, "mode %s %s\n", attach_mode_names[s->manner.mode[ETH0]],
		attach_mode_names[s->manner.mode[ETH1]]);
	if (s->manner.loose)
		fprintf(file, "loose on\n");
	write_lines(file, "rule", s->rules);
	for (size_t i = 0; i < s->count; i++) {
		const struct step *step = s->steps[i];

		for (int n = 0; n < step->count; n++) {
			const struct frame *frame = &step->in[n].frame;

			fprintf(file, "%s %s ", n ? "also" : "send",
				iface_names[step->in[n].iface]);
			for (size_t at = 0; at < frame->length; at++)
				fprintf(file, "%02x", frame->data[at]);
			fprintf(file, "\n");
		}
		if (step->has_chosen)
			fprintf(file, "chosen %s\n", ends_text(&step->chosen));
	}
	return fclose(file) == 0;
}
