// Capabilities belong to a thread, and DPDK has made threads by now (interrupts, telemetry, the workers'
// cores): each thread drops its own in the handler of a signal that is sent to all of them in turn.
//
// System calls: an allow-list. A call that is not on it fails with EPERM: a driver that meets one in an unusual
// moment has an error to deal with, and traffic goes on. Calls that nothing here would ever make, but an
// intruder would (running a program, looking into or loading into other processes and the kernel, changing
// namespaces) end the process at once; control starts it anew under the same snapshot.
//
// What this costs: when the process ends in order, drivers can no longer undo what needs a capability.
// net_af_xdp leaves its XDP program on the interface (as it does when killed): it passes all to the kernel
// while nobody has its sockets, and the next start takes it over. net_tap and net_af_packet leave nothing.
#include "sandbox.h"
#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DROP_SIGNAL  (SIGRTMIN + 4)
#define DROP_TIMEOUT 5 // seconds for each thread

static _Atomic int drop_result;
static _Atomic int dropped;

// Runs on each thread: system calls only.
static void drop_here(int sig)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
	int saved = errno;

	(void)sig;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capset, &header, none) < 0)
		atomic_store(&drop_result, -errno);
	atomic_fetch_add(&dropped, 1);
	errno = saved;
}

static int drop_in_thread(pid_t tid)
{
	int before = atomic_load(&dropped);
	time_t end = time(NULL) + DROP_TIMEOUT;

	if (syscall(SYS_tgkill, getpid(), tid, DROP_SIGNAL) < 0)
		return errno == ESRCH ? 0 : -errno; // it has ended meanwhile
	while (atomic_load(&dropped) == before) {
		if (time(NULL) > end)
			return -ETIMEDOUT;
		sched_yield();
	}
	return atomic_load(&drop_result);
}

static int drop_in_all_threads(void)
{
	struct sigaction act = {.sa_handler = drop_here, .sa_flags = SA_RESTART}, before;
	DIR *d = opendir("/proc/self/task");
	int err = d ? 0 : -errno;

	if (err)
		return err;
	sigaction(DROP_SIGNAL, &act, &before);
	for (struct dirent *e; !err && (e = readdir(d));)
		if (e->d_name[0] != '.' && atoi(e->d_name) != gettid())
			err = drop_in_thread(atoi(e->d_name));
	sigaction(DROP_SIGNAL, &before, NULL);
	closedir(d);
	return err;
}

static int drop_capabilities(char *why, size_t why_size)
{
	int err = drop_in_all_threads();

	if (err) {
		snprintf(why, why_size, "capabilities of the other threads cannot be dropped: %s",
			 strerror(-err));
		return err;
	}
	// The bounding set needs a capability to be emptied; without one there is nothing to gain either.
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		snprintf(why, why_size, "capabilities cannot be dropped: %m");
		return errno ? -errno : -EPERM;
	}
	return 0;
}

#if !defined(__SANITIZE_ADDRESS__)
static const char *const allowed[] = {
	// housekeeping: channel, signals, timer, log
	"read", "readv", "pread64", "write", "writev", "close", "epoll_wait", "epoll_pwait", "epoll_ctl",
	"epoll_create1", "epoll_create", "epoll_pwait2", "sendmsg", "recvmsg", "accept", "accept4", "fcntl",
	"fstat", "newfstatat", "statx", "lseek", "unlink", "unlinkat", "rmdir", "dup", "timerfd_settime",
	"timerfd_create", "getrandom", "getdents64", "readlink", "ftruncate", "memfd_create", "eventfd2",
	"pipe2", "pipe", "dup2", "dup3", "stat", "lstat", "access", "faccessat", "faccessat2", "eventfd",
	"signalfd4", "preadv", "pwritev", "pwrite64", "ioctl", "munmap", "mremap", "madvise", "brk", "mlock",
	"munlock",
	// poll drivers (af_packet, af_xdp, tap, memif, pcap) and their control sockets
	"poll", "ppoll", "select", "pselect6", "sendto", "recvfrom", "sendmmsg", "recvmmsg", "getsockopt",
	"setsockopt", "getsockname", "getpeername", "bind", "listen", "connect", "shutdown",
	// time, threads, signals
	"clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "futex",
	"futex_waitv", "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam",
	"sched_getscheduler", "set_robust_list", "get_robust_list", "rseq", "membarrier", "prctl", "gettid",
	"getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getcpu", "tgkill", "rt_sigaction",
	"rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "restart_syscall", "uname",
	"sysinfo", "prlimit64", "getrlimit", "getrusage", "times", "exit", "exit_group"};

static const char *const deadly[] = {"execve",
				     "execveat",
				     "ptrace",
				     "process_vm_readv",
				     "process_vm_writev",
				     "kexec_load",
				     "kexec_file_load",
				     "init_module",
				     "finit_module",
				     "delete_module",
				     "mount",
				     "umount2",
				     "move_mount",
				     "pivot_root",
				     "chroot",
				     "setns",
				     "unshare",
				     "open_by_handle_at",
				     "pidfd_getfd",
				     "userfaultfd"};

static int rule(scmp_filter_ctx f, uint32_t action, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);
	int err = nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(f, action, nr, 0);

	return err == -EDOM ? 0 : err; // not a call of this architecture
}

// Where the arguments decide.
static int rules_by_argument(scmp_filter_ctx f)
{
	const uint64_t exec = PROT_EXEC, creating = O_ACCMODE | O_CREAT | O_TRUNC;
	int err = 0;

	// No new code: memory is never executable.
	err |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0));
	err |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0));
	// Files are opened for reading only.
	err |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
				SCMP_A2(SCMP_CMP_MASKED_EQ, creating, O_RDONLY));
	err |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
				SCMP_A1(SCMP_CMP_MASKED_EQ, creating, O_RDONLY));
	// Threads (telemetry makes one for each client), no processes. clone3's arguments are out of a filter's
	// sight: the C library falls back to clone where it is told that there is none.
	err |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	err |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	// Sockets that drivers open while they run: memif's control channel, link state by ioctl or netlink.
	err |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	err |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK));
	err |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, AF_INET),
				SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM));
	return err;
}

static int filter_calls(char *why, size_t why_size)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err = f ? 0 : -ENOMEM;

	if (!err)
		err = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; !err && i < sizeof allowed / sizeof allowed[0]; i++)
		err = rule(f, SCMP_ACT_ALLOW, allowed[i]);
	for (size_t i = 0; !err && i < sizeof deadly / sizeof deadly[0]; i++)
		err = rule(f, SCMP_ACT_KILL_PROCESS, deadly[i]);
	if (!err)
		err = rules_by_argument(f);
	if (!err)
		err = seccomp_load(f);
	if (err)
		snprintf(why, why_size, "system calls cannot be filtered: %s", strerror(-err));
	if (f)
		seccomp_release(f);
	return err;
}
#endif

int sandbox_enter(char *why, size_t why_size)
{
	int err = drop_capabilities(why, why_size);

	if (err)
		return err;
#if defined(__SANITIZE_ADDRESS__)
	// LeakSanitizer stops the threads by ptrace when the process ends: no filter in sanitizer builds.
	return 0;
#else
	return filter_calls(why, why_size);
#endif
}
