// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Short TCP connections, and questions and answers on one: a server and the clients that time it.
 *   tcp serve PORT                           answers every byte with a byte, and closes after the peer
 *   tcp connections ADDRESS PORT SECONDS     connect, one byte each way, close; again and again
 *   tcp answers ADDRESS PORT SECONDS         one byte each way on one connection, again and again
 * The clients print JSON: connections a second, or the median and the 99th percentile in µs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWERS_MAX (4 * 1000 * 1000)

static void die(const char *what)
{
	fprintf(stderr, "tcp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec + at.tv_nsec * 1e-9;
}

static int socket_new(int flags)
{
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0), on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (inet_pton(AF_INET, host, &at.sin_addr) != 1)
		die(host);
	return at;
}

/* ---- the server ---- */

static void take_connections(int epoll, int listener)
{
	struct epoll_event event = { .events = EPOLLIN };
	int on = 1;

	for (;;) {
		event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		if (event.data.fd < 0)
			return;
		setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
	}
}

static void answer(int fd)
{
	char bytes[64];
	ssize_t got = read(fd, bytes, sizeof(bytes));

	if (got > 0 && write(fd, bytes, got) == got)
		return;
	if (got < 0 && errno == EAGAIN)
		return;
	close(fd);
}

static void serve(const char *port)
{
	struct sockaddr_in at = address("0.0.0.0", port);
	int listener = socket_new(SOCK_NONBLOCK), epoll = epoll_create1(0);
	struct epoll_event events[256], event = { .events = EPOLLIN, .data.fd = listener };

	if (bind(listener, (void *)&at, sizeof(at)) || listen(listener, 65535))
		die("listen");
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int count = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				take_connections(epoll, listener);
			else
				answer(events[i].data.fd);
		}
	}
}

/* ---- the clients ---- */

static int connected(const struct sockaddr_in *to)
{
	struct timeval limit = { .tv_sec = 5 };
	int fd = socket_new(0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (const void *)to, sizeof(*to)))
		die("connect");
	return fd;
}

static void exchange(int fd)
{
	char byte = 'x';

	if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
		die("no answer");
}

/* Closed by RST: the client's ports are free again at once. */
static void connections(const struct sockaddr_in *to, double seconds)
{
	struct linger reset = { .l_onoff = 1 };
	double began = now(), end = began + seconds;
	unsigned long count = 0;

	for (; now() < end; count++) {
		int fd = connected(to);

		exchange(fd);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	printf("{\"connections\":%.1f}\n", count / (now() - began));
}

static int compare(const void *a, const void *b)
{
	const float *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void answers(const struct sockaddr_in *to, double seconds)
{
	float *took = malloc(ANSWERS_MAX * sizeof(*took));
	int fd = connected(to);
	double last = now(), end = last + seconds, at;
	size_t count = 0;

	if (!took)
		die("memory");
	for (; last < end && count < ANSWERS_MAX; last = at) {
		exchange(fd);
		at = now();
		took[count++] = (at - last) * 1e6;
	}
	qsort(took, count, sizeof(*took), compare);
	printf("{\"p50\":%.2f,\"p99\":%.2f,\"count\":%zu}\n", took[count / 2],
	       took[count * 99 / 100], count);
	free(took);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to;

	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(argv[2]);
	if (argc != 5)
		return 2;
	to = address(argv[2], argv[3]);
	if (!strcmp(argv[1], "connections"))
		connections(&to, atof(argv[4]));
	else if (!strcmp(argv[1], "answers"))
		answers(&to, atof(argv[4]));
	else
		return 2;
	return 0;
}
