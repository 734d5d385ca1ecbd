/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What has gone through the edges under the rules in force: connections, and what was chosen. */
#ifndef XFWD_DIFFERENTIAL_HISTORY_H
#define XFWD_DIFFERENTIAL_HISTORY_H

#include "judge.h"

#define DOUBTFUL_MAX (4 * KNOWN_MAX)

/* How packets of a connection leave: as frames say it, and as each edge does it. */
struct choice {
	struct ends in, said, actual[EDGES];
};

extern struct choice mappings[KNOWN_MAX];
extern size_t mapping_count;
/* Connections that only one of the two has. */
extern struct ends doubtful[DOUBTFUL_MAX];
extern size_t doubtful_count;

enum direction { TO_EDGE, FROM_EDGE };

void history_clear(struct judge *j);
/* What is said into what the edge does, or the other way round. Was there anything to change? */
bool translate(enum edge edge, enum direction direction, struct frame *frame);
void mapping_set(const struct ends *in, const struct ends *said, const struct ends actual[EDGES]);
struct known *known_find(struct judge *j, const struct ends *ends, bool *is_reply);
/* What came in, for the kernel tracks that, too. */
void see(const struct ends *ends);
bool was_seen(const struct ends *ends);
/* Has the same source sent to the same port of another address? */
bool was_redirected(const struct ends *ends);
/* What came in with its last hop, and began a connection to xfwd alone. */
void expire(const struct ends *ends);
/* From any address, for that may have been translated. */
bool was_expired(uint8_t proto, uint16_t port_from);
/* One edge may have the connection, and the other not. */
void doubt(const struct ends *ends);
bool is_doubtful(const struct ends *ends);
/* Is any connection from that address and port? */
bool is_doubtful_source(const struct ends *ends);

#endif
