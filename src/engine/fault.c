// SPDX-License-Identifier: MIT
//
// Host faults that belong to the guest, and C code that touches guest memory.
//
// A fault in generated code is looked up by host address: the fault table of the block or trace says which guest instruction it was and
// where the registers are that are not at home. A second form that was made while nobody handled faults has none. A fault in C (interpreter, guest_read) jumps back to where the access began. Both
// leave the signal handler by an ordinary return to a changed context, so that the host's signal mask is restored by the kernel.
#include "engine/internal.h"
#include "base/error.h"
#include "interp/access.h"
#include <setjmp.h>
#include <sys/uio.h>
#include <unistd.h>

static const HostFault *find_fault(const HostCompiled *host, uint32_t offset) {
    uint32_t low = 0, high = host->fault_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (host->faults[middle].offset < offset) low = middle + 1;
        else high = middle;
    }
    return low < host->fault_count && host->faults[low].offset == offset ? &host->faults[low] : NULL;
}

static void note_fault(Cpu *cpu, int signal, const siginfo_t *info, const void *ucontext) {
    cpu->fault = (CpuFault){.raised = true, .signal = signal, .code = info->si_code, .address = (uint64_t)info->si_addr};
    if (info->si_code == SI_KERNEL) host_fault_address(ucontext, &cpu->fault.address);
    count_more(&cpu->engine->counters.faults, 1);
}

// What lies at the host address, block or trace; NULL: neither.
static const HostCompiled *code_at(const Engine *engine, const uint8_t *pc, const Trace **trace) {
    *trace = trace_at_host(&engine->traces, pc);
    if (*trace) return &(*trace)->code.host;
    const Block *block = block_at_host(&engine->blocks, pc);
    return block ? &block->host : NULL;
}

static bool fault_in_code(Cpu *cpu, int signal, const siginfo_t *info, void *ucontext, const uint8_t *pc) {
    const Trace *trace;
    const HostCompiled *host = code_at(cpu->engine, pc, &trace);
    if (!host) return false;
    const HostFault *fault = find_fault(host, (uint32_t)(pc - host->code));
    // A trace that was made while nobody handled faults has no table: the process dies of it, where exactly is not known, and also if another
    // thread is just installing a handler. In other traces it is an access that was proven safe, until another process took away the end
    // of a file.
    bool inexact = !fault && trace && trace->form == TRACE_SECOND;
    if (!fault && !inexact) return false;
    cpu->pc = fault ? fault->pc : trace->code.pc;
    cpu->raised = -1;
    if (signal == SIGILL) { // the trap of a misaligned atomic access
        cpu->raised = KIR_EXC_MISALIGNED_ADDRESS;
        cpu->fault.address = cpu->fault_address;
    } else {
        note_fault(cpu, signal, info, ucontext);
        cpu->fault.deadly = inexact && (trace->made_under & TRACE_NO_FAULT_HANDLER);
    }
    host_leave_fault(cpu->engine->host, cpu, ucontext, fault, host->entries);
    return true;
}

static void land(void *jump) { siglongjmp(*(sigjmp_buf *)jump, 1); }

bool engine_fault(int signal, const siginfo_t *info, void *ucontext) {
    Cpu *cpu = current_cpu;
    if (!cpu || info->si_code <= 0) return false;
    const uint8_t *pc = (const uint8_t *)host_context_pc(ucontext);
    const Engine *engine = cpu->engine;
    if (pc >= engine->memory.code && pc < engine->traces.memory.code_end) return fault_in_code(cpu, signal, info, ucontext, pc);
    if (!cpu->in_interpreter) return false;
    note_fault(cpu, signal, info, ucontext);
    host_redirect(ucontext, land, cpu->interp_jump);
    return true;
}

void engine_raise(Cpu *cpu, KirException code) {
    if (cpu->interp_jump) siglongjmp(*(sigjmp_buf *)cpu->interp_jump, 2 + (int)code);
    cpu->raised = (int)code;
    host_leave_raise(cpu->engine->host, cpu);
}

// Before a thread runs guest code there is no cpu to catch a fault with; the kernel copies instead.
static bool copy_by_kernel(void *to, const void *from, size_t size) {
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

// Runs access(context), which touches guest memory; false: it faulted.
static bool guarded(Cpu *cpu, void (*access)(void *context), void *context) {
    void *old_jump = cpu->interp_jump;
    bool old_state = cpu->in_interpreter;
    CpuFault old_fault = cpu->fault;
    sigjmp_buf jump;
    volatile bool ok = false;
    if (sigsetjmp(jump, 0) == 0) {
        cpu->interp_jump = &jump;
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        cpu->in_interpreter = true;
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        access(context);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        ok = true;
    } else {
        cpu->fault = old_fault;
    }
    cpu->in_interpreter = old_state;
    cpu->interp_jump = old_jump;
    return ok;
}

typedef struct Copy {
    void *to;
    const void *from;
    size_t size;
} Copy;

// Guest addresses are any numbers, 0 among them.
__attribute__((no_sanitize("undefined"))) static void copy(void *context) {
    const Copy *c = context;
    access_copy(c->to, c->from, c->size);
}

static bool guarded_copy(void *to, const void *from, size_t size, bool writes_guest) {
    Cpu *cpu = current_cpu;
    if (!cpu && !writes_guest) return copy_by_kernel(to, from, size);
    if (!cpu) {
        struct iovec local = {(void *)(uintptr_t)from, size}, remote = {to, size};
        return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
    }
    if (guarded(cpu, copy, &(Copy){to, from, size})) return true;
    return writes_guest && engine_open_code(cpu->engine, (uint64_t)to, (uint64_t)to + size) &&
           guarded(cpu, copy, &(Copy){to, from, size});
}

typedef struct Exchange {
    uint64_t address;
    uint32_t *expected, desired;
} Exchange;

static void exchange(void *context) {
    Exchange *x = context;
    *x->expected = (uint32_t)access_cas(KIR_MEM_32, x->address, (KirValue){.i = *x->expected}, (KirValue){.i = x->desired}).i;
}

bool guest_compare_exchange(uint64_t address, uint32_t *expected, uint32_t desired) {
    Exchange x = {address, expected, desired};
    if (guarded(current_cpu, exchange, &x)) return true;
    return engine_open_code(current_cpu->engine, address, address + sizeof desired) && guarded(current_cpu, exchange, &x);
}

bool guest_read(void *to, uint64_t from, size_t size) { return guarded_copy(to, (const void *)from, size, false); }
bool guest_write(uint64_t to, const void *from, size_t size) { return guarded_copy((void *)to, from, size, true); }

typedef struct Comparison {
    const void *guest, *bytes;
    size_t size;
    bool equal;
} Comparison;

__attribute__((no_sanitize("undefined"))) static void compare(void *context) {
    Comparison *c = context;
    c->equal = access_equal(c->guest, c->bytes, c->size);
}

bool guest_equal(uint64_t address, const void *bytes, size_t size) {
    Comparison c = {(const void *)address, bytes, size, false};
    return guarded(current_cpu, compare, &c) && c.equal;
}
