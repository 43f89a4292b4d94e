// SPDX-License-Identifier: MIT
//
// The meaning of every value operation: dispatch, and the operations that only move bits.
//
// kir_eval is used by the interpreter for everything, by the fast tier for what it has no code for, and by
// the tests as the reference. It may be called with anything above the operands' types and under any MXCSR
// with all exceptions masked.
#include "base/error.h"
#include "interp/eval.h"

typedef KirValue (*Evaluator)(const Eval *v);

static const Evaluator evaluators[KIR_OP_COUNT] = {
#define KIR_OP(e, text, result, operands, flags) [KIR_##e] = kir_eval_##e,
#include "ir/ops.def"
#undef KIR_OP
};

static KirValue cut(KirValue value, KirType type) {
    unsigned bits = kir_type_bits(type);
    if (bits == 128) return value;
    return kir_value(cut64(value.i, bits));
}

KirValue kir_eval(const KirInsn *insn, const uint8_t types[3], KirValue a, KirValue b, KirValue c) {
    Eval v = {
        .insn = insn,
        .types = types,
        .a = cut(a, (KirType)types[0]),
        .b = cut(b, (KirType)types[1]),
        .c = cut(c, (KirType)types[2]),
        .bits = kir_type_bits((KirType)insn->type),
    };
    return cut(evaluators[insn->op](&v), kir_result_type(insn));
}

// ---- operations that touch more than their operands are the interpreter's -----------------------
static KirValue no_value(const Eval *v) { bug("operation %s has no value to compute", kir_op_info[v->insn->op].name); }

#define NO_VALUE(e)                                                                                                                \
    KirValue kir_eval_##e(const Eval *v) { return no_value(v); }
NO_VALUE(NOP)
NO_VALUE(INSN)
NO_VALUE(COUNT)
NO_VALUE(CONSTV)
NO_VALUE(GET)
NO_VALUE(SET)
NO_VALUE(CALL)
NO_VALUE(CALL3)
NO_VALUE(LOAD)
NO_VALUE(STORE)
NO_VALUE(CAS)
NO_VALUE(AMO)
NO_VALUE(FENCE)
NO_VALUE(EXIT_IF)
NO_VALUE(POLL)
NO_VALUE(EXIT_IF_IND)
NO_VALUE(EXIT)
NO_VALUE(EXIT_COND)
NO_VALUE(EXIT_IND)

// ---- bits as they are ---------------------------------------------------------------------------
KirValue kir_eval_CONST(const Eval *v) { return kir_value(v->insn->imm); }
KirValue kir_eval_SELECT(const Eval *v) { return v->a.i ? v->b : v->c; }
KirValue kir_eval_BITCAST(const Eval *v) { return v->a; }
KirValue kir_eval_PAIR(const Eval *v) { return (KirValue){.u64 = {v->a.i, v->b.i}}; }
KirValue kir_eval_LO64(const Eval *v) { return kir_value(v->a.u64[0]); }
KirValue kir_eval_HI64(const Eval *v) { return kir_value(v->a.u64[1]); }
