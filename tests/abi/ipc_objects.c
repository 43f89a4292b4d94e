// SPDX-License-Identifier: MIT
// kiln: skip-qemu
// (mq_notify is absent there.)
// System V messages, semaphores and shared memory; POSIX message queues.
// Calls: msgget msgctl msgrcv msgsnd semget semctl semop semtimedop shmget shmctl shmat shmdt mq_open mq_unlink
// Calls: mq_timedsend mq_timedreceive mq_getsetattr mq_notify
#include "check.h"
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>

static void semaphores(void) {
    struct semid_ds ds;
    unsigned short values[3] = {5, 0, 7};
    time_t start = time(NULL) - 1;
    int id = semget(IPC_PRIVATE, 3, 0600);
    CHECK(id >= 0 && semctl(id, 0, SETALL, values) == 0 && semctl(id, 2, GETVAL) == 7);
    memset(&ds, 0xff, sizeof ds);
    CHECK(semctl(id, 0, IPC_STAT, &ds) == 0 && ds.sem_nsems == 3 && ds.sem_otime == 0 && ds.sem_ctime >= start);
    CHECK((ds.sem_perm.mode & 0777) == 0600 && ds.sem_perm.uid == getuid() && ds.sem_perm.cuid == geteuid());
    struct sembuf op[2] = {{0, -2, 0}, {1, 1, 0}};
    CHECK(syscall(SYS_semop, id, op, 2) == 0 && semctl(id, 0, GETVAL) == 3 && semctl(id, 1, GETVAL) == 1);
    CHECK(semctl(id, 0, GETPID) == getpid());
    CHECK(semctl(id, 0, IPC_STAT, &ds) == 0 && ds.sem_otime >= start && ds.sem_ctime >= start);
    op[0].sem_op = -9;
    struct timespec ts = {0, 10000000};
    CHECK_ERROR(semtimedop(id, op, 1, &ts), EAGAIN);
    ds.sem_perm.mode = 0640;
    CHECK(semctl(id, 0, IPC_SET, &ds) == 0 && semctl(id, 0, IPC_STAT, &ds) == 0 && (ds.sem_perm.mode & 0777) == 0640);
    CHECK_ERROR(semctl(id, 0, IPC_STAT, bad_address), EFAULT);
    CHECK(semctl(id, 0, IPC_RMID) == 0);
    CHECK_ERROR(semctl(id, 0, GETVAL), EINVAL);
}

static void messages(void) {
    struct {
        long type;
        char text[8];
    } m = {3, "message"};
    struct msqid_ds ds;
    int id = msgget(IPC_PRIVATE, 0600);
    CHECK(id >= 0 && msgsnd(id, &m, 8, 0) == 0);
    CHECK(msgctl(id, IPC_STAT, &ds) == 0 && ds.msg_qnum == 1 && ds.msg_lspid == getpid() && ds.__msg_cbytes == 8);
    memset(&m, 0, sizeof m);
    CHECK_ERROR(msgrcv(id, &m, 8, 2, IPC_NOWAIT), ENOMSG);
    CHECK(msgrcv(id, &m, 8, 3, 0) == 8 && m.type == 3 && strcmp(m.text, "message") == 0);
    CHECK(msgctl(id, IPC_RMID, NULL) == 0);
}

static void shared_memory(void) {
    struct shmid_ds ds;
    int id = shmget(IPC_PRIVATE, 8192, 0600);
    CHECK(id >= 0);
    char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
    CHECK(a != (void *)-1 && b != (void *)-1 && a != b);
    strcpy(a + 5000, "seen");
    CHECK(strcmp(b + 5000, "seen") == 0);
    CHECK(shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_segsz == 8192 && ds.shm_nattch == 2 && ds.shm_cpid == getpid());
    CHECK(shmdt(a) == 0 && shmdt(b) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
    CHECK_ERROR(shmdt(a), EINVAL);
}

static void queues(void) {
    char name[32], text[16];
    unsigned priority = 0;
    struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 16}, now;
    snprintf(name, sizeof name, "/kiln-%d", getpid());
    mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (q == (mqd_t)-1) {
        CHECK(errno == ENOSYS);
        return;
    }
    CHECK(mq_send(q, "low", 3, 1) == 0 && mq_send(q, "high", 4, 9) == 0);
    CHECK(mq_getattr(q, &now) == 0 && now.mq_curmsgs == 2 && now.mq_maxmsg == 4);
    CHECK(mq_receive(q, text, sizeof text, &priority) == 4 && priority == 9 && memcmp(text, "high", 4) == 0);
    CHECK(mq_receive(q, text, sizeof text, NULL) == 3);
    struct timespec past = {1, 0};
    CHECK_ERROR(mq_timedreceive(q, text, sizeof text, NULL, &past), ETIMEDOUT);
    CHECK(mq_notify(q, NULL) == 0);
    CHECK(mq_unlink(name) == 0 && mq_close(q) == 0);
}

int main(void) {
    semaphores();
    messages();
    shared_memory();
    queues();
    return check_summary();
}
