// SPDX-License-Identifier: MIT
//
// The translation of a block, and the table that gives each row of the decode tables its generator.
//
// A block ends at a control transfer, at an exception, after max_insns, and where the next instruction would begin on
// another page than the first: so a block depends on one page and at most two bytes of the next.
#include <string.h>
#include "guest/riscv64/trans.h"
#include "guest/riscv64/vdso.h"

enum { PAGE_MASK = ~4095 };

typedef struct RvRule {
    RvGenerator *generator;
    uint16_t p, q;
} RvRule;

#define MEM_S(size) KIR_MEM_##size | KIR_MEM_SIGNED

// ---- one line a row; compressed rows use their long form's -------------------------------------------------------------------
static const RvRule rules[RV_ROW_COUNT] = {
    [RV_LUI] = {rv_lui},
    [RV_AUIPC] = {rv_auipc},
    [RV_JAL] = {rv_jal},
    [RV_JALR] = {rv_jalr},
    [RV_BEQ] = {rv_branch, KIR_EQ},
    [RV_BNE] = {rv_branch, KIR_NE},
    [RV_BLT] = {rv_branch, KIR_LTS},
    [RV_BGE] = {rv_branch, KIR_GES},
    [RV_BLTU] = {rv_branch, KIR_LTU},
    [RV_BGEU] = {rv_branch, KIR_GEU},
    [RV_LB] = {rv_load, MEM_S(8)},
    [RV_LH] = {rv_load, MEM_S(16)},
    [RV_LW] = {rv_load, MEM_S(32)},
    [RV_LD] = {rv_load, KIR_MEM_64},
    [RV_LBU] = {rv_load, KIR_MEM_8},
    [RV_LHU] = {rv_load, KIR_MEM_16},
    [RV_LWU] = {rv_load, KIR_MEM_32},
    [RV_SB] = {rv_store, KIR_MEM_8},
    [RV_SH] = {rv_store, KIR_MEM_16},
    [RV_SW] = {rv_store, KIR_MEM_32},
    [RV_SD] = {rv_store, KIR_MEM_64},
    [RV_ADDI] = {rv_alu_imm, KIR_ADD},
    [RV_SLTI] = {rv_compare_imm, KIR_LTS},
    [RV_SLTIU] = {rv_compare_imm, KIR_LTU},
    [RV_XORI] = {rv_alu_imm, KIR_XOR},
    [RV_ORI] = {rv_alu_imm, KIR_OR},
    [RV_ANDI] = {rv_alu_imm, KIR_AND},
    [RV_SLLI] = {rv_alu_imm, KIR_SHL},
    [RV_SRLI] = {rv_alu_imm, KIR_SHR},
    [RV_SRAI] = {rv_alu_imm, KIR_SAR},
    [RV_ADD] = {rv_alu, KIR_ADD},
    [RV_SUB] = {rv_alu, KIR_SUB},
    [RV_SLL] = {rv_alu, KIR_SHL},
    [RV_SLT] = {rv_compare, KIR_LTS},
    [RV_SLTU] = {rv_compare, KIR_LTU},
    [RV_XOR] = {rv_alu, KIR_XOR},
    [RV_SRL] = {rv_alu, KIR_SHR},
    [RV_SRA] = {rv_alu, KIR_SAR},
    [RV_OR] = {rv_alu, KIR_OR},
    [RV_AND] = {rv_alu, KIR_AND},
    [RV_ADDIW] = {rv_alu_w_imm, KIR_ADD},
    [RV_SLLIW] = {rv_alu_w_imm, KIR_SHL},
    [RV_SRLIW] = {rv_alu_w_imm, KIR_SHR},
    [RV_SRAIW] = {rv_alu_w_imm, KIR_SAR},
    [RV_ADDW] = {rv_alu_w, KIR_ADD},
    [RV_SUBW] = {rv_alu_w, KIR_SUB},
    [RV_SLLW] = {rv_alu_w, KIR_SHL},
    [RV_SRLW] = {rv_alu_w, KIR_SHR},
    [RV_SRAW] = {rv_alu_w, KIR_SAR},
    [RV_FENCE] = {rv_fence},
    [RV_FENCE_TSO] = {rv_fence_tso},
    [RV_PAUSE] = {rv_nop},
    [RV_FENCE_I] = {rv_raise, KIR_EXC_FENCE_I},
    [RV_ECALL] = {rv_raise, KIR_EXC_SYSCALL},
    [RV_EBREAK] = {rv_raise, KIR_EXC_BREAKPOINT},
    [RV_PREFETCH_I] = {rv_nop},
    [RV_PREFETCH_R] = {rv_nop},
    [RV_PREFETCH_W] = {rv_nop},

    [RV_CSRRW] = {rv_csr, 0},
    [RV_CSRRS] = {rv_csr, 1},
    [RV_CSRRC] = {rv_csr, 2},
    [RV_CSRRWI] = {rv_csr_imm, 0},
    [RV_CSRRSI] = {rv_csr_imm, 1},
    [RV_CSRRCI] = {rv_csr_imm, 2},

    [RV_MUL] = {rv_alu, KIR_MUL},
    [RV_MULH] = {rv_alu, KIR_MULHS},
    [RV_MULHSU] = {rv_alu, KIR_MULHSU},
    [RV_MULHU] = {rv_alu, KIR_MULHU},
    [RV_DIV] = {rv_alu, KIR_DIVS},
    [RV_DIVU] = {rv_alu, KIR_DIVU},
    [RV_REM] = {rv_alu, KIR_REMS},
    [RV_REMU] = {rv_alu, KIR_REMU},
    [RV_MULW] = {rv_alu_w, KIR_MUL},
    [RV_DIVW] = {rv_alu_w, KIR_DIVS},
    [RV_DIVUW] = {rv_alu_w, KIR_DIVU},
    [RV_REMW] = {rv_alu_w, KIR_REMS},
    [RV_REMUW] = {rv_alu_w, KIR_REMU},

    [RV_LR_W] = {rv_lr, KIR_MEM_32},
    [RV_SC_W] = {rv_sc, KIR_MEM_32},
    [RV_AMOSWAP_W] = {rv_amo, KIR_MEM_32, KIR_AMO_XCHG},
    [RV_AMOADD_W] = {rv_amo, KIR_MEM_32, KIR_AMO_ADD},
    [RV_AMOXOR_W] = {rv_amo, KIR_MEM_32, KIR_AMO_XOR},
    [RV_AMOAND_W] = {rv_amo, KIR_MEM_32, KIR_AMO_AND},
    [RV_AMOOR_W] = {rv_amo, KIR_MEM_32, KIR_AMO_OR},
    [RV_AMOMIN_W] = {rv_amo, KIR_MEM_32, KIR_AMO_SMIN},
    [RV_AMOMAX_W] = {rv_amo, KIR_MEM_32, KIR_AMO_SMAX},
    [RV_AMOMINU_W] = {rv_amo, KIR_MEM_32, KIR_AMO_UMIN},
    [RV_AMOMAXU_W] = {rv_amo, KIR_MEM_32, KIR_AMO_UMAX},
    [RV_LR_D] = {rv_lr, KIR_MEM_64},
    [RV_SC_D] = {rv_sc, KIR_MEM_64},
    [RV_AMOSWAP_D] = {rv_amo, KIR_MEM_64, KIR_AMO_XCHG},
    [RV_AMOADD_D] = {rv_amo, KIR_MEM_64, KIR_AMO_ADD},
    [RV_AMOXOR_D] = {rv_amo, KIR_MEM_64, KIR_AMO_XOR},
    [RV_AMOAND_D] = {rv_amo, KIR_MEM_64, KIR_AMO_AND},
    [RV_AMOOR_D] = {rv_amo, KIR_MEM_64, KIR_AMO_OR},
    [RV_AMOMIN_D] = {rv_amo, KIR_MEM_64, KIR_AMO_SMIN},
    [RV_AMOMAX_D] = {rv_amo, KIR_MEM_64, KIR_AMO_SMAX},
    [RV_AMOMINU_D] = {rv_amo, KIR_MEM_64, KIR_AMO_UMIN},
    [RV_AMOMAXU_D] = {rv_amo, KIR_MEM_64, KIR_AMO_UMAX},

    [RV_FLW] = {rv_fload, KIR_F32},
    [RV_FSW] = {rv_fstore, KIR_F32},
    [RV_FMADD_S] = {rv_fp_fma, 0, KIR_F32},
    [RV_FMSUB_S] = {rv_fp_fma, KIR_FP_NEG_ADDEND, KIR_F32},
    [RV_FNMSUB_S] = {rv_fp_fma, KIR_FP_NEG_PRODUCT, KIR_F32},
    [RV_FNMADD_S] = {rv_fp_fma, KIR_FP_NEG_PRODUCT | KIR_FP_NEG_ADDEND, KIR_F32},
    [RV_FADD_S] = {rv_fp, KIR_FADD, KIR_F32},
    [RV_FSUB_S] = {rv_fp, KIR_FSUB, KIR_F32},
    [RV_FMUL_S] = {rv_fp, KIR_FMUL, KIR_F32},
    [RV_FDIV_S] = {rv_fp, KIR_FDIV, KIR_F32},
    [RV_FSQRT_S] = {rv_fp_sqrt, 0, KIR_F32},
    [RV_FSGNJ_S] = {rv_fsgnj, 0, KIR_F32},
    [RV_FSGNJN_S] = {rv_fsgnjn, 0, KIR_F32},
    [RV_FSGNJX_S] = {rv_fsgnjx, 0, KIR_F32},
    [RV_FMIN_S] = {rv_fp_min_max, KIR_FMIN, KIR_F32},
    [RV_FMAX_S] = {rv_fp_min_max, KIR_FMAX, KIR_F32},
    [RV_FCVT_W_S] = {rv_fcvt_to_w, 0, KIR_F32},
    [RV_FCVT_WU_S] = {rv_fcvt_to_w, KIR_FP_UNSIGNED, KIR_F32},
    [RV_FCVT_L_S] = {rv_fcvt_to_l, 0, KIR_F32},
    [RV_FCVT_LU_S] = {rv_fcvt_to_l, KIR_FP_UNSIGNED, KIR_F32},
    [RV_FMV_X_W] = {rv_fmv_x_w},
    [RV_FEQ_S] = {rv_fp_compare, KIR_FEQ, KIR_F32},
    [RV_FLT_S] = {rv_fp_compare, KIR_FLT_S, KIR_F32},
    [RV_FLE_S] = {rv_fp_compare, KIR_FLE_S, KIR_F32},
    [RV_FCLASS_S] = {rv_fp_class, 0, KIR_F32},
    [RV_FCVT_S_W] = {rv_fcvt_from_w, 0, KIR_F32},
    [RV_FCVT_S_WU] = {rv_fcvt_from_w, KIR_FP_UNSIGNED, KIR_F32},
    [RV_FCVT_S_L] = {rv_fcvt_from_l, 0, KIR_F32},
    [RV_FCVT_S_LU] = {rv_fcvt_from_l, KIR_FP_UNSIGNED, KIR_F32},
    [RV_FMV_W_X] = {rv_fmv_w_x},

    [RV_FLD] = {rv_fload, KIR_F64},
    [RV_FSD] = {rv_fstore, KIR_F64},
    [RV_FMADD_D] = {rv_fp_fma, 0, KIR_F64},
    [RV_FMSUB_D] = {rv_fp_fma, KIR_FP_NEG_ADDEND, KIR_F64},
    [RV_FNMSUB_D] = {rv_fp_fma, KIR_FP_NEG_PRODUCT, KIR_F64},
    [RV_FNMADD_D] = {rv_fp_fma, KIR_FP_NEG_PRODUCT | KIR_FP_NEG_ADDEND, KIR_F64},
    [RV_FADD_D] = {rv_fp, KIR_FADD, KIR_F64},
    [RV_FSUB_D] = {rv_fp, KIR_FSUB, KIR_F64},
    [RV_FMUL_D] = {rv_fp, KIR_FMUL, KIR_F64},
    [RV_FDIV_D] = {rv_fp, KIR_FDIV, KIR_F64},
    [RV_FSQRT_D] = {rv_fp_sqrt, 0, KIR_F64},
    [RV_FSGNJ_D] = {rv_fsgnj, 0, KIR_F64},
    [RV_FSGNJN_D] = {rv_fsgnjn, 0, KIR_F64},
    [RV_FSGNJX_D] = {rv_fsgnjx, 0, KIR_F64},
    [RV_FMIN_D] = {rv_fp_min_max, KIR_FMIN, KIR_F64},
    [RV_FMAX_D] = {rv_fp_min_max, KIR_FMAX, KIR_F64},
    [RV_FCVT_S_D] = {rv_fcvt_float, KIR_F64, KIR_F32},
    [RV_FCVT_D_S] = {rv_fcvt_float, KIR_F32, KIR_F64},
    [RV_FEQ_D] = {rv_fp_compare, KIR_FEQ, KIR_F64},
    [RV_FLT_D] = {rv_fp_compare, KIR_FLT_S, KIR_F64},
    [RV_FLE_D] = {rv_fp_compare, KIR_FLE_S, KIR_F64},
    [RV_FCLASS_D] = {rv_fp_class, 0, KIR_F64},
    [RV_FCVT_W_D] = {rv_fcvt_to_w, 0, KIR_F64},
    [RV_FCVT_WU_D] = {rv_fcvt_to_w, KIR_FP_UNSIGNED, KIR_F64},
    [RV_FCVT_L_D] = {rv_fcvt_to_l, 0, KIR_F64},
    [RV_FCVT_LU_D] = {rv_fcvt_to_l, KIR_FP_UNSIGNED, KIR_F64},
    [RV_FCVT_D_W] = {rv_fcvt_from_w, 0, KIR_F64},
    [RV_FCVT_D_WU] = {rv_fcvt_from_w, KIR_FP_UNSIGNED, KIR_F64},
    [RV_FCVT_D_L] = {rv_fcvt_from_l, 0, KIR_F64},
    [RV_FCVT_D_LU] = {rv_fcvt_from_l, KIR_FP_UNSIGNED, KIR_F64},
    [RV_FMV_X_D] = {rv_fmv_x_d},
    [RV_FMV_D_X] = {rv_fmv_d_x},

    [RV_SH1ADD] = {rv_sh_add, 1, 0},
    [RV_SH2ADD] = {rv_sh_add, 2, 0},
    [RV_SH3ADD] = {rv_sh_add, 3, 0},
    [RV_ADD_UW] = {rv_sh_add, 0, 1},
    [RV_SH1ADD_UW] = {rv_sh_add, 1, 1},
    [RV_SH2ADD_UW] = {rv_sh_add, 2, 1},
    [RV_SH3ADD_UW] = {rv_sh_add, 3, 1},
    [RV_SLLI_UW] = {rv_slli_uw},

    [RV_ANDN] = {rv_alu_not, KIR_AND},
    [RV_ORN] = {rv_alu_not, KIR_OR},
    [RV_XNOR] = {rv_alu_not, KIR_XOR},
    [RV_CLZ] = {rv_unary, KIR_CLZ},
    [RV_CTZ] = {rv_unary, KIR_CTZ},
    [RV_CPOP] = {rv_unary, KIR_POPCNT},
    [RV_SEXT_B] = {rv_extend, KIR_SEXT, KIR_I8},
    [RV_SEXT_H] = {rv_extend, KIR_SEXT, KIR_I16},
    [RV_ZEXT_H] = {rv_extend, KIR_ZEXT, KIR_I16},
    [RV_CLZW] = {rv_unary_w, KIR_CLZ},
    [RV_CTZW] = {rv_unary_w, KIR_CTZ},
    [RV_CPOPW] = {rv_unary_w, KIR_POPCNT},
    [RV_MAX] = {rv_min_max, KIR_GTS},
    [RV_MAXU] = {rv_min_max, KIR_GTU},
    [RV_MIN] = {rv_min_max, KIR_LTS},
    [RV_MINU] = {rv_min_max, KIR_LTU},
    [RV_ROL] = {rv_rol},
    [RV_ROR] = {rv_alu, KIR_ROTR},
    [RV_RORI] = {rv_alu_imm, KIR_ROTR},
    [RV_ROLW] = {rv_rolw},
    [RV_RORW] = {rv_alu_w, KIR_ROTR},
    [RV_RORIW] = {rv_alu_w_imm, KIR_ROTR},
    [RV_ORC_B] = {rv_unary, KIR_ORCB},
    [RV_REV8] = {rv_unary, KIR_BSWAP},

    [RV_CLMUL] = {rv_alu, KIR_CLMUL},
    [RV_CLMULR] = {rv_clmulr},
    [RV_CLMULH] = {rv_alu, KIR_CLMULH},

    [RV_BCLR] = {rv_single_bit, KIR_AND, 1},
    [RV_BEXT] = {rv_bext},
    [RV_BINV] = {rv_single_bit, KIR_XOR, 0},
    [RV_BSET] = {rv_single_bit, KIR_OR, 0},
    [RV_BCLRI] = {rv_single_bit_imm, KIR_AND, 1},
    [RV_BEXTI] = {rv_bext_imm},
    [RV_BINVI] = {rv_single_bit_imm, KIR_XOR, 0},
    [RV_BSETI] = {rv_single_bit_imm, KIR_OR, 0},

    [RV_CZERO_EQZ] = {rv_czero, KIR_EQ},
    [RV_CZERO_NEZ] = {rv_czero, KIR_NE},
};

// ---- code bytes ---------------------------------------------------------------------------------------------------------
// Two bytes of code at pc, from the first range or by asking for more. False: not readable.
static bool fetch_half(const GuestTranslation *request, uint64_t pc, uint16_t *half) {
    const uint8_t *bytes = request->bytes;
    uint64_t offset = pc - request->pc;
    size_t size = request->size;
    if (offset + sizeof *half > size) {
        size = request->fetch ? request->fetch(request->context, pc, &bytes) : 0;
        offset = 0;
    }
    if (size < sizeof *half) return false;
    memcpy(half, bytes + offset, sizeof *half);
    return true;
}

// The bytes of the instruction at pc. False: not all of them are readable; *length is set to what it would need.
static bool fetch_insn(const GuestTranslation *request, uint64_t pc, uint32_t *bits, unsigned *length) {
    uint16_t low, high;
    *length = 2;
    if (!fetch_half(request, pc, &low)) return false;
    *bits = low;
    *length = rv_length(low);
    if (*length == 2) return true;
    if (!fetch_half(request, pc + 2, &high)) return false;
    *bits |= (uint32_t)high << 16;
    return true;
}

// ---- the block ------------------------------------------------------------------------------------------------------------
static void translate_insn(RvTranslator *t, uint32_t bits) {
    RvInsn insn;
    rv_decode(bits, &insn);
    const RvRule *rule = &rules[insn.op];
    bool enabled = insn.row != RV_ILLEGAL && !(rv_rows[insn.row].features & ~t->request->features);
    if (insn.row == RV_ILLEGAL && rv_vdso_insn(t, bits)) return;
    if (!enabled || !rule->generator(t, &insn, rule->p, rule->q)) rv_raise(t, &insn, KIR_EXC_ILLEGAL, 0);
}

void rv_translate(GuestTranslation *request) {
    RvTranslator t = {.b = request->builder, .request = request, .pc = request->pc};
    KirBlock *block = request->builder->block;
    unsigned max = request->max_insns ? request->max_insns : 1, length;
    while (!t.done) {
        uint32_t bits = 0;
        bool first = block->guest_insns == 0;
        bool full = block->guest_insns >= max || (t.pc ^ request->pc) & (uint64_t)PAGE_MASK;
        bool readable = (first || !full) && fetch_insn(request, t.pc, &bits, &length);
        if (!first && !readable) { // full, or a fault of the fetch, which belongs to a block of its own
            rv_end(&t, kir_exit_direct(t.b, t.pc));
            break;
        }
        t.next = t.pc + length;
        kir_insn_start(t.b, t.pc, length);
        block->guest_insns++;
        if (readable) translate_insn(&t, bits);
        else rv_raise(&t, NULL, KIR_EXC_FETCH_FAULT, 0);
        t.pc = t.next;
    }
    block->guest_bytes = (uint32_t)(t.pc - request->pc);
}
