// SPDX-License-Identifier: MIT
//
// The memory of generated code: one reservation, code first, the data it refers to behind, so that both are within +-2 GiB.
//
// Private memory: after fork the child goes on with all translations and neither sees the other's new ones. Pages are touched as
// they are needed, so a short program pays for little. Where the host forbids memory that is writable and executable, an
// object is mapped twice and `write_delta` leads from the executable view to the writable one.
#include "engine/code_memory.h"
#include "base/error.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CODE_SIZE = 64 << 20, DATA_SIZE = 64 << 20 };

static uint8_t *reserve(void) {
    void *p = mmap(NULL, CODE_SIZE + DATA_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        fatal("cannot reserve %d MiB of address space for translated code: %s (is the limit `ulimit -v` too small?)",
              (CODE_SIZE + DATA_SIZE) >> 20, strerror(errno));
    return p;
}

static void map_twice(CodeMemory *memory) {
    int fd = memfd_create("kiln-code", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, CODE_SIZE) != 0) fatal("cannot make memory for translated code: %s", strerror(errno));
    void *code = mmap(memory->code, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0);
    void *view = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (code == MAP_FAILED || view == MAP_FAILED)
        fatal("cannot make executable memory: %s (does a security policy forbid it?)", strerror(errno));
    madvise(code, CODE_SIZE, MADV_DONTFORK);
    madvise(view, CODE_SIZE, MADV_DONTFORK);
    memory->write_delta = (uint8_t *)view - memory->code;
    close(fd);
}

void code_memory_init(CodeMemory *memory) {
    memory->code = reserve();
    memory->data = memory->code + CODE_SIZE;
    memory->code_end = memory->code + CODE_SIZE;
    memory->data_end = memory->data + DATA_SIZE;
    if (mprotect(memory->code, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) map_twice(memory);
    if (mprotect(memory->data, DATA_SIZE, PROT_READ | PROT_WRITE) != 0)
        fatal("cannot make memory for translated code: %s (is the limit `ulimit -d` too small?)", strerror(errno));
    code_memory_reset(memory);
}

void code_memory_after_fork(CodeMemory *memory) { map_twice(memory); }

void code_memory_reset(CodeMemory *memory) {
    memory->code_next = memory->code;
    if (memory->data_next > memory->data) memset(memory->data, 0, (size_t)(memory->data_next - memory->data));
    memory->data_next = memory->data;
}

void *code_data_alloc(CodeMemory *memory, size_t size) {
    size = (size + 15) & ~(size_t)15;
    if ((size_t)(memory->data_end - memory->data_next) < size) return NULL;
    void *p = memory->data_next;
    memory->data_next += size;
    return p;
}
