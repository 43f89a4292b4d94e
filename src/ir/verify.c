// SPDX-License-Identifier: MIT
//
// The verifier: what every pass and every consumer may rely on, as code. One linear walk.
//
// It trusts nothing in the block but the pointers and counts of its arrays and its world: binary and text
// input pass through here before anyone else looks at them.
#include <stdarg.h>
#include <stdio.h>
#include "ir/info.h"

enum { MAX_ENTRIES_HERE = 64 };

typedef struct Verifier {
    const KirBlock *block;
    uint32_t at;
    char *error;
    size_t error_size;
} Verifier;

__attribute__((format(printf, 2, 3))) static bool fail(Verifier *v, const char *format, ...) {
    if (!v->error_size) return false;
    const char *name = "?";
    if (v->at < v->block->count && v->block->insns[v->at].op < KIR_OP_COUNT) name = kir_op_info[v->block->insns[v->at].op].name;
    int used = snprintf(v->error, v->error_size, "%%%u (%s): ", v->at, name);
    if (used < 0 || (size_t)used >= v->error_size) return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(v->error + used, v->error_size - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

// ---- types --------------------------------------------------------------------------------------

enum {
    M_I1 = 1 << KIR_I1,
    M_I32 = 1 << KIR_I32,
    M_I64 = 1 << KIR_I64,
    M_WORD = M_I32 | M_I64,
    M_INT = M_I1 | 1 << KIR_I8 | 1 << KIR_I16 | M_WORD,
    M_FLOAT = 1 << KIR_F32 | 1 << KIR_F64,
    M_VECTOR = 1 << KIR_V64 | 1 << KIR_V128,
    M_WIDE = 1 << KIR_I128 | 1 << KIR_V128,
    M_ANY = M_INT | M_FLOAT | M_VECTOR | 1 << KIR_I128,
};

// What the type field of an operation may be.
static unsigned allowed_types(unsigned op) {
    switch (op) {
    case KIR_CONST: return M_INT | M_FLOAT;
    case KIR_CONSTV: return M_VECTOR | M_WIDE;
    case KIR_CALL:
    case KIR_CALL3: return M_INT | M_FLOAT | 1 << KIR_VOID;
    case KIR_AND ... KIR_NOT: return M_WORD | M_I1;
    case KIR_CMP: return M_INT & ~M_I1;
    case KIR_SEXT:
    case KIR_ZEXT: return M_INT & ~M_I1;
    case KIR_TRUNC: return M_INT & ~M_I64;
    case KIR_ADD ... KIR_AND - 1:
    case KIR_NEG ... KIR_CLMULH:
    case KIR_BFX ... KIR_ADC_V: return M_WORD;
    case KIR_PAIR: return M_WIDE;
    case KIR_LOAD:
    case KIR_STORE: return M_ANY & ~M_I1;
    case KIR_CAS: return M_WORD | 1 << KIR_I128;
    case KIR_AMO: return M_WORD;
    case KIR_FADD ... KIR_FCMP:
    case KIR_ITOF ... KIR_HTOF:
    case KIR_FROUND ... KIR_FCOPYSIGN: return M_FLOAT;
    case KIR_FTOI: return M_WORD;
    case KIR_NANBOX: return 1 << KIR_F64;
    case KIR_NANUNBOX: return 1 << KIR_F32;
    case KIR_VGET:
    case KIR_VREDADD ... KIR_VREDMAX: return M_WORD;
    case KIR_VSATURATED: return M_ANY;
    case KIR_VADD ... KIR_VGET - 1:
    case KIR_VGET + 1 ... KIR_VREDADD - 1:
    case KIR_VFADD ... KIR_VFCVTN: return M_VECTOR;
    case KIR_AESENC ... KIR_SHA: return 1 << KIR_V128;
    default: return M_ANY;
    }
}

static KirType type_of(const Verifier *v, KirRef r) { return kir_result_type_of(&v->block->insns[r]); }

static bool is_one_of(KirType type, unsigned mask) { return mask >> type & 1; }

// A reference in slot `slot` fits the operand letter.
static bool check_letter(Verifier *v, const KirInsn *insn, char letter, KirRef r, char slot) {
    KirType type = type_of(v, r);
    bool ok = letter == 'T'                    ? type == insn->type
              : letter == 'A' || letter == 'L' ? type == KIR_I64
              : letter == 'W'                  ? type == KIR_I32
              : letter == 'B'                  ? type == KIR_I1
              : letter == 'I'                  ? is_one_of(type, M_INT)
                                               : type != KIR_VOID;
    return ok || fail(v, "operand %c (%%%u) has type %s", slot, r, kir_type_name(type));
}

static bool check_slot(Verifier *v, const KirInsn *insn, char letter, uint32_t value, char slot) {
    const KirBlock *block = v->block;
    switch (letter) {
    case '.':
    case 'i': return true;
    case 'g': return value < block->world->global_count || fail(v, "no global %u", value);
    case 'x': return value < block->exit_count || fail(v, "no exit %u", value);
    case 'h': return value < block->world->helper_count || fail(v, "no helper %u", value);
    default: break;
    }
    if (letter == '?' && value == KIR_NONE && insn->op == KIR_CALL) return true;
    if (value >= v->at) return fail(v, "operand %c is not an earlier instruction", slot);
    return check_letter(v, insn, letter, value, slot);
}

// ---- rules of single operations -----------------------------------------------------------------

static bool check_helper(Verifier *v, const KirInsn *insn) {
    const KirWorld *world = v->block->world;
    unsigned number = insn->op == KIR_CALL ? insn->a : insn->aux;
    if (number >= world->helper_count) return fail(v, "no helper %u", number);
    const KirHelper *helper = &world->helpers[number];
    uint32_t operands[3] = {insn->b, insn->c, KIR_NONE};
    if (insn->op == KIR_CALL3) operands[0] = insn->a, operands[1] = insn->b, operands[2] = insn->c;
    if (insn->type != helper->result) return fail(v, "%s gives %s", helper->name, kir_type_name(helper->result));
    for (int i = 0; i < 3; i++) {
        KirType type = operands[i] == KIR_NONE ? KIR_VOID : type_of(v, operands[i]);
        if (type != helper->operands[i])
            return fail(v, "operand %d of %s is %s", i, helper->name, kir_type_name(helper->operands[i]));
    }
    return true;
}

static bool check_memory(Verifier *v, const KirInsn *insn) {
    unsigned size = insn->aux & KIR_MEM_SIZE, bits = kir_type_bits((KirType)insn->type);
    unsigned known =
        KIR_MEM_SIZE | KIR_MEM_SIGNED | KIR_MEM_ACQUIRE | KIR_MEM_RELEASE | KIR_MEM_ALIGNED | KIR_MEM_NOFAULT | KIR_MEM_ATOMIC;
    bool integer = is_one_of((KirType)insn->type, M_INT);
    if (size > KIR_MEM_128 || (insn->aux & ~known)) return fail(v, "unknown memory flags %#x", insn->aux);
    if (8u << size > bits) return fail(v, "access of %u bits in type %s", 8u << size, kir_type_name(insn->type));
    if ((insn->aux & KIR_MEM_SIGNED) && (!integer || insn->op == KIR_STORE)) return fail(v, "nothing to sign-extend");
    if (insn->op == KIR_LOAD && is_one_of((KirType)insn->type, M_FLOAT) && 8u << size != bits)
        return fail(v, "floating-point load of another size");
    if (insn->op == KIR_AMO && insn->c > KIR_AMO_CLEAR) return fail(v, "unknown atomic operation %u", insn->c);
    return true;
}

static bool check_field(Verifier *v, const KirInsn *insn) {
    uint32_t imm = insn->op == KIR_BFI ? insn->c : insn->b;
    unsigned lsb = imm & 0xff, length = imm >> 8;
    bool ok = length >= 1 && lsb + length <= kir_type_bits((KirType)insn->type) && length <= 64;
    return ok || fail(v, "field of %u bits from bit %u", length, lsb);
}

static bool check_const(Verifier *v, const KirInsn *insn) {
    unsigned bits = kir_type_bits((KirType)insn->type);
    if (insn->aux > KIR_IMAGE) return fail(v, "unknown kind of constant %u", insn->aux);
    if (insn->aux == KIR_IMAGE && insn->type != KIR_I64) return fail(v, "image constant that is no address");
    if (insn->aux == KIR_IMAGE && !v->block->image_valid) return fail(v, "image constant in a block that cannot move");
    if (insn->imm != kir_low_bits(insn->imm, bits)) return fail(v, "constant wider than %s", kir_type_name(insn->type));
    return true;
}

static bool expect_width(Verifier *v, const KirInsn *insn, bool ok) {
    return ok || fail(v, "from %s to %s", kir_type_name(type_of(v, insn->a)), kir_type_name(insn->type));
}

static bool check_conversion(Verifier *v, const KirInsn *insn) {
    if (!(kir_op_facts[insn->op].refs & 1) || insn->a == KIR_NONE) return true;
    KirType from = type_of(v, insn->a), to = (KirType)insn->type;
    switch (insn->op) {
    case KIR_SEXT:
    case KIR_ZEXT: return expect_width(v, insn, kir_type_bits(from) < kir_type_bits(to));
    case KIR_TRUNC: return expect_width(v, insn, kir_type_bits(from) > kir_type_bits(to));
    case KIR_BITCAST: return expect_width(v, insn, kir_type_bits(from) == kir_type_bits(to));
    case KIR_LO64:
    case KIR_HI64: return expect_width(v, insn, is_one_of(from, M_WIDE));
    case KIR_FTOI:
    case KIR_FTOH:
    case KIR_FCLASS: return expect_width(v, insn, is_one_of(from, M_FLOAT));
    case KIR_ITOF: return expect_width(v, insn, is_one_of(from, M_WORD));
    case KIR_FTOF: return expect_width(v, insn, is_one_of(from, M_FLOAT) && from != to);
    case KIR_NANBOX: return expect_width(v, insn, from == KIR_F32);
    case KIR_NANUNBOX: return expect_width(v, insn, from == KIR_F64);
    default: return true;
    }
}

static bool check_vector(Verifier *v, const KirInsn *insn) {
    const char *letters = kir_op_info[insn->op].operands;
    unsigned known =
        KIR_VEC_LANE | KIR_VEC_SIGNED | KIR_VEC_ROUND | KIR_VEC_SATURATE | KIR_VEC_MIXED | KIR_VEC_POLY | 3u << 8 | KIR_VEC_VARIANT;
    if ((insn->aux & KIR_VEC_LANE) > 4 || (insn->aux & ~known)) return fail(v, "unknown vector flags %#x", insn->aux);
    if (letters[0] == 'V' && !is_one_of(type_of(v, insn->a), M_VECTOR)) return fail(v, "operand a is no vector");
    if (letters[1] == 'V' && !is_one_of(type_of(v, insn->b), M_VECTOR)) return fail(v, "operand b is no vector");
    return true;
}

static bool check_aux(Verifier *v, const KirInsn *insn) {
    bool ok = true;
    switch (kir_aux_class(insn->op)) {
    case KIR_AUX_COND: ok = insn->aux <= KIR_GEU; break;
    case KIR_AUX_FCMP: ok = insn->aux <= KIR_FGE_S; break;
    case KIR_AUX_SHA: ok = insn->aux <= KIR_SHA256SU1; break;
    case KIR_AUX_HINT: ok = insn->aux <= KIR_JUMP_RETURN; break;
    case KIR_AUX_CRC: ok = insn->aux <= 1; break;
    case KIR_AUX_FENCE: ok = insn->aux <= (KIR_FENCE_ALL | KIR_FENCE_INSN); break;
    case KIR_AUX_FP: ok = insn->aux < KIR_FP_EXACT << 1 && kir_round_name(insn->aux & KIR_FP_ROUND); break;
    case KIR_AUX_MEM: return check_memory(v, insn);
    case KIR_AUX_VEC: return check_vector(v, insn);
    case KIR_AUX_NONE: ok = insn->aux == 0; break;
    default: break;
    }
    return ok || fail(v, "unknown modifier %#x", insn->aux);
}

static bool check_rules(Verifier *v, const KirInsn *insn) {
    switch (insn->op) {
    case KIR_CONST: return check_const(v, insn);
    case KIR_CONSTV: return insn->a < v->block->wide_count || fail(v, "no wide constant %u", insn->a);
    case KIR_GET: return insn->type == v->block->world->globals[insn->a].type || fail(v, "the global has another type");
    case KIR_SET:
        if (type_of(v, insn->b) != v->block->world->globals[insn->a].type) return fail(v, "the global has another type");
        return insn->type == type_of(v, insn->b) || fail(v, "type field differs from the value's");
    case KIR_STORE: return insn->type == type_of(v, insn->b) || fail(v, "type field differs from the value's");
    case KIR_CALL:
    case KIR_CALL3: return check_helper(v, insn);
    case KIR_BFX ... KIR_BFI: return check_field(v, insn);
    case KIR_FUNNEL: return insn->c < kir_type_bits((KirType)insn->type) || fail(v, "shifted by %u", insn->c);
    case KIR_CMP: return true;
    default: return check_conversion(v, insn);
    }
}

static bool check_insn(Verifier *v) {
    const KirInsn *insn = &v->block->insns[v->at];
    if (insn->op >= KIR_OP_COUNT) return fail(v, "unknown operation %u", insn->op);
    const KirOpInfo *info = &kir_op_info[insn->op];
    if (insn->type >= KIR_TYPE_COUNT) return fail(v, "unknown type %u", insn->type);
    if (kir_op_facts[insn->op].free_type) {
        if (!is_one_of((KirType)insn->type, allowed_types(insn->op))) return fail(v, "not for type %s", kir_type_name(insn->type));
    } else if (insn->type != kir_op_facts[insn->op].result) {
        return fail(v, "type field is not the result's");
    }
    bool final = info->flags & KIR_FLAG_END;
    if (final != (v->at == v->block->count - 1)) return fail(v, final ? "final exit inside the block" : "no final exit");
    return check_slot(v, insn, info->operands[0], insn->a, 'a') && check_slot(v, insn, info->operands[1], insn->b, 'b') &&
           check_slot(v, insn, info->operands[2], insn->c, 'c') && check_rules(v, insn) && check_aux(v, insn);
}

// ---- the block ----------------------------------------------------------------------------------

static bool check_faults(Verifier *v) {
    const KirBlock *block = v->block;
    const KirFaultEntry *before = NULL;
    uint32_t here = 0;
    for (uint32_t i = 0; i < block->fault_count; i++) {
        const KirFaultEntry *entry = &block->faults[i];
        v->at = entry->at;
        if (entry->at >= block->count) return fail(v, "fault entry %u behind the block's end", i);
        if (before && entry->at < before->at) return fail(v, "fault entry %u out of order", i);
        here = before && entry->at == before->at ? here + 1 : 0;
        if (here >= MAX_ENTRIES_HERE) return fail(v, "more than %d fault entries", MAX_ENTRIES_HERE);
        for (uint32_t j = i - here; j < i; j++)
            if (block->faults[j].global == entry->global) return fail(v, "two fault entries for one global");
        if (!(kir_op_info[block->insns[entry->at].op].flags & (KIR_FLAG_FAULT | KIR_FLAG_SIDE_EXIT)))
            return fail(v, "fault entry at an operation that cannot fault");
        if (entry->global >= block->world->global_count) return fail(v, "fault entry for no global");
        if (entry->value >= entry->at) return fail(v, "fault entry with a value that is not there yet");
        if (type_of(v, entry->value) != block->world->globals[entry->global].type)
            return fail(v, "fault entry with a value of another type");
        before = entry;
    }
    return true;
}

static bool check_exits(Verifier *v) {
    for (uint32_t i = 0; i < v->block->exit_count; i++) {
        const KirExit *exit = &v->block->exits[i];
        bool ok = exit->kind <= KIR_EXIT_EXCEPTION && exit->code <= KIR_EXC_RESUME && exit->hint <= KIR_JUMP_RETURN &&
                  exit->image <= 1 && (exit->kind == KIR_EXIT_EXCEPTION || exit->code == 0);
        if (!ok) return fail(v, "exit %u is malformed", i);
    }
    return true;
}

bool kir_verify(const KirBlock *block, char *error, size_t error_size) {
    Verifier v = {.block = block, .error = error, .error_size = error ? error_size : 0};
    if (block->count == 0) return fail(&v, "empty block");
    if (!check_exits(&v)) return false;
    bool started = false;
    for (v.at = 0; v.at < block->count; v.at++) {
        if (!check_insn(&v)) return false;
        uint8_t op = block->insns[v.at].op;
        if (op == KIR_INSN) started = true;
        if (!started && op != KIR_NOP && op != KIR_COUNT) return fail(&v, "before the first insn");
    }
    return check_faults(&v);
}
