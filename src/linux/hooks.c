// SPDX-License-Identifier: MIT
//
// What the engine calls: system calls, exceptions and faults of guest code become results and signals here.
#include <errno.h>
#include <sys/mman.h>
#include "debug/log.h"
#include "linux/linux.h"
#include "linux/memory.h"
#include "linux/optimizer.h"
#include "linux/own_fd.h"
#include "linux/signal.h"
#include "linux/symbols.h"

static void system_call(LinuxThread *t) {
    Cpu *cpu = t->cpu;
    const GuestLinux *abi = &t->process->guest->linux_abi;
    uint64_t args[6];
    abi->syscall_args(cpu, args);
    cpu->pc += abi->syscall_insn_bytes;
    t->in_syscall = true;
    long result = syscall_dispatch(t, abi->syscall_number(cpu), args);
    t->in_syscall = false;
    if (result == -LINUX_ERESTARTSYS || result == -LINUX_ERESTARTNOINTR || result == -LINUX_ERESTARTNOHAND) {
        t->restart = -result;
        t->restart_argument = args[0];
    } else if (result != -LINUX_NO_RESULT) {
        abi->syscall_result(cpu, (uint64_t)result);
    }
}

// A fetch from memory that is not executable, or not there. The address is that of the part that cannot be read: an
// instruction may begin on a good page. The block that raised this is forgotten, as the memory may be there next time.
enum { MOST_INSN_BYTES = 4 };

// How many bytes of the instruction at pc can be read.
static size_t fetch_insn(uint64_t pc, uint8_t bytes[MOST_INSN_BYTES]) {
    GuestCodeKind kind;
    size_t size = memory_fetch(pc, &kind);
    if (size > MOST_INSN_BYTES) size = MOST_INSN_BYTES;
    return guest_read(bytes, pc, size) ? size : 0;
}

static void raise_fetch_fault(LinuxThread *t, uint64_t pc) {
    const unsigned least = t->process->guest->min_insn_bytes;
    uint8_t bytes[MOST_INSN_BYTES];
    uint64_t next_page = page_up(pc + 1), address = fetch_insn(pc, bytes) >= least ? next_page : pc;
    Mapping m;
    if ((address == next_page && next_page - pc >= MOST_INSN_BYTES) || fetch_insn(address, bytes)) {
        // Another thread has brought it back meanwhile: as if this one had come later.
    } else if (!memory_lookup(address, &m)) signal_raise_fault(t, SIGSEGV, SEGV_MAPERR, address);
    else if (!(m.prot & PROT_EXEC)) signal_raise_fault(t, SIGSEGV, SEGV_ACCERR, address);
    else signal_raise_fault(t, SIGBUS, BUS_ADRERR, address); // behind the end of a file
    memory_invalidate(pc ? pc - 1 : 0, pc + 1);
}

static void log_illegal(const LinuxThread *t) {
    const Engine *engine = t->process->engine;
    if (!(engine_options(engine)->log_mask & ENGINE_LOG_UNIMP)) return;
    uint8_t bytes[MOST_INSN_BYTES];
    uint64_t pc = t->cpu->pc, offset = 0;
    size_t size = fetch_insn(pc, bytes);
    char text[128] = "?";
    t->process->guest->disassemble(text, sizeof text, bytes, size, pc);
    const char *symbol = symbol_at(pc, &offset);
    log_item(engine, ENGINE_LOG_UNIMP, "illegal instruction at 0x%llx <%s+0x%llx>: %s\n", (unsigned long long)pc,
             symbol ? symbol : "?", (unsigned long long)offset, text);
}

static void on_exception(Cpu *cpu, KirException code) {
    LinuxThread *t = cpu->thread;
    switch (code) {
    case KIR_EXC_SYSCALL: system_call(t); break;
    case KIR_EXC_BREAKPOINT: signal_raise_fault(t, SIGTRAP, TRAP_BRKPT, cpu->pc); break;
    case KIR_EXC_ILLEGAL:
        log_illegal(t);
        signal_raise_fault(t, SIGILL, ILL_ILLOPC, cpu->pc);
        break;
    case KIR_EXC_FETCH_FAULT: raise_fetch_fault(t, cpu->pc); break;
    case KIR_EXC_MISALIGNED_ADDRESS: signal_raise_fault(t, SIGBUS, BUS_ADRALN, cpu->fault.address); break;
    case KIR_EXC_DIVIDE: signal_raise_fault(t, SIGFPE, FPE_INTDIV, cpu->pc); break;
    case KIR_EXC_TRAP: signal_raise_fault(t, SIGTRAP, TRAP_BRKPT, cpu->pc); break;
    case KIR_EXC_FENCE_I: memory_code_changed(0, 0); break;
    case KIR_EXC_RESUME: break;
    }
    if (!cpu->exiting && signals_need_work(t)) signals_deliver(t);
}

static void on_fault(Cpu *cpu) {
    LinuxThread *t = cpu->thread;
    CpuFault fault = cpu->fault;
    cpu->fault = (CpuFault){0};
    // Where the guest has nothing there may be something of Kiln's; and an address that no page table can hold is to x86 a
    // protection fault, or a stack fault where the host's base register is rbp.
    Mapping m;
    if (fault.signal == SIGBUS && fault.code == SI_KERNEL) fault.signal = SIGSEGV;
    bool mapped = fault.code != SI_KERNEL && memory_lookup(fault.address, &m);
    if (fault.signal == SIGSEGV && !mapped) fault.code = SEGV_MAPERR;
    if (fault.signal == SIGSEGV && fault.code == SEGV_ACCERR && (m.prot & PROT_WRITE) && engine_write_fault(cpu, fault.address))
        return;
    signal_raise_fault(t, fault.signal, fault.code, fault.address);
    t->fault_deadly = fault.deadly;
    signals_deliver(t);
}

static void on_poll(Cpu *cpu) {
    engine_poll_clear(cpu);
    LinuxThread *t = cpu->thread;
    if (signals_need_work(t)) signals_deliver(t);
}

const EngineHooks linux_hooks = {
    .exception = on_exception,
    .fault = on_fault,
    .poll = on_poll,
    .fetch = memory_fetch,
    .image = memory_image,
    .symbol = symbol_at,
    .protect = memory_guard,
    .optimizer_hub = optimizer_hub,
    .keep_fd = optimizer_keep_fd,
    .close_fd = own_fd_close,
};
