// SPDX-License-Identifier: MIT
//
// Prototypes of all system call handlers, by the file that holds them. Rows of syscalls.def name them.
#ifndef KILN_LINUX_HANDLERS_H
#define KILN_LINUX_HANDLERS_H

#include "linux/linux.h"

#define HANDLER(name) long name(LinuxThread *t, const uint64_t args[6])

// ---- sys_memory.c
HANDLER(sys_brk);
HANDLER(sys_mmap);
HANDLER(sys_munmap);
HANDLER(sys_mprotect);
HANDLER(sys_mremap);
HANDLER(sys_madvise);
HANDLER(sys_msync);
HANDLER(sys_mlock);
HANDLER(sys_mlock2);
HANDLER(sys_membarrier);
HANDLER(sys_munlock);
HANDLER(sys_mincore);
HANDLER(sys_shmat);
HANDLER(sys_shmdt);
HANDLER(sys_remap_file_pages);
// mlockall, munlockall, shmget, shmctl, memfd_create, get_mempolicy, mbind, set_mempolicy: pass

// ---- sys_process.c
HANDLER(sys_clone);
HANDLER(sys_clone3);
HANDLER(sys_execve);
HANDLER(sys_execveat);
HANDLER(sys_exit);
HANDLER(sys_exit_group);
HANDLER(sys_wait4);
HANDLER(sys_waitid);
HANDLER(sys_landlock_restrict_self);
HANDLER(sys_setuid);
HANDLER(sys_setreuid);
HANDLER(sys_setresuid);
HANDLER(sys_prctl);
HANDLER(sys_prlimit64);
HANDLER(sys_getrlimit);
HANDLER(sys_setrlimit);
HANDLER(sys_futex);
HANDLER(sys_set_tid_address);
HANDLER(sys_set_robust_list);
HANDLER(sys_get_robust_list);
HANDLER(sys_unshare);
HANDLER(sys_setns);
HANDLER(sys_personality);
// getpid, getppid, gettid, get*id, set*id, setpgid, getpgid, setsid, getsid, getgroups, setgroups, capget, capset,
// getpriority, setpriority, sched_*, getrusage, times, getcpu, kcmp, pidfd_open, pidfd_getfd, umask: pass
// rseq, seccomp, ptrace, process_vm_*: absent (ENOSYS)

// ---- sys_riscv64.c
HANDLER(sys_riscv_flush_icache);
HANDLER(sys_riscv_hwprobe);

// ---- sys_signal.c
HANDLER(sys_rt_sigaction);
HANDLER(sys_rt_sigprocmask);
HANDLER(sys_rt_sigpending);
HANDLER(sys_rt_sigsuspend);
HANDLER(sys_rt_sigtimedwait);
HANDLER(sys_rt_sigreturn);
HANDLER(sys_sigaltstack);
HANDLER(sys_restart_syscall);
HANDLER(sys_kill);
HANDLER(sys_tkill);
HANDLER(sys_tgkill);
HANDLER(sys_rt_sigqueueinfo);
HANDLER(sys_rt_tgsigqueueinfo);
HANDLER(sys_pidfd_send_signal);

// ---- sys_file.c
HANDLER(sys_openat);
HANDLER(sys_openat2);
HANDLER(sys_close);
HANDLER(sys_dup3);
HANDLER(sys_close_range);
HANDLER(sys_ppoll);
HANDLER(sys_pselect6);
HANDLER(sys_io_pgetevents);
HANDLER(sys_io_setup);
HANDLER(sys_epoll_ctl);
HANDLER(sys_epoll_pwait);
HANDLER(sys_epoll_pwait2);
HANDLER(sys_signalfd4);

// ---- sys_fs.c
HANDLER(sys_fstat);
HANDLER(sys_newfstatat);
HANDLER(sys_statx);
HANDLER(sys_readlinkat);
HANDLER(sys_chdir);
HANDLER(sys_chroot);
HANDLER(sys_pivot_root);
HANDLER(sys_getdents64);

// ---- sys_misc.c
HANDLER(sys_uname);

// ---- sys_ipc.c
HANDLER(sys_semctl);

// ---- ioctl.c
HANDLER(sys_ioctl);

#endif
