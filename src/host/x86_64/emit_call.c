// SPDX-License-Identifier: MIT
//
// Calls into C: the guest's helpers, and the evaluator for operations that have no host code here (counted as fallbacks).
// Operands travel through Cpu.args, because the argument registers of the C convention are pinned.
#include "host/x86_64/emit.h"

static Mem args_mem(unsigned i) {
    Mem m = CPU_MEM(args);
    m.disp += (int32_t)i * 16;
    return m;
}

static void take_result(Emit *e, KirRef v) {
    bool wide = kir_type_bits(type_of(e, v)) == 128;
    if (e->values[v].xmm) s_rm(&e->c, wide ? (uint32_t)S_LOAD_128 : S_LOAD_64, 0, def_xmm(e, v), args_mem(3));
    else x_mov_rm(&e->c, 1, def_gpr(e, v), args_mem(3));
}

void emit_call(Emit *e, KirRef v, const KirInsn *insn) {
    bool three = insn->op == KIR_CALL3;
    unsigned number = three ? insn->aux : insn->a;
    uint32_t operands[3] = {three ? insn->a : insn->b, three ? insn->b : insn->c, three ? insn->c : KIR_NONE};
    const KirHelper *helper = &e->kir->world->helpers[number];
    for (unsigned i = 0; i < 3; i++) {
        if (operands[i] == KIR_NONE) continue;
        store_value(e, args_mem(i), operands[i]);
        e->locked[0] = e->locked[1] = 0;
    }
    spill_for_call(e, helper->flags & KIR_HELPER_WRITES_GLOBALS);
    if (helper->flags & KIR_HELPER_MAY_RAISE) {
        x_mov_ri(&e->c, RAX, e->insn_pc);
        x_mov_mr(&e->c, 1, CPU_MEM(pc), RAX);
    }
    x_mov_ri(&e->c, RAX, number);
    x_call(&e->c, helper->flags & KIR_HELPER_FPENV ? e->host->call_helper_fpenv : e->host->call_helper);
    if (insn->type != KIR_VOID) take_result(e, v);
    e->helper_calls++;
}

EvalRecord *eval_record(Emit *e, const KirInsn *insn) {
    EvalRecord *record = code_data_alloc(e->memory, sizeof *record);
    if (!record) {
        e->c.overflow = true;
        static EvalRecord none;
        return &none;
    }
    record->insn = *insn;
    KirInsn copy = *insn;
    uint32_t *refs[3];
    int n = kir_operands(&copy, refs);
    for (int i = 0; i < n; i++) {
        unsigned slot = refs[i] == &copy.a ? 0 : refs[i] == &copy.b ? 1 : 2;
        if (*refs[i] != KIR_NONE) record->types[slot] = (uint8_t)type_of(e, *refs[i]);
    }
    return record;
}

void emit_fallback(Emit *e, KirRef v, const KirInsn *insn) {
    KirInsn copy = *insn;
    uint32_t *refs[3];
    int n = kir_operands(&copy, refs);
    for (int i = 0; i < n; i++) {
        unsigned slot = refs[i] == &copy.a ? 0 : refs[i] == &copy.b ? 1 : 2;
        store_value(e, args_mem(slot), *refs[i]);
        e->locked[0] = e->locked[1] = 0;
    }
    take_gpr(e, RAX);
    x_lea(&e->c, 1, RAX, mem_rip(eval_record(e, insn)));
    x_call(&e->c, e->host->call_eval);
    if (kir_op_info[insn->op].result != '-') take_result(e, v);
    e->fallbacks++;
}

void cold_evaluate(Emit *e, const Cold *cold) {
    const KirInsn *insn = &e->insns[cold->index];
    KirInsn copy = *insn;
    uint32_t *refs[3];
    int n = kir_operands(&copy, refs);
    Mem saved_rax = CPU_MEM(gpr_save);
    saved_rax.disp += 8 * 8;
    bool result_xmm = e->values[cold->index].xmm;
    for (int i = 0; i < n; i++) {
        if (value_of(e, *refs[i])->xmm) s_rm(&e->c, S_STORE_128, 0, cold->regs[i], args_mem((unsigned)i));
        else x_mov_mr(&e->c, 1, args_mem((unsigned)i), cold->regs[i]);
    }
    x_mov_mr(&e->c, 1, saved_rax, RAX);
    x_lea(&e->c, 1, RAX, mem_rip(eval_record(e, insn)));
    x_call(&e->c, e->host->call_eval);
    x_mov_rm(&e->c, 1, RAX, saved_rax);
    if (result_xmm) s_rm(&e->c, S_LOAD_64, 0, cold->regs[3], args_mem(3));
    else x_mov_rm(&e->c, 1, cold->regs[3], args_mem(3));
}
