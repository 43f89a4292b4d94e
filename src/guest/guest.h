// SPDX-License-Identifier: MIT
//
// The contract of a guest architecture: a struct of data and functions, in a folder of its own (guest/NAME/):
//
//   *.decode      one row an instruction: the only place where encodings stand
//   trans_*.c     rows to KIR, 2 to 6 lines each
//   helpers.c     what is too rare or too long for KIR
//   state.h       layout of the registers
//   linux.c       what Linux user mode must know: calling convention of system calls, signal frame, hwcap, cpuinfo
//
// A guest never looks at the host, the tiers or the engine's insides.
#ifndef KILN_GUEST_GUEST_H
#define KILN_GUEST_GUEST_H

#include <signal.h>
#include "engine/cpu.h"
#include "ir/kir.h"

// What a translation of one block gets. `bytes`..`bytes+size` is readable, executable guest code at pc (size may be 0).
typedef struct GuestTranslation {
    KirBuilder *builder;
    uint64_t pc;
    const uint8_t *bytes;
    size_t size;
    uint32_t mode;      // Guest.mode of the cpu
    uint64_t features;  // bit set, meaning is the guest's (from -cpu)
    unsigned max_insns; // stop after that many with a direct exit to the next instruction
    // More code behind the first range (another page); returns the bytes readable at pc. May be NULL.
    size_t (*fetch)(void *context, uint64_t pc, const uint8_t **bytes);
    void *context;
} GuestTranslation;

typedef struct GuestFeatureName {
    const char *name;
    uint64_t bit;
} GuestFeatureName;
typedef struct GuestCpuModel {
    const char *name, *description;
    uint64_t features;
} GuestCpuModel;

// The shared object that the Linux layer maps into every program (AT_SYSINFO_EHDR): an ELF file with one loadable segment.
typedef struct GuestVdso {
    const uint8_t *image;
    size_t size;
    uint64_t sigreturn;               // offset of the code that a signal handler returns to
    void (*placed)(uint64_t address); // told where it lies before the program starts
} GuestVdso;

// What Linux user mode needs of a guest. All functions see a cpu whose homes are right.
typedef struct GuestLinux {
    const char *machine; // uname -m
    uint64_t page_size;
    unsigned syscall_insn_bytes; // the Linux layer moves pc behind the system call instruction by this
    // System call number and its six arguments; result (negative errno) goes back; the first argument is kept for restarts.
    uint64_t (*syscall_number)(const Cpu *cpu);
    void (*syscall_args)(const Cpu *cpu, uint64_t args[6]);
    void (*syscall_result)(Cpu *cpu, uint64_t result);
    uint64_t (*syscall_get_result)(const Cpu *cpu);
    void (*syscall_restart)(Cpu *cpu, uint64_t first_argument); // result register back to the first argument, pc back
    // Registers at exec: entry point, stack pointer.
    void (*start)(Cpu *cpu, uint64_t entry, uint64_t stack);
    uint64_t (*stack_pointer)(const Cpu *cpu);
    // Registers of the child of clone: stack (0 = the parent's) and TLS (if set_tls).
    void (*clone_child)(Cpu *child, uint64_t stack, bool set_tls, uint64_t tls);
    // Writes a signal frame at or below `stack` and sets the registers so that the handler runs. Returns false if the stack
    // is not writable. `trampoline` is the guest address of the sigreturn code (in the vdso).
    // `siginfo` is in the guest's layout (same as the host's for 64-bit guests). `altstack` is a
    // stack_t (guest layout = host layout) to be saved in the frame.
    bool (*signal_frame)(Cpu *cpu, uint64_t stack, int signal, const siginfo_t *siginfo, const stack_t *altstack, uint64_t mask,
                         uint64_t handler, uint64_t flags, uint64_t trampoline);
    // The mask in the frame at the current stack pointer, where the handler may have changed it. False: bad frame (SIGSEGV).
    bool (*signal_mask)(const Cpu *cpu, uint64_t *mask);
    // Undoes the rest of it: registers, altstack. False: bad frame.
    bool (*signal_return)(Cpu *cpu, stack_t *altstack);
    const GuestVdso *vdso;
    uint64_t (*hwcap)(uint64_t features);
    uint64_t (*hwcap2)(uint64_t features);
    uint64_t (*hwprobe_extensions)(uint64_t features); // RISC-V: bits of riscv_hwprobe's key for extensions
    const char *platform;                              // AT_PLATFORM or NULL
    // The paragraph of /proc/cpuinfo for one processor, without the blank line behind it. May be NULL.
    void (*cpuinfo)(uint64_t features, unsigned processor, char *text, size_t size);
} GuestLinux;

// What a debugger knows a thread's registers by; numbers are those of its target description.
typedef struct GuestDebug {
    unsigned register_count, pc_register;
    size_t (*target_xml)(char *text, size_t size); // the length of the description; cut off if it does not fit
    unsigned (*read)(const Cpu *cpu, unsigned number, uint8_t value[16]); // how many bytes, the lowest first
    void (*write)(Cpu *cpu, unsigned number, const uint8_t value[16]);
} GuestDebug;

typedef struct Guest {
    const char *name;        // "riscv64", "aarch64": as in kiln-NAME
    uint16_t elf_machine;    // EM_*
    unsigned min_insn_bytes; // alignment of a pc
    bool coherent_code;      // stores to code are seen by the instructions behind them, with no instruction that says so
    KirWorld world;
    size_t state_size;
    // Globals kept in host registers by all tiers, most used first; 0xffff ends the list. The last two integer ones land in
    // registers that shifts and divisions need.
    uint16_t pinned_int[10];
    uint16_t pinned_float[8];
    const GuestCpuModel *models;           // first is the default, ended by a NULL name
    const GuestFeatureName *feature_names; // what -cpu MODEL,NAME=on|off may change, ended by a NULL name
    void (*reset)(Cpu *cpu);
    // Mode flags of the state that change what code means (floating-point modes). Blocks are keyed by pc and mode.
    uint32_t (*mode)(const Cpu *cpu);
    // Appends KIR for at least one instruction and a final exit. What cannot be decoded becomes an exception exit.
    void (*translate)(GuestTranslation *translation);
    // One instruction as text; returns its length in bytes (0: size too small).
    unsigned (*disassemble)(char *text, size_t text_size, const uint8_t *bytes, size_t size, uint64_t pc);
    // Writes all registers as text, for logs and crash messages.
    void (*dump)(const Cpu *cpu, char *text, size_t size);
    GuestLinux linux_abi;
    const GuestDebug *debug;
} Guest;

extern const Guest guest_riscv64;

#endif
