/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules of ours in the words of nf_tables, for both address families. */
#ifndef XFWD_DIFFERENTIAL_NFT_H
#define XFWD_DIFFERENTIAL_NFT_H

#include <stddef.h>

#include "config.h"

/* A whole ruleset, that takes the place of what is there. */
void nft_ruleset(const struct config *config, char *text, size_t size);

#endif
