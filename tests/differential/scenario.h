/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules and packets that are tried on both edges; as a file, one that can be tried again. */
#ifndef XFWD_DIFFERENTIAL_SCENARIO_H
#define XFWD_DIFFERENTIAL_SCENARIO_H

#include "ends.h"
#include "wire.h"

#define BURST_MAX  8
#define RULES_TEXT 16384

struct input {
	enum iface_id iface;
	struct frame frame;
};

/*
 * Frames sent without a pause. Where an edge chose a port or an address, frames say what the first
 * run chose: `chosen` is how the packet left then.
 */
struct step {
	struct input in[BURST_MAX];
	int count;
	bool has_chosen;
	struct ends chosen;
};

struct scenario {
	char rules[RULES_TEXT];
	struct manner manner;
	struct step **steps;
	size_t count, room;
};

struct step *scenario_add(struct scenario *s);
void scenario_clear(struct scenario *s);
/* Prints what is wrong. */
bool scenario_read(struct scenario *s, const char *path);
bool scenario_write(const struct scenario *s, const char *path, const char *comment);

#endif
