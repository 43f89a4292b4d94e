// SPDX-License-Identifier: MIT
// kiln: skip-native
//
// A loop that became hot while nobody handled memory faults, and the moment at which a handler is installed:
//
//   compiling   the loop has just run often enough for its better form to be asked for
//   unused      that has come, and has not run yet
//   inside      another thread is in it: it knows of nothing, and the loop's pages are taken away under it
//   signal      a signal interrupts the loop in it, and the handler of that one installs the other
//   faulting    another thread is in it and faults at about the same time: it dies of that, or all is as with a handler
//
// From then on the handler must find all registers and memory as they are at that instruction of that round: not those of a form that was made
// to die of a fault. The loop goes round and round over three rings, so it can run for long, and what everything is follows from the round.
//
// Without arguments: the moments with some faults each. With `MOMENT FAULT MILLISECONDS [FILE]`: one, with that long a wait for the
// optimizer, and a file that is made when the handler is there (tests/retraction.py, which looks whether the moment was hit).
#include "check.h"
#include "retract.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

enum { PAGE = 4096, RING = 2 * PAGE, WORDS = RING / 8, WARM = 6000, AGAIN = 40000 };
enum { LOADED, STORED, ADDED, RINGS };
enum { T0 = 5, T1, T2, S0, S1, A0, A1, A2, A3, A4, A5, S2 = 18, S3, S4, S5, S6, T3 = 28, T4, T5, T6 };
enum { FA0 = 10, FS2 = 18 };

typedef struct State {
    uint64_t x[32];
    double f[32];
    uint64_t step;
} State;

// ---- the loop ------------------------------------------------------------------------------------------------------------------------------
// Its instructions, and what each means for a State *m. s0 counts rounds up to s1; it ends earlier when *a3 is not 0.
#define STEPS(X)                                                                                                                   \
    X("slli t1, s0, 3", m->x[T1] = m->x[S0] << 3)                                                                                  \
    X("and t2, t1, s5", m->x[T2] = m->x[T1] & m->x[S5])                                                                            \
    X("li a5, 77", m->x[A5] = 77)                                                                                                  \
    X("add t3, a0, t2", m->x[T3] = m->x[A0] + m->x[T2])                                                                            \
    X("ld t0, 0(t3)", m->x[T0] = loaded_at(m->x[S0]))                                                                              \
    X("addi a4, a4, 7", m->x[A4] += 7)                                                                                             \
    X("xori a5, a4, 0x55", m->x[A5] = m->x[A4] ^ 0x55)                                                                             \
    X("fadd.d fs2, fs2, fa0", m->f[FS2] += m->f[FA0])                                                                              \
    X("add t4, a1, t2", m->x[T4] = m->x[A1] + m->x[T2])                                                                            \
    X("mv t5, s0", m->x[T5] = m->x[S0])                                                                                            \
    X("sd a4, 0(t4)", (void)0)                                                                                                     \
    X("add t4, a2, t2", m->x[T4] = m->x[A2] + m->x[T2])                                                                            \
    X("addi s2, s2, 3", m->x[S2] += 3)                                                                                             \
    X("amoadd.d t5, s6, (t4)", m->x[T5] = m->x[S0] / WORDS)                                                                        \
    X("xor s4, t5, t0", m->x[S4] = m->x[T5] ^ m->x[T0])                                                                            \
    X("li t4, -5", m->x[T4] = (uint64_t)-5)                                                                                        \
    X("addi s0, s0, 1", m->x[S0] += 1)                                                                                             \
    X("lw t6, 0(a3)", m->x[T6] = 0)                                                                                                \
    X("sltu t1, s0, s1", m->x[T1] = m->x[S0] < m->x[S1])                                                                           \
    X("seqz t6, t6", m->x[T6] = !m->x[T6])                                                                                         \
    X("and t6, t6, t1", m->x[T6] &= m->x[T1])                                                                                      \
    X("bnez t6, 8b", (void)0)
#define INTEGERS(op)             ".irp r,5,6,7,8,9,11,12,13,14,15,18,19,20,21,22,28,29,30,31\n" op " x\\r, 8*\\r(x10)\n.endr\n"
#define FLOATS(op)               ".irp r,10,18\n" op " f\\r, 256+8*\\r(x10)\n.endr\n"
#define CALLEES(op, fop)         ".irp r,8,9,18,19,20,21,22\n" op " x\\r, 8*\\r(sp)\n.endr\n" fop " fs2, 256(sp)\n"
#define STEP_CODE(text, meaning) ".pushsection .rodata\n.dword 9f\n.popsection\n9: " text "\n"
// run_loop(state): these registers from there, and back.
__asm__(".pushsection .rodata\n.balign 8\nloop_pcs:\n.popsection\n"
        ".globl run_loop\n.type run_loop, @function\n.option push\n.option norvc\nrun_loop:\n"
        "addi sp, sp, -288\nsd x10, 272(sp)\n" CALLEES("sd", "fsd") FLOATS("fld")
            INTEGERS("ld") "ld x10, 80(x10)\n"
                           "8:\n" STEPS(STEP_CODE) "ld x10, 272(sp)\n" INTEGERS("sd") FLOATS("fsd")
                               CALLEES("ld", "fld") "addi sp, sp, 288\nret\n.size run_loop, .-run_loop\n.option pop\n");
extern const uint64_t loop_pcs[];
void run_loop(State *state);

enum { LOAD_STEP = 4, STORE_STEP = 10, ADD_STEP = 13 };
static const uint64_t fault_step[] = {LOAD_STEP, STORE_STEP, ADD_STEP, LOAD_STEP}; // by Fault
static const uint8_t compared[] = {T0, T1, T2, S0, S1, A0, A1, A2, A3, A4, A5, S2, S3, S4, S5, S6, T3, T4, T5, T6};

static int patience_ms = 10, attempts = 4;
static const char *file;

static uint64_t *ring[RINGS];
static volatile uint32_t over; // read by the loop
static uint64_t last_round = UINT64_MAX;

static uint64_t loaded_at(uint64_t round) { return (round % WORDS + 1) * 0x9e3779b97f4a7c15; }
static uint64_t stored_by(uint64_t round) { return 7 * (round + 1) + 3; }

#include "model.h"

// At the start of that round.
static State at_round(uint64_t round) {
    State s = {.x = {[A0] = (uint64_t)ring[LOADED],
                     [A1] = (uint64_t)ring[STORED],
                     [A2] = (uint64_t)ring[ADDED],
                     [A3] = (uint64_t)&over,
                     [S1] = last_round,
                     [S5] = RING - 8,
                     [S6] = 1,
                     [T0] = 11,
                     [T1] = 12,
                     [T2] = 13,
                     [T3] = 14,
                     [T4] = 15,
                     [T5] = 16,
                     [T6] = 17,
                     [A5] = 18,
                     [S3] = 19,
                     [S4] = 20},
               .f = {[FA0] = 1}};
    uint64_t before = round ? round - 1 : 0;
    s.x[S0] = before;
    s.x[A4] = 7 * before + 3;
    s.x[S2] = 3 * before;
    s.f[FS2] = (double)before;
    while (round && s.step < STEP_COUNT) model_step(&s);
    s.step = 0;
    return s;
}

static void fill_loaded(void) {
    for (unsigned i = 0; i < WORDS; i++) ring[LOADED][i] = loaded_at(i);
}

// ---- faults ----------------------------------------------------------------------------------------------------------------------------------
typedef enum Fault { LOAD, STORE, ATOMIC, BUS, FAULTS } Fault;
static const char *const fault_name[FAULTS] = {"load", "store", "atomic", "bus"};
static const int ring_of[FAULTS] = {LOADED, STORED, ADDED, LOADED};

static Fault fault;
static char *volatile spoiled; // a page, or NULL
static volatile int seen, wrong;
static volatile int first_wrong; // a register, 32 and more: floating point, 100: instruction, 101: address, 102: memory
static int behind_end;           // a file

static int fault_signal(void) { return fault == BUS ? SIGBUS : SIGSEGV; }

static void note_wrong(int what) {
    if (!wrong++) first_wrong = what;
}

// One half of the ring: where it is not at its start, the fault comes in the midst of the loop.
static void spoil(unsigned half) {
    spoiled = (char *)ring[ring_of[fault]] + half * PAGE;
    if (fault != BUS) mprotect(spoiled, PAGE, PROT_NONE);
    else mmap(spoiled, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, behind_end, 1 << 30);
}

static void mend(void) {
    if (fault != BUS) {
        mprotect(spoiled, PAGE, PROT_READ | PROT_WRITE);
    } else {
        mmap(spoiled, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        fill_loaded();
    }
    __atomic_store_n(&spoiled, NULL, __ATOMIC_SEQ_CST);
}

// What the rounds before have left there, and this one so far.
static void compare_memory(uint64_t round, uint64_t step) {
    uint64_t i = round % WORDS, before = round - 1;
    uint64_t stored = round >= WORDS ? stored_by(round - WORDS) : 0;
    if (step > STORE_STEP) stored = stored_by(round);
    bool good = ring[STORED][i] == stored && ring[ADDED][i] == round / WORDS;
    if (round)
        good = good && ring[STORED][before % WORDS] == stored_by(before) && ring[ADDED][before % WORDS] == before / WORDS + 1;
    if (!good) note_wrong(102);
}

static void on_fault(int signal, siginfo_t *info, void *context) {
    const mcontext_t *c = &((const ucontext_t *)context)->uc_mcontext;
    const unsigned long *x = c->__gregs;
    uint64_t round = x[S0];
    State m = at_round(round);
    while (m.step < STEP_COUNT && loop_pcs[m.step] != x[0]) model_step(&m);
    if (m.step != fault_step[fault] || signal != fault_signal()) note_wrong(100);
    if (info->si_addr != &ring[ring_of[fault]][round % WORDS]) note_wrong(101);
    for (unsigned i = 0; i < sizeof compared; i++)
        if (x[compared[i]] != m.x[compared[i]]) note_wrong(compared[i]);
    if (memcmp(&c->__fpregs.__d.__f[FA0], &m.f[FA0], 8) || memcmp(&c->__fpregs.__d.__f[FS2], &m.f[FS2], 8)) note_wrong(32 + FS2);
    if (wrong > 10 || !spoiled) _exit(90); // it would go on for ever
    mend();
    compare_memory(round, m.step);
    seen++;
}

static void install(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaddset(&action.sa_mask, SIGALRM);
    sigaction(fault_signal(), &action, NULL);
    if (file) close(open(file, O_CREAT | O_WRONLY, 0600));
}

// ---- the moments -------------------------------------------------------------------------------------------------------------------------------
typedef enum Moment { COMPILING, UNUSED, INSIDE, SIGNAL, FAULTING, MOMENTS } Moment;
static const char *const moment_name[MOMENTS] = {"compiling", "unused", "inside", "signal", "faulting"};

// From that round on. True: all is as it should be when it ends.
static bool run_from(uint64_t round) {
    State s = at_round(round);
    run_loop(&s);
    State m = at_round(s.x[S0]);
    for (unsigned i = 0; i < sizeof compared; i++)
        if (compared[i] != T6 && s.x[compared[i]] != m.x[compared[i]]) return false; // t6: why it ends
    return s.f[FS2] == m.f[FS2] && (over || s.x[S0] == last_round);
}

static uint64_t round_now;
static bool run_on(uint64_t rounds) {
    uint64_t start = round_now;
    last_round = round_now += rounds;
    return run_from(start);
}

static bool faults_later(void) {
    int before = seen;
    spoil(round_now % WORDS < WORDS / 2);
    return run_on(2 * WORDS) && seen == before + 1;
}

static bool alone(Moment moment) {
    bool good = run_on(WARM);
    if (moment == UNUSED) wait_with_calls(patience_ms);
    install();
    good = faults_later() && good;
    // By now the answer to what was asked for before has come. Another one is asked for, under what holds now; what comes is exact too.
    for (int i = 0; i < 3; i++) {
        wait_with_calls(patience_ms);
        good = run_on(AGAIN) && good;
    }
    return faults_later() && good;
}

static void *run_in_thread(void *unused) { return run_from(0) ? unused : (void *)1; }

static bool beside(void) {
    enum { TIMES = 4 };
    pthread_t thread;
    void *result;
    if (pthread_create(&thread, NULL, run_in_thread, NULL) != 0) return false;
    wait_with_calls(patience_ms);
    install();
    for (int i = 0; i < 2 * TIMES; i++) {
        if (i == TIMES) wait_with_calls(patience_ms); // it is in a form that was made since then
        spoil(i % 2);
        while (seen <= i) usleep(100);
    }
    over = 1;
    return pthread_join(thread, &result) == 0 && !result;
}

// The thread faults at about the time at which the handler comes.
static bool both_at_once(int delay) {
    pthread_t thread;
    void *result;
    if (pthread_create(&thread, NULL, run_in_thread, NULL) != 0) return false;
    wait_with_calls(patience_ms);
    spoil(0);
    for (volatile int i = 0; i < delay; i++) {}
    install();
    while (!seen) usleep(100);
    over = 1;
    return pthread_join(thread, &result) == 0 && !result;
}

enum { ALARMS = 3 };
static void on_alarm(int signal) {
    if (spoiled) return;
    if (seen == 0) install();
    if (seen < ALARMS) spoil(seen % 2);
    else over = signal != 0;
}

static bool interrupted(void) {
    struct timeval often = {patience_ms / 1000, patience_ms % 1000 * 1000};
    struct itimerval timer = {often, often}, none = {0};
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &timer, NULL);
    bool good = run_from(0);
    setitimer(ITIMER_REAL, &none, NULL);
    return good && seen == ALARMS;
}

static void set_up(void) {
    behind_end = open("/proc/self/exe", O_RDONLY);
    for (int i = 0; i < RINGS; i++) ring[i] = mmap(0, RING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fill_loaded();
}

static int in_child(bool (*run)(int argument), int argument) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        bool good = run(argument);
        fflush(stdout);
        _exit(!good);
    }
    int status = -1;
    return waitpid(pid, &status, 0) == pid ? status : -1;
}

static bool once_at_once(int delay) {
    set_up();
    bool good = both_at_once(delay);
    if (wrong) printf("# %d wrong, first %d\n", wrong, first_wrong);
    return good && !wrong && seen == 1;
}

// Either the fault came before the handler, and the process has died of it, or it is one for the handler.
static bool at_once(void) {
    int good = 0;
    for (int i = 0; i < attempts; i++) {
        int status = in_child(once_at_once, i * 40);
        good += status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == fault_signal());
    }
    return good == attempts;
}

static bool test(Moment moment, Fault of) {
    fault = of;
    if (moment == FAULTING) return at_once();
    set_up();
    bool good = moment == INSIDE ? beside() : moment == SIGNAL ? interrupted() : alone(moment);
    if (wrong) printf("# %d wrong, first %d\n", wrong, first_wrong);
    return good && !wrong && seen >= 2;
}

static Moment moment_in_child;
static bool test_of(int of) { return test(moment_in_child, (Fault)of); }
static bool test_in_child(Moment moment, Fault of) {
    moment_in_child = moment;
    int status = in_child(test_of, of);
    if (status) printf("# %s, %s: status %#x\n", moment_name[moment], fault_name[of], (unsigned)status);
    return status == 0;
}

int main(int argc, char **argv) {
    if (argc > 3) {
        Moment moment = (Moment)index_in(moment_name, MOMENTS, argv[1]);
        Fault of = (Fault)index_in(fault_name, FAULTS, argv[2]);
        patience_ms = atoi(argv[3]);
        attempts = 16;
        file = argc > 4 ? argv[4] : NULL;
        CHECK(test(moment, of));
        return check_summary();
    }
    CHECK(test_in_child(COMPILING, LOAD));
    CHECK(test_in_child(COMPILING, ATOMIC));
    CHECK(test_in_child(UNUSED, STORE));
    CHECK(test_in_child(UNUSED, BUS));
    CHECK(test_in_child(INSIDE, LOAD));
    CHECK(test_in_child(INSIDE, STORE));
    CHECK(test_in_child(INSIDE, BUS));
    CHECK(test_in_child(SIGNAL, ATOMIC));
    CHECK(test_in_child(SIGNAL, BUS));
    CHECK(test_in_child(FAULTING, LOAD));
    return check_summary();
}
