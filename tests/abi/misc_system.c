// SPDX-License-Identifier: MIT
// kiln: skip-qemu
// (process_vm_* and io_setup are absent there.)
// What a process learns of the system and of itself, limits, absent calls.
// Calls: uname sysinfo getrandom getrlimit setrlimit prlimit64 getcpu sched_yield sched_getaffinity sched_setaffinity
// Calls: sched_getscheduler sched_getparam sched_get_priority_max sched_get_priority_min sched_rr_get_interval getpriority
// Calls: setpriority getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgid getsid
// Calls: setpgid capget prctl umask membarrier kcmp ioprio_get personality sched_getattr io_setup io_destroy
// Calls: process_vm_readv process_vm_writev nfsservctl lookup_dcookie userfaultfd perf_event_open rseq
#include "check.h"
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/utsname.h>

static void system_facts(void) {
    struct utsname name;
    CHECK(uname(&name) == 0 && strcmp(name.sysname, "Linux") == 0);
#if defined(__riscv)
    const char *machine = "riscv64";
#elif defined(__aarch64__)
    const char *machine = "aarch64";
#else
    const char *machine = "x86_64";
#endif
    CHECK(strcmp(name.machine, machine) == 0);
    CHECK_ERROR(syscall(SYS_uname, bad_address), EFAULT);
    struct sysinfo info;
    CHECK(sysinfo(&info) == 0 && info.totalram > 0 && info.mem_unit > 0 && info.procs > 0);
    unsigned char bytes[64] = {0}, or = 0;
    CHECK(getrandom(bytes, sizeof bytes, 0) == sizeof bytes);
    for (unsigned i = 0; i < sizeof bytes; i++) or |= bytes[i];
    CHECK(or != 0);
    CHECK_ERROR(getrandom(bytes, 1, 0x1000), EINVAL);
    CHECK_ERROR(syscall(SYS_getrandom, bad_address, 8, 0), EFAULT);
}

static void limits(void) {
    struct rlimit l, l2, old;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0 && old.rlim_cur > 0 && old.rlim_cur <= old.rlim_max);
    l = (struct rlimit){64, old.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &l) == 0 && prlimit(0, RLIMIT_NOFILE, NULL, &l2) == 0 && l2.rlim_cur == 64);
    int last = -1, fd;
    while ((fd = dup(0)) >= 0 && fd < 1000) last = fd;
    CHECK(last == 63 && errno == EMFILE);
    CHECK(syscall(SYS_close_range, 3, ~0u, 0) == 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    CHECK(getrlimit(RLIMIT_STACK, &l) == 0 && getrlimit(RLIMIT_AS, &l) == 0);
    CHECK(prlimit(0, RLIMIT_CORE, &(struct rlimit){0, l.rlim_max}, NULL) == 0 || errno == EPERM);
    CHECK(syscall(SYS_getrlimit, RLIMIT_NOFILE, &l) == 0 && l.rlim_cur == old.rlim_cur && l.rlim_max == old.rlim_max);
    CHECK(syscall(SYS_setrlimit, RLIMIT_NOFILE, &old) == 0);
    CHECK_ERROR(getrlimit(99, &l), EINVAL);
    CHECK_ERROR(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, bad_address, NULL), EFAULT);
}

static void scheduling(void) {
    unsigned cpu = 9999, node;
    cpu_set_t set;
    struct sched_param parameter;
    struct timespec ts;
    CHECK(syscall(SYS_getcpu, &cpu, &node, NULL) == 0 && cpu < 9999);
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0);
    CHECK(sched_setaffinity(0, sizeof set, &set) == 0 && sched_yield() == 0);
    CHECK(sched_getscheduler(0) == SCHED_OTHER && sched_getparam(0, &parameter) == 0 && parameter.sched_priority == 0);
    CHECK(sched_get_priority_max(SCHED_FIFO) == 99 && sched_get_priority_min(SCHED_FIFO) == 1);
    CHECK(sched_rr_get_interval(0, &ts) == 0);
    errno = 0;
    int priority = getpriority(PRIO_PROCESS, 0);
    CHECK(errno == 0 && setpriority(PRIO_PROCESS, 0, priority) == 0);
    CHECK(syscall(SYS_membarrier, 0, 0, 0) >= 0 || errno == ENOSYS);
    CHECK(syscall(SYS_ioprio_get, 1, 0) >= 0);
    uint32_t attributes[12];
    CHECK(syscall(SYS_sched_getattr, 0, attributes, sizeof attributes, 0) == 0 && attributes[0] >= 48);
}

static void identity(void) {
    uid_t r, e, s;
    gid_t rg, eg, sg;
    CHECK(getpid() > 0 && getppid() >= 0 && syscall(SYS_gettid) == getpid());
    CHECK(getresuid(&r, &e, &s) == 0 && r == getuid() && e == geteuid());
    CHECK(getresgid(&rg, &eg, &sg) == 0 && rg == getgid() && eg == getegid());
    CHECK(getgroups(0, NULL) >= 0 && getpgid(0) == getpgrp() && getsid(0) >= 0);
    CHECK_ERROR(setpgid(999999999, 0), ESRCH);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK(syscall(SYS_capget, &header, data) == 0);
    char name[17] = "";
    CHECK(prctl(PR_SET_NAME, "abi-name") == 0 && prctl(PR_GET_NAME, name) == 0 && strcmp(name, "abi-name") == 0);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CHECK_ERROR(prctl(99999, 0, 0, 0, 0), EINVAL);
    CHECK(syscall(SYS_personality, 0xffffffff) >= 0);
}

static void other_memory(void) {
    char from[8] = "copying", to[8] = "";
    struct iovec local = {to, 8}, remote = {from, 8};
    CHECK(process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 8 && strcmp(to, "copying") == 0);
    from[0] = 'C';
    CHECK(process_vm_writev(getpid(), &remote, 1, &local, 1, 0) == 8 && to[0] == 'C');
    unsigned long context = 0;
    CHECK(syscall(SYS_io_setup, 4, &context) == 0 && syscall(SYS_io_destroy, context) == 0);
}

static void absent(void) {
    CHECK_ERROR(syscall(100000), ENOSYS);
    CHECK_ERROR(syscall(-1), ENOSYS);
    CHECK_ERROR(syscall(SYS_lookup_dcookie, 0, 0, 0), ENOSYS);
    CHECK_ERROR(syscall(SYS_nfsservctl, 0, 0, 0), ENOSYS);
#ifdef __riscv
    long never_there = 38; // renameat
#else
    long never_there = 174; // create_module
#endif
    CHECK_ERROR(syscall(never_there), ENOSYS);
}

int main(void) {
    system_facts();
    limits();
    scheduling();
    identity();
    other_memory();
    absent();
    return check_summary();
}
