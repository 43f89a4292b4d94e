// SPDX-License-Identifier: MIT
//
// The state of one guest thread, as generated code, the engine and the Linux layer share it.
//
// Life: created with the guest thread, used by that thread alone, but for `poll`, `ibc` and `pending`, which a signal
// handler of the same thread or (by an atomic store) another thread may set to ask the thread out of generated code.
//
// While generated code runs, pinned globals live in host registers and their homes in `guest` are stale; everywhere
// else (hooks, helpers that read or write globals, the interpreter, fault handling after engine_fault) the homes are right.
#ifndef KILN_ENGINE_CPU_H
#define KILN_ENGINE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "ir/kir.h"

// The indirect-branch cache has CPU_IBC_ENTRIES entries for jumps and calls, and as many behind them for returns, both by the low bits of
// the pc. Behind these lie CPU_IBC_SECOND entries by a hash of it, for targets that had to share a place: they are looked at before
// generated code is left, and what is found there goes back to its place. A program without such targets touches none of them. At first only
// CPU_IBC_FEW of each half are used: targets lie scattered over a program, and each touches a page of its own in a larger table.
enum { CPU_SPILL_SLOTS = 64, CPU_IBC_ENTRIES = 16384, CPU_IBC_FEW = 4096, CPU_IBC_SECOND_LOG2 = 15, GUEST_STATE_MAX = 2048 };
enum { CPU_IBC_SECOND = 1 << CPU_IBC_SECOND_LOG2, CPU_IBC_ALL = 2 * CPU_IBC_ENTRIES + CPU_IBC_SECOND };
// Each thread counts for itself what runs (cpu_tally): a number that several processors write to is slow, and counts would be lost.
enum { CPU_TALLIES = 1 << 19 };
// Of the cache: it names blocks that are gone. Of the tallies: they mean nothing any more.
enum { CPU_STALE_IBC = 1, CPU_STALE_TALLIES = 2 };
#define CPU_IBC_HASH 0x9e3779b1u // times the low half of the pc; the high bits of the product are the index

// One entry of the indirect-branch cache: guest pc -> host code. Empty entries have pc = ~0 (never a guest pc).
typedef struct IbcEntry {
    uint64_t pc;
    void *code;
} IbcEntry;

typedef struct Engine Engine;
typedef struct Block Block;

// A guest exception or fault on its way from where it was raised to the Linux layer.
typedef struct CpuFault {
    bool raised;
    int signal;       // host signal number (SIGSEGV, SIGBUS, SIGFPE, ...)
    int code;         // si_code
    uint64_t address; // si_addr
    bool deadly;      // came when nobody handled such faults: a handler that has come since is not for it
} CpuFault;

typedef struct Cpu {
    // -- read by generated code; offsets are known to the host's emitter through offsetof
    uint64_t pc;            // guest pc; right whenever generated code is not running
    IbcEntry *ibc;          // `ibc_real`, or the engine's empty one while the thread is asked to stop
    uint32_t poll;          // not 0: leave at the next poll
    uint32_t ibc_mask;      // which bits of a pc are its place in the cache of indirect targets
    uint32_t guest_mxcsr;   // the guest's floating-point environment while not in generated code
    uint32_t host_mxcsr;    // the default one
    uint64_t entry_rsp;     // host stack pointer inside the entry stub
    void *exit_record;      // set by exit stubs: an ExitRecord, NULL or HOST_EXIT_* (host/host.h)
    const void *functions;  // addresses of the C functions that generated code calls, by number
    uint64_t fault_address; // of a misaligned atomic access, set before its trap
    uint64_t gpr_save[9];   // host registers across calls of the evaluator; [8] is rax
    KirValue xmm_save[16];
    KirValue args[4]; // operands and result ([3]) of evaluated operations that have no host code
    KirValue spill[CPU_SPILL_SLOTS];
    // The guest's registers. The emitter's base register points CPU_BIAS bytes into it, so that the first 256 bytes are
    // within reach of an 8-bit displacement.
    _Alignas(64) uint8_t guest[GUEST_STATE_MAX];

    // -- not known to generated code
    Engine *engine;
    struct Cpu *next;                   // in the engine's list of threads
    int32_t tid;                        // of the host's thread that runs it, 0: it has not begun
    uint32_t inside;                    // this thread may hold addresses of blocks (engine/world.c)
    uint32_t ibc_fills;                 // while few entries are used
    uint64_t ibc_used, ibc_second_used; // which 64ths of the cache hold entries: by pc, by hash
    uint8_t stale;                      // CPU_STALE_*: what the thread empties before it goes inside
    IbcEntry *ibc_real;
    uint32_t mode;   // guest mode flags, as Guest.mode computes them
    bool may_vanish; // a process that shares the memory and may be killed at any moment: it makes no traces
    bool exiting;    // the Linux layer asks engine_run to return
    CpuFault fault;
    int raised;             // KirException from engine_raise or a misaligned access, -1: none
    bool in_interpreter;    // a host fault belongs to the interpreter's guest access
    void *interp_jump;      // sigjmp_buf of the interpreter or of a helper that may fault
    uint64_t counted_insns; // guest instructions executed as far as known (instret)
    bool one_insn;          // the next instruction is interpreted by itself (engine/guard.c)
    Arena stepped;          // the last instruction that was
    void *thread;           // the Linux layer's data of this thread
} Cpu;

enum { CPU_BIAS = 128 };

// One piece of memory a thread, of pages that are touched as they are needed.
typedef struct CpuMemory {
    IbcEntry ibc[CPU_IBC_ALL];
    Cpu cpu;
    uint64_t evaluated[KIR_OP_COUNT]; // how often generated code has called the evaluator, by operation
    _Alignas(4096) uint32_t tallies[CPU_TALLIES];
} CpuMemory;

// Offsets of tallies from the cpu, which generated code counts with; 0 is the offset of none. A new thread's are all zero.
#define CPU_TALLY_OFFSET(index) ((uint32_t)(offsetof(CpuMemory, tallies) - offsetof(CpuMemory, cpu) + (index) * sizeof(uint32_t)))
static inline CpuMemory *cpu_memory(Cpu *cpu) { return (CpuMemory *)(void *)((uint8_t *)cpu - offsetof(CpuMemory, cpu)); }
static inline uint32_t *cpu_tally(Cpu *cpu, uint32_t offset) { return (uint32_t *)(void *)((uint8_t *)cpu + offset); }

extern __thread Cpu *current_cpu;

#endif
