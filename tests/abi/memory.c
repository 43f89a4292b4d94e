// SPDX-License-Identifier: MIT
// Guest memory: placement, protection, growing, moving, sharing.
// Calls: mmap munmap mprotect mremap madvise msync mincore mlock munlock brk shmat shmdt
// kiln: skip-qemu
// qemu: it applies mprotect to nothing where there is a hole, and hangs on the limit of RLIMIT_AS
#define _GNU_SOURCE
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE, ANON = MAP_PRIVATE | MAP_ANONYMOUS };

static sigjmp_buf jump;
static void leave(int signal) { siglongjmp(jump, signal); }

// Can the byte be read, written?
static bool readable(volatile char *p) {
    if (sigsetjmp(jump, 1)) return false;
    (void)*p;
    return true;
}
static bool writable(volatile char *p) {
    if (sigsetjmp(jump, 1)) return false;
    *p = *p;
    return true;
}

static char *map(size_t n, int prot) { return mmap(NULL, n * PAGE, prot, ANON, -1, 0); }

static void placing(void) {
    char *a = map(4, RW), *b = map(4, RW);
    volatile size_t zero = 0, huge = (size_t)1 << 50;
    CHECK(a != MAP_FAILED && b != MAP_FAILED && a != b && a[0] == 0 && a[4 * PAGE - 1] == 0);
    a[PAGE] = 1;
    CHECK(mmap(a + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == a + PAGE && a[PAGE] == 0);
    CHECK_ERROR((long)mmap(a, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    CHECK(munmap(a + PAGE, PAGE) == 0 && !readable(a + PAGE) && readable(a) && readable(a + 2 * PAGE));
    CHECK(mmap(a + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == a + PAGE && writable(a + PAGE));
    CHECK(munmap(a + PAGE, PAGE) == 0 && mmap(a + PAGE, PAGE, RW, ANON, -1, 0) == a + PAGE); // a hint that is free
    CHECK(mmap(a, PAGE, RW, ANON, -1, 0) != a);                                              // and one that is not
    CHECK_ERROR((long)mmap(NULL, zero, RW, ANON, -1, 0), EINVAL);
    CHECK_ERROR((long)mmap(a + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0), EINVAL);
    CHECK_ERROR((long)mmap(NULL, huge, RW, ANON, -1, 0), ENOMEM);
    CHECK_ERROR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE, -1, 0), EBADF);
    CHECK_ERROR((long)mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERROR(munmap(a + 1, PAGE), EINVAL);
    CHECK_ERROR(munmap(a, zero), EINVAL);
    CHECK(munmap(a, 4 * PAGE) == 0 && munmap(a, 4 * PAGE) == 0);
    CHECK(munmap(b, 4 * PAGE) == 0 && !readable(b));
}

static void protecting(void) {
    char *a = map(6, RW);
    CHECK(mprotect(a + PAGE, PAGE, PROT_READ) == 0 && readable(a + PAGE) && !writable(a + PAGE) && writable(a));
    CHECK(mprotect(a + 2 * PAGE, 2 * PAGE, PROT_NONE) == 0 && !readable(a + 3 * PAGE) && writable(a + 4 * PAGE));
    CHECK(mprotect(a, 6 * PAGE, RW) == 0 && writable(a + PAGE) && writable(a + 3 * PAGE));
    CHECK(munmap(a + 3 * PAGE, PAGE) == 0);
    CHECK_ERROR(mprotect(a, 6 * PAGE, PROT_READ), ENOMEM);
    CHECK(!writable(a + 2 * PAGE) && writable(a + 4 * PAGE)); // up to the hole
    CHECK_ERROR(mprotect(a + 1, PAGE, RW), EINVAL);
    CHECK(mprotect(a, 0, RW) == 0);
    CHECK_ERROR(mprotect(a, PAGE, 0x40), EINVAL);
    munmap(a, 6 * PAGE);
}

static void moving(void) {
    char *a = map(4, RW), *guard;
    a[0] = 'a', a[PAGE] = 'b', a[3 * PAGE] = 'd';
    CHECK(mremap(a, 4 * PAGE, 2 * PAGE, 0) == a && readable(a + PAGE) && !readable(a + 2 * PAGE));
    guard = mmap(a + 2 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    CHECK_ERROR((long)mremap(a, 2 * PAGE, 8 * PAGE, 0), ENOMEM);
    char *b = mremap(a, 2 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    CHECK(b != MAP_FAILED && b != a && b[0] == 'a' && b[PAGE] == 'b' && b[7 * PAGE] == 0 && !readable(a));
    char *target = map(8, RW);
    target[7 * PAGE] = 'x';
    CHECK(mremap(b, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK(target[0] == 'a' && target[7 * PAGE] == 0 && !readable(b));
    CHECK_ERROR((long)mremap(target, PAGE, PAGE, MREMAP_FIXED, b), EINVAL);
    CHECK_ERROR((long)mremap(target + 1, PAGE, PAGE, 0), EINVAL);
    CHECK_ERROR((long)mremap(target, PAGE, 0, 0), EINVAL);
    CHECK_ERROR((long)mremap(b, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
    CHECK_ERROR((long)mremap(target, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE), EINVAL);
    char *big = mremap(target, 8 * PAGE, 4096 * PAGE, MREMAP_MAYMOVE);
    CHECK(big != MAP_FAILED && big[0] == 'a' && big[4095 * PAGE] == 0);
    munmap(big, 4096 * PAGE);
    munmap(guard, PAGE);
}

static void the_break(void) {
    char *start = sbrk(0), *more;
    CHECK(start != (char *)-1);
    more = sbrk(3 * PAGE + 100);
    CHECK(more == start && writable(more + 3 * PAGE));
    memset(more, 7, 3 * PAGE + 100);
    CHECK(sbrk(-(3 * PAGE + 100)) == start + 3 * PAGE + 100 && sbrk(0) == start);
    CHECK(sbrk(2 * PAGE) == start && start[PAGE + 200] == 0); // comes back clean
    CHECK(syscall(SYS_brk, 1) == (long)sbrk(0));
    CHECK(brk(start) == 0);
    CHECK_ERROR((long)sbrk((intptr_t)1 << 46), ENOMEM);
}

static void files(void) {
    char name[] = "/tmp/kiln-abi-XXXXXX", text[8] = "";
    int fd = mkstemp(name);
    unlink(name);
    CHECK(ftruncate(fd, 3 * PAGE) == 0 && pwrite(fd, "second", 6, PAGE) == 6);
    char *shared = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, PAGE), *own = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, PAGE);
    CHECK(memcmp(shared, "second", 6) == 0 && memcmp(own, "second", 6) == 0);
    own[0] = 'S';
    CHECK(shared[0] == 's');
    shared[1] = 'E';
    CHECK(msync(shared, PAGE, MS_SYNC) == 0 && pread(fd, text, 6, PAGE) == 6 && memcmp(text, "sEcond", 6) == 0);
    CHECK_ERROR((long)mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 100), EINVAL);
    CHECK(madvise(own, PAGE, MADV_DONTNEED) == 0 && own[0] == 's');
    CHECK_ERROR(madvise(own, PAGE, 12345), EINVAL);
    munmap(own, PAGE);
    CHECK_ERROR(madvise(own, PAGE, MADV_DONTNEED), ENOMEM);
    CHECK_ERROR(msync(own, PAGE, MS_SYNC), ENOMEM);
    close(fd);
    CHECK(memcmp(shared, "sEcond", 6) == 0);
    munmap(shared, 2 * PAGE);
}

static void residency(void) {
    char *a = map(3, RW);
    unsigned char state[3] = {9, 9, 9};
    a[PAGE] = 1;
    CHECK(mincore(a, 3 * PAGE, state) == 0 && !(state[0] & 1) && (state[1] & 1));
    CHECK(mlock(a, PAGE) == 0 && munlock(a, PAGE) == 0);
    munmap(a + PAGE, PAGE);
    CHECK_ERROR(mincore(a, 3 * PAGE, state), ENOMEM);
    CHECK_ERROR(mlock(a, 3 * PAGE), ENOMEM);
    CHECK_ERROR(mincore(a + 1, PAGE, state), EINVAL);
    munmap(a, 3 * PAGE);
}

static void sharing(void) {
    volatile int *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *own = (int *)map(1, RW);
    *shared = *own = 1;
    pid_t child = fork();
    if (child == 0) {
        *shared = *own = 2;
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(*shared == 2 && *own == 1);
    int id = shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600);
    volatile char *at = shmat(id, NULL, 0);
    CHECK(at != (char *)-1);
    at[PAGE] = 'x';
    volatile char *again = shmat(id, NULL, SHM_RDONLY);
    CHECK(again != (char *)-1 && again[PAGE] == 'x' && !writable(again));
    char *place = map(3, RW);
    CHECK_ERROR((long)shmat(id, place, 0), EINVAL);
    CHECK(shmat(id, place, SHM_REMAP) == place && place[PAGE] == 'x');
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
    CHECK(shmdt((void *)at) == 0 && !readable(at) && shmdt((void *)again) == 0 && shmdt(place) == 0);
    CHECK_ERROR(shmdt(place), EINVAL);
}

// Random maps, unmaps and protections against a model.
static void model(void) {
    enum { N = 64, ROUNDS = 3000 };
    static int prot[N]; // -1: nothing there
    char *base = map(N, PROT_NONE);
    unsigned seed = 12345;
    int wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        seed = seed * 1103515245 + 12345;
        int at = (int)(seed >> 16) % N, n = 1 + (int)(seed >> 8) % 8, what = (int)(seed >> 24) % 3;
        static const int prots[] = {PROT_NONE, PROT_READ, RW};
        int p = prots[(seed >> 20) % 3];
        if (at + n > N) n = N - at;
        bool hole = false;
        for (int i = at; i < at + n; i++) hole |= prot[i] < 0;
        if (what == 0) wrong += munmap(base + at * PAGE, (size_t)n * PAGE) != 0;
        if (what == 1) wrong += mmap(base + at * PAGE, (size_t)n * PAGE, p, ANON | MAP_FIXED, -1, 0) != base + at * PAGE;
        if (what == 2) wrong += (mprotect(base + at * PAGE, (size_t)n * PAGE, p) != 0) != hole;
        for (int i = at; i < at + n; i++) {
            if (what == 2 && prot[i] < 0) break;
            prot[i] = what == 0 ? -1 : p;
        }
        int probe = (int)(seed >> 12) % N;
        wrong += readable(base + probe * PAGE) != (prot[probe] > 0);
        wrong += writable(base + probe * PAGE) != (prot[probe] == RW);
    }
    CHECK(wrong == 0);
    munmap(base, N * PAGE);
}

static void limits(void) {
    struct rlimit old, limit;
    CHECK(getrlimit(RLIMIT_AS, &old) == 0);
    limit = old;
    limit.rlim_cur = 256u << 20;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0 && getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur == 256u << 20);
    CHECK_ERROR((long)map(100000, RW), ENOMEM);
    CHECK(setrlimit(RLIMIT_AS, &old) == 0);
    char *a = map(100000, RW);
    CHECK(a != MAP_FAILED && munmap(a, (size_t)100000 * PAGE) == 0);
}

int main(void) {
    signal(SIGSEGV, leave);
    signal(SIGBUS, leave);
    placing();
    protecting();
    moving();
    the_break();
    files();
    residency();
    sharing();
    model();
    limits();
    return check_summary();
}
