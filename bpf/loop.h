/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calling a function for 0, 1, 2 … until it returns 1. bpf_loop() (Linux 5.17) has the verifier look
 * at one round; before it, every round is verified on its own, so there are `few` at the most.
 */
#ifndef XFWD_LOOP_H
#define XFWD_LOOP_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

/* Set before loading. (Asking the kernel's BTF instead would mean to read all of it.) */
const volatile __u32 have_bpf_loop = 0;

#define loop(rounds, few, function, context) \
	do { \
		if (have_bpf_loop) { \
			bpf_loop(rounds, function, context, 0); \
			break; \
		} \
		for (__u32 loop_i = 0; loop_i < (few); loop_i++) \
			if (function(loop_i, context)) \
				break; \
	} while (0)

#endif
