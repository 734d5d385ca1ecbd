/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A configuration as JSON, which `apply` takes in place of text:
 *
 *   {"settings": {"flows": 131072, "timeout": {"tcp": 7440, "udp": 300, ...}, "tcp-loose": false,
 *                 "sysctl": true, "source-check": true},
 *    "interfaces": [{"name": "eth0", "mode": "auto"}],
 *    "rules": [{"text": "redirect in eth0 tcp to :80 -> :8080"}]}
 *
 * Timeouts are in seconds, rules in the words of the grammar. What is not there is as it is in text
 * that does not say it. Reading is parse_file()'s business.
 */
#ifndef XFWD_JSON_H
#define XFWD_JSON_H

#include <jansson.h>

#include "config.h"

/* All of it, defaults as well. NULL: no memory, or a name that is no UTF-8, as JSON has to be. */
json_t *json_config(const struct config *config);

#endif
