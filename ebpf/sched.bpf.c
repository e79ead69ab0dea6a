// Counts the switches away from worker threads that were not their own wish.
#include <linux/bpf.h>
// The order matters: the helpers need the types above.
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <stdbool.h>

#define WORKERS 64 // SNAP_WORKERS_MAX

// The kernel opens its structures to programs of a GPL-compatible licence alone.
char _license[] SEC("license") = "Dual MIT/GPL";

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

// Thread id (of the initial pid namespace) → worker.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WORKERS * 4);
	__type(key, __u32);
	__type(value, __u32);
} workers SEC(".maps");

__u64 switches[WORKERS];

static void switched(__u32 tid)
{
	__u32 *worker = bpf_map_lookup_elem(&workers, &tid);

	// A thread leaves one CPU at a time, but two threads may follow each other as one worker.
	if (worker && *worker < WORKERS)
		__sync_fetch_and_add(&switches[*worker], 1);
}

// Needs BTF, and the fourth argument that came with Linux 5.18: the state is read before the switch, and a
// later look at the task may find it woken up already. Preempted, or still runnable: the same test with which
// the kernel counts nonvoluntary_ctxt_switches.
SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch_btf, bool preempt, struct task_struct *prev, struct task_struct *next,
	     unsigned int prev_state)
{
	if (preempt || prev_state == 0)
		switched((__u32)prev->pid);
	return 0;
}

// As /sys/kernel/tracing/events/sched/sched_switch/format has it.
struct sched_switch_event {
	__u64 common;
	char prev_comm[16];
	__s32 prev_pid;
	__s32 prev_prio;
	__s64 prev_state;
};
#define STATE_PREEMPTED 0x100 // TASK_REPORT_MAX, set for a task that was preempted whatever its state

SEC("tracepoint/sched/sched_switch")
int sched_switch_tracepoint(struct sched_switch_event *e)
{
	if (e->prev_state == 0 || (e->prev_state & STATE_PREEMPTED))
		switched((__u32)e->prev_pid);
	return 0;
}
