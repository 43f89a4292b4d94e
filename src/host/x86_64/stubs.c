// SPDX-License-Identifier: MIT
//
// The way into generated code, out of it, and from it into C.
//
// Entry: the C compiler's callee-saved registers are pushed, so that at a block's first byte rsp mod 16 = 8 and nothing of ours
// lies below; r14 gets the cpu state, pinned registers are loaded, MXCSR becomes the guest's. Exit is the reverse.
//
//   exit            rax = exit record (or HOST_EXIT_*)
//   exit_indirect   rax = guest pc that is not in its place of the indirect-branch cache; exit_return: the same from a return;
//                   exit_indirect_stored, exit_return_stored: Cpu.pc has it already. Goes on at the target if the cache's second
//                   part knows it
//   leave           homes and MXCSR have been saved already (faults, helpers that raise)
//   call_helper     eax = number of the function, operands in Cpu.args, result in Cpu.args[3]; pinned registers are stored
//                   before and loaded after; temporaries are lost, but for rbx and rbp
//   call_eval       rax = EvalRecord; every other register is kept
#include "host/x86_64/emit.h"
#include <stdlib.h>
#include <ucontext.h>

// Order of preserve_none's integer arguments is r12 r13 r14 r15 rdi rsi rdx rcx r8 r9 r11; r14 is the cpu state, and rdx, rcx come
// last because shifts and divisions want them.
const uint8_t host_pinned_gprs[10] = {R12, R13, R15, RDI, RSI, R8, R9, R11, RDX, RCX};
static const uint8_t callee_saved[6] = {RBP, RBX, R12, R13, R14, R15};
static const uint8_t caller_saved[8] = {RCX, RDX, RSI, RDI, R8, R9, R10, R11};

static void store_pins(Code *c, const Host *host) {
    for (unsigned i = 0; i < host->pin_count; i++) {
        const Pin *pin = &host->pins[i];
        if (!pin->xmm) x_mov_mr(c, 1, GUEST_MEM(pin->offset), pin->reg);
        else s_rm(c, pin->type == KIR_V128 ? (uint32_t)S_STORE_128 : S_STORE_64, 0, pin->reg, GUEST_MEM(pin->offset));
    }
}

static void load_pins(Code *c, const Host *host) {
    for (unsigned i = 0; i < host->pin_count; i++) {
        const Pin *pin = &host->pins[i];
        if (!pin->xmm) x_mov_rm(c, 1, pin->reg, GUEST_MEM(pin->offset));
        else s_rm(c, pin->type == KIR_V128 ? (uint32_t)S_LOAD_128 : S_LOAD_64, 0, pin->reg, GUEST_MEM(pin->offset));
    }
}

static void ldmxcsr(Code *c, Mem m) { x_rm(c, 0x0fae, 0, 2, m); }
static void stmxcsr(Code *c, Mem m) { x_rm(c, 0x0fae, 0, 3, m); }
static void push(Code *c, unsigned reg) { x_rr(c, 0xff, 0, 6, reg); }
static void pop(Code *c, unsigned reg) { x_rr(c, 0x8f, 0, 0, reg); }
static void call_function(Code *c, unsigned table) { x_rm(c, 0xff, 0, 2, mem_index(table, RAX, 3, 0)); }

static void write_enter(Code *c, Host *host) {
    host->enter = c->p;
    for (int i = 0; i < 6; i++) push(c, callee_saved[i]);
    x_lea(c, 1, CPU_REG, mem_base(RDI, (int32_t)offsetof(Cpu, guest) + CPU_BIAS));
    x_mov_rr(c, 1, RAX, RSI);
    x_mov_mr(c, 1, CPU_MEM(entry_rsp), RSP);
    ldmxcsr(c, CPU_MEM(guest_mxcsr));
    load_pins(c, host);
    x_rr(c, 0xff, 0, 4, RAX); // jmp rax
}

// `place`: the register with the entry's address; its scale is that of the index in look_up_target.
static void find_place(Code *c, const Host *host, unsigned place, unsigned cache, bool is_return) {
    unsigned step_log2 = host->guest->min_insn_bytes == 4 ? 2 : 1;
    x_mov_rr(c, 0, place, RAX);
    x_alu_rm(c, X_AND, 0, place, CPU_MEM(ibc_mask));
    x_lea(c, 1, place, mem_index(cache, place, 4 - step_log2, is_return ? CPU_IBC_ENTRIES * (int32_t)sizeof(IbcEntry) : 0));
}

// All of it through one value of Cpu.ibc. That of a thread which is asked to stop is empty, and has no such part.
static void write_second_look(Code *c, const Host *host, bool is_return) {
    enum { ENTRY_LOG2 = 4, FIRST_BYTES = 2 * CPU_IBC_ENTRIES << ENTRY_LOG2 };
    _Static_assert(sizeof(IbcEntry) == 1 << ENTRY_LOG2, "an index is shifted");
    x_mov_rm(c, 1, RBX, CPU_MEM(ibc));
    x_alu_rm(c, X_CMP, 1, RBX, CPU_MEM(ibc_real));
    uint8_t *stopped = x_jcc_short(c, CC_NE);
    x_rr(c, 0x69, 0, R10, RAX); // imul r10d, eax, imm
    emit32(c, CPU_IBC_HASH);
    x_shift_ri(c, X_SHR, 0, R10, 32 - CPU_IBC_SECOND_LOG2);
    x_shift_ri(c, X_SHL, 0, R10, ENTRY_LOG2);
    x_alu_rm(c, X_CMP, 1, RAX, mem_index(RBX, R10, 0, FIRST_BYTES));
    uint8_t *missed = x_jcc_short(c, CC_NE);
    x_mov_rm(c, 1, R10, mem_index(RBX, R10, 0, FIRST_BYTES + (int32_t)offsetof(IbcEntry, code)));
    find_place(c, host, RBP, RBX, is_return);
    x_mov_mr(c, 1, mem_base(RBP, (int32_t)offsetof(IbcEntry, code)), R10);
    x_mov_mr(c, 1, mem_base(RBP, (int32_t)offsetof(IbcEntry, pc)), RAX);
    x_rr(c, 0xff, 0, 4, R10); // jmp r10
    x_bind_short(c, stopped);
    x_bind_short(c, missed);
    x_mov_mr(c, 1, CPU_MEM(pc), RAX);
    x_mov_ri(c, RAX, is_return ? (uintptr_t)HOST_EXIT_RETURN : 0);
}

static void write_leave(Code *c, Host *host) {
    host->exit_return_stored = c->p;
    x_mov_rm(c, 1, RAX, CPU_MEM(pc));
    host->exit_return = c->p;
    write_second_look(c, host, true);
    uint8_t *skip = x_jmp_short(c);
    host->exit_indirect_stored = c->p;
    x_mov_rm(c, 1, RAX, CPU_MEM(pc));
    host->exit_indirect = c->p;
    write_second_look(c, host, false);
    x_bind_short(c, skip);
    host->exit = c->p;
    x_mov_mr(c, 1, CPU_MEM(exit_record), RAX);
    store_pins(c, host);
    stmxcsr(c, CPU_MEM(guest_mxcsr));
    host->leave = c->p;
    ldmxcsr(c, CPU_MEM(host_mxcsr));
    for (int i = 5; i >= 0; i--) pop(c, callee_saved[i]);
    emit8(c, 0xc3);
}

// rsp mod 16 is 0 behind the block's call, as the C function's caller needs it.
static uint8_t *write_call_helper(Code *c, const Host *host, bool fpenv) {
    uint8_t *start = c->p;
    store_pins(c, host);
    stmxcsr(c, CPU_MEM(guest_mxcsr));
    if (!fpenv) ldmxcsr(c, CPU_MEM(host_mxcsr));
    x_lea(c, 1, RDI, mem_base(CPU_REG, -(int32_t)offsetof(Cpu, guest) - CPU_BIAS));
    x_mov_rm(c, 1, RSI, CPU_MEM(args[0]));
    x_mov_rm(c, 1, RDX, CPU_MEM(args[1]));
    x_mov_rm(c, 1, RCX, CPU_MEM(args[2]));
    x_mov_rm(c, 1, R10, CPU_MEM(functions));
    call_function(c, R10);
    x_mov_mr(c, 1, CPU_MEM(args[3]), RAX);
    if (!fpenv) ldmxcsr(c, CPU_MEM(guest_mxcsr));
    load_pins(c, host);
    emit8(c, 0xc3);
    return start;
}

static void write_call_eval(Code *c, Host *host) {
    host->call_eval = c->p;
    Mem gprs = CPU_MEM(gpr_save), xmms = CPU_MEM(xmm_save);
    for (int i = 0; i < 8; i++) x_mov_mr(c, 1, mem_base(CPU_REG, gprs.disp + i * 8), caller_saved[i]);
    for (unsigned i = 0; i < 16; i++) s_rm(c, S_STORE_128, 0, i, mem_base(CPU_REG, xmms.disp + (int)i * 16));
    x_lea(c, 1, RDI, mem_base(CPU_REG, -(int32_t)offsetof(Cpu, guest) - CPU_BIAS));
    x_mov_rr(c, 1, RSI, RAX);
    x_mov_rm(c, 1, R10, CPU_MEM(functions));
    x_rm(c, 0xff, 0, 2, mem_base(R10, (int32_t)(host->guest->world.helper_count * 8)));
    for (int i = 0; i < 8; i++) x_mov_rm(c, 1, caller_saved[i], mem_base(CPU_REG, gprs.disp + i * 8));
    for (unsigned i = 0; i < 16; i++) s_rm(c, S_LOAD_128, 0, i, mem_base(CPU_REG, xmms.disp + (int)i * 16));
    emit8(c, 0xc3);
}

static void write_constants(Host *host, CodeMemory *memory) {
    HostConstants *k = code_data_alloc(memory, sizeof *k);
    if (!k) bug("no room for the host's constants");
    k->nan64.lo = 0x7ff8000000000000;
    k->nan32.lo = 0x7fc00000;
    k->sign64.lo = 1ull << 63;
    k->sign32.lo = 1ull << 31;
    k->abs64.lo = ~(1ull << 63);
    k->abs32.lo = 0x7fffffff;
    k->box_high.lo = 0xffffffff00000000;
    memcpy(k->class_bounds, (const uint64_t[2][2]){{1ull << 53, 0x7ffull << 53}, {1ull << 56, 0xffull << 56}},
           sizeof k->class_bounds);
    static const uint8_t mxcsr_bit[5] = {1 << 5, 1 << 4, 1 << 3, 1 << 2, 1 << 0}; // by KIR_FFLAG_*: inexact ... invalid
    for (unsigned flags = 0; flags < 32; flags++)
        for (unsigned i = 0; i < 5; i++)
            if (flags >> i & 1) k->mxcsr_of_flags[flags] |= mxcsr_bit[i];
    for (unsigned bits = 0; bits < 64; bits++)
        for (unsigned i = 0; i < 5; i++)
            if (bits & mxcsr_bit[i]) k->flags_of_mxcsr[bits] |= (uint8_t)(1 << i);
    host->constants = k;
}

void host_write_stubs(Host *host, CodeMemory *memory) {
    Code c = {.p = memory->code_next, .end = memory->code_end, .write_delta = memory->write_delta, .avx = host->features.avx};
    write_enter(&c, host);
    write_leave(&c, host);
    host->call_helper = write_call_helper(&c, host, false);
    host->call_helper_fpenv = write_call_helper(&c, host, true);
    write_call_eval(&c, host);
    if (c.overflow) bug("no room for the host's stubs");
    memory->code_next = c.p;
    write_constants(host, memory);
}

static uint64_t evaluate(Cpu *cpu, const EvalRecord *record) {
    cpu_memory(cpu)->evaluated[record->insn.op]++;
    cpu->args[3] = kir_eval(&record->insn, record->types, cpu->args[0], cpu->args[1], cpu->args[2]);
    return 0;
}

static void collect_pins(Host *host) {
    const Guest *guest = host->guest;
    memset(host->gpr_of_global, NO_REG, sizeof host->gpr_of_global);
    memset(host->xmm_of_global, NO_REG, sizeof host->xmm_of_global);
    memset(host->global_of_gpr, 0xff, sizeof host->global_of_gpr);
    memset(host->global_of_xmm, 0xff, sizeof host->global_of_xmm);
    for (unsigned i = 0; i < 10 && guest->pinned_int[i] != 0xffff; i++) {
        unsigned global = guest->pinned_int[i], reg = host_pinned_gprs[i];
        host->gpr_of_global[global] = (uint8_t)reg;
        host->global_of_gpr[reg] = (uint16_t)global;
        host->pinned[global / 64] |= 1ull << global % 64;
        host->pins[host->pin_count++] = (Pin){(uint8_t)reg, false, KIR_I64, guest->world.globals[global].offset};
    }
    for (unsigned i = 0; i < 8 && guest->pinned_float[i] != 0xffff; i++) {
        unsigned global = guest->pinned_float[i];
        const KirGlobal *g = &guest->world.globals[global];
        host->xmm_of_global[global] = (uint8_t)i;
        host->global_of_xmm[i] = (uint16_t)global;
        host->pinned[global / 64] |= 1ull << global % 64;
        host->pins[host->pin_count++] = (Pin){(uint8_t)i, true, g->type, g->offset};
    }
}

void host_memory_is_shared(Host *host) { host->private_memory = false; }

const uint64_t *host_pinned(const Host *host) { return host->pinned; }

Host *host_new(const Guest *guest, const EngineOptions *options, CodeMemory *memory) {
    Host *host = calloc(1, sizeof *host);
    if (!host) fatal("out of memory");
    if (guest->world.global_count > MAX_GLOBALS || guest->state_size > GUEST_STATE_MAX)
        bug("guest %s has more state than the host's tables hold", guest->name);
    host->guest = guest;
    host->options = options;
    host->features = host_detect(options);
    host->private_memory = !options->shared_memory;
    collect_pins(host);
    uint32_t helpers = guest->world.helper_count;
    host->functions = calloc(helpers + 1, sizeof *host->functions);
    if (!host->functions) fatal("out of memory");
    for (uint32_t i = 0; i < helpers; i++) host->functions[i] = (const void *)guest->world.helpers[i].fn;
    host->functions[helpers] = (const void *)evaluate;
    host_write_stubs(host, memory);
    return host;
}

void host_enter(const Host *host, Cpu *cpu, const void *code) {
    cpu->functions = host->functions;
    ((void (*)(Cpu *, const void *))host->enter)(cpu, code);
}

uint32_t host_default_fpenv(void) { return 0x1f80; } // all exceptions masked, nearest, no flags

void host_leave_raise(const Host *host, Cpu *cpu) {
    cpu->exit_record = HOST_EXIT_RAISED;
    __asm__ volatile("mov %0, %%rsp\n\tmov %1, %%r14\n\tjmp *%2"
                     :
                     : "r"(cpu->entry_rsp), "r"((uint8_t *)cpu->guest + CPU_BIAS), "r"(host->leave)
                     : "memory");
    __builtin_unreachable();
}

const int context_gpr[GPRS] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                               REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

uint64_t host_context_pc(const void *ucontext) { return (uint64_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP]; }

void host_redirect(void *ucontext, void (*function)(void *), void *argument) {
    ucontext_t *context = ucontext;
    greg_t *gregs = context->uc_mcontext.gregs;
    gregs[REG_RSP] = ((gregs[REG_RSP] - 256) & ~(greg_t)15) - 8;
    gregs[REG_RDI] = (greg_t)argument;
    gregs[REG_RIP] = (greg_t)function;
}

static uint64_t entry_value(const Cpu *cpu, const ucontext_t *context, const HostFaultEntry *entry, uint64_t *high_half) {
    *high_half = 0;
    switch ((HostPlace)entry->place) {
    case PLACE_CONST: return entry->value;
    case PLACE_WIDE: *high_half = ((const KirWide *)entry->value)->hi; return ((const KirWide *)entry->value)->lo;
    case PLACE_GPR: return (uint64_t)context->uc_mcontext.gregs[context_gpr[entry->reg]];
    case PLACE_XMM: {
        uint64_t both[2];
        memcpy(both, &context->uc_mcontext.fpregs->_xmm[entry->reg], sizeof both);
        *high_half = both[1];
        return both[0];
    }
    case PLACE_SPILL: *high_half = cpu->spill[entry->reg].u64[1]; return cpu->spill[entry->reg].u64[0];
    case PLACE_STACK: {
        uint64_t both[2];
        memcpy(both, (const void *)(uintptr_t)(context->uc_mcontext.gregs[context_gpr[entry->reg]] + (greg_t)entry->value),
               sizeof both);
        *high_half = both[1];
        return both[0];
    }
    case PLACE_GLOBAL: memcpy(high_half, cpu->guest + entry->value + 8, 8); return *(const uint64_t *)(cpu->guest + entry->value);
    }
    bug("fault entry with place %d", entry->place);
}

static void bring_pinned_home(const Host *host, Cpu *cpu, const ucontext_t *context) {
    const greg_t *gregs = context->uc_mcontext.gregs;
    for (unsigned i = 0; i < host->pin_count; i++) {
        const Pin *pin = &host->pins[i];
        if (pin->xmm)
            memcpy(cpu->guest + pin->offset, &context->uc_mcontext.fpregs->_xmm[pin->reg], pin->type == KIR_V128 ? 16 : 8);
        else memcpy(cpu->guest + pin->offset, &gregs[context_gpr[pin->reg]], 8);
    }
}

static void bring_home(const Host *host, Cpu *cpu, const ucontext_t *context, const HostFault *fault,
                       const HostFaultEntry *entries) {
    if (!fault->lists_pinned) bring_pinned_home(host, cpu, context);
    // All are read before one is written: an entry may name the home that another one changes.
    KirWide values[MAX_FAULT_ENTRIES];
    for (uint32_t i = 0; i < fault->entry_count; i++)
        values[i].lo = entry_value(cpu, context, &entries[fault->first_entry + i], &values[i].hi);
    for (uint32_t i = 0; i < fault->entry_count; i++) {
        const KirGlobal *global = &host->guest->world.globals[entries[fault->first_entry + i].global];
        memcpy(cpu->guest + global->offset, &values[i], kir_type_bits((KirType)global->type) / 8);
    }
}

void host_leave_fault(const Host *host, Cpu *cpu, void *ucontext, const HostFault *fault, const HostFaultEntry *entries) {
    ucontext_t *context = ucontext;
    greg_t *gregs = context->uc_mcontext.gregs;
    if (fault) bring_home(host, cpu, context, fault, entries);
    cpu->guest_mxcsr = context->uc_mcontext.fpregs->mxcsr;
    cpu->exit_record = HOST_EXIT_FAULT;
    gregs[REG_RSP] = (greg_t)cpu->entry_rsp;
    gregs[REG_R14] = (greg_t)(cpu->guest + CPU_BIAS);
    gregs[REG_RIP] = (greg_t)host->leave;
}

void host_patch(const CodeMemory *memory, uint8_t *jump, const uint8_t *target) {
    int32_t displacement = (int32_t)(target - (jump + 4));
    __atomic_store_n((int32_t *)(jump + memory->write_delta), displacement, __ATOMIC_RELEASE);
}
