// SPDX-License-Identifier: MIT
//
// Prints layouts and numbers of the kernel's interface, one a line. Built for the guest and for the host, the two outputs
// may differ only in what Kiln translates: layout.py knows that list. A structure or constant that is passed through by
// syscalls.def, or named by strace, belongs here.
#define _GNU_SOURCE
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <dirent.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/if.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define SIZE(type)         printf("sizeof(" #type ") %zu\n", sizeof(type))
#define FIELD(type, field) printf(#type "." #field " %zu+%zu\n", offsetof(type, field), sizeof(((type *)0)->field))
#define NUMBER(constant)   printf(#constant " 0x%llx\n", (unsigned long long)(constant))

static void files(void) {
    SIZE(struct stat), FIELD(struct stat, st_dev), FIELD(struct stat, st_ino), FIELD(struct stat, st_nlink);
    FIELD(struct stat, st_mode), FIELD(struct stat, st_uid), FIELD(struct stat, st_gid), FIELD(struct stat, st_rdev);
    FIELD(struct stat, st_size), FIELD(struct stat, st_blksize), FIELD(struct stat, st_blocks);
    FIELD(struct stat, st_atim), FIELD(struct stat, st_mtim), FIELD(struct stat, st_ctim);
    SIZE(struct statx), FIELD(struct statx, stx_mode), FIELD(struct statx, stx_size), FIELD(struct statx, stx_mtime);
    FIELD(struct statx, stx_dev_minor);
    SIZE(struct statfs), FIELD(struct statfs, f_type), FIELD(struct statfs, f_bsize), FIELD(struct statfs, f_blocks);
    FIELD(struct statfs, f_fsid), FIELD(struct statfs, f_namelen), FIELD(struct statfs, f_flags);
    SIZE(struct flock), FIELD(struct flock, l_type), FIELD(struct flock, l_whence), FIELD(struct flock, l_start);
    FIELD(struct flock, l_len), FIELD(struct flock, l_pid);
    FIELD(struct dirent64, d_off), FIELD(struct dirent64, d_reclen), FIELD(struct dirent64, d_type);
    SIZE(struct iovec), SIZE(struct pollfd), SIZE(struct inotify_event), SIZE(struct signalfd_siginfo), SIZE(fd_set);
    SIZE(struct epoll_event), FIELD(struct epoll_event, events), FIELD(struct epoll_event, data);
    SIZE(struct open_how), SIZE(struct iocb), FIELD(struct iocb, aio_key), SIZE(struct io_event);
    NUMBER(O_CREAT), NUMBER(O_EXCL), NUMBER(O_NOCTTY), NUMBER(O_TRUNC), NUMBER(O_APPEND), NUMBER(O_NONBLOCK);
    NUMBER(O_DSYNC), NUMBER(O_SYNC), NUMBER(O_ASYNC), NUMBER(O_DIRECT), NUMBER(O_LARGEFILE), NUMBER(O_DIRECTORY);
    NUMBER(O_NOFOLLOW), NUMBER(O_NOATIME), NUMBER(O_CLOEXEC), NUMBER(O_PATH), NUMBER(O_TMPFILE), NUMBER(AT_FDCWD);
    NUMBER(F_DUPFD), NUMBER(F_GETLK), NUMBER(F_SETLK), NUMBER(F_SETLKW), NUMBER(F_SETOWN), NUMBER(F_GETOWN);
    NUMBER(F_SETSIG), NUMBER(F_SETOWN_EX), NUMBER(F_OFD_GETLK), NUMBER(F_SETLEASE), NUMBER(F_DUPFD_CLOEXEC);
    NUMBER(F_SETPIPE_SZ), NUMBER(F_ADD_SEALS), NUMBER(F_RDLCK), NUMBER(F_WRLCK), NUMBER(F_UNLCK), NUMBER(FD_CLOEXEC);
    NUMBER(LOCK_EX), NUMBER(LOCK_NB), NUMBER(EPOLL_CLOEXEC), NUMBER(EFD_NONBLOCK), NUMBER(EFD_SEMAPHORE);
    NUMBER(SFD_NONBLOCK), NUMBER(TFD_NONBLOCK), NUMBER(TFD_TIMER_CANCEL_ON_SET), NUMBER(IN_NONBLOCK), NUMBER(IN_ONESHOT);
    NUMBER(POLLRDHUP), NUMBER(POLLWRNORM), NUMBER(POLLWRBAND), NUMBER(EPOLLRDHUP), NUMBER(EPOLLET);
}

static void memory_and_processes(void) {
    SIZE(struct rlimit), SIZE(struct rusage), FIELD(struct rusage, ru_maxrss), SIZE(struct tms), SIZE(struct sysinfo);
    FIELD(struct sysinfo, procs), FIELD(struct sysinfo, mem_unit), SIZE(struct utsname), SIZE(struct clone_args);
    SIZE(siginfo_t), FIELD(siginfo_t, si_pid), FIELD(siginfo_t, si_addr), FIELD(siginfo_t, si_value), SIZE(stack_t);
    FIELD(siginfo_t, si_status), FIELD(siginfo_t, si_band), FIELD(stack_t, ss_flags), FIELD(stack_t, ss_size);
    SIZE(struct sigevent), FIELD(struct sigevent, sigev_notify), SIZE(struct robust_list_head);
    NUMBER(MAP_ANONYMOUS), NUMBER(MAP_FIXED), NUMBER(MAP_GROWSDOWN), NUMBER(MAP_DENYWRITE), NUMBER(MAP_LOCKED);
    NUMBER(MAP_NORESERVE), NUMBER(MAP_POPULATE), NUMBER(MAP_NONBLOCK), NUMBER(MAP_STACK), NUMBER(MAP_HUGETLB);
    NUMBER(MAP_SYNC), NUMBER(MAP_FIXED_NOREPLACE), NUMBER(PROT_GROWSDOWN), NUMBER(MS_SYNC), NUMBER(MCL_FUTURE);
    NUMBER(MADV_DONTNEED), NUMBER(MADV_FREE), NUMBER(MADV_HUGEPAGE), NUMBER(MADV_POPULATE_WRITE), NUMBER(MREMAP_FIXED);
    NUMBER(RLIMIT_NPROC), NUMBER(RLIMIT_NOFILE), NUMBER(RLIMIT_MEMLOCK), NUMBER(RLIMIT_AS), NUMBER(RLIM_INFINITY);
    NUMBER(SIGBUS), NUMBER(SIGUSR1), NUMBER(SIGSYS), NUMBER(SIGPOLL), NUMBER(SIG_SETMASK), NUMBER(SA_RESTART);
    NUMBER(SA_ONSTACK), NUMBER(SA_NODEFER), NUMBER(SA_RESETHAND), NUMBER(SA_SIGINFO), NUMBER(SA_NOCLDWAIT);
    NUMBER(SIGEV_THREAD_ID), NUMBER(WCONTINUED), NUMBER(CLONE_THREAD), NUMBER(CLONE_NEWTIME), NUMBER(SCHED_DEADLINE);
}

static void time_and_ipc(void) {
    SIZE(struct timespec), SIZE(struct timeval), SIZE(struct itimerspec), SIZE(struct itimerval), SIZE(struct timex);
    SIZE(struct ipc_perm), FIELD(struct ipc_perm, mode), FIELD(struct ipc_perm, __seq), SIZE(struct msqid_ds);
    FIELD(struct msqid_ds, msg_stime), FIELD(struct msqid_ds, msg_qnum), FIELD(struct msqid_ds, msg_lspid);
    SIZE(struct semid_ds), FIELD(struct semid_ds, sem_otime), FIELD(struct semid_ds, sem_ctime);
    FIELD(struct semid_ds, sem_nsems), SIZE(struct shmid_ds), FIELD(struct shmid_ds, shm_segsz);
    FIELD(struct shmid_ds, shm_atime), FIELD(struct shmid_ds, shm_cpid), FIELD(struct shmid_ds, shm_nattch);
    SIZE(struct sembuf), SIZE(struct mq_attr), SIZE(struct shminfo), SIZE(struct seminfo), SIZE(struct msginfo);
    NUMBER(IPC_CREAT), NUMBER(IPC_STAT), NUMBER(SETALL), NUMBER(SHM_RDONLY), NUMBER(SHM_STAT), NUMBER(SEM_STAT);
    NUMBER(CLOCK_TAI), NUMBER(TIMER_ABSTIME);
}

static void sockets(void) {
    SIZE(struct msghdr), FIELD(struct msghdr, msg_iov), FIELD(struct msghdr, msg_control), FIELD(struct msghdr, msg_flags);
    SIZE(struct mmsghdr), SIZE(struct cmsghdr), SIZE(struct linger), SIZE(struct ucred), SIZE(struct sockaddr_storage);
    SIZE(struct sockaddr_un), SIZE(struct sockaddr_in6), SIZE(struct tcp_info), SIZE(struct ifreq), SIZE(struct ifconf);
    NUMBER(SOCK_STREAM), NUMBER(SOCK_DGRAM), NUMBER(SOCK_NONBLOCK), NUMBER(SOCK_CLOEXEC), NUMBER(SOL_SOCKET);
    NUMBER(SO_REUSEADDR), NUMBER(SO_TYPE), NUMBER(SO_ERROR), NUMBER(SO_KEEPALIVE), NUMBER(SO_LINGER), NUMBER(SO_REUSEPORT);
    NUMBER(SO_PASSCRED), NUMBER(SO_PEERCRED), NUMBER(SO_RCVLOWAT), NUMBER(SO_RCVTIMEO), NUMBER(SO_SNDTIMEO);
    NUMBER(SO_ACCEPTCONN), NUMBER(SO_TIMESTAMP), NUMBER(SO_PROTOCOL), NUMBER(SO_DOMAIN), NUMBER(SO_BUSY_POLL);
    NUMBER(MSG_DONTWAIT), NUMBER(MSG_NOSIGNAL), NUMBER(MSG_CMSG_CLOEXEC), NUMBER(MSG_WAITALL), NUMBER(AF_VSOCK);
}

static void terminals(void) {
    SIZE(struct winsize), NUMBER(NCCS), NUMBER(VMIN), NUMBER(VTIME), NUMBER(VSUSP), NUMBER(ECHO), NUMBER(ICANON);
    NUMBER(ISIG), NUMBER(IEXTEN), NUMBER(TOSTOP), NUMBER(IXON), NUMBER(OPOST), NUMBER(ONLCR), NUMBER(CS8), NUMBER(CREAD);
    NUMBER(CLOCAL), NUMBER(B9600), NUMBER(B4000000), NUMBER(TCSANOW), NUMBER(TCSAFLUSH);
}

int main(void) {
    files();
    memory_and_processes();
    time_and_ipc();
    sockets();
    terminals();
    return 0;
}
