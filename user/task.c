// SPDX-License-Identifier: GPL-2.0-or-later
/* Things done side by side. */
#include "task.h"

static void *task_main(void *argument)
{
	struct task *task = argument;

	task->result = task->run(task->context);
	return NULL;
}

void task_start(struct task *task, int (*run)(void *context), void *context)
{
	task->run = run;
	task->context = context;
	task->threaded = !pthread_create(&task->thread, NULL, task_main, task);
	if (!task->threaded)
		task_main(task);
}

int task_end(struct task *task)
{
	if (task->threaded)
		pthread_join(task->thread, NULL);
	task->threaded = false;
	return task->result;
}
