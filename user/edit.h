/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changing one rule in place: of what is in force only the rule's own index entries are written, so
 * with a hundred thousand rules it takes little longer than with one.
 *
 * What a packet sees. The entries of one rule share no packet in a stage: each stands for another
 * family, protocol or range of ports. So whichever entry a packet looks for, it finds the rules as
 * they were or as they are, and never a third state, however many entries there are to write; but
 * of two packets that come meanwhile the first may meet the new rules and the second the old ones,
 * and so may, of a static rule, which is in both stages, the two ends of one packet.
 *
 * Nor does it meet what is half of one: an entry's memory is used anew only when no packet can be
 * reading it. So each entry that is changed waits for a moment after the one before, and so does an
 * edit after one that freed some.
 *
 * What a killed process leaves. All entries that come are written in one call into the kernel, and
 * all that go in another, which nothing interrupts; those that change, one by one. `running.pending`
 * is set meanwhile: the rules in force are then the old or the new ones, or, where a rule was
 * replaced by one for other packets, both, or, where what changes has several entries, the new ones
 * for some packets; and the next change writes everything anew from the records. A rule in force is
 * always among them.
 */
#ifndef XFWD_EDIT_H
#define XFWD_EDIT_H

#include "config.h"
#include "netdev.h"
#include "pins.h"
#include "state.h"

enum edit_kind {
	EDIT_ADD,
	EDIT_INSERT,
	EDIT_REPLACE,
	EDIT_DELETE,
};

struct edit {
	enum edit_kind kind;
	struct rule *rule; /* the new rule; to delete: the one that says so, or NULL */
	unsigned long number; /* insert: the position, from 1; replace, delete: the handle */
};

/*
 * Gives a new rule its handle. -EAGAIN, and nothing is changed: not to be had in place (an interface
 * that is not attached, or one that was renamed, a sysctl to set or to put back, no room left), or
 * wrong: the long way has to be taken, which also says what is wrong. Under the writers' lock.
 */
int edit(struct state *state, const struct pins *pins, const struct netdevs *devs,
	 struct edit *edit);

#endif
