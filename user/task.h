/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Things done side by side. Making maps and verifying programs keep a CPU busy, and there is another
 * one. Replacing an inner map and attaching a program make the kernel wait, ten milliseconds and more,
 * until no program that was running still runs: side by side they wait once.
 */
#ifndef XFWD_TASK_H
#define XFWD_TASK_H

#include <pthread.h>
#include <stdbool.h>

struct task {
	int (*run)(void *context); /* 0 or -errno */
	void *context;
	int result;
	bool threaded;
	pthread_t thread;
};

/* Where there is no thread to be had, it is done by the time that this returns. */
void task_start(struct task *task, int (*run)(void *context), void *context);
/* Waits for its end. What it returned; 0 for one of zeroes that was not started. */
int task_end(struct task *task);

#endif
