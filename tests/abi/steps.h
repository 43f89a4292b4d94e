// SPDX-License-Identifier: MIT
//
// A hot loop in assembly, all of whose registers are known at each of its instructions: what the programs traces_*.c share.
//
// The program says, before it includes this, what the loop is:
//
//   STEPS(X)            its instructions, each with what it means for a State *m. s0 counts rounds, s1 is their number. 8 is the label of its
//                       start; what leaves a round early or skips steps changes m->step, which is increased after each
//   POINTER_REGISTERS   each pointer walks over a region of its own, 8 bytes a round, so each can be made to fault in any round
//   WARM                rounds until everything is hot
//   FAULT_OFFSET(p)     where behind its pointer access p is
//   REFILLED            the pointer whose region the loop changes
//
// and defines afterwards set_up(State *), which changes what the loop begins with.
//
// From that follow the code, the address of each instruction, and a model that is stepped along: a handler of a fault, a trap or a timer
// steps the model to the same round and instruction and compares all registers. The handler of a fault mends the mapping, that of a trap
// goes on behind the instruction, and the loop goes on.
#ifndef KILN_TESTS_STEPS_H
#define KILN_TESTS_STEPS_H

#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

enum { RA = 1, T0 = 5, T1, T2, S0, S1, A0, A1, A2, A3, A4, A5, A6, A7, S2, S3, S4, S5, S6, S7, S8, S9, S10, S11, T3, T4, T5, T6 };
enum { FA0 = 10, FS2 = 18 };
static const int pointer_register[] = {POINTER_REGISTERS};
enum { PAGE = 4096, POINTERS = sizeof pointer_register / sizeof *pointer_register, REGION = 8 * (WARM + 4000), EXTRA = 200 };

typedef struct State {
    uint64_t x[32];
    double f[32];
    uint64_t step;
    int traps, signals; // instructions that trap, signals that the loop sends to itself
    int rounding;       // what the loop has set it to, and one more; 0: it has not
} State;

static void set_up(State *s);

static uint64_t data(uint64_t round, unsigned pointer) {
    uint64_t v = (round + 1) * 0x9e3779b97f4a7c15 + pointer * 0x123456789;
    return v ^ v >> 31;
}
static double float_data(uint64_t round) { return (double)(data(round, 3) % 1000); }

// run_loop(state): all registers but ra, sp, gp and tp from there, and back.
#define STEP_CODE(text, meaning) ".pushsection .rodata\n.dword 9f\n.popsection\n9: " text "\n"
#define INTEGERS(op)                                                                                                               \
    ".irp r,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n" op " x\\r, 8*\\r(x10)\n.endr\n"
#define FLOATS(op)                                                                                                                 \
    ".irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n" op                            \
    " f\\r, 256+8*\\r(x10)\n.endr\n"
#define CALLEES(op, fop) ".irp r,8,9,18,19,20,21,22,23,24,25,26,27\n" op " x\\r, 8*\\r(sp)\n" fop " f\\r, 256+8*\\r(sp)\n.endr\n"
__asm__(".pushsection .rodata\n.balign 8\nloop_pcs:\n.popsection\n"
        ".globl run_loop\n.option push\n.option norvc\nrun_loop:\n"
        "addi sp, sp, -528\nsd x10, 512(sp)\n" CALLEES("sd", "fsd") FLOATS("fld") INTEGERS(
            "ld") "ld x10, 80(x10)\n"
                  "8:\n" STEPS(STEP_CODE) "sd x10, 520(sp)\nld x10, 512(sp)\n" INTEGERS("sd")
                      FLOATS("fsd") "ld x5, 520(sp)\nsd x5, 80(x10)\n" CALLEES("ld", "fld") "addi sp, sp, 528\nret\n.option pop\n");
extern const uint64_t loop_pcs[];
void run_loop(State *state);

#include "model.h"

// ---- memory ---------------------------------------------------------------------------------------------------------------------------
static char *region[POINTERS]; // REGION bytes, and a page that is used for faults
static int file;

static void fill(char *start, unsigned pointer, uint64_t first, uint64_t end) {
    for (uint64_t i = first; i < end; i++) {
        double f = float_data(i);
        uint64_t v = data(i, pointer);
        memcpy(start + 8 * i, pointer == 3 ? (void *)&f : &v, 8);
    }
}

static char *tail_of(unsigned pointer) { return region[pointer] + (REGION + PAGE - 1) / PAGE * PAGE; }

static void make_regions(void) {
    for (unsigned i = 0; i < POINTERS; i++) {
        region[i] = mmap(0, REGION + 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        fill(region[i], i, 0, WARM + EXTRA);
    }
    file = open("/proc/self/exe", O_RDONLY);
}

static State initial(uint64_t rounds) {
    State s = {0};
    for (int i = 0; i < 32; i++) s.x[i] = data((uint64_t)i, 99), s.f[i] = i;
    s.x[0] = 0;
    s.x[S0] = 0;
    s.x[S1] = rounds;
    for (int i = 0; i < POINTERS; i++) s.x[pointer_register[i]] = (uint64_t)region[i];
    set_up(&s);
    return s;
}

// ---- the handler ------------------------------------------------------------------------------------------------------------------------
typedef struct Expected {
    State model;
    char *start; // of the pointer that faults, which is to fault in that round
    unsigned pointer;
    uint64_t round;
    volatile int seen, wrong, traps, signals;
    volatile int first_wrong; // register, 32 and more: floating point, 100: pc, 101: address
} Expected;
static Expected *volatile expected;
static __thread Expected *own;
static void (*look)(Expected *e); // NULL, or what else the program compares

static void note_wrong(Expected *e, int what) {
    if (!e->wrong++) e->first_wrong = what;
}

// The model comes to the round and instruction of the context.
static bool reach(Expected *e, uint64_t pc, uint64_t round) {
    State *m = &e->model;
    while (m->x[S0] < round || loop_pcs[m->step] != pc) {
        if (m->step >= STEP_COUNT || m->x[S0] > round + 1) return false;
        model_step(m);
        if (m->step == STEP_COUNT) return false;
    }
    return true;
}

static void compare(Expected *e, const ucontext_t *context) {
    const unsigned long *x = context->uc_mcontext.__gregs;
    const State *m = &e->model;
    __asm__ volatile("fsrmi zero, 0"); // the loop's may be none that there is
    if (!reach(e, x[0], x[S0])) {
        note_wrong(e, 100);
        return;
    }
    for (int i = 5; i < 32; i++)
        if (x[i] != m->x[i]) note_wrong(e, i);
    for (int i = 0; i < 32; i++)
        if (memcmp(&context->uc_mcontext.__fpregs.__d.__f[i], &m->f[i], 8) != 0) note_wrong(e, 32 + i);
    if (m->rounding && (int)(context->uc_mcontext.__fpregs.__d.__fcsr >> 5) != m->rounding - 1) note_wrong(e, 106);
}

static void mend(Expected *e) {
    mmap(tail_of(e->pointer), PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    fill(e->start, e->pointer, e->round, e->round + EXTRA);
}

static void on_fault(int signal, siginfo_t *info, void *context) {
    Expected *e = own ? own : expected;
    e->seen++;
    if ((uint64_t)info->si_addr != (uint64_t)tail_of(e->pointer) + FAULT_OFFSET(e->pointer)) note_wrong(e, 101);
    compare(e, context);
    if (e->model.x[S0] != e->round) note_wrong(e, 102);
    if (e->seen > 1) _exit(90 + signal);
    mend(e);
}

static void on_timer(int signal, siginfo_t *info, void *context) {
    const ucontext_t *c = context;
    uint64_t pc = c->uc_mcontext.__gregs[0];
    Expected *e = expected;
    if (!e || pc < loop_pcs[0] || pc > loop_pcs[STEP_COUNT - 1]) return;
    e->seen++;
    compare(e, context);
    if (look && !e->wrong) look(e);
}

// An instruction that traps, in any tier: the next one is behind it.
static void on_trap(int signal, siginfo_t *info, void *context) {
    ucontext_t *c = context;
    Expected *e = own ? own : expected;
    e->traps++;
    compare(e, context);
    if ((uint64_t)info->si_addr != c->uc_mcontext.__gregs[0]) note_wrong(e, 101);
    c->uc_mcontext.__gregs[0] += 4;
}

// A signal that the loop has sent to its own thread.
static void on_own_signal(int signal, siginfo_t *info, void *context) {
    Expected *e = own ? own : expected;
    e->signals++;
    compare(e, context);
    if (e->model.signals != e->signals) note_wrong(e, 103);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(signal, &action, NULL);
}
static void handle_traps(void) {
    handle(SIGTRAP, on_trap);
    handle(SIGILL, on_trap);
    handle(SIGFPE, on_own_signal);
}
static void handle_faults(void) {
    handle(SIGSEGV, on_fault);
    handle(SIGBUS, on_fault);
}

// ---- runs -----------------------------------------------------------------------------------------------------------------------------
static bool same_end(Expected *e, const State *end) {
    __asm__ volatile("fsrmi zero, 0");
    while (e->model.step < STEP_COUNT) model_step(&e->model);
    if (e->model.traps != e->traps || e->model.signals != e->signals) note_wrong(e, 104);
    for (int i = 5; i < 32; i++)
        if (e->model.x[i] != end->x[i]) note_wrong(e, 200 + i);
    for (int i = 0; i < 32; i++)
        if (memcmp(&e->model.f[i], &end->f[i], 8) != 0) note_wrong(e, 232 + i);
    if (look && !e->wrong) look(e);
    if (e->wrong) fprintf(stderr, "pointer %u round %lu: %d wrong, first %d\n", e->pointer, e->round, e->wrong, e->first_wrong);
    return !e->wrong;
}

static bool run_plain(uint64_t rounds) {
    State s = initial(rounds);
    Expected e = {.model = s};
    fill(region[REFILLED], REFILLED, 0, rounds);
    own = &e;
    run_loop(&s);
    own = NULL;
    return same_end(&e, &s);
}

typedef enum Kind { PROTECTED, UNMAPPED, BEHIND_FILE, KINDS } Kind;

static void spoil(unsigned pointer, Kind kind) {
    char *tail = tail_of(pointer);
    if (kind == PROTECTED) mmap(tail, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    else if (kind == UNMAPPED) munmap(tail, PAGE);
    else mmap(tail, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 1 << 30);
}

// The access of that pointer faults in that round.
static Expected prepare(unsigned pointer, uint64_t round, Kind kind) {
    char *start = tail_of(pointer) - 8 * round;
    State s = initial(round + EXTRA);
    fill(region[REFILLED], REFILLED, 0, round + EXTRA);
    fill(start, pointer, 0, round);
    spoil(pointer, kind);
    s.x[pointer_register[pointer]] = (uint64_t)start;
    return (Expected){.model = s, .start = start, .pointer = pointer, .round = round};
}

static bool run_fault(unsigned pointer, uint64_t round, Kind kind) {
    Expected e = prepare(pointer, round, kind);
    State s = e.model;
    expected = &e;
    run_loop(&s);
    expected = NULL;
    bool good = same_end(&e, &s) && e.seen == 1;
    return good;
}

static int faults(const uint64_t *rounds, int count) {
    int good = 0;
    for (unsigned pointer = 0; pointer < POINTERS; pointer++)
        for (int i = 0; i < count; i++) good += run_fault(pointer, rounds[i], (Kind)((pointer + (unsigned)i) % KINDS));
    return good;
}

static int in_child(bool (*test)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) _exit(!test());
    int status = -1;
    return waitpid(child, &status, 0) == child ? status : -1;
}

// ---- asynchronous signals -----------------------------------------------------------------------------------------------------------------
static bool storm(int until) {
    int seen = 0;
    for (int i = 0; i < 200 && seen < until; i++) {
        State s = initial(WARM / 2);
        Expected e = {.model = s};
        fill(region[REFILLED], REFILLED, 0, WARM / 2);
        expected = &e;
        run_loop(&s);
        expected = NULL;
        if (!same_end(&e, &s)) return false;
        seen += e.seen;
    }
    return seen >= until / 10;
}

static bool timers(void) {
    handle(SIGALRM, on_timer);
    struct itimerval timer = {{0, 150}, {0, 150}};
    setitimer(ITIMER_REAL, &timer, NULL);
    return storm(300);
}

static pthread_t main_thread;
static volatile int storm_over;
static void *send_signals(void *argument) {
    while (!storm_over) {
        pthread_kill(main_thread, SIGUSR1);
        usleep(200);
    }
    return argument;
}
static bool signals_of_thread(void) {
    pthread_t thread;
    main_thread = pthread_self();
    handle(SIGUSR1, on_timer);
    if (pthread_create(&thread, NULL, send_signals, NULL) != 0) return false;
    bool good = storm(200);
    storm_over = 1;
    pthread_join(thread, NULL);
    return good;
}

#endif
