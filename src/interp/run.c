// SPDX-License-Identifier: MIT
//
// The interpreter: walks a block once, one KirValue an instruction.
//
// It keeps no state of the guest anywhere but in the cpu: globals are read and written at home, cpu->pc
// follows the INSN markers, and the guest's floating-point environment stays in cpu->guest_mxcsr and is in
// MXCSR only for the length of one operation or helper. So a fault or an exception may strike anywhere, and
// all that is left to do then is to bring home the globals whose SETs the passes removed (the block's
// fault table).
#include <setjmp.h>
#include <stdlib.h>
#include "base/error.h"
#include "interp/access.h"
#include "interp/interp.h"

enum { VALUES_ON_STACK = 256 };
enum { JUMP_FAULT = 1, JUMP_EXCEPTION = 2 }; // what siglongjmp brings

typedef struct Run {
    Cpu *cpu;
    const KirBlock *block;
    KirValue *values;
    volatile uint32_t at;      // changes between sigsetjmp and siglongjmp: volatile
    volatile bool guest_fpenv; // MXCSR is the guest's: inside a helper that runs under it
    KirException code;
} Run;

static uint32_t get_mxcsr(void) {
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr) : : "memory");
    return mxcsr;
}
static void set_mxcsr(uint32_t mxcsr) { __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory"); }

static void enter_fpenv(Run *run) {
    set_mxcsr(run->cpu->guest_mxcsr);
    run->guest_fpenv = true;
}
static void leave_fpenv(Run *run) {
    run->cpu->guest_mxcsr = get_mxcsr();
    run->guest_fpenv = false;
    set_mxcsr(run->cpu->host_mxcsr);
}

static KirType type_of(const Run *run, KirRef v) { return kir_result_type(&run->block->insns[v]); }

static uint64_t cut(uint64_t value, KirType type) {
    unsigned bits = kir_type_bits(type);
    return bits >= 64 ? value : value & (((uint64_t)1 << bits) - 1);
}

// ---- globals ------------------------------------------------------------------------------------
static KirValue get_global(const Cpu *cpu, const KirGlobal *global) {
    KirValue value = {.u64 = {0}};
    const uint8_t *home = cpu->guest + global->offset;
    unsigned bytes = (kir_type_bits((KirType)global->type) + 7) / 8;
    for (unsigned i = 0; i < bytes; i++) value.u8[i] = home[i];
    value.i = cut(value.i, (KirType)global->type);
    return value;
}

static void set_global(Cpu *cpu, const KirGlobal *global, KirValue value) {
    unsigned bytes = (kir_type_bits((KirType)global->type) + 7) / 8;
    for (unsigned i = 0; i < bytes; i++) cpu->guest[global->offset + i] = value.u8[i];
}

// The entries are sorted: the first one for `at` is found by bisection.
static void bring_home(const Run *run) {
    const KirBlock *block = run->block;
    uint32_t low = 0, high = block->fault_count, at = run->at;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (block->faults[middle].at < at) low = middle + 1;
        else high = middle;
    }
    for (; low < block->fault_count && block->faults[low].at == at; low++)
        set_global(run->cpu, &block->world->globals[block->faults[low].global], run->values[block->faults[low].value]);
}

// ---- memory -------------------------------------------------------------------------------------
static KirValue extend(unsigned mem, KirType type, KirValue loaded) {
    unsigned bits = 8u << (mem & KIR_MEM_SIZE);
    if (!(mem & KIR_MEM_SIGNED) || bits >= 64) return loaded;
    loaded.s64[0] = (int64_t)(loaded.i << (64 - bits)) >> (64 - bits);
    if (type == KIR_I128) loaded.s64[1] = loaded.s64[0] >> 63;
    loaded.i = cut(loaded.i, type);
    return loaded;
}

// False: misaligned, and the guest minds.
static bool check_alignment(Run *run, const KirInsn *insn, uint64_t address) {
    uint64_t low_bits = ((uint64_t)1 << (insn->aux & KIR_MEM_SIZE)) - 1;
    if (!(insn->aux & KIR_MEM_ALIGNED) || !(address & low_bits)) return true;
    run->cpu->fault.address = address;
    run->code = KIR_EXC_MISALIGNED_ADDRESS;
    return false;
}

static uint64_t address_of(const Run *run, const KirInsn *insn) {
    uint64_t address = run->values[insn->a].i;
    if (insn->op == KIR_LOAD) address += (uint64_t)(int64_t)(int32_t)insn->b;
    if (insn->op == KIR_STORE) address += (uint64_t)(int64_t)(int32_t)insn->c;
    return address;
}

static bool access_memory(Run *run, const KirInsn *insn) {
    KirValue *values = run->values, result = {.u64 = {0}};
    uint64_t address = address_of(run, insn);
    if (!check_alignment(run, insn, address)) return false;
    __atomic_store_n(&run->cpu->in_interpreter, true, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    switch (insn->op) {
    case KIR_LOAD: result = access_load(insn->aux, address); break;
    case KIR_STORE: access_store(insn->aux, address, values[insn->b]); break;
    case KIR_CAS: result = access_cas(insn->aux, address, values[insn->b], values[insn->c]); break;
    default: result = access_amo(insn->aux, (KirAmo)insn->c, address, values[insn->b]); break;
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&run->cpu->in_interpreter, false, __ATOMIC_RELAXED);
    values[run->at] = extend(insn->aux, (KirType)insn->type, result);
    return true;
}

// ---- operations ---------------------------------------------------------------------------------
static KirValue operand(const Run *run, KirRef v) {
    static const KirValue none;
    return v == KIR_NONE ? none : run->values[v];
}

static void call_helper(Run *run, const KirInsn *insn) {
    bool three = insn->op == KIR_CALL3;
    const KirHelper *helper = &run->block->world->helpers[three ? insn->aux : insn->a];
    uint64_t a = operand(run, three ? insn->a : insn->b).i, b = operand(run, three ? insn->b : insn->c).i;
    uint64_t c = three ? operand(run, insn->c).i : 0;
    bool fpenv = helper->flags & KIR_HELPER_FPENV;
    if (fpenv) enter_fpenv(run);
    uint64_t result = helper->fn(run->cpu, a, b, c);
    if (fpenv) leave_fpenv(run);
    run->values[run->at] = (KirValue){.u64 = {cut(result, (KirType)helper->result)}};
}

static void evaluate(Run *run, const KirInsn *insn) {
    KirInsn copy = *insn;
    uint32_t *refs[3];
    KirValue operands[3] = {{.u64 = {0}}, {.u64 = {0}}, {.u64 = {0}}};
    uint8_t types[3] = {KIR_VOID, KIR_VOID, KIR_VOID};
    int n = kir_operands(&copy, refs);
    for (int i = 0; i < n; i++) {
        int slot = refs[i] == &copy.a ? 0 : refs[i] == &copy.b ? 1 : 2;
        operands[slot] = run->values[*refs[i]];
        types[slot] = (uint8_t)type_of(run, *refs[i]);
    }
    bool fpenv = kir_op_info[insn->op].flags & KIR_FLAG_FPENV;
    if (fpenv) enter_fpenv(run);
    run->values[run->at] = kir_eval(insn, types, operands[0], operands[1], operands[2]);
    if (fpenv) leave_fpenv(run);
}

// ---- leaving ------------------------------------------------------------------------------------
static InterpOutcome take_exit(Run *run, uint32_t number) {
    const KirExit *exit = &run->block->exits[number];
    bring_home(run);
    run->cpu->pc = exit->target;
    run->code = (KirException)exit->code;
    return exit->kind == KIR_EXIT_EXCEPTION ? INTERP_EXCEPTION : INTERP_CONTINUE;
}

static InterpOutcome raise_misaligned(const Run *run) {
    bring_home(run);
    return INTERP_EXCEPTION;
}

static InterpOutcome walk(Run *run) {
    Cpu *cpu = run->cpu;
    const KirBlock *block = run->block;
    KirValue *values = run->values;
    KirCount *count = &(KirCount){0};
    for (uint32_t i = 0; i < block->count; i++) {
        const KirInsn *insn = &block->insns[i];
        run->at = i;
        switch (insn->op) {
        case KIR_NOP: break;
        case KIR_INSN: cpu->pc = insn->imm; break;
        case KIR_COUNT:
            count = (KirCount *)(uintptr_t)insn->imm;
            count->executed++;
            break;
        case KIR_CONST: values[i] = (KirValue){.u64 = {insn->imm, 0}}; break;
        case KIR_CONSTV: values[i] = (KirValue){.u64 = {block->wides[insn->a].lo, block->wides[insn->a].hi}}; break;
        case KIR_GET: values[i] = get_global(cpu, &block->world->globals[insn->a]); break;
        case KIR_SET: set_global(cpu, &block->world->globals[insn->a], values[insn->b]); break;
        case KIR_CALL:
        case KIR_CALL3: call_helper(run, insn); break;
        case KIR_LOAD:
        case KIR_STORE:
        case KIR_CAS:
        case KIR_AMO:
            if (!access_memory(run, insn)) return raise_misaligned(run);
            break;
        case KIR_FENCE: access_fence(insn->aux); break;
        case KIR_EXIT_IF:
            if (values[insn->a].i) return take_exit(run, insn->b);
            break;
        case KIR_EXIT_IF_IND:
            if (!values[insn->a].i) break;
            bring_home(run);
            count->left_indirectly++;
            cpu->pc = values[insn->b].i;
            return INTERP_CONTINUE;
        case KIR_POLL:
            if (__atomic_load_n(&cpu->poll, __ATOMIC_RELAXED)) return take_exit(run, insn->a);
            break;
        case KIR_EXIT: return take_exit(run, insn->a);
        case KIR_EXIT_COND: return take_exit(run, values[insn->a].i ? insn->b : insn->c);
        case KIR_EXIT_IND:
            count->left_indirectly++;
            cpu->pc = values[insn->a].i;
            return INTERP_CONTINUE;
        default: evaluate(run, insn); break;
        }
    }
    bug("block at %#llx has no final exit", (unsigned long long)block->pc);
}

// After a siglongjmp. A helper that raised had all homes right; MXCSR is the guest's if it ran under it.
static InterpOutcome land(Run *run, int jump) {
    Cpu *cpu = run->cpu;
    cpu->in_interpreter = false;
    if (jump == JUMP_FAULT) {
        bring_home(run);
        set_mxcsr(cpu->host_mxcsr); // a signal handler has its own
        return INTERP_FAULT;
    }
    if (run->guest_fpenv) leave_fpenv(run);
    run->code = (KirException)(jump - JUMP_EXCEPTION);
    return INTERP_EXCEPTION;
}

InterpOutcome interp_run(Cpu *cpu, const KirBlock *block, KirException *code) {
    KirValue on_stack[VALUES_ON_STACK];
    bool large = block->count > VALUES_ON_STACK;
    Run run = {.cpu = cpu, .block = block, .values = large ? malloc(block->count * sizeof(KirValue)) : on_stack};
    if (!run.values) fatal("out of memory");
    void *outer_jump = cpu->interp_jump;
    sigjmp_buf jump_buffer;
    int jump = sigsetjmp(jump_buffer, 0);
    InterpOutcome outcome;
    if (jump == 0) {
        cpu->interp_jump = &jump_buffer;
        outcome = walk(&run);
    } else {
        outcome = land(&run, jump);
    }
    cpu->interp_jump = outer_jump;
    if (large) free(run.values);
    *code = run.code;
    return outcome;
}
