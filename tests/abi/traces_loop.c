// SPDX-License-Identifier: MIT
// kiln: skip-native skip-interp
// (there are no traces in the interpreter, and a million rounds of it take minutes.)
//
// Faults and signals in a hot loop in assembly, all of whose registers are known at each of its instructions.
//
// STEPS lists its instructions with what each means. From that follow the code, the address of each instruction, and a model that is
// stepped along: a handler of a fault or of a timer steps the model to the same round and instruction and compares all registers. Each
// access has a pointer of its own, so each can be made to fault in any round; the handler mends the mapping, and the loop goes on.
//
// When the handler is installed matters to a translator that has optimised the loop under the assumption that there is none: before
// the loop is hot, afterwards, and while another thread is in it.
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

enum { PAGE = 4096, POINTERS = 7, WARM = 300000, REGION = 8 * (WARM + 4000), EXTRA = 200 };
enum { RA = 1, T0 = 5, T1, T2, S0, S1, A0, A1, A2, A3, A4, A5, A6, A7, S2, S3, S4, S5, S6, S7, S8, S9, S10, S11, T3, T4, T5, T6 };
enum { FA0 = 10, FS2 = 18 };
static const int pointer_register[POINTERS] = {A0, A1, A2, A3, A6, A7, S5};

typedef struct State {
    uint64_t x[32];
    double f[32];
    uint64_t step;
} State;

static uint64_t data(uint64_t round, unsigned pointer) {
    uint64_t v = (round + 1) * 0x9e3779b97f4a7c15 + pointer * 0x123456789;
    return v ^ v >> 31;
}
static double float_data(uint64_t round) { return (double)(data(round, 3) % 1000); }

// s0 counts rounds, s1 is their number. 1 and 8 are labels.
#define STEPS(X)                                                                                                                   \
    X("addi s2, s2, 3", m->x[S2] += 3)                                                                                             \
    X("li a5, 77", m->x[A5] = 77)                                                                                                  \
    X("ld t0, 0(a0)", m->x[T0] = data(m->x[S0], 0))                                                                                \
    X("add a4, a4, t0", m->x[A4] += m->x[T0])                                                                                      \
    X("xori a5, a4, 0x55", m->x[A5] = m->x[A4] ^ 0x55)                                                                             \
    X("addi s2, s2, 1", m->x[S2] += 1)                                                                                             \
    X("sd a4, 0(a1)", (void)0)                                                                                                     \
    X("slli t1, s0, 3", m->x[T1] = m->x[S0] << 3)                                                                                  \
    X("add t2, t1, a5", m->x[T2] = m->x[T1] + m->x[A5])                                                                            \
    X("lw t3, 0(a2)", m->x[T3] = (uint64_t)(int32_t)data(m->x[S0], 2))                                                             \
    X("sub s3, s3, t3", m->x[S3] -= m->x[T3])                                                                                      \
    X("fld fa0, 0(a3)", m->f[FA0] = float_data(m->x[S0]))                                                                          \
    X("mv t4, t2", m->x[T4] = m->x[T2])                                                                                            \
    X("fadd.d fs2, fs2, fa0", m->f[FS2] += m->f[FA0])                                                                              \
    X("fsd fs2, 0(a6)", (void)0)                                                                                                   \
    X("li t4, -5", m->x[T4] = (uint64_t)-5)                                                                                        \
    X("amoadd.d t5, t4, (a7)", m->x[T5] = data(m->x[S0], 5))                                                                       \
    X("xor s4, s4, t5", m->x[S4] ^= m->x[T5])                                                                                      \
    X("mv t6, s4", m->x[T6] = m->x[S4])                                                                                            \
    X("lbu t4, 3(s5)", m->x[T4] = data(m->x[S0], 6) >> 24 & 255)                                                                   \
    X("addi a0, a0, 8", m->x[A0] += 8)                                                                                             \
    X("addi a1, a1, 8", m->x[A1] += 8)                                                                                             \
    X("addi a2, a2, 8", m->x[A2] += 8)                                                                                             \
    X("addi a3, a3, 8", m->x[A3] += 8)                                                                                             \
    X("addi a6, a6, 8", m->x[A6] += 8)                                                                                             \
    X("addi a7, a7, 8", m->x[A7] += 8)                                                                                             \
    X("addi s5, s5, 8", m->x[S5] += 8)                                                                                             \
    X("andi s6, s0, 15", m->x[S6] = m->x[S0] & 15)                                                                                 \
    X("bnez s6, 1f", m->step += m->x[S6] ? 2 : 0)                                                                                  \
    X("addi s7, s7, 9", m->x[S7] += 9)                                                                                             \
    X("xor s8, s8, s7", m->x[S8] ^= m->x[S7])                                                                                      \
    X("1: addi s0, s0, 1", m->x[S0] += 1)                                                                                          \
    X("blt s0, s1, 8b", m->step = m->x[S0] < m->x[S1] ? UINT64_MAX : m->step)

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

#define STEP_CASE(text, meaning)                                                                                                   \
    case __COUNTER__ - FIRST_STEP: meaning; break;
static void model_step(State *m) {
    enum { FIRST_STEP = __COUNTER__ + 1 };
    switch (m->step) { STEPS(STEP_CASE) }
    m->step++;
}
#define STEP_ONE(text, meaning) +1
enum { STEP_COUNT = 0 STEPS(STEP_ONE) };

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
    return s;
}

// ---- the handler ------------------------------------------------------------------------------------------------------------------------
typedef struct Expected {
    State model;
    char *start; // of the pointer that faults, which is to fault in that round
    unsigned pointer;
    uint64_t round;
    volatile int seen, wrong;
    volatile int first_wrong; // register, 32 and more: floating point, 100: pc, 101: address
} Expected;
static Expected *volatile expected;
static __thread Expected *own;

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
    if (!reach(e, x[0], x[S0])) {
        note_wrong(e, 100);
        return;
    }
    for (int i = 5; i < 32; i++)
        if (x[i] != m->x[i]) note_wrong(e, i);
    for (int i = 0; i < 32; i++)
        if (memcmp(&context->uc_mcontext.__fpregs.__d.__f[i], &m->f[i], 8) != 0) note_wrong(e, 32 + i);
}

static void mend(Expected *e) {
    mmap(tail_of(e->pointer), PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    fill(e->start, e->pointer, e->round, e->round + EXTRA);
}

static void on_fault(int signal, siginfo_t *info, void *context) {
    Expected *e = own ? own : expected;
    e->seen++;
    if ((uint64_t)info->si_addr != (uint64_t)tail_of(e->pointer) + (e->pointer == 6 ? 3 : 0)) note_wrong(e, 101);
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
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(signal, &action, NULL);
}
static void handle_faults(void) {
    handle(SIGSEGV, on_fault);
    handle(SIGBUS, on_fault);
}

// ---- runs -----------------------------------------------------------------------------------------------------------------------------
static bool same_end(Expected *e, const State *end) {
    while (e->model.step < STEP_COUNT) model_step(&e->model);
    for (int i = 5; i < 32; i++)
        if (e->model.x[i] != end->x[i]) note_wrong(e, 200 + i);
    for (int i = 0; i < 32; i++)
        if (memcmp(&e->model.f[i], &end->f[i], 8) != 0) note_wrong(e, 232 + i);
    if (e->wrong) fprintf(stderr, "pointer %u round %lu: %d wrong, first %d\n", e->pointer, e->round, e->wrong, e->first_wrong);
    return !e->wrong;
}

static bool run_plain(uint64_t rounds) {
    State s = initial(rounds);
    Expected e = {.model = s};
    fill(region[5], 5, 0, rounds);
    run_loop(&s);
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
    fill(region[5], 5, 0, round + EXTRA);
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

static bool handler_first(void) {
    static const uint64_t rounds[] = {0, 1, 2, 3, 7, 49, 50, 51, 52, 99, 100, 101, 102, 500, 2000};
    handle_faults();
    return faults(rounds, 15) == 15 * POINTERS && run_plain(WARM) && faults(rounds, 15) == 15 * POINTERS;
}

static bool handler_when_hot(void) {
    static const uint64_t rounds[] = {0, 1, 50, 1000};
    if (!run_plain(WARM)) return false;
    handle_faults();
    return faults(rounds, 4) == 4 * POINTERS && run_plain(WARM) && faults(rounds, 4) == 4 * POINTERS;
}

// Something else happens between the loop and the handler: answers of an optimizer come in, and are not used before.
static bool handler_between(void) {
    for (int i = 0; i < 60; i++) {
        if (!run_plain(1500)) return false;
        for (int k = 0; k < 40; k++) getppid();
        if (i % 10 == 0) usleep(5000);
    }
    handle_faults();
    static const uint64_t rounds[] = {5, 300};
    return faults(rounds, 2) == 2 * POINTERS;
}

// One thread is in the loop while another one installs the handler.
static volatile int inside, installed;
static void *loop_in_thread(void *argument) {
    unsigned pointer = (unsigned)(uintptr_t)argument;
    bool good = true;
    while (!installed) {
        good = good && run_plain(20000);
        inside++;
    }
    Expected e = prepare(pointer, 3000, PROTECTED);
    State s = e.model;
    own = &e;
    run_loop(&s);
    own = NULL;
    return good && same_end(&e, &s) && e.seen == 1 ? argument : (void *)99;
}

static unsigned of_thread;
static bool handler_while_inside(void) {
    pthread_t thread;
    void *result;
    if (pthread_create(&thread, NULL, loop_in_thread, (void *)(uintptr_t)of_thread) != 0) return false;
    while (inside < 8) sched_yield();
    handle_faults();
    installed = 1;
    pthread_join(thread, &result);
    return result == (void *)(uintptr_t)of_thread;
}

// Without a handler the process dies of it, whatever was assumed.
static bool dies(void) { return run_plain(WARM) && run_fault(0, 100, PROTECTED); }
static bool dies_by_store(void) { return run_plain(WARM) && run_fault(1, 70, UNMAPPED); }
static bool dies_ignoring(void) {
    signal(SIGSEGV, SIG_IGN);
    return run_plain(WARM) && run_fault(2, 70, UNMAPPED);
}

// ---- asynchronous signals -----------------------------------------------------------------------------------------------------------------
static bool storm(int until) {
    int seen = 0;
    for (int i = 0; i < 200 && seen < until; i++) {
        State s = initial(WARM / 2);
        Expected e = {.model = s};
        fill(region[5], 5, 0, WARM / 2);
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

// Timers and faults in one.
static bool both(void) {
    static const uint64_t rounds[] = {10, 400};
    handle(SIGALRM, on_timer);
    handle_faults();
    struct itimerval timer = {{0, 300}, {0, 300}};
    setitimer(ITIMER_REAL, &timer, NULL);
    int good = 0;
    for (unsigned pointer = 0; pointer < POINTERS; pointer++)
        for (int i = 0; i < 2; i++) {
            Expected e = prepare(pointer, rounds[i], PROTECTED);
            State s = e.model;
            own = &e;
            run_loop(&s);
            own = NULL;
            good += same_end(&e, &s) && e.seen == 1;
        }
    return good == 2 * POINTERS;
}

int main(void) {
    make_regions();
    CHECK(in_child(handler_first) == 0);
    CHECK(in_child(handler_when_hot) == 0);
    CHECK(in_child(handler_between) == 0);
    for (of_thread = 0; of_thread < POINTERS; of_thread++) CHECK(in_child(handler_while_inside) == 0);
    CHECK(WTERMSIG(in_child(dies)) == SIGSEGV);
    CHECK(WTERMSIG(in_child(dies_by_store)) == SIGSEGV);
    CHECK(WTERMSIG(in_child(dies_ignoring)) == SIGSEGV);
    CHECK(in_child(timers) == 0);
    CHECK(in_child(signals_of_thread) == 0);
    CHECK(in_child(both) == 0);
    return check_summary();
}
