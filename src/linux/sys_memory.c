// SPDX-License-Identifier: MIT
//
// System calls about guest memory: arguments to memory.c and to the host.
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "debug/log.h"
#include "linux/handlers.h"
#include "linux/memory.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

// ---- -d page --------------------------------------------------------------------------------------------------------------

static void log_mapping(const Engine *engine, const char *call, const Mapping *m) {
    log_item(engine, ENGINE_LOG_PAGE, "%-9s0x%010llx-0x%010llx %c%c%c%c\n", call, (unsigned long long)m->start,
             (unsigned long long)m->end, (m->prot & PROT_READ) ? 'r' : '-', (m->prot & PROT_WRITE) ? 'w' : '-',
             (m->prot & PROT_EXEC) ? 'x' : '-', (m->flags & MAPPING_SHARED) ? 's' : 'p');
}

void memory_log(const Engine *engine) {
    if (!(engine_options(engine)->log_mask & ENGINE_LOG_PAGE)) return;
    Mapping m;
    for (uint64_t at = 0; memory_next(at, &m); at = m.end) log_mapping(engine, "start", &m);
}

// What has become of a range that a call changed.
static __attribute__((noinline)) void log_range(const LinuxThread *t, const char *call, uint64_t start, uint64_t size) {
    uint64_t end = page_up(start + size);
    Mapping m;
    for (uint64_t at = page_down(start); at < end;) {
        if (!memory_next(at, &m) || m.start >= end) m.start = m.end = end;
        if (m.start > at)
            log_item(t->process->engine, ENGINE_LOG_PAGE, "%-9s0x%010llx-0x%010llx none\n", call, (unsigned long long)at,
                     (unsigned long long)m.start);
        if (m.start < at) m.start = at;
        at = m.end < end ? m.end : end;
        m.end = at;
        if (m.start < at) log_mapping(t->process->engine, call, &m);
    }
}

static long logged(const LinuxThread *t, const char *call, uint64_t start, uint64_t size, long result) {
    bool failed = result < 0 && result > -4096;
    if ((engine_options(t->process->engine)->log_mask & ENGINE_LOG_PAGE) && !failed) log_range(t, call, start, size);
    return result;
}

// ---- the calls ------------------------------------------------------------------------------------------------------------

long sys_brk(LinuxThread *t, const uint64_t args[6]) {
    uint64_t old = memory_brk(0), now = memory_brk(args[0]);
    if (page_up(now) == page_up(old)) return (long)now;
    uint64_t start = page_up(now < old ? now : old), end = page_up(now < old ? old : now);
    return logged(t, "brk", start, end - start, (long)now);
}

long sys_mmap(LinuxThread *t, const uint64_t args[6]) {
    long r = memory_map(args[0], args[1], (int)args[2], (int)args[3], (int)args[4], args[5]);
    return logged(t, "mmap", (uint64_t)r, args[1], r);
}

long sys_munmap(LinuxThread *t, const uint64_t args[6]) {
    return logged(t, "munmap", args[0], args[1], memory_unmap(args[0], args[1]));
}

long sys_mprotect(LinuxThread *t, const uint64_t args[6]) {
    return logged(t, "mprotect", args[0], args[1], memory_protect(args[0], args[1], (int)args[2]));
}

long sys_mremap(LinuxThread *t, const uint64_t args[6]) {
    long r = memory_remap(args[0], args[1], args[2], (int)args[3], args[4]);
    if ((uint64_t)r != args[0] || args[1] > args[2]) logged(t, "mremap", args[0], args[1], r < 0 && r > -4096 ? r : 0);
    return logged(t, "mremap", (uint64_t)r, args[2], r);
}

long sys_remap_file_pages(LinuxThread *t, const uint64_t args[6]) { return -ENOSYS; }

// Does call(start, size) for each piece of the range that is guest memory. Holes are reported at the end, as Linux does.
typedef struct Piece {
    long number, a, b;
} Piece;

static long each_piece(LinuxThread *t, uint64_t address, uint64_t size, Piece piece) {
    if (address & (GUEST_PAGE - 1)) return -EINVAL;
    if (size == 0) return 0;
    if (size > HOST_AREA_HIGH || address > HOST_AREA_HIGH) return -ENOMEM;
    uint64_t end = address + page_up(size), at = address;
    bool hole = false;
    Mapping m;
    while (at < end) {
        if (!memory_next(at, &m) || m.start >= end) {
            hole = true;
            break;
        }
        if (m.start > at) hole = true;
        uint64_t start = m.start > at ? m.start : at, stop = m.end < end ? m.end : end;
        long r = safe_syscall(t, piece.number, start, stop - start, piece.a, piece.b, 0, 0);
        if (r < 0) return r;
        at = stop;
    }
    return hole ? -ENOMEM : 0;
}

// Advice after which the content is another one.
static bool changes_content(int advice) {
    return advice == MADV_DONTNEED || advice == MADV_REMOVE || advice == MADV_FREE || advice == MADV_DONTNEED_LOCKED;
}

long sys_madvise(LinuxThread *t, const uint64_t args[6]) {
    int advice = (int)args[2];
    // Nothing is known about the range only for an advice that the host knows.
    if (args[1] == 0) return host_syscall(SYS_madvise, 0, 0, advice, 0, 0, 0);
    long r = each_piece(t, args[0], args[1], (Piece){SYS_madvise, advice, 0});
    if (changes_content(advice) && (r == 0 || r == -ENOMEM)) {
        Mapping m;
        for (uint64_t at = args[0]; memory_next(at, &m) && m.start < args[0] + args[1]; at = m.end)
            if (m.prot & PROT_EXEC) memory_invalidate(m.start, m.end);
    }
    return r;
}

long sys_msync(LinuxThread *t, const uint64_t args[6]) {
    return each_piece(t, args[0], args[1], (Piece){SYS_msync, (long)args[2], 0});
}

long sys_mlock(LinuxThread *t, const uint64_t args[6]) {
    uint64_t start = page_down(args[0]);
    return each_piece(t, start, args[1] + (args[0] - start), (Piece){SYS_mlock, 0, 0});
}

long sys_mlock2(LinuxThread *t, const uint64_t args[6]) {
    uint64_t start = page_down(args[0]);
    return each_piece(t, start, args[1] + (args[0] - start), (Piece){SYS_mlock2, (long)args[2], 0});
}

long sys_munlock(LinuxThread *t, const uint64_t args[6]) {
    uint64_t start = page_down(args[0]);
    return each_piece(t, start, args[1] + (args[0] - start), (Piece){SYS_munlock, 0, 0});
}

long sys_mincore(LinuxThread *t, const uint64_t args[6]) {
    if (args[0] & (GUEST_PAGE - 1)) return -EINVAL;
    if (!memory_covers(args[0], args[1])) return -ENOMEM;
    return host_syscall(SYS_mincore, args[0], args[1], args[2], 0, 0, 0);
}

// After the one kind that makes processors look at instructions anew, each thread sees code as it is in memory.
long sys_membarrier(LinuxThread *t, const uint64_t args[6]) {
    long r = host_syscall(SYS_membarrier, args[0], args[1], args[2], 0, 0, 0);
    if (r == 0 && (int)args[0] == MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE) memory_code_changed(0, 0);
    return r;
}

long sys_shmat(LinuxThread *t, const uint64_t args[6]) {
    long r = memory_attach((int)args[0], args[1], (int)args[2]);
    Mapping m;
    return logged(t, "shmat", (uint64_t)r, r > 0 && memory_lookup((uint64_t)r, &m) ? m.end - m.start : 0, r);
}

long sys_shmdt(LinuxThread *t, const uint64_t args[6]) {
    Mapping m;
    uint64_t size = memory_lookup(args[0], &m) ? m.end - args[0] : 0;
    return logged(t, "shmdt", args[0], size, memory_detach(args[0]));
}
