/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random packets: of connections that the edges have, of new ones, and broken ones. */
#ifndef XFWD_DIFFERENTIAL_TRAFFIC_H
#define XFWD_DIFFERENTIAL_TRAFFIC_H

#include "judge.h"

void traffic_step(uint64_t *random, struct judge *judge, struct step *step);

#endif
