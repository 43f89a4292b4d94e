// SPDX-License-Identifier: MIT
//
// Tables about operations, types and modifiers, all made from ops.def and the enums of kir.h. Nothing here
// has state.
#include "ir/info.h"

// The letters of ops.def become constants at compile time: both compilers fold __builtin_strchr on literals.
#define HAS(s, letter, bit) (__builtin_strchr(s, letter) ? (bit) : 0)
#define IS_REF(c)           ((c) == 'T' || (c) == 'A' || (c) == 'B' || (c) == 'I' || (c) == 'V' || (c) == 'L' || (c) == 'W' || (c) == '?')

const KirOpInfo kir_op_info[KIR_OP_COUNT] = {
#define KIR_OP(e, text, res, slots, fl)                                                                                            \
    [KIR_##e] = {.name = text,                                                                                                     \
                 .result = res,                                                                                                    \
                 .operands = slots,                                                                                                \
                 .flags = HAS(fl, 'P', KIR_FLAG_PURE) | HAS(fl, 'R', KIR_FLAG_READ) | HAS(fl, 'W', KIR_FLAG_WRITE) |               \
                          HAS(fl, 'F', KIR_FLAG_FAULT) | HAS(fl, 'G', KIR_FLAG_GLOBAL) | HAS(fl, 'E', KIR_FLAG_SIDE_EXIT) |        \
                          HAS(fl, 'X', KIR_FLAG_END) | HAS(fl, 'S', KIR_FLAG_FPENV) | HAS(fl, 'C', KIR_FLAG_CALL)},
#include "ir/ops.def"
#undef KIR_OP
};

const KirOpFacts kir_op_facts[KIR_OP_COUNT] = {
#define KIR_OP(e, text, res, slots, fl)                                                                                            \
    [KIR_##e] = {.result = (res) == 'T'   ? KIR_TYPE_FROM_INSN                                                                     \
                           : (res) == 'B' ? KIR_I1                                                                                 \
                           : (res) == 'W' ? KIR_I32                                                                                \
                           : (res) == 'L' ? KIR_I64                                                                                \
                                          : KIR_VOID,                                                                              \
                 .refs = IS_REF((slots)[0]) | IS_REF((slots)[1]) << 1 | IS_REF((slots)[2]) << 2,                                   \
                 .unused = ((slots)[0] == '.') | ((slots)[1] == '.') << 1 | ((slots)[2] == '.') << 2,                              \
                 .free_type = (res) == 'T' || HAS(slots, 'T', 1) || KIR_##e == KIR_SET || KIR_##e == KIR_STORE},
#include "ir/ops.def"
#undef KIR_OP
};

KirType kir_result_type(const KirInsn *insn) { return kir_result_type_of(insn); }

int kir_operands(KirInsn *insn, uint32_t *refs[3]) {
    unsigned mask = kir_op_facts[insn->op].refs;
    int n = 0;
    if ((mask & 1) && insn->a != KIR_NONE) refs[n++] = &insn->a;
    if ((mask & 2) && insn->b != KIR_NONE) refs[n++] = &insn->b;
    if ((mask & 4) && insn->c != KIR_NONE) refs[n++] = &insn->c;
    return n;
}

const uint8_t kir_bits_of_type[KIR_TYPE_COUNT] = {
    [KIR_I1] = 1,     [KIR_I8] = 8,   [KIR_I16] = 16, [KIR_I32] = 32, [KIR_I64] = 64,
    [KIR_I128] = 128, [KIR_F32] = 32, [KIR_F64] = 64, [KIR_V64] = 64, [KIR_V128] = 128,
};

unsigned kir_type_bits(KirType type) { return type < KIR_TYPE_COUNT ? kir_bits(type) : 0; }

// True for both kinds of CONST (insn->imm is then the value in this process); not for CONSTV.
bool kir_is_const(const KirBlock *block, KirRef v) { return block->insns[v].op == KIR_CONST; }

KirAuxClass kir_aux_class(unsigned op) {
    switch (op) {
    case KIR_INSN: return KIR_AUX_BYTES;
    case KIR_CONST: return KIR_AUX_CONST;
    case KIR_CALL3: return KIR_AUX_HELPER;
    case KIR_CRC32: return KIR_AUX_CRC;
    case KIR_CMP: return KIR_AUX_COND;
    case KIR_LOAD ... KIR_AMO: return KIR_AUX_MEM;
    case KIR_FENCE: return KIR_AUX_FENCE;
    case KIR_FCMP: return KIR_AUX_FCMP;
    case KIR_FADD ... KIR_FMAX: return KIR_AUX_FP;
    case KIR_FTOI ... KIR_FROUND: return KIR_AUX_FP;
    case KIR_VADD ... KIR_VFCVTN: return KIR_AUX_VEC;
    case KIR_SHA: return KIR_AUX_SHA;
    case KIR_EXIT_IND:
    case KIR_EXIT_IF_IND: return KIR_AUX_HINT;
    default: return KIR_AUX_NONE;
    }
}

#define NAME_TABLE(function, ...)                                                                                                  \
    const char *function(unsigned i) {                                                                                             \
        static const char *const names[] = {__VA_ARGS__};                                                                          \
        return i < sizeof names / sizeof *names ? names[i] : NULL;                                                                 \
    }

NAME_TABLE(kir_type_name, "void", "i1", "i8", "i16", "i32", "i64", "i128", "f32", "f64", "v64", "v128")
NAME_TABLE(kir_cond_name, "eq", "ne", "lts", "les", "gts", "ges", "ltu", "leu", "gtu", "geu")
NAME_TABLE(kir_round_name, "rne", "rtz", "rdn", "rup", "rmm", NULL, NULL, "dyn")
NAME_TABLE(kir_fcmp_name, "feq", "flt", "fle", "funord", "feq_s", "flt_s", "fle_s", "fgt", "fge", "fgt_s", "fge_s")
NAME_TABLE(kir_amo_name, "xchg", "add", "and", "or", "xor", "smin", "smax", "umin", "umax", "clear")
NAME_TABLE(kir_sha_name, "sha1c", "sha1p", "sha1m", "sha1h", "sha1su0", "sha1su1", "sha256h", "sha256h2", "sha256su0", "sha256su1")
NAME_TABLE(kir_hint_name, "jump", "call", "return")
NAME_TABLE(kir_exception_name, "syscall", "breakpoint", "illegal", "fetch_fault", "misaligned_address", "divide", "trap", "fence_i",
           "resume")

const KirBitName *kir_aux_bits(KirAuxClass class) {
    static const KirBitName none[] = {{0, NULL}};
    static const KirBitName memory[] = {
        {KIR_MEM_SIGNED, "signed"},
        {KIR_MEM_ACQUIRE, "acquire"},
        {KIR_MEM_RELEASE, "release"},
        {KIR_MEM_ALIGNED, "aligned"},
        {KIR_MEM_NOFAULT, "nofault"},
        {KIR_MEM_ATOMIC, "atomic"},
        {0, NULL},
    };
    static const KirBitName fence[] = {
        {KIR_FENCE_PR, "pr"}, {KIR_FENCE_PW, "pw"}, {KIR_FENCE_SR, "sr"}, {KIR_FENCE_SW, "sw"}, {KIR_FENCE_INSN, "insn"}, {0, NULL},
    };
    static const KirBitName fp[] = {
        {KIR_FP_NAN_ARM, "arm"},          {KIR_FP_NEG_PRODUCT, "negproduct"},
        {KIR_FP_NEG_ADDEND, "negaddend"}, {KIR_FP_UNSIGNED, "unsigned"},
        {KIR_FP_NAN_ZERO, "nanzero"},     {KIR_FP_NUMBER, "number"},
        {KIR_FP_EXACT, "exact"},          {0, NULL},
    };
    static const KirBitName vector[] = {
        {KIR_VEC_SIGNED, "signed"}, {KIR_VEC_ROUND, "round"}, {KIR_VEC_SATURATE, "saturate"}, {KIR_VEC_MIXED, "mixed"},
        {KIR_VEC_POLY, "poly"},     {KIR_VEC_NAN_ARM, "arm"}, {KIR_VEC_VARIANT, "variant"},   {0, NULL},
    };
    static const KirBitName crc[] = {{1, "castagnoli"}, {0, NULL}};
    switch (class) {
    case KIR_AUX_MEM: return memory;
    case KIR_AUX_FENCE: return fence;
    case KIR_AUX_FP: return fp;
    case KIR_AUX_VEC: return vector;
    case KIR_AUX_CRC: return crc;
    default: return none;
    }
}
