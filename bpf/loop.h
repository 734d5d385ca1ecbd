/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calling a function for 0, 1, 2 … until it returns 1. bpf_loop() (Linux 5.17) has the verifier look
 * at one round; before it, every round is verified on its own.
 */
#ifndef XFWD_LOOP_H
#define XFWD_LOOP_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* The kernel's enum, by its name up to the three underscores (CO-RE). */
enum bpf_func_id___loop {
	BPF_FUNC_loop___probe = 181,
};

#define loop(rounds, function, context) \
	do { \
		if (bpf_core_enum_value_exists(enum bpf_func_id___loop, BPF_FUNC_loop___probe)) { \
			bpf_loop(rounds, function, context, 0); \
			break; \
		} \
		for (__u32 loop_i = 0; loop_i < (rounds); loop_i++) \
			if (function(loop_i, context)) \
				break; \
	} while (0)

#endif
