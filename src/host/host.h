// SPDX-License-Identifier: MIT
//
// The contract of a host: what the engine asks of the folder src/host/NAME.
//
// Generated code of a process obeys one register convention, in every tier (docs/architecture.md): pinned globals in host
// registers, one register with the cpu state, nothing on the stack below the entry frame. It contains no absolute address:
// it reaches code and data of its own within +-2 GiB (CodeMemory keeps both in one piece), everything else through Cpu.
#ifndef KILN_HOST_HOST_H
#define KILN_HOST_HOST_H

#include "engine/engine.h"
#include "ir/request.h"

// How one block is left, made for each jump out of it. Lies in the data arena, so that exit stubs can name it.
// There are as many of them as blocks, and half as many again: addresses of code, which is never far, are distances from the record.
typedef struct ExitRecord {
    uint64_t target;          // guest pc
    uint8_t kind, code, hint; // as in KirExit
    int32_t jump;             // the 4-byte displacement to patch when the target is known; 0: never linked
    int32_t stub;             // what the displacement leads to when unlinked
    Block *block;             // the block that is left
    Block *linked;            // the target it is linked to, or NULL
    struct ExitRecord *next;  // in linked->incoming
} ExitRecord;

static inline void record_describe(ExitRecord *record, const KirExit *exit) {
    record->target = exit->target;
    record->kind = exit->kind;
    record->code = exit->code;
    record->hint = exit->hint;
}
static inline uint8_t *record_jump(const ExitRecord *record) { return (uint8_t *)record + record->jump; }
static inline uint8_t *record_stub(const ExitRecord *record) { return (uint8_t *)record + record->stub; }
static inline void record_set_jump(ExitRecord *record, const uint8_t *jump) { record->jump = (int32_t)(jump - (uint8_t *)record); }
static inline void record_set_stub(ExitRecord *record, const uint8_t *stub) { record->stub = (int32_t)(stub - (uint8_t *)record); }

// What the exits of traces are where executions are counted (EngineOptions.count). `part`: how many of the code's COUNTs stand before
// it; in the second form, one more than the block's number.
typedef struct CountedExit {
    ExitRecord record;
    uint64_t count;
    uint32_t part;
} CountedExit;

// The counter of a block that may become the head of a trace, or of a trace that may get a better form. Lies in the data arena. The
// numbers themselves are each thread's own (cpu.h). The counter is counted up from below zero at each execution; where it is not below
// zero any more, the code is left with HOST_EXIT of this record: at zero it was counted to the end, above it the thread had not been told
// from where to count. The numbers lie together: a forked process copies each page that it counts in.
typedef struct HeadRecord {
    uint32_t counter; // offsets for cpu_tally
    uint32_t ends;    // first form of a trace: how often it came to its last exit; 0: no matter
    uint8_t *code;    // of a block: where it counts and goes on at the block's own code, which may stand right behind
    bool of_trace;
    void *owner; // Block, or Trace if of_trace
} HeadRecord;
// Tells a HeadRecord in cpu->exit_record from an ExitRecord.
enum { HOST_HEAD_TAG = 8, HOST_HEAD_TAG_MASK = 15 };

// Where a global's value is at a faulting instruction when it is not at home.
// CONST: value; WIDE: *(const KirWide *)value; GLOBAL: at that offset in the guest's state. STACK: `value` bytes above
// what the register holds.
typedef enum HostPlace { PLACE_CONST, PLACE_WIDE, PLACE_GPR, PLACE_XMM, PLACE_SPILL, PLACE_GLOBAL, PLACE_STACK } HostPlace;
typedef struct HostFaultEntry {
    uint16_t global;
    uint8_t place; // HostPlace
    uint8_t reg;   // register, or spill slot
    uint64_t value;
} HostFaultEntry;

// One host instruction that may fault on behalf of the guest instruction at `pc`.
typedef struct HostFault {
    uint32_t offset : 31;      // of the host instruction in the block's code
    uint32_t lists_pinned : 1; // pinned globals are at home too, unless an entry says otherwise; else they are in their registers
    uint32_t first_entry : 22, entry_count : 10;
    uint64_t pc;
} HostFault;
enum { HOST_MOST_ENTRIES = 1 << 22 }; // of all faults of a block or trace

// Room for code and the data it refers to; the engine hands pieces of it to the emitter.
typedef struct CodeMemory {
    uint8_t *code, *code_next, *code_end; // executable view
    ptrdiff_t write_delta;                // writable view - executable view
    uint8_t *data, *data_next, *data_end;
    uint32_t tallies; // given out
} CodeMemory;

// Aligned zeroed memory within reach of the code, or NULL when the arena is full.
void *code_data_alloc(CodeMemory *memory, size_t size);
// `count` numbers, one behind the other, that generated code counts with: the offset of the first one for cpu_tally; 0 when none are left.
uint32_t code_tally_alloc(CodeMemory *memory, uint32_t count);

typedef struct HostCompiled {
    uint8_t *code;
    HostFault *faults; // sorted by offset; in the block's translation arena
    HostFaultEntry *entries;
    ExitRecord **exits;
    uint8_t *ends; // counts HeadRecord.ends; NULL: nothing does
    uint32_t size, fault_count, entry_count, exit_count;
    uint16_t fallbacks, helper_calls;
    bool too_complex; // when host_compile failed: the block must be made shorter
} HostCompiled;

typedef struct Host Host;

// Detects the machine and writes the entry and exit stubs at the start of the code memory.
Host *host_new(const Guest *guest, const EngineOptions *options, CodeMemory *memory);
// Which globals are kept in host registers: for KirBlock.pinned.
const uint64_t *host_pinned(const Host *host);
// After the code memory was emptied: the stubs again.
void host_write_stubs(Host *host, CodeMemory *memory);
// From now on other threads or processes may look at guest memory: code made before must not be used any more.
void host_memory_is_shared(Host *host);
// Compiles a block at memory->code_next, behind a count of `head` if there is one. False: code or data memory is full (nothing was
// taken).
bool host_compile(Host *host, CodeMemory *memory, const KirBlock *kir, const HeadRecord *head, Arena *scratch, HostCompiled *out);
// How far behind its start the code itself begins where it counts.
unsigned host_counter_bytes(void);
// Makes HostCompiled.ends do nothing. Nobody else may run the code.
void host_stop_counting_ends(const CodeMemory *memory, uint8_t *ends);
// Writes code that counts `head` and goes on at `body`. NULL: no room.
uint8_t *host_write_counter(const Host *host, CodeMemory *memory, const HeadRecord *head, const uint8_t *body);
// Places the object of an optimizer's result at memory->code_next, and behind it a patchable jump for each exit
// and its stub. out->exits are the records of the exits, in the result's order (`jump` is NULL for those that are never linked), its
// fault table is that of the result. REASON_NONE, or why not (REASON_CACHE_FULL: no room, REASON_BAD_RESULT); nothing was taken then.
Reason host_place_trace(Host *host, CodeMemory *memory, const TraceResult *result, Arena *scratch, HostCompiled *out);
// The layout of the cpu state and the register convention, for the optimizer.
void host_describe(const Host *host, TraceRequest *request);
// Runs generated code until it leaves. cpu->exit_record then says how: a record, NULL for an indirect exit
// (pc in cpu->pc), or HOST_EXIT_*.
void host_enter(const Host *host, Cpu *cpu, const void *code);
// Called in a host signal handler for a fault at `offset` in a block: brings all homes up to date and makes the handler return to
// host_enter's caller, with cpu->exit_record = HOST_EXIT_FAULT. fault = NULL: nothing is
// known of the registers, and homes stay as they are.
void host_leave_fault(const Host *host, Cpu *cpu, void *ucontext, const HostFault *fault, const HostFaultEntry *entries);
uint64_t host_context_pc(const void *ucontext);
// What the instruction at a context's pc accesses, where the host itself does not say. False: cannot be told.
bool host_fault_address(const void *ucontext, uint64_t *address);
// From a helper: abandons the block; all homes are right. cpu->exit_record = HOST_EXIT_RAISED.
void host_leave_raise(const Host *host, Cpu *cpu) __attribute__((noreturn));
// In a signal handler: goes on at function(argument) instead, on the interrupted stack, below its red zone.
void host_redirect(void *ucontext, void (*function)(void *), void *argument);
// Points a 4-byte displacement to `target` with one aligned store.
void host_patch(const CodeMemory *memory, uint8_t *jump, const uint8_t *target);
// The host's own floating-point control word: default, and with the guest's flags and rounding.
uint32_t host_default_fpenv(void);

#define HOST_EXIT_FAULT  ((void *)1)
#define HOST_EXIT_RAISED ((void *)2)
#define HOST_EXIT_RETURN ((void *)3) // an indirect exit with the hint "return", pc in cpu->pc

#endif
