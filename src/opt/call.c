// SPDX-License-Identifier: MIT
//
// Calls into C. They go through the table of functions in the cpu state, so the code has no address in it.
//
// A helper runs under the host's floating-point environment unless it asks for the guest's; Cpu.guest_mxcsr is right while it runs. It
// finds the homes of globals right if it looks at them or may raise an exception. The evaluator runs under the guest's environment
// and touches nothing but Cpu.args.
#include <string.h>
#include "opt/lower.h"

static LLVMValueRef function_address(Lower *l, unsigned number) {
    LLVMValueRef table = load_cpu(l, l->ptr, l->request->layout.functions, "functions");
    LLVMValueRef offset = const_int(l, KIR_I64, number * 8ull);
    LLVMValueRef slot = LLVMBuildGEP2(l->builder, llvm_type(l, KIR_I8), table, &offset, 1, "");
    return mark_cpu_access(l, LLVMBuildLoad2(l->builder, l->ptr, slot, ""));
}

static LLVMValueRef cpu_argument(Lower *l) { return cpu_field(l, l->request->layout.cpu); }

// C code may do anything in any floating-point environment.
static LLVMValueRef call_c(Lower *l, LLVMTypeRef type, unsigned number, LLVMValueRef *args, unsigned count) {
    LLVMValueRef call = LLVMBuildCall2(l->builder, type, function_address(l, number), args, count, "");
    add_call_attribute(l, call, "nounwind", 0);
    add_call_attribute(l, call, "strictfp", 0);
    return call;
}

// ---- helpers ------------------------------------------------------------------------------------------------------------------
// An operand travels as its bits.
static LLVMValueRef as_bits(Lower *l, KirRef v) {
    LLVMValueRef value = value_of(l, v);
    if (type_of(l, v) == KIR_F64) return LLVMBuildBitCast(l->builder, value, llvm_type(l, KIR_I64), "");
    if (type_of(l, v) == KIR_F32) value = LLVMBuildBitCast(l->builder, value, llvm_type(l, KIR_I32), "");
    return LLVMBuildZExt(l->builder, value, llvm_type(l, KIR_I64), "");
}

static LLVMValueRef from_bits(Lower *l, LLVMValueRef bits, KirType type) {
    if (type == KIR_F64) return LLVMBuildBitCast(l->builder, bits, llvm_type(l, KIR_F64), "");
    if (type != KIR_F32) return LLVMBuildTrunc(l->builder, bits, llvm_type(l, type), "");
    LLVMValueRef low = LLVMBuildTrunc(l->builder, bits, llvm_type(l, KIR_I32), "");
    return LLVMBuildBitCast(l->builder, low, llvm_type(l, KIR_F32), "");
}

LLVMValueRef lower_call(Lower *l, const KirInsn *insn) {
    const TraceLayout *layout = &l->request->layout;
    bool three = insn->op == KIR_CALL3;
    unsigned number = three ? insn->aux : insn->a;
    uint32_t operands[3] = {three ? insn->a : insn->b, three ? insn->b : insn->c, three ? insn->c : KIR_NONE};
    const KirHelper *helper = &l->kir->world->helpers[number];
    LLVMValueRef args[4] = {cpu_argument(l)};
    for (int i = 0; i < 3; i++) args[i + 1] = operands[i] == KIR_NONE ? const_int(l, KIR_I64, 0) : as_bits(l, operands[i]);
    if (helper->flags & (KIR_HELPER_READS_GLOBALS | KIR_HELPER_WRITES_GLOBALS | KIR_HELPER_MAY_RAISE))
        store_dirty(l, &l->dirty, true);
    if (helper->flags & KIR_HELPER_MAY_RAISE) store_cpu(l, const_int(l, KIR_I64, l->insn_pc), layout->pc);
    access_mxcsr(l, "llvm.x86.sse.stmxcsr", layout->guest_mxcsr);
    bool fpenv = helper->flags & KIR_HELPER_FPENV;
    if (!fpenv) access_mxcsr(l, "llvm.x86.sse.ldmxcsr", layout->host_mxcsr);
    LLVMValueRef result = call_c(l, l->helper_type, number, args, 4);
    if (!fpenv) access_mxcsr(l, "llvm.x86.sse.ldmxcsr", layout->guest_mxcsr);
    if (helper->flags & KIR_HELPER_WRITES_GLOBALS) reload_globals(l);
    return insn->type == KIR_VOID ? NULL : from_bits(l, result, (KirType)insn->type);
}

// ---- the evaluator ------------------------------------------------------------------------------------------------------------
// What it reads (EvalRecord of the host): the instruction, then the types of its operands.
static LLVMValueRef eval_record(Lower *l, const KirInsn *insn, const uint8_t types[3]) {
    char bytes[sizeof *insn + 4] = {0};
    memcpy(bytes, insn, sizeof *insn);
    memcpy(bytes + sizeof *insn, types, 3);
    LLVMValueRef data = LLVMConstStringInContext2(l->context, bytes, sizeof bytes, true);
    LLVMValueRef record = LLVMAddGlobal(l->module, LLVMTypeOf(data), "record");
    LLVMSetInitializer(record, data);
    LLVMSetGlobalConstant(record, true);
    LLVMSetLinkage(record, LLVMPrivateLinkage);
    LLVMSetAlignment(record, 8);
    return record;
}

LLVMValueRef evaluate(Lower *l, const KirInsn *insn, LLVMValueRef operands[3]) {
    uint32_t slots[3] = {insn->a, insn->b, insn->c};
    uint8_t types[3] = {KIR_VOID, KIR_VOID, KIR_VOID};
    int32_t room = l->request->layout.args;
    for (int i = 0; i < 3; i++) {
        if (!operands[i]) continue;
        types[i] = (uint8_t)type_of(l, slots[i]);
        LLVMValueRef value = operands[i];
        if (types[i] == KIR_I1) value = LLVMBuildZExt(l->builder, value, llvm_type(l, KIR_I8), "");
        store_cpu(l, value, room + i * 16);
    }
    LLVMValueRef args[2] = {cpu_argument(l), eval_record(l, insn, types)};
    LLVMValueRef call = call_c(l, l->evaluator_type, l->request->layout.evaluator, args, 2);
    KirType result = kir_result_type(insn);
    if (result == KIR_VOID) return call;
    if (result != KIR_I1) return load_cpu(l, llvm_type(l, result), room + 3 * 16, "");
    return LLVMBuildTrunc(l->builder, load_cpu(l, llvm_type(l, KIR_I8), room + 3 * 16, ""), llvm_type(l, KIR_I1), "");
}

LLVMValueRef call_evaluator(Lower *l, const KirInsn *insn) {
    KirInsn copy = *insn;
    uint32_t *refs[3];
    LLVMValueRef operands[3] = {NULL, NULL, NULL};
    int n = kir_operands(&copy, refs);
    for (int i = 0; i < n; i++) operands[refs[i] == &copy.a ? 0 : refs[i] == &copy.b ? 1 : 2] = value_of(l, *refs[i]);
    return evaluate(l, insn, operands);
}
