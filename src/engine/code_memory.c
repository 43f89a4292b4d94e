// SPDX-License-Identifier: MIT
//
// The memory of generated code: one reservation, code first, the data it refers to behind, so that both are within +-2 GiB.
//
// Private memory: after fork the child goes on with all translations and neither sees the other's new ones. Pages are touched as
// they are needed, so a short program pays for little. Where the host forbids memory that is writable and executable, an
// object is mapped twice and `write_delta` leads from the executable view to the writable one.
#include "engine/code_memory.h"
#include "base/error.h"
#include "engine/cpu.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

// Code may have ENGINE_MOST_CODE, and the data it refers to as much again; where memory is limited, a tenth of what there is.
enum { LEAST = 1 << 20, SHARE = 10 };

static size_t size_within(int resource, size_t size) {
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur / SHARE >= size) return size;
    size_t part = limit.rlim_cur / SHARE & ~(size_t)(LEAST - 1);
    return part > LEAST ? part : LEAST;
}

static uint8_t *reserve(size_t size) {
    void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        fatal_code(EXIT_CANNOT_RUN,
                   "cannot reserve %zu MiB of address space for translated code: %s (is the limit `ulimit -v` too small?)",
                   size >> 20, strerror(errno));
    return p;
}

static ptrdiff_t map_twice(uint8_t *code_start, size_t size) {
    int fd = memfd_create("kiln-code", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0) fatal("cannot make memory for translated code: %s", strerror(errno));
    void *code = mmap(code_start, size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0);
    void *view = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (code == MAP_FAILED || view == MAP_FAILED)
        fatal("cannot make executable memory: %s (does a security policy forbid it?)", strerror(errno));
    madvise(code, size, MADV_DONTFORK);
    madvise(view, size, MADV_DONTFORK);
    close(fd);
    return (uint8_t *)view - code_start;
}

// The code of both lies in one piece, blocks first.
static size_t code_bytes(const CodeMemory *memory, const CodeMemory *traces) {
    return (size_t)(memory->code_end - memory->code) + (size_t)(traces->code_end - traces->code);
}

void code_memory_init(CodeMemory *memory, CodeMemory *traces, size_t trace_bytes) {
    size_t size = size_within(RLIMIT_DATA, size_within(RLIMIT_AS, ENGINE_MOST_CODE));
    if (trace_bytes > size) trace_bytes = size;
    uint8_t *start = reserve(2 * (size + trace_bytes));
    memory->code = start;
    traces->code = memory->code_end = memory->code + size;
    memory->data = traces->code_end = traces->code + trace_bytes;
    traces->data = memory->data_end = memory->data + size;
    traces->data_end = traces->data + trace_bytes;
    size_t code = code_bytes(memory, traces);
    if (mprotect(start, code, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) memory->write_delta = map_twice(start, code);
    traces->write_delta = memory->write_delta;
    if (mprotect(memory->data, size + trace_bytes, PROT_READ | PROT_WRITE) != 0)
        fatal("cannot make memory for translated code: %s (is the limit `ulimit -d` too small?)", strerror(errno));
    code_memory_reset(memory);
    code_memory_reset(traces);
}

void code_memory_after_fork(CodeMemory *memory, CodeMemory *traces) {
    memory->write_delta = traces->write_delta = map_twice(memory->code, code_bytes(memory, traces));
}

void code_memory_reset(CodeMemory *memory) {
    memory->code_next = memory->code;
    if (memory->data_next > memory->data) memset(memory->data, 0, (size_t)(memory->data_next - memory->data));
    memory->data_next = memory->data;
    memory->tallies = 0;
}

void *code_data_alloc(CodeMemory *memory, size_t size) {
    size = (size + 15) & ~(size_t)15;
    if ((size_t)(memory->data_end - memory->data_next) < size) return NULL;
    void *p = memory->data_next;
    memory->data_next += size;
    return p;
}

uint32_t code_tally_alloc(CodeMemory *memory, uint32_t count) {
    if (CPU_TALLIES - memory->tallies < count) return 0;
    memory->tallies += count;
    return CPU_TALLY_OFFSET(memory->tallies - count);
}
