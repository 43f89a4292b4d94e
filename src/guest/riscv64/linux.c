// SPDX-License-Identifier: MIT
//
// What Linux user mode must know of riscv64: a7 holds the number of a system call, a0..a5 its arguments, a0 the result; tp is the
// thread pointer.
//
// A signal frame is, from the stack pointer up: siginfo, then ucontext with pc, x1..x31, f0..f31 and fcsr. Its layout is
// the kernel's (asm/ucontext.h, asm/sigcontext.h): programs read and change it.
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "engine/engine.h"
#include "guest/riscv64/features.h"
#include "guest/riscv64/fpenv.h"
#include "guest/riscv64/linux.h"

// The program counter has no bit 0: what is written there is ignored.
static uint64_t as_pc(uint64_t address) { return address & ~UINT64_C(1); }

enum { SYSCALL_ARGS = 6, SYSCALL_BYTES = 4, STACK_ALIGNMENT = 16 };

// ---- system calls ---------------------------------------------------------------------------------------------------------
uint64_t rv_syscall_number(const Cpu *cpu) { return rv_const_state(cpu)->x[RV_A7]; }

void rv_syscall_args(const Cpu *cpu, uint64_t args[6]) {
    memcpy(args, &rv_const_state(cpu)->x[RV_A0], SYSCALL_ARGS * sizeof *args);
}

void rv_syscall_result(Cpu *cpu, uint64_t result) { rv_state(cpu)->x[RV_A0] = result; }

uint64_t rv_syscall_get_result(const Cpu *cpu) { return rv_const_state(cpu)->x[RV_A0]; }

void rv_syscall_restart(Cpu *cpu, uint64_t first_argument) {
    rv_state(cpu)->x[RV_A0] = first_argument;
    cpu->pc -= SYSCALL_BYTES;
}

// ---- programs and threads -----------------------------------------------------------------------------------------------------
void rv_start(Cpu *cpu, uint64_t entry, uint64_t stack) {
    guest_riscv64.reset(cpu);
    rv_state(cpu)->x[RV_SP] = stack;
    cpu->pc = as_pc(entry);
}

uint64_t rv_stack_pointer(const Cpu *cpu) { return rv_const_state(cpu)->x[RV_SP]; }

void rv_clone_child(Cpu *child, uint64_t stack, bool set_tls, uint64_t tls) {
    RvState *state = rv_state(child);
    if (stack) state->x[RV_SP] = stack;
    if (set_tls) state->x[RV_TP] = tls;
    state->x[RV_A0] = 0;
    state->reservation_address = RV_NO_RESERVATION;
}

// ---- signals ----------------------------------------------------------------------------------------------------------------
typedef struct RvSigcontext {
    uint64_t pc, x[31]; // x1..x31
    uint64_t f[32];
    uint32_t fcsr;
    uint8_t unused[256];  // the quad-precision form of the union is larger
    uint32_t reserved[3]; // zero, or the frame is refused
} RvSigcontext;

typedef struct RvUcontext {
    uint64_t flags, link;
    stack_t stack;
    uint64_t mask;
    uint8_t unused[1024 / 8 - sizeof(uint64_t)];
    _Alignas(16) RvSigcontext context;
} RvUcontext;

typedef struct RvFrame {
    siginfo_t info;
    RvUcontext context;
} RvFrame;

static_assert(sizeof(siginfo_t) == 128 && sizeof(stack_t) == 24, "64-bit Linux has the same siginfo and stack_t everywhere");
static_assert(offsetof(RvUcontext, context) == 176, "as the kernel lays out struct ucontext");
static_assert(offsetof(RvSigcontext, f) == 256 && offsetof(RvSigcontext, fcsr) == 512, "as struct sigcontext");
static_assert(offsetof(RvSigcontext, reserved) == 772, "as struct __riscv_q_ext_state");
static_assert(sizeof(RvSigcontext) == 784 && sizeof(RvFrame) == 1088, "as struct rt_sigframe");

static void save_registers(const Cpu *cpu, RvSigcontext *context) {
    const RvState *state = rv_const_state(cpu);
    context->pc = cpu->pc;
    memcpy(context->x, state->x + 1, sizeof context->x);
    memcpy(context->f, state->f, sizeof context->f);
    context->fcsr = rv_get_fcsr(cpu);
}

bool rv_signal_frame(Cpu *cpu, uint64_t stack, int signal, const siginfo_t *siginfo, const stack_t *altstack, uint64_t mask,
                     uint64_t handler, uint64_t flags, uint64_t trampoline) {
    uint64_t at = (stack - sizeof(RvFrame)) & ~(uint64_t)(STACK_ALIGNMENT - 1);
    RvFrame frame;
    memset(&frame, 0, sizeof frame);
    frame.info = *siginfo;
    frame.context.stack = *altstack;
    frame.context.mask = mask;
    save_registers(cpu, &frame.context.context);
    if (!guest_write(at, &frame, sizeof frame)) return false;
    RvState *state = rv_state(cpu);
    state->x[RV_RA] = trampoline;
    state->x[RV_SP] = at;
    state->x[RV_A0] = (uint64_t)signal;
    state->x[RV_A1] = at + offsetof(RvFrame, info);
    state->x[RV_A2] = at + offsetof(RvFrame, context);
    state->reservation_address = RV_NO_RESERVATION;
    cpu->pc = as_pc(handler);
    return true;
}

bool rv_signal_mask(const Cpu *cpu, uint64_t *mask) {
    return guest_read(mask, rv_const_state(cpu)->x[RV_SP] + offsetof(RvFrame, context.mask), sizeof *mask);
}

bool rv_signal_return(Cpu *cpu, stack_t *altstack) {
    RvState *state = rv_state(cpu);
    RvFrame frame;
    if (!guest_read(&frame, state->x[RV_SP], sizeof frame)) return false;
    const RvSigcontext *context = &frame.context.context;
    if (context->reserved[0] | context->reserved[1] | context->reserved[2]) return false;
    cpu->pc = as_pc(context->pc);
    memcpy(state->x + 1, context->x, sizeof context->x);
    memcpy(state->f, context->f, sizeof context->f);
    rv_set_fcsr(cpu, context->fcsr);
    state->reservation_address = RV_NO_RESERVATION;
    *altstack = frame.context.stack;
    return true;
}

// ---- what the machine says of itself ---------------------------------------------------------------------------------------------
static const struct {
    char letter;
    uint64_t feature;
} letters[] = {
    {'I', RV_FEATURE_I}, {'M', RV_FEATURE_M}, {'A', RV_FEATURE_A}, {'F', RV_FEATURE_F}, {'D', RV_FEATURE_D}, {'C', RV_FEATURE_C},
};
static const struct {
    const char *name;
    uint64_t feature, hwprobe; // RISCV_HWPROBE_EXT_*, where there is one
} long_names[] = {
    {"zicntr", RV_FEATURE_ZICNTR, 0}, {"zicond", RV_FEATURE_ZICOND, UINT64_C(1) << 35},
    {"zicsr", RV_FEATURE_ZICSR, 0},   {"zifencei", RV_FEATURE_ZIFENCEI, 0},
    {"zba", RV_FEATURE_ZBA, 1 << 3},  {"zbb", RV_FEATURE_ZBB, 1 << 4},
    {"zbc", RV_FEATURE_ZBC, 1 << 7},  {"zbs", RV_FEATURE_ZBS, 1 << 5},
};
enum { HWPROBE_IMA_FD = 1, HWPROBE_IMA_C = 2 };

uint64_t rv_hwcap(uint64_t features) {
    uint64_t hwcap = 0;
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (features & letters[i].feature) hwcap |= UINT64_C(1) << (letters[i].letter - 'A');
    return hwcap;
}

uint64_t rv_hwcap2(uint64_t features) { return 0; }

uint64_t rv_hwprobe_extensions(uint64_t features) {
    uint64_t bits = 0;
    if ((features & RV_FEATURE_F) && (features & RV_FEATURE_D)) bits |= HWPROBE_IMA_FD;
    if (features & RV_FEATURE_C) bits |= HWPROBE_IMA_C;
    for (size_t i = 0; i < sizeof long_names / sizeof *long_names; i++)
        if (features & long_names[i].feature) bits |= long_names[i].hwprobe;
    return bits;
}

void rv_cpuinfo(uint64_t features, unsigned processor, char *text, size_t size) {
    char isa[128] = "rv64";
    size_t used = strlen(isa);
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (features & letters[i].feature) isa[used++] = (char)(letters[i].letter - 'A' + 'a');
    isa[used] = 0;
    for (size_t i = 0; i < sizeof long_names / sizeof *long_names; i++)
        if (features & long_names[i].feature) used += (size_t)snprintf(isa + used, sizeof isa - used, "_%s", long_names[i].name);
    snprintf(text, size, "processor\t: %u\nhart\t\t: %u\nisa\t\t: %s\nmmu\t\t: sv48\n", processor, processor, isa);
}
