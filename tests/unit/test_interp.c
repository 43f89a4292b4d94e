// SPDX-License-Identifier: MIT
//
// What the interpreter does besides evaluating: faults, exceptions of helpers, polling, atomic operations of
// 16 bytes. Blocks are written as text. Comparison with the fast tier on random blocks is test_tiers.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "base/error.h"
#include "eval_check.h"
#include "fast_tier.h"

unsigned checks_passed, checks_failed;

// The guest: x0..x3 (i64), f0 (f64), v0, v1 (v128).
static const KirGlobal globals[] = {{"x0", 0, KIR_I64},  {"x1", 8, KIR_I64},   {"x2", 16, KIR_I64}, {"x3", 24, KIR_I64},
                                    {"f0", 32, KIR_F64}, {"v0", 48, KIR_V128}, {"v1", 64, KIR_V128}};

static uint64_t raise_flags(void *state, uint64_t a, uint64_t b, uint64_t c) {
    double zero = 0, one = 1;
    __asm__ volatile("divsd %1, %0" : "+x"(one) : "x"(zero)); // division by zero, in the guest's environment
    engine_raise(state, KIR_EXC_TRAP);
}
static uint64_t mxcsr_now(void *state, uint64_t a, uint64_t b, uint64_t c) { return read_mxcsr(); }
static const KirHelper helpers[] = {
    {"raise_flags", raise_flags, KIR_VOID, {KIR_VOID}, KIR_HELPER_FPENV | KIR_HELPER_MAY_RAISE},
    {"guest_mxcsr", mxcsr_now, KIR_I64, {KIR_VOID}, KIR_HELPER_FPENV},
    {"host_mxcsr", mxcsr_now, KIR_I64, {KIR_VOID}, 0},
};
static const KirWorld world = {globals, sizeof globals / sizeof *globals, helpers, sizeof helpers / sizeof *helpers};

static Cpu *cpu;
static KirException code;

static InterpOutcome interpret(const char *body) {
    Arena arena = {0};
    char error[200], text[2000];
    snprintf(text, sizeof text, "block 0x1000 mode 0 bytes 8 insns 2 base 0\n%s", body);
    KirBlock *block = kir_parse(&arena, &world, text, error, sizeof error);
    if (!block || !kir_verify(block, error, sizeof error)) bug("%s in\n%s", error, text);
    InterpOutcome outcome = interp_run(cpu, block, &code);
    CHECK(!cpu->interp_jump && !cpu->in_interpreter && (read_mxcsr() & ~(uint32_t)MXCSR_STICKY) == MXCSR_NEAREST,
          "the interpreter cleans up after itself");
    arena_free(&arena);
    return outcome;
}

static uint64_t *x(unsigned i) { return (uint64_t *)(cpu->guest + 8 * i); }
static uint64_t *v(unsigned i) { return (uint64_t *)(cpu->guest + 48 + 16 * i); }

static void test_fault(uint8_t *memory) {
    *x(0) = (uint64_t)(uintptr_t)memory + 4096 - 4;
    *x(1) = *x(2) = 7;
    cpu->guest_mxcsr = MXCSR_UP | 1;
    memset(memory, 0x11, 4096);
    InterpOutcome outcome = interpret("#0 = direct 0x2000\n"
                                      "  insn 0x1000, 4\n"
                                      "  %1 = get.i64 x0\n"
                                      "  %2 = const.i64 0x5\n"
                                      "  set x1, %2\n"
                                      "  insn 0x1004, 4\n"
                                      "  store %1, %2, 0 {64}\n"
                                      "  set x2, %2\n"
                                      "  exit #0\n"
                                      "fault %5: x3 = %1\n");
    CHECK(outcome == INTERP_FAULT && cpu->pc == 0x1004 && cpu->fault.raised && cpu->fault.signal == SIGSEGV, "store faults");
    CHECK(*x(1) == 5 && *x(2) == 7 && *x(3) == *x(0), "homes at the fault: %lx %lx %lx", *x(1), *x(2), *x(3));
    CHECK(memory[4095] == 0x11 && memory[4092] == 0x11, "nothing is written");
    CHECK(cpu->guest_mxcsr == (MXCSR_UP | 1), "the guest's floating-point environment stays");
}

static void test_helpers(void) {
    cpu->guest_mxcsr = MXCSR_DOWN;
    CHECK(interpret("#0 = direct 0x2000\n  insn 0x1000, 4\n  %1 = call.i64 guest_mxcsr\n  set x0, %1\n"
                    "  %3 = call.i64 host_mxcsr\n  set x1, %3\n  exit #0\n") == INTERP_CONTINUE &&
              cpu->pc == 0x2000,
          "exit");
    CHECK(*x(0) == MXCSR_DOWN && (*x(1) & 0x7f80) == MXCSR_NEAREST, "helpers' environments: %lx %lx", *x(0), *x(1));
    InterpOutcome outcome =
        interpret("#0 = direct 0x2000\n  insn 0x1000, 4\n  insn 0x1008, 4\n  call.void raise_flags\n  exit #0\n");
    CHECK(outcome == INTERP_EXCEPTION && code == KIR_EXC_TRAP && cpu->pc == 0x1008, "a helper raises");
    CHECK((cpu->guest_mxcsr & (uint32_t)~2) == (MXCSR_DOWN | 4), "its flags stay: %x", cpu->guest_mxcsr);
}

static void test_poll(void) {
    const char *body = "#0 = direct 0x2000\n#1 = direct 0x3000\n  insn 0x1000, 4\n  poll #0\n  exit #1\n";
    cpu->poll = 0;
    CHECK(interpret(body) == INTERP_CONTINUE && cpu->pc == 0x3000, "nothing to poll");
    cpu->poll = 1;
    CHECK(interpret(body) == INTERP_CONTINUE && cpu->pc == 0x2000, "poll leaves");
    cpu->poll = 0;
}

static void test_wide_atomics(uint8_t *memory) {
    const char *body = "#0 = direct 0x2000\n  insn 0x1000, 4\n  %1 = get.i64 x0\n  %2 = get.v128 v0\n  %3 = bitcast.i128 "
                       "%2\n"
                       "  %4 = get.v128 v1\n  %5 = bitcast.i128 %4\n  %6 = cas.i128 %1, %3, %5 {128 acquire release}\n"
                       "  %7 = bitcast.v128 %6\n  set v0, %7\n  %9 = load.v128 %1, 0 {128 atomic}\n"
                       "  store %1, %9, 32 {128 atomic}\n  exit #0\n";
    for (unsigned misaligned = 0; misaligned < 16; misaligned += 5) {
        uint64_t start[2] = {1, 2}, now[2], copy[2];
        uint8_t *at = memory + 64 + misaligned;
        *x(0) = (uint64_t)(uintptr_t)at;
        memcpy(at, start, 16);
        v(0)[0] = 1, v(0)[1] = 3, v(1)[0] = 5, v(1)[1] = 6;
        interpret(body);
        memcpy(now, at, 16);
        CHECK(now[0] == 1 && now[1] == 2 && v(0)[0] == 1 && v(0)[1] == 2, "16-byte cas that fails, at +%u", misaligned);
        interpret(body); // v0 now holds what is in memory
        memcpy(now, at, 16);
        memcpy(copy, at + 32, 16);
        CHECK(now[0] == 5 && now[1] == 6 && v(0)[0] == 1 && v(0)[1] == 2, "16-byte cas, at +%u", misaligned);
        CHECK(!memcmp(now, copy, 16), "16-byte load and store, at +%u", misaligned);
    }
}

int main(void) {
    static const uint16_t no_pins[10] = {0xffff};
    EngineOptions options = {.tier = TIER_INTERP};
    Engine *engine = fast_tier_new(&world, no_pins, no_pins, &options);
    uint8_t *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + 4096, 4096, PROT_NONE)) fatal("no memory");
    current_cpu = cpu = cpu_new(engine, NULL);
    test_fault(memory);
    test_helpers();
    test_poll();
    test_wide_atomics(memory);
    printf("%u passed, %u failed\n", checks_passed, checks_failed);
    return checks_failed != 0;
}
