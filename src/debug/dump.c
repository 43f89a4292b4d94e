// SPDX-License-Identifier: MIT
#include "debug/dump.h"
#include "engine/internal.h"
#include <stdlib.h>

static FILE *log_of(const Engine *engine) { return engine->options.log ? engine->options.log : stderr; }
static bool wants(const Engine *engine, uint32_t item) { return engine->options.log_mask & item; }

static void print_place(const Engine *engine, FILE *out, uint64_t pc) {
    uint64_t offset = 0;
    const char *symbol = engine->hooks.symbol ? engine->hooks.symbol(pc, &offset) : NULL;
    fprintf(out, "0x%lx", (unsigned long)pc);
    if (symbol) fprintf(out, " <%s+0x%lx>", symbol, (unsigned long)offset);
}

void dump_guest_code(Engine *engine, const KirBlock *kir, const uint8_t *bytes, size_t size) {
    if (!wants(engine, ENGINE_LOG_IN_ASM)) return;
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
        fprintf(out, "%*s%s\n", (int)(10 - 2 * length) + 2, "", text);
        done += length;
    }
    fflush(out);
}

void dump_kir(Engine *engine, const KirBlock *kir, bool optimised) {
    if (!wants(engine, optimised ? ENGINE_LOG_OP_OPT : ENGINE_LOG_OP)) return;
    FILE *out = log_of(engine);
    KirText text = {0};
    kir_print(&text, kir);
    fprintf(out, "%s: ", optimised ? "OP after optimisation" : "OP");
    print_place(engine, out, kir->pc);
    fprintf(out, "\n%.*s\n", (int)text.length, text.data);
    fflush(out);
    free(text.data);
}

void dump_host_code(Engine *engine, const Block *block) {
    if (!wants(engine, ENGINE_LOG_OUT_ASM)) return;
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
