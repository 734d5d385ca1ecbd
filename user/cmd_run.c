// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * `run`: the rules of a file, and a process that stays to follow what changes around them.
 *
 * The loop itself never waits: it follows netlink and renews the lease. What takes longer, or needs
 * the writers' lock, is done by a child, one at a time.
 */
#include "cmd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "catch_up.h"
#include "follow.h"
#include "jiffies.h"
#include "lease.h"
#include "loader.h"
#include "msg.h"
#include "peers.h"

#define MS           1000ULL
#define RENEW_US     (300 * MS)
#define CONFIRM_US   (5000 * MS)
#define RETRY_US     (1000 * MS)
#define GRACE_US     (500 * MS) /* for an address to come back before its flows are ended */
#define REFRESH_US   (60 * 1000 * MS)
#define EXAMINE_US   (1000 * MS)
#define EXAMINE_PART 20 /* of the time, at the most, for looking at veths, however many there are */
#define ACCURACY_US  (5 * MS)

/* What a child is to do, or does; also its exit status: what is to be tried again. */
#define JOB_RELOAD   (1 << 0)
#define JOB_LINKS    (1 << 1)
#define JOB_FLOWS    (1 << 2) /* with JOB_LINKS: end those of addresses that have gone */
#define JOB_GONE     (1 << 3) /* goes with JOB_LINKS: detach links that were deleted */

struct service {
	const struct invocation *call;
	struct pins pins;
	struct lock alone; /* one service for each running state */
	struct state state;
	ino_t state_inode; /* of the state that is open, or could not be opened; 0: there is none */
	bool open;
	struct lease lease;
	struct neighbours neighbours;
	struct follow follow;
	sd_event *event;
	sd_event_source *later;
	int wanted; /* JOB_…: for the next child */
	int doing; /* by the child that runs, */
	size_t doing_gone; /* and with how many of follow.gone */
	pid_t child; /* 0: none */
	sd_event_source *child_end; /* what waits for it */
	uint64_t changes;
	uint64_t refreshed_us;
	uint64_t examined_us; /* when the veths were looked at, */
	uint64_t examine_took_us; /* how much of this process's time that took, */
	__u32 examined; /* and for which generation */
	size_t hops;
};

static void say_state(const struct service *s, const char *words)
{
	if (s->open)
		sd_notifyf(0, "%sSTATUS=%zu next hops in use, %llu changes since start", words,
			   s->hops, (unsigned long long)s->changes);
	else
		sd_notifyf(0,
			   "%sSTATUS=Nothing is loaded: `xfwd down` took it away, SIGHUP loads it",
			   words);
}

/* Ends the loop: the service manager begins anew, and until then nothing is trusted. */
static int give_up(const struct service *s, const char *doing, int err)
{
	msg_error("cannot %s: %s", doing, strerror(-err));
	if (s->event)
		sd_event_exit(s->event, err);
	return err;
}

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000 * MS + now.tv_nsec / 1000;
}

/* ---- children ---- */

static int on_child(sd_event_source *source, const siginfo_t *info, void *context);

static int reload(const struct service *s)
{
	char *words[] = { "apply", s->call->argv[1], NULL };
	struct invocation call = *s->call;

	call.argc = 2;
	call.argv = words;
	call.follows = true;
	return cmd_apply(&call);
}

static int child_main(const struct service *s)
{
	struct catch_up what = { .gone = s->follow.gone,
				 .gone_count = s->follow.gone_count,
				 .end_flows = s->doing & JOB_FLOWS };
	int failed = 0, err = 0;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close(s->alone.fd); /* should the service be killed, another may begin at once */
	if (s->doing & JOB_RELOAD && reload(s))
		failed |= JOB_RELOAD;
	if (s->doing & JOB_LINKS)
		err = catch_up(&s->pins, &what);
	/* Other failures with links are said, and last until something changes. */
	if (err == -EBUSY || err == -EINTR)
		failed |= JOB_LINKS;
	if (what.end_flows)
		failed |= JOB_FLOWS;
	if (what.gone_count)
		failed |= JOB_GONE;
	fflush(stdout);
	return failed;
}

/* Begins what is wanted, if no child is at work: that one's end begins it otherwise. */
static int work(struct service *s)
{
	int err;

	if (s->child || !s->wanted)
		return 0;
	s->doing = s->wanted;
	s->doing_gone = s->follow.gone_count;
	s->wanted = 0;
	fflush(stdout);
	s->child = fork();
	if (!s->child)
		_exit(child_main(s));
	if (s->child < 0)
		return give_up(s, "start a process", -errno);
	err = sd_event_add_child(s->event, &s->child_end, s->child, WEXITED, on_child, s);
	return err < 0 ? give_up(s, "wait for a process", err) : 0;
}

static int on_later(sd_event_source *source, uint64_t usec, void *context)
{
	struct service *s = context;

	(void)usec;
	s->later = sd_event_source_unref(source);
	s->wanted |= JOB_LINKS | JOB_FLOWS;
	return work(s);
}

static int do_later(struct service *s, uint64_t after_us)
{
	if (s->later)
		return 0;
	return sd_event_add_time_relative(s->event, &s->later, CLOCK_MONOTONIC, after_us,
					  ACCURACY_US, on_later, s);
}

static int state_follow(struct service *s);

static int on_child(sd_event_source *source, const siginfo_t *info, void *context)
{
	struct service *s = context;
	int failed = info->si_code == CLD_EXITED ? info->si_status : s->doing | JOB_GONE, err;

	s->child_end = sd_event_source_unref(source);
	s->child = 0;
	if (failed & JOB_RELOAD)
		msg_error("%s was not loaded: the rules that were in force stay", s->call->argv[1]);
	if (!(failed & JOB_GONE))
		follow_gone_done(&s->follow, s->doing_gone);
	err = state_follow(s);
	if (s->doing & JOB_RELOAD)
		say_state(s, "READY=1\n");
	/* What cannot be opened now is begun anew when it can be: state_follow(). */
	if (!err && s->open && failed & (JOB_LINKS | JOB_FLOWS))
		err = do_later(s, RETRY_US);
	return err < 0 ? err : work(s);
}

/* ---- following ---- */

static int change(struct service *s)
{
	s->changes++;
	return s->open ? lease_change(&s->lease) : 0;
}

/* Takes what netlink has to tell. First of all, nothing kept before is trusted any longer. */
static int follow(struct service *s)
{
	unsigned int changes;
	int err = follow_read(&s->follow, &changes);
	bool changed;

	if (!err && changes)
		err = change(s);
	if (err)
		return give_up(s, "follow the kernel's changes", err);
	if (changes & FOLLOW_LOST)
		neighbours_read(&s->neighbours, &changed);
	if (changes & FOLLOW_LINKS)
		s->wanted |= JOB_LINKS;
	if (changes & FOLLOW_ADDRESS_GONE)
		err = do_later(s, GRACE_US);
	return err < 0 ? err : work(s);
}

static int on_netlink(sd_event_source *source, int fd, __u32 events, void *context)
{
	(void)source, (void)fd, (void)events;
	return follow(context);
}

/* `down` and then `apply` make another state: other maps under the same names. */
static int state_follow(struct service *s)
{
	struct stat st = { 0 };
	char path[PATH_MAX];
	int err;

	pins_path(path, s->pins.dir, "maps/hop_lease");
	if (stat(path, &st))
		st.st_ino = 0;
	if (st.st_ino == s->state_inode)
		return 0;
	if (s->open)
		state_close(&s->state);
	s->open = false;
	s->state_inode = st.st_ino;
	if (st.st_ino && !state_open(&s->state, &s->pins)) {
		err = lease_begin(&s->lease, &s->state);
		if (err)
			return give_up(s, "begin the lease", err);
		s->open = true;
		s->wanted |= JOB_LINKS | JOB_FLOWS;
	}
	say_state(s, "");
	return 0;
}

/*
 * The time is read first, and netlink then: what the lease says is true as of that time, even if
 * this process is kept from running between any two of these lines.
 */
static int renew(struct service *s)
{
	__u32 now = 0;
	int err = state_follow(s);

	if (!err && s->open)
		err = jiffies_read(&s->state, s->lease.hz, &now);
	if (!err)
		err = follow(s);
	if (!err && s->open)
		err = lease_renew(&s->lease, now);
	return err ? give_up(s, "renew the lease", err) : 0;
}

static int again(sd_event_source *source, uint64_t after_us)
{
	int err = sd_event_source_set_time_relative(source, after_us);

	return err < 0 ? err : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/*
 * At once after a change; and now and then, for much of what other namespaces and other programs do is
 * not told here. After the lease is renewed, which must not wait for it.
 */
static void examine_peers(struct service *s)
{
	uint64_t now = clock_us(CLOCK_MONOTONIC), rest = s->examine_took_us * EXAMINE_PART, spent;
	int err;

	if (s->examined == s->lease.value.generation && rest < EXAMINE_US)
		rest = EXAMINE_US;
	if (!s->open || now - s->examined_us < rest)
		return;
	s->examined = s->lease.value.generation;
	s->examined_us = now;
	spent = clock_us(CLOCK_PROCESS_CPUTIME_ID);
	err = peers_examine(&s->lease, &s->pins);
	s->examine_took_us = clock_us(CLOCK_PROCESS_CPUTIME_ID) - spent;
	if (err)
		msg_error("cannot look at the other ends of veths: %s", strerror(-err));
}

static int on_renew(sd_event_source *source, uint64_t usec, void *context)
{
	int err = renew(context);

	(void)usec;
	if (!err)
		examine_peers(context);
	return err ? err : again(source, RENEW_US);
}

/*
 * Neighbours in use are kept confirmed. Now and then every flow has to look up its next hop anew:
 * so it is known which are in use, and whatever was missed does not last.
 */
static int on_confirm(sd_event_source *source, uint64_t usec, void *context)
{
	struct service *s = context;
	bool changed = false;
	int err = neighbours_read(&s->neighbours, &changed);

	if (err)
		msg_error("cannot read the neighbours: %s", strerror(-err));
	if (changed || usec - s->refreshed_us >= REFRESH_US) {
		s->refreshed_us = usec;
		err = change(s);
	}
	if (!err && s->open)
		err = hops_confirm(&s->lease, &s->neighbours, &s->hops);
	if (err)
		msg_error("cannot keep neighbours confirmed: %s", strerror(-err));
	say_state(s, "");
	return again(source, CONFIRM_US);
}

/* ---- from start to end ---- */

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct service *s = context;
	uint64_t now;

	(void)source, (void)info;
	sd_event_now(s->event, CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)now);
	s->wanted |= JOB_RELOAD;
	return work(s);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *context)
{
	struct service *s = context;

	(void)source, (void)info;
	sd_notify(0, "STOPPING=1\nSTATUS=Rules and connections stay");
	return sd_event_exit(s->event, 0);
}

static int block_signals(void)
{
	static const int list[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		sigaddset(&set, list[i]);
	return sigprocmask(SIG_BLOCK, &set, NULL) ? -errno : 0;
}

static int add_sources(struct service *s)
{
	sd_event *event = s->event;
	sd_event_source *netlink = NULL;
	int err;

	err = sd_event_add_io(event, &netlink, mnl_socket_get_fd(s->follow.socket), EPOLLIN,
			      on_netlink, s);
	if (err >= 0)
		err = sd_event_source_set_priority(netlink, SD_EVENT_PRIORITY_IMPORTANT);
	if (err >= 0)
		err = sd_event_source_set_floating(netlink, true);
	sd_event_source_unref(netlink);
	if (err >= 0)
		err = sd_event_add_signal(event, NULL, SIGTERM, on_stop, s);
	if (err >= 0)
		err = sd_event_add_signal(event, NULL, SIGINT, on_stop, s);
	if (err >= 0)
		err = sd_event_add_signal(event, NULL, SIGHUP, on_reload, s);
	if (err >= 0)
		err = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 0, ACCURACY_US,
						 on_renew, s);
	if (err >= 0)
		err = sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 0, ACCURACY_US,
						 on_confirm, s);
	if (err >= 0)
		err = sd_event_set_watchdog(event, true);
	return err < 0 ? err : 0;
}

/* Once the rules are in force: what follows is a gain, and no rule waits for it. */
static int stay(struct service *s)
{
	int err = follow_open(&s->follow, &s->neighbours);

	if (!err)
		err = neighbours_open(&s->neighbours);
	if (!err)
		err = sd_event_new(&s->event);
	if (!err)
		err = add_sources(s);
	if (err < 0)
		return give_up(s, "follow the kernel's changes", err);
	err = renew(s);
	if (err)
		return err;
	say_state(s, "READY=1\n");
	err = sd_event_loop(s->event);
	/* Ended at once, so that nothing is trusted that nobody follows. */
	if (s->open)
		lease_end(&s->lease);
	if (s->child > 0)
		waitpid(s->child, NULL, 0);
	return err;
}

/* Says so where another one is there already. 0 or -errno. */
static int begin_alone(struct service *s)
{
	int err, holder;

	lock_init(&s->alone, s->pins.dir, "service");
	err = lock_try(&s->alone);
	if (err != -EWOULDBLOCK)
		return err;
	holder = lock_holder(&s->alone);
	if (holder)
		msg_error("`xfwd run` is there already, as process %d", holder);
	else
		msg_error("`xfwd run` is there already (%s is locked)", s->alone.path);
	return err;
}

int cmd_run(const struct invocation *call)
{
	struct service s = { .call = call };
	int code = EXIT_FAILED;

	if (call->argc != 2 || (call->argv[1][0] == '-'))
		return cmd_usage("run", "one FILE is needed, by its name");
	loader_listen();
	if (pins_open(&s.pins, call->netns, true) || begin_alone(&s))
		return EXIT_FAILED;
	code = reload(&s);
	fflush(stdout);
	if (!code && (block_signals() || stay(&s)))
		code = EXIT_FAILED;
	follow_close(&s.follow);
	neighbours_close(&s.neighbours);
	sd_event_unref(s.event);
	if (s.open)
		state_close(&s.state);
	lock_release(&s.alone);
	return code;
}
