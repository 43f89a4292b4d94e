// SPDX-License-Identifier: MIT
#include "debug/perf.h"
#include "base/error.h"
#include "engine/internal.h"
#include "linux/log_file.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 14, NAME_BYTES = 256, PAGE = 4096 };

typedef struct PerfFile {
    int fd; // -1: not open
    size_t used;
    uint8_t buffer[BUFFER_BYTES];
} PerfFile;
static PerfFile map = {.fd = -1}, dump = {.fd = -1};
static uint64_t next_index; // of a piece of code in the dump

// ---- files ----------------------------------------------------------------------------------------------------------------------
static void write_out(PerfFile *file) {
    if (file->fd >= 0) log_file_write(file->fd, (const char *)file->buffer, file->used);
    file->used = 0;
}

static void put(PerfFile *file, const void *data, size_t size) {
    if (size > BUFFER_BYTES - file->used) write_out(file);
    if (size > BUFFER_BYTES) {
        log_file_write(file->fd, data, size);
        return;
    }
    memcpy(file->buffer + file->used, data, size);
    file->used += size;
}

// A new file, even where something else has that name. `go_on`: the process has one, from before it executed another program.
static void open_file(const Engine *engine, PerfFile *file, const char *name, bool go_on) {
    int again = go_on ? open(name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (again < 0) unlink(name);
    file->fd = again >= 0 ? again : open(name, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    file->used = 0;
    if (file->fd < 0) warning("%s: %s", name, strerror(errno));
    else if (!engine->hooks.keep_fd(&file->fd)) warning("%s: no descriptor is left", name);
}

static void close_file(const Engine *engine, PerfFile *file) {
    if (file->fd >= 0) engine->hooks.close_fd(&file->fd);
    file->used = 0;
}

// ---- names ----------------------------------------------------------------------------------------------------------------------
static void put_place(const Engine *engine, char *text, size_t size, uint64_t pc) {
    uint64_t offset = 0;
    const char *symbol = engine->hooks.symbol ? engine->hooks.symbol(pc, &offset) : NULL;
    if (!symbol) snprintf(text, size, "0x%llx", (unsigned long long)pc);
    else if (offset) snprintf(text, size, "%s+0x%llx", symbol, (unsigned long long)offset);
    else snprintf(text, size, "%s", symbol);
}

static void name_trace(const Engine *engine, char *text, size_t size, const Trace *trace) {
    char place[NAME_BYTES];
    put_place(engine, place, sizeof place, trace->code.pc);
    snprintf(text, size, "trace %.200s (%s, %u block%s, %s form)", place, hot_shape_name((HotShape)trace->plan.shape),
             trace->plan.count, trace->plan.count == 1 ? "" : "s", trace->form == TRACE_FIRST ? "first" : "second");
}

// ---- the map --------------------------------------------------------------------------------------------------------------------
static void map_code(const uint8_t *code, size_t size, const char *name) {
    char line[NAME_BYTES + 64];
    if (map.fd < 0) return;
    int length = snprintf(line, sizeof line, "%llx %zx %s\n", (unsigned long long)(uintptr_t)code, size, name);
    put(&map, line, (size_t)length);
}

// ---- the dump -------------------------------------------------------------------------------------------------------------------
// perf's tools/perf/Documentation/jitdump-specification.txt.
enum { JIT_MAGIC = 0x4a695444, JIT_VERSION = 1, JIT_CODE_LOAD = 0, JIT_CODE_DEBUG_INFO = 2 };
typedef struct JitHeader {
    uint32_t magic, version, total_size, elf_machine, padding, pid;
    uint64_t timestamp, flags;
} JitHeader;
typedef struct JitRecord {
    uint32_t id, total_size;
    uint64_t timestamp;
} JitRecord;
typedef struct JitLoad {
    JitRecord record;
    uint32_t pid, tid;
    uint64_t vma, code_address, code_size, code_index; // then name, code
} JitLoad;
typedef struct JitDebug {
    JitRecord record;
    uint64_t code_address, entries; // then the entries
} JitDebug;
typedef struct JitLine {
    uint64_t address;
    int32_t line, discriminator; // then the name
} JitLine;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// The "source" of an instruction: its function, and how many bytes behind the function's start.
static const char *source_of(const Engine *engine, uint64_t pc, int32_t *line) {
    uint64_t offset = 0;
    const char *symbol = engine->hooks.symbol ? engine->hooks.symbol(pc, &offset) : NULL;
    *line = (int32_t)((symbol ? offset : pc) & INT32_MAX);
    return symbol ? symbol : "guest";
}

// Fault tables know which guest instruction an access belongs to: that costs nothing more.
static void dump_lines(const Engine *engine, const HostCompiled *host) {
    size_t size = sizeof(JitDebug);
    int32_t line;
    for (uint32_t i = 0; i < host->fault_count; i++)
        size += sizeof(JitLine) + strlen(source_of(engine, host->faults[i].pc, &line)) + 1;
    if (!host->fault_count) return;
    JitDebug debug = {{JIT_CODE_DEBUG_INFO, (uint32_t)size, now()}, (uintptr_t)host->code, host->fault_count};
    put(&dump, &debug, sizeof debug);
    for (uint32_t i = 0; i < host->fault_count; i++) {
        JitLine entry = {.address = (uintptr_t)host->code + host->faults[i].offset};
        const char *name = source_of(engine, host->faults[i].pc, &entry.line);
        put(&dump, &entry, sizeof entry);
        put(&dump, name, strlen(name) + 1);
    }
}

static void dump_code(const uint8_t *code, size_t size, const char *name) {
    size_t length = strlen(name) + 1;
    uint64_t address = (uintptr_t)code;
    JitLoad load = {.record = {JIT_CODE_LOAD, (uint32_t)(sizeof load + length + size), now()},
                    .pid = (uint32_t)getpid(),
                    .tid = (uint32_t)gettid(),
                    .vma = address,
                    .code_address = address,
                    .code_size = size,
                    .code_index = next_index++};
    put(&dump, &load, sizeof load);
    put(&dump, name, length);
    put(&dump, code, size);
}

// perf learns of the file by seeing it mapped.
static void begin_dump(const Engine *engine, bool go_on) {
    char name[64];
    snprintf(name, sizeof name, "jit-%d.dump", (int)getpid());
    open_file(engine, &dump, name, go_on);
    if (dump.fd < 0) return;
    JitHeader header = {.magic = JIT_MAGIC,
                        .version = JIT_VERSION,
                        .total_size = sizeof header,
                        .elf_machine = EM_X86_64,
                        .pid = (uint32_t)getpid(),
                        .timestamp = now()};
    next_index = (uint64_t)lseek(dump.fd, 0, SEEK_END); // more than were used, where it goes on
    if (!next_index) put(&dump, &header, sizeof header);
    write_out(&dump);
    void *marker = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, dump.fd, 0);
    if (marker == MAP_FAILED) warning("%s: it cannot be mapped, so perf will not find it: %s", name, strerror(errno));
}

// ---- what the engine tells --------------------------------------------------------------------------------------------------------
static bool is_wanted(void) { return map.fd >= 0 || dump.fd >= 0; }

static void put_code(const Engine *engine, const HostCompiled *host, const char *name) {
    map_code(host->code, host->size, name);
    if (dump.fd < 0) return;
    dump_lines(engine, host);
    dump_code(host->code, host->size, name);
}

static void put_stubs(const Engine *engine) {
    HostCompiled stubs = {.code = engine->memory.code, .size = (uint32_t)(engine->memory.code_next - engine->memory.code)};
    put_code(engine, &stubs, "kiln enter and leave");
}

static void begin(const Engine *engine, bool go_on) {
    char name[64];
    snprintf(name, sizeof name, "/tmp/perf-%d.map", (int)getpid());
    if (engine->options.perfmap) open_file(engine, &map, name, go_on);
    if (engine->options.jitdump) begin_dump(engine, go_on);
}

void perf_start(const Engine *engine) {
    begin(engine, engine->options.child);
    if (is_wanted()) put_stubs(engine);
}

void perf_block(const Engine *engine, const Block *block) {
    char name[NAME_BYTES];
    if (!is_wanted()) return;
    put_place(engine, name, sizeof name, block->pc);
    put_code(engine, &block->host, name);
}

void perf_counter(const Engine *engine, const Block *block) {
    char name[NAME_BYTES + 8], place[NAME_BYTES];
    if (!is_wanted()) return;
    put_place(engine, place, sizeof place, block->pc);
    snprintf(name, sizeof name, "count %s", place);
    HostCompiled code = {.code = block->counter->code, .size = (uint32_t)(engine->memory.code_next - block->counter->code)};
    put_code(engine, &code, name);
}

void perf_trace(const Engine *engine, const Trace *trace) {
    char name[NAME_BYTES];
    if (!is_wanted()) return;
    name_trace(engine, name, sizeof name, trace);
    put_code(engine, &trace->code.host, name);
}

void perf_restart(const Engine *engine) {
    if (!is_wanted()) return;
    map.used = 0;
    if (map.fd >= 0 && ftruncate(map.fd, 0) != 0) warning("/tmp/perf-%d.map: %s", (int)getpid(), strerror(errno));
    put_stubs(engine);
}

void perf_after_fork(const Engine *engine) {
    if (!is_wanted()) return;
    close_file(engine, &map);
    close_file(engine, &dump);
    begin(engine, false);
    if (!is_wanted()) return;
    put_stubs(engine);
    const BlockList *blocks = engine->blocks.by_address;
    for (uint32_t i = 0; i < blocks->count; i++)
        if (!blocks->at[i]->invalid) perf_block(engine, blocks->at[i]);
    for (const Trace *trace = engine->traces.oldest; trace; trace = trace->next) perf_trace(engine, trace);
}

void perf_write_out(void) {
    write_out(&map);
    write_out(&dump);
}
