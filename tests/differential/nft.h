/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules of ours in the words of nf_tables, for both address families. */
#ifndef XFWD_DIFFERENTIAL_NFT_H
#define XFWD_DIFFERENTIAL_NFT_H

#include <stddef.h>

#include "config.h"

/* Segment sizes of rules that nft can be told: it has a bit of the connection's mark for each. */
#define NFT_SEGMENTS 4
extern const uint16_t nft_segments[NFT_SEGMENTS];

/* A whole ruleset, that takes the place of what is there. */
void nft_ruleset(const struct config *config, char *text, size_t size);

#endif
