// SPDX-License-Identifier: MIT
//
// Runs the tests that check.h registers. Prints `ok NAME` or `FAIL NAME -- what`, then the totals; exits with 0 if
// none failed.
//
// A fault test is run twice: once the handler mends the base register and resumes at the instruction, once it steps
// over it. At the signal all registers must be those of the pattern, as changed by `before`; at the end, by `before`
// and `after`.
#include "../guest.h"

enum { PAGE = 4096, GOOD = 0x100, ANCHOR = 9 };

typedef struct Test {
    const char *name;
    void *entry;
    uint64_t at;  // pc of the signal
    int32_t kind; // 0 function, 1 fault
    int32_t signal, code;
    int32_t where;       // offset from A; si_addr is there or (crossing) at the next page
    int32_t reg, unused; // base register; 0: none, si_addr = pc
} Test;

extern const Test tests_start[], tests_end[];

static uint8_t arena[10 * PAGE] __attribute__((aligned(PAGE)));
static uint8_t *const A = arena + PAGE;
static const Test *current;
static int signals, step_over;
static const char *complaint;
static int complaint_register;

// For functions: what the handler saw, and where it is to go on (0: behind the instruction).
uint64_t seen_signal, seen_code, seen_address, seen_pc, seen_count, resume_at;
uint64_t cell[16] __attribute__((aligned(64)));
uint8_t code_page[2 * PAGE] __attribute__((aligned(PAGE)));

static uint64_t pattern(int i) { return 0x1111111111111111u * (unsigned)(i % 13 + 1) ^ (uint64_t)i << 32; }

static uint64_t *x_slot(int i) { return (uint64_t *)(A + X_OFFSET) + i; }
static uint64_t *f_slot(int i) { return (uint64_t *)(A + F_OFFSET) + i; }

static uint64_t bits_of(double v) {
    union {
        double d;
        uint64_t u;
    } u = {.d = v};
    return u.u;
}

static void complain(const char *what, int reg) {
    if (!complaint) {
        complaint = what;
        complaint_register = reg;
    }
}

static uint64_t initial_x(int i) {
    if (i == ANCHOR) return (uint64_t)A;
    return i && i == current->reg ? (uint64_t)A + current->where : pattern(i);
}

// `phase` 0: as loaded, 1: at the fault, 2: at the end.
static uint64_t expected_x(int i, int phase) {
    uint64_t v = initial_x(i);
    return i >= 18 && i <= 27 ? v + (phase == 2 ? 17 : phase) : v;
}

static uint64_t expected_f(int i, int phase) {
    static const double at_fault[] = {1.5, 2.25, 3.75, 6.0}, at_end[] = {1.5, 2.25, 3.0, 6.0};
    if (i < 16 || i > 19) return pattern(i);
    if (!phase) return i < 18 ? bits_of(at_end[i - 16]) : pattern(i);
    return bits_of(phase == 1 ? at_fault[i - 16] : at_end[i - 16]);
}

// ---- the handler ----------------------------------------------------------------------------------------------------

static void check_address(uint64_t address) {
    uint64_t where = (uint64_t)A + current->where;
    if (!current->reg) where = current->at;
    if (current->signal == SIGTRAP) return;
    if (address != where && (address & (PAGE - 1) || address - where >= 8)) complain("si_addr", -1);
}

static void check_registers(const Context *context) {
    if (context->x[0] != current->at) complain("pc", -1);
    for (int i = 1; i < 32; i++)
        if (context->x[i] != expected_x(i, 1)) complain("at the signal: x", i);
    for (int i = 0; i < 32; i++)
        if (context->f[i] != expected_f(i, 1)) complain("at the signal: f", i);
}

static void fault_signal(int number, const Info *info, Context *context) {
    if (signals++) {
        complain("a second signal", -1);
        context->x[0] = (uint64_t)leave_table[ANCHOR];
        context->x[ANCHOR] = (uint64_t)A;
        return;
    }
    if (number != current->signal) complain("signal number", number);
    if (info->code != current->code) complain("si_code", info->code);
    check_address(info->address);
    check_registers(context);
    if (current->reg && !step_over) context->x[current->reg] = (uint64_t)A + GOOD;
    else context->x[0] += (insn_at(current->at) & 3) == 3 ? 4 : 2;
}

static void on_signal(int number, const Info *info, Context *context) {
    if (current->kind == 1) {
        fault_signal(number, info, context);
        return;
    }
    seen_signal = number;
    seen_code = info->code;
    seen_address = info->address;
    seen_pc = context->x[0];
    if (++seen_count > 1000) syscall4(SYS_EXIT, 5, 0, 0, 0);
    context->x[0] = resume_at ? resume_at : seen_pc + ((insn_at(seen_pc) & 3) == 3 ? 4 : 2);
}

// ---- running ----------------------------------------------------------------------------------------------------------

static void check_end(uint64_t loaded_mask) {
    if (!signals) complain("no signal", -1);
    for (int i = 1; i < 32; i++)
        if (*x_slot(i) != expected_x(i, 2) && i != current->reg && !(loaded_mask >> i & 1)) complain("at the end: x", i);
    for (int i = 0; i < 32; i++)
        if (*f_slot(i) != expected_f(i, 2) && i != 10) complain("at the end: f", i);
}

// Results of the instruction under test go to a1 (or a0, the base) and fa0 by convention.
static void run_fault(const Test *test) {
    for (step_over = 0; step_over < 2; step_over++) {
        signals = 0;
        for (int i = 0; i < 64; i++) ((uint64_t *)(A + GOOD - 256))[i] = 0x0123456789abcdef;
        for (int i = 1; i < 32; i++) *x_slot(i) = initial_x(i);
        for (int i = 0; i < 32; i++) *f_slot(i) = expected_f(i, 0);
        *(uint64_t *)(A + FCSR_OFFSET) = 0;
        *(uint64_t *)(A + ENTRY_OFFSET) = (uint64_t)test->entry;
        *(uint64_t *)(A + EXIT_OFFSET) = (uint64_t)leave_table[ANCHOR];
        run_unit((uint64_t)A, enter_table[ANCHOR]);
        check_end(1u << 10 | (step_over ? 0 : 1u << 11));
    }
}

static void run_function(const Test *test) {
    seen_signal = seen_code = seen_address = seen_pc = seen_count = resume_at = 0;
    for (int i = 0; i < 16; i++) cell[i] = 0;
    uint64_t (*function)(void) = (uint64_t(*)(void))test->entry;
    uint64_t result = function();
    if (result) complain("step", (int)result);
}

static int run_test(const Test *test) {
    current = test;
    complaint = NULL;
    if (test->kind == 1) run_fault(test);
    else run_function(test);
    put(complaint ? "FAIL " : "ok ");
    put(test->name);
    if (complaint) {
        put(" -- ");
        put(complaint);
        if (complaint_register >= 0) {
            put(" ");
            put_dec(complaint_register);
        }
    }
    put("\n");
    flush();
    return complaint == NULL;
}

void driver_main(uint64_t *stack) {
    (void)stack;
    unsigned passed = 0, failed = 0;
    catch_signals(on_signal);
    syscall4(SYS_MPROTECT, (long)(A + 0x2000), PAGE, 0, 0);
    syscall4(SYS_MPROTECT, (long)(A + 0x4000), PAGE, 1, 0);
    syscall4(SYS_MUNMAP, (long)(A + 0x6000), PAGE, 0, 0);
    syscall4(SYS_MPROTECT, (long)code_page, sizeof code_page, 7, 0);
    for (const Test *test = tests_start; test < tests_end; test++) run_test(test) ? passed++ : failed++;
    put_dec(passed);
    put(" passed, ");
    put_dec(failed);
    put(" failed\nend\n");
    flush();
    syscall4(SYS_EXIT, failed != 0, 0, 0, 0);
    __builtin_unreachable();
}
