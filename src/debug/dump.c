// SPDX-License-Identifier: MIT
#include "debug/dump.h"
#include "debug/log.h"
#include "engine/internal.h"
#include "base/channel.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static FILE *log_of(const Engine *engine) { return engine->options.log ? engine->options.log : stderr; }
static bool wants(const Engine *engine, uint32_t item) { return engine->options.log_mask & item; }

// -dfilter
static bool is_in_ranges(const Engine *engine, uint64_t pc) {
    const EngineOptions *options = &engine->options;
    for (size_t i = 0; i < options->log_range_count; i++)
        if (pc >= options->log_ranges[i].first && pc <= options->log_ranges[i].last) return true;
    return !options->log_range_count;
}

static bool wants_at(const Engine *engine, uint32_t item, uint64_t pc) { return wants(engine, item) && is_in_ranges(engine, pc); }

static void print_place(const Engine *engine, FILE *out, uint64_t pc) {
    uint64_t offset = 0;
    const char *symbol = engine->hooks.symbol ? engine->hooks.symbol(pc, &offset) : NULL;
    fprintf(out, "0x%lx", (unsigned long)pc);
    if (symbol) fprintf(out, " <%s+0x%lx>", symbol, (unsigned long)offset);
}

// A line and, where an address in it is one of a guest function, that function's name.
static void print_line(const Engine *engine, FILE *out, const char *line, size_t length) {
    fwrite(line, 1, length, out);
    for (size_t i = 0; engine->hooks.symbol && i + 2 < length; i++) {
        if (line[i] != '0' || line[i + 1] != 'x') continue;
        uint64_t offset, address = strtoull(line + i, NULL, 16);
        const char *symbol = engine->hooks.symbol(address, &offset);
        if (symbol && offset) fprintf(out, " <%s+0x%lx>", symbol, (unsigned long)offset);
        else if (symbol) fprintf(out, " <%s>", symbol);
    }
    fputc('\n', out);
}

void dump_guest_code(Engine *engine, const KirBlock *kir, const uint8_t *bytes, size_t size) {
    if (!wants_at(engine, ENGINE_LOG_IN_ASM, kir->pc)) return;
    FILE *out = log_of(engine);
    fputs("----------------\nIN: ", out);
    print_place(engine, out, kir->pc);
    fputc('\n', out);
    for (uint32_t done = 0; done < kir->guest_bytes && done < size;) {
        char text[128];
        unsigned length = engine->guest->disassemble(text, sizeof text, bytes + done, size - done, kir->pc + done);
        if (!length) break;
        fprintf(out, "0x%08lx:  ", (unsigned long)(kir->pc + done));
        for (unsigned i = length; i-- > 0;) fprintf(out, "%02x", bytes[done + i]);
        fprintf(out, "%*s", (int)(10 - 2 * length) + 2, "");
        print_line(engine, out, text, strlen(text));
        done += length;
    }
    fflush(out);
}

void dump_kir(Engine *engine, const KirBlock *kir, bool optimised) {
    if (!wants_at(engine, optimised ? ENGINE_LOG_OP_OPT : ENGINE_LOG_OP, kir->pc)) return;
    FILE *out = log_of(engine);
    KirText text = {0};
    kir_print(&text, kir);
    fprintf(out, "%s: ", optimised ? "OP after optimisation" : "OP");
    print_place(engine, out, kir->pc);
    fputc('\n', out);
    for (size_t at = 0, length; at < text.length; at += length + 1) {
        const char *end = memchr(text.data + at, '\n', text.length - at);
        length = end ? (size_t)(end - text.data) - at : text.length - at;
        print_line(engine, out, text.data + at, length);
    }
    fputc('\n', out);
    fflush(out);
    free(text.data);
}

void dump_host_code(Engine *engine, const Block *block) {
    if (!wants_at(engine, ENGINE_LOG_OUT_ASM, block->pc)) return;
    FILE *out = log_of(engine);
    fputs("OUT: ", out);
    print_place(engine, out, block->pc);
    fprintf(out, " [size=%u] at %p\n", block->host.size, (void *)block->host.code);
    for (uint32_t i = 0; i < block->host.size; i++)
        fprintf(out, "%02x%s", block->host.code[i], i % 32 == 31 || i + 1 == block->host.size ? "\n" : " ");
    fflush(out);
}

void dump_execution(const Cpu *cpu) {
    const Engine *engine = cpu->engine;
    FILE *out = log_of(engine);
    if (!is_in_ranges(engine, cpu->pc)) return;
    if (wants(engine, ENGINE_LOG_EXEC)) {
        fputs("Trace ", out);
        print_place(engine, out, cpu->pc);
        fputc('\n', out);
    }
    if (wants(engine, ENGINE_LOG_CPU)) {
        char text[8192];
        engine->guest->dump(cpu, text, sizeof text);
        fputs(text, out);
    }
    fflush(out);
}

void log_item(const Engine *engine, uint32_t item, const char *format, ...) {
    if (!wants(engine, item)) return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(log_of(engine), format, arguments);
    va_end(arguments);
    fflush(log_of(engine));
}

// ---- --opt-requests ----------------------------------------------------------------------------------------------------------
bool dump_request(const Engine *engine, uint64_t id, const uint8_t *bytes, size_t size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%d-%lu.request", engine->options.requests, (int)getpid(), (unsigned long)id);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    bool good = fd >= 0 && write_all(fd, bytes, size);
    if (fd >= 0 && close(fd) != 0) good = false;
    if (!good) warning("cannot write the request %s: %s; no more are written", path, strerror(errno));
    return good;
}
