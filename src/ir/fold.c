// SPDX-License-Identifier: MIT
//
// Folding of one operation at a time, by its operands' definitions.
//
//   kir_fold(b, t)   t is a pure operation about to be appended. The answer is a value that equals it, or
//                    KIR_NONE: then t, possibly rewritten into something simpler, is appended.
//
// Rules of the house: O(1) per operation, never more than the definitions of the operands and of *their*
// operands are looked at; a rewrite yields one operation (and constants), never two; what is rewritten needs
// no second look, because operands were folded when they were made.
//
// Image constants are opaque: adding plain constants to one yields one, the difference of two is plain,
// clearing bits below a page's size is allowed (files move by whole pages); nothing else may look at their
// value.
//
// A constant operand of a commutative operation stands in slot b.
//
// New constants may move the instruction array; pointers to definitions stay good all the same, as arena
// memory is not freed while a block is built and definitions never change.
#include "base/error.h"
#include "ir/fold.h"

enum { PAGE_BITS = 12 };

static inline const KirInsn *definition(const KirBuilder *b, KirRef v) { return &b->block->insns[v]; }
static inline unsigned width(const KirInsn *t) { return kir_bits(t->type); }
static inline unsigned result_width(const KirInsn *t) { return kir_bits(kir_result_type_of(t)); }
static inline KirRef constant(KirBuilder *b, const KirInsn *t, uint64_t value) { return kir_const(b, (KirType)t->type, value); }

// The operation in *t becomes a unary or binary one of the same type.
static inline KirRef become(KirInsn *t, KirOp op, KirRef x, KirRef y) {
    t->op = (uint8_t)op;
    t->a = x;
    t->b = y;
    t->c = KIR_NONE;
    return KIR_NONE;
}

static KirRef become_typed(KirInsn *t, KirOp op, KirType type, KirRef x) {
    t->type = (uint8_t)type;
    t->aux = 0;
    return become(t, op, x, KIR_NONE);
}

// ---- what is known about a value ----------------------------------------------------------------

static bool is_integer(unsigned type) { return type >= KIR_I1 && type <= KIR_I64; }

static unsigned used_bits(uint64_t value) { return value ? 64 - (unsigned)__builtin_clzll(value) : 0; }

// All bits from this number on are zero.
static unsigned zero_from(const KirBuilder *b, const KirInsn *x) {
    unsigned bits = result_width(x);
    const KirInsn *second;
    switch (x->op) {
    case KIR_CONST: return x->aux == KIR_PLAIN ? used_bits(x->imm) : bits;
    case KIR_ZEXT: return result_width(definition(b, x->a));
    case KIR_LOAD: return x->aux & KIR_MEM_SIGNED ? bits : 8u << (x->aux & KIR_MEM_SIZE);
    case KIR_BFX: return x->b >> 8;
    case KIR_AND: second = definition(b, x->b); return kir_is_plain(second) ? used_bits(second->imm) : bits;
    case KIR_SHR: second = definition(b, x->b); return kir_is_plain(second) ? bits - (second->imm & (bits - 1)) : bits;
    default: return bits;
    }
}

static unsigned larger(unsigned x, unsigned y) { return x > y ? x : y; }

// The value is the sign extension of its low bits, this many. Bitwise operations keep that of their operands; `depth` bounds how
// many of them are looked through.
static unsigned signed_within(const KirBuilder *b, const KirInsn *x, unsigned depth) {
    unsigned bits = result_width(x), zero;
    const KirInsn *second;
    switch (x->op) {
    case KIR_AND:
    case KIR_OR:
    case KIR_XOR: {
        if (!depth) break;
        unsigned both = larger(signed_within(b, definition(b, x->a), depth - 1), signed_within(b, definition(b, x->b), depth - 1));
        if (both < bits) return both;
        break;
    }
    case KIR_SEXT: return result_width(definition(b, x->a));
    case KIR_LOAD:
        if (x->aux & KIR_MEM_SIGNED) return 8u << (x->aux & KIR_MEM_SIZE);
        break;
    case KIR_SBFX: return x->b >> 8;
    case KIR_SAR:
        second = definition(b, x->b);
        if (kir_is_plain(second)) return bits - (second->imm & (bits - 1));
        break;
    default: break;
    }
    zero = zero_from(b, x);
    return zero < bits ? zero + 1 : bits;
}

static unsigned signed_from(const KirBuilder *b, const KirInsn *x) { return signed_within(b, x, 2); }

// ---- two operands, the second a plain constant --------------------------------------------------

// x + k where x may itself be y + c. `kind` is the kind of k.
static KirRef add_constant(KirBuilder *b, KirInsn *t, uint64_t k, KirConstKind kind) {
    const KirInsn *x = definition(b, t->a);
    if (x->op == KIR_CONST && !(x->aux == KIR_IMAGE && kind == KIR_IMAGE)) {
        uint64_t sum = x->imm + k;
        return x->aux == KIR_IMAGE || kind == KIR_IMAGE ? kir_image(b, sum) : constant(b, t, sum);
    }
    KirRef base = t->a;
    if (x->op == KIR_ADD) {
        const KirInsn *inner = definition(b, x->b);
        if (inner->op == KIR_CONST && !(inner->aux == KIR_IMAGE && kind == KIR_IMAGE)) {
            base = x->a;
            k += inner->imm;
            if (inner->aux == KIR_IMAGE) kind = KIR_IMAGE;
        }
    }
    k = kir_low_bits(k, width(t));
    if (k == 0 && kind == KIR_PLAIN) return base;
    KirRef addend = kind == KIR_IMAGE ? kir_image(b, k) : constant(b, t, k);
    return become(t, KIR_ADD, base, addend);
}

static KirRef multiply_by(KirBuilder *b, KirInsn *t, uint64_t k) {
    if (k == 0) return t->b;
    if (k == 1) return t->a;
    if (k == kir_low_bits(~(uint64_t)0, width(t))) return become(t, KIR_NEG, t->a, KIR_NONE);
    if (k & (k - 1)) return KIR_NONE;
    return become(t, KIR_SHL, t->a, constant(b, t, (unsigned)__builtin_ctzll(k)));
}

static KirRef divide_by(KirBuilder *b, KirInsn *t, uint64_t k) {
    bool remainder = t->op == KIR_REMU || t->op == KIR_REMS;
    if (k == 0) return remainder ? t->a : constant(b, t, ~(uint64_t)0);
    if (k == 1) return remainder ? constant(b, t, 0) : t->a;
    if ((k & (k - 1)) || t->op == KIR_DIVS || t->op == KIR_REMS) return KIR_NONE;
    if (remainder) return become(t, KIR_AND, t->a, constant(b, t, k - 1));
    return become(t, KIR_SHR, t->a, constant(b, t, (unsigned)__builtin_ctzll(k)));
}

static KirRef mask_with(KirBuilder *b, KirInsn *t, uint64_t k) {
    const KirInsn *x = definition(b, t->a);
    uint64_t all = kir_low_bits(~(uint64_t)0, width(t));
    if (k == 0) return t->b;
    if (k == all) return t->a;
    if (kir_is_image(x) && (k | ((1u << PAGE_BITS) - 1)) == ~(uint64_t)0) return kir_image(b, x->imm & k);
    unsigned known = zero_from(b, x);
    uint64_t possible = known ? kir_low_bits(~(uint64_t)0, known) : 0;
    if ((possible & ~k) == 0) return t->a;
    if (x->op != KIR_AND) return KIR_NONE;
    const KirInsn *inner = definition(b, x->b);
    return kir_is_plain(inner) ? become(t, KIR_AND, x->a, constant(b, t, inner->imm & k)) : KIR_NONE;
}

static KirRef or_with(KirBuilder *b, KirInsn *t, uint64_t k) {
    const KirInsn *x = definition(b, t->a);
    if (k == 0) return t->a;
    if (k == kir_low_bits(~(uint64_t)0, width(t))) return t->b;
    if (x->op != KIR_OR) return KIR_NONE;
    const KirInsn *inner = definition(b, x->b);
    return kir_is_plain(inner) ? become(t, KIR_OR, x->a, constant(b, t, inner->imm | k)) : KIR_NONE;
}

static KirRef negated(KirBuilder *b, KirInsn *t);

static KirRef xor_with(KirBuilder *b, KirInsn *t, uint64_t k) {
    const KirInsn *x = definition(b, t->a);
    if (k == 0) return t->a;
    if (k == kir_low_bits(~(uint64_t)0, width(t))) {
        become(t, KIR_NOT, t->a, KIR_NONE);
        return negated(b, t);
    }
    if (x->op != KIR_XOR) return KIR_NONE;
    const KirInsn *inner = definition(b, x->b);
    if (!kir_is_plain(inner)) return KIR_NONE;
    if (inner->imm == k) return x->a;
    return become(t, KIR_XOR, x->a, constant(b, t, inner->imm ^ k));
}

// Two shifts by constants in a row are one shift or one field.
static KirRef shift_by(KirBuilder *b, KirInsn *t, uint64_t amount) {
    const KirInsn *x = definition(b, t->a);
    unsigned bits = width(t), n = amount & (bits - 1);
    if (n == 0) return t->a;
    bool is_shift = x->op >= KIR_SHL && x->op <= KIR_ROTR;
    const KirInsn *inner = is_shift ? definition(b, x->b) : NULL;
    if (!inner || !kir_is_plain(inner)) return n == amount ? KIR_NONE : become(t, t->op, t->a, constant(b, t, n));
    unsigned m = inner->imm & (bits - 1);
    KirRef source = x->a;
    if (x->op == t->op) {
        unsigned sum = n + m;
        if (t->op == KIR_ROTR) sum &= bits - 1;
        if (sum == 0) return source;
        if (sum >= bits && t->op != KIR_SAR) return constant(b, t, 0);
        return become(t, t->op, source, constant(b, t, sum < bits ? sum : bits - 1));
    }
    if (x->op == KIR_SHL && n >= m && (t->op == KIR_SHR || t->op == KIR_SAR))
        return become(t, t->op == KIR_SHR ? KIR_BFX : KIR_SBFX, source, (n - m) | (bits - n) << 8);
    return n == amount ? KIR_NONE : become(t, t->op, t->a, constant(b, t, n));
}

static KirRef by_constant(KirBuilder *b, KirInsn *t, uint64_t k) {
    switch (t->op) {
    case KIR_ADD: return add_constant(b, t, k, KIR_PLAIN);
    case KIR_SUB: return add_constant(b, t, -k, KIR_PLAIN);
    case KIR_MUL: return multiply_by(b, t, k);
    case KIR_MULHU: return k <= 1 ? constant(b, t, 0) : KIR_NONE;
    case KIR_MULHS:
    case KIR_MULHSU:
    case KIR_CLMULH: return k == 0 ? t->b : KIR_NONE;
    case KIR_CLMUL: return k == 0 ? t->b : k == 1 ? t->a : KIR_NONE;
    case KIR_DIVU ... KIR_REMS: return divide_by(b, t, k);
    case KIR_AND: return mask_with(b, t, k);
    case KIR_OR: return or_with(b, t, k);
    case KIR_XOR: return xor_with(b, t, k);
    case KIR_SHL ... KIR_ROTR: return shift_by(b, t, k);
    default: return KIR_NONE;
    }
}

// ---- two operands -------------------------------------------------------------------------------

static bool commutes(unsigned op) {
    switch (op) {
    case KIR_ADD:
    case KIR_MUL:
    case KIR_MULHU:
    case KIR_MULHS:
    case KIR_AND:
    case KIR_OR:
    case KIR_XOR:
    case KIR_CLMUL:
    case KIR_CLMULH: return true;
    default: return false;
    }
}

static KirRef with_itself(KirBuilder *b, KirInsn *t) {
    switch (t->op) {
    case KIR_SUB:
    case KIR_XOR: return constant(b, t, 0);
    case KIR_AND:
    case KIR_OR: return t->a;
    default: return KIR_NONE;
    }
}

// 0 op y, where slot b is not a plain constant.
static KirRef zero_first(KirInsn *t) {
    switch (t->op) {
    case KIR_SUB: return become(t, KIR_NEG, t->b, KIR_NONE);
    case KIR_SHL ... KIR_ROTR:
    case KIR_REMU:
    case KIR_REMS:
    case KIR_MULHSU: return t->a;
    default: return KIR_NONE;
    }
}

static KirRef fold_binary(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a), *y = definition(b, t->b);
    if (x->op == KIR_CONST && y->op != KIR_CONST && commutes(t->op)) {
        KirRef swap = t->a;
        t->a = t->b;
        t->b = swap;
        y = x;
        x = definition(b, t->a);
    }
    if (y->op == KIR_CONST) {
        if (y->aux == KIR_PLAIN) {
            if (kir_is_plain(x)) return constant(b, t, kir_eval_int((KirOp)t->op, width(t), t->aux, x->imm, y->imm, 0, 0));
            return by_constant(b, t, y->imm);
        }
        if (t->op == KIR_ADD) return add_constant(b, t, y->imm, KIR_IMAGE);
        if (t->op == KIR_SUB && kir_is_image(x)) return constant(b, t, x->imm - y->imm);
    }
    if (t->a == t->b) return with_itself(b, t);
    if (kir_is_plain(x) && x->imm == 0) return zero_first(t);
    return KIR_NONE;
}

// ---- one operand --------------------------------------------------------------------------------

static KirRef negated(KirBuilder *b, KirInsn *t) {
    static const uint8_t opposite[] = {
        [KIR_EQ] = KIR_NE,   [KIR_NE] = KIR_EQ,   [KIR_LTS] = KIR_GES, [KIR_LES] = KIR_GTS, [KIR_GTS] = KIR_LES,
        [KIR_GES] = KIR_LTS, [KIR_LTU] = KIR_GEU, [KIR_LEU] = KIR_GTU, [KIR_GTU] = KIR_LEU, [KIR_GEU] = KIR_LTU,
    };
    const KirInsn *x = definition(b, t->a);
    if (x->op == KIR_NOT) return x->a;
    if (x->op != KIR_CMP) return KIR_NONE;
    *t = *x;
    t->aux = opposite[x->aux];
    return KIR_NONE;
}

static KirRef fold_unary(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a);
    if (kir_is_plain(x)) return constant(b, t, kir_eval_int((KirOp)t->op, width(t), t->aux, x->imm, 0, 0, 0));
    if (t->op == KIR_NOT) return negated(b, t);
    bool involution = t->op == KIR_NEG || t->op == KIR_BSWAP || t->op == KIR_BITREV;
    return involution && x->op == t->op ? x->a : KIR_NONE;
}

static KirRef fold_extend(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a);
    unsigned source = result_width(x);
    if (kir_is_plain(x)) return constant(b, t, kir_eval_int((KirOp)t->op, width(t), 0, x->imm, 0, 0, source));
    if (x->op == t->op || x->op == KIR_ZEXT) { // sext(sext), zext(zext); the zero extension of something narrower is positive
        t->op = x->op;
        t->a = x->a;
        return KIR_NONE;
    }
    if (x->op != KIR_TRUNC) return KIR_NONE;
    const KirInsn *whole = definition(b, x->a);
    if (kir_result_type_of(whole) != t->type) return KIR_NONE;
    unsigned known = t->op == KIR_SEXT ? signed_from(b, whole) : zero_from(b, whole);
    return known <= source ? x->a : KIR_NONE;
}

static KirRef fold_trunc(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a);
    if (kir_is_plain(x)) return constant(b, t, x->imm);
    if (x->op == KIR_TRUNC) return become(t, KIR_TRUNC, x->a, KIR_NONE);
    if (x->op == KIR_SEXT || x->op == KIR_ZEXT) {
        KirType source = kir_result_type_of(definition(b, x->a));
        if (source == t->type) return x->a;
        return become(t, source > t->type ? KIR_TRUNC : (KirOp)x->op, x->a,
                      KIR_NONE); // integer types are in order of width
    }
    if (x->op == KIR_BITCAST && t->type == KIR_I32) { // the low half of a boxed f32
        const KirInsn *boxed = definition(b, x->a);
        if (boxed->op == KIR_NANBOX) return become_typed(t, KIR_BITCAST, KIR_I32, boxed->a);
    }
    return KIR_NONE;
}

static bool is_const_type(unsigned type) { return is_integer(type) || type == KIR_F32 || type == KIR_F64; }

static KirRef fold_bitcast(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a);
    if (kir_result_type_of(x) == t->type) return t->a;
    if (kir_is_plain(x) && is_const_type(t->type)) return constant(b, t, x->imm);
    if (x->op != KIR_BITCAST) return KIR_NONE;
    t->a = x->a;
    return kir_result_type_of(definition(b, x->a)) == t->type ? x->a : KIR_NONE;
}

static KirRef fold_half(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a);
    if (x->op == KIR_PAIR) return t->op == KIR_LO64 ? x->a : x->b;
    if (x->op != KIR_CONSTV) return KIR_NONE;
    KirWide wide = b->block->wides[x->a];
    return kir_const(b, KIR_I64, t->op == KIR_LO64 ? wide.lo : wide.hi);
}

// ---- comparison and choice ----------------------------------------------------------------------

static KirCond swapped(unsigned cond) {
    static const uint8_t table[] = {
        [KIR_EQ] = KIR_EQ,   [KIR_NE] = KIR_NE,   [KIR_LTS] = KIR_GTS, [KIR_LES] = KIR_GES, [KIR_GTS] = KIR_LTS,
        [KIR_GES] = KIR_LES, [KIR_LTU] = KIR_GTU, [KIR_LEU] = KIR_GEU, [KIR_GTU] = KIR_LTU, [KIR_GEU] = KIR_LEU,
    };
    return (KirCond)table[cond];
}

static bool is_signed_cond(unsigned cond) { return cond >= KIR_LTS && cond <= KIR_GES; }

// Comparing extended values is comparing the narrow ones: sign extension keeps both orders, zero extension
// makes the signed order the unsigned one.
static KirRef compare_narrow(KirBuilder *b, KirInsn *t, const KirInsn *x, const KirInsn *y) {
    if (x->op != KIR_SEXT && x->op != KIR_ZEXT) return KIR_NONE;
    KirType narrow = kir_result_type_of(definition(b, x->a));
    unsigned bits = kir_bits(narrow), wide = width(t), op = x->op;
    KirRef first = x->a, second;
    if (narrow != KIR_I32) return KIR_NONE; // narrower ones gain nothing on a host
    if (kir_is_plain(y)) {
        uint64_t cut = kir_low_bits(y->imm, bits);
        if (kir_eval_int((KirOp)op, wide, 0, cut, 0, 0, bits) != y->imm) return KIR_NONE;
        second = kir_const(b, narrow, cut);
    } else if (y->op == op && kir_result_type_of(definition(b, y->a)) == narrow) {
        second = y->a;
    } else {
        return KIR_NONE;
    }
    if (op == KIR_ZEXT && is_signed_cond(t->aux)) t->aux += KIR_LTU - KIR_LTS;
    t->type = (uint8_t)narrow;
    t->a = first;
    t->b = second;
    return KIR_NONE;
}

static KirRef compare_with_zero(KirBuilder *b, KirInsn *t, const KirInsn *x) {
    if (t->aux == KIR_LTU) return kir_const(b, KIR_I1, 0);
    if (t->aux == KIR_GEU) return kir_const(b, KIR_I1, 1);
    if (t->aux == KIR_GTU) t->aux = KIR_NE;
    if (t->aux == KIR_LEU) t->aux = KIR_EQ;
    if (t->aux > KIR_NE) return KIR_NONE;
    bool bit = (x->op == KIR_ZEXT || x->op == KIR_SEXT) && kir_result_type_of(definition(b, x->a)) == KIR_I1;
    if (bit && t->aux == KIR_NE) return x->a;
    if (bit) {
        become_typed(t, KIR_NOT, KIR_I1, x->a);
        return negated(b, t);
    }
    if (x->op == KIR_SUB || x->op == KIR_XOR) {
        t->a = x->a;
        t->b = x->b;
        const KirInsn *y = definition(b, t->b);
        return definition(b, t->a)->op == KIR_CONST && y->op != KIR_CONST ? (t->a = x->b, t->b = x->a, KIR_NONE) : KIR_NONE;
    }
    return KIR_NONE;
}

static KirRef fold_cmp(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a), *y = definition(b, t->b);
    if (t->a == t->b) return kir_const(b, KIR_I1, kir_eval_cond((KirCond)t->aux, 64, 0, 0));
    if (x->op == KIR_CONST && y->op == KIR_CONST) {
        if (x->aux != KIR_PLAIN || y->aux != KIR_PLAIN) return KIR_NONE;
        return kir_const(b, KIR_I1, kir_eval_cond((KirCond)t->aux, width(t), x->imm, y->imm));
    }
    if (x->op == KIR_CONST) {
        KirRef swap = t->a;
        t->a = t->b;
        t->b = swap;
        t->aux = (uint16_t)swapped(t->aux);
        y = x;
        x = definition(b, t->a);
    }
    if (kir_is_plain(y)) {
        if (y->imm == 1 && (t->aux == KIR_LTU || t->aux == KIR_GEU)) { // x < 1 is x == 0
            t->aux = t->aux == KIR_LTU ? KIR_EQ : KIR_NE;
            t->b = constant(b, t, 0);
            x = definition(b, t->a);
            y = definition(b, t->b);
        }
        if (y->imm == 0) {
            KirRef before = t->a;
            KirRef known = compare_with_zero(b, t, x);
            if (known != KIR_NONE || t->a != before || t->op != KIR_CMP) return known;
        }
    }
    return compare_narrow(b, t, x, y);
}

static KirRef fold_select(KirBuilder *b, KirInsn *t) {
    const KirInsn *cond = definition(b, t->a);
    if (t->b == t->c) return t->b;
    if (kir_is_plain(cond)) return cond->imm ? t->b : t->c;
    if (cond->op == KIR_NOT) {
        KirRef swap = t->b;
        t->a = cond->a;
        t->b = t->c;
        t->c = swap;
    }
    const KirInsn *x = definition(b, t->b), *y = definition(b, t->c);
    if (!is_integer(t->type) || !kir_is_plain(x) || !kir_is_plain(y) || x->imm != 1 || y->imm != 0) return KIR_NONE;
    if (t->type == KIR_I1) return t->a;
    return become(t, KIR_ZEXT, t->a, KIR_NONE);
}

// ---- operations with three slots ----------------------------------------------------------------

static KirRef fold_field(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a);
    unsigned bits = width(t), lsb = t->b & 0xff, length = t->b >> 8;
    if (lsb == 0 && length == bits) return t->a;
    if (kir_is_plain(x)) return constant(b, t, kir_eval_int((KirOp)t->op, bits, 0, x->imm, t->b, 0, 0));
    if (lsb) return KIR_NONE;
    unsigned known = t->op == KIR_BFX ? zero_from(b, x) : signed_from(b, x);
    return known <= length ? t->a : KIR_NONE;
}

static KirRef fold_insert(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a), *y = definition(b, t->b);
    if (t->op == KIR_FUNNEL && t->c == 0) return t->b;
    if (t->op == KIR_BFI && t->c == width(t) << 8) return t->b;
    if (kir_is_plain(x) && kir_is_plain(y)) return constant(b, t, kir_eval_int((KirOp)t->op, width(t), 0, x->imm, y->imm, t->c, 0));
    if (t->op == KIR_FUNNEL && t->a == t->b) return become(t, KIR_ROTR, t->a, constant(b, t, t->c));
    return KIR_NONE;
}

static KirRef fold_carry(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a), *y = definition(b, t->b), *carry = definition(b, t->c);
    if (!kir_is_plain(carry)) return KIR_NONE;
    if (kir_is_plain(x) && kir_is_plain(y)) {
        uint64_t value = kir_eval_int((KirOp)t->op, width(t), 0, x->imm, y->imm, carry->imm, 0);
        return kir_const(b, kir_result_type_of(t), value);
    }
    if (t->op != KIR_ADC || carry->imm) return KIR_NONE;
    become(t, KIR_ADD, t->a, t->b);
    return fold_binary(b, t);
}

static KirRef fold_crc(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a), *y = definition(b, t->b);
    if (!kir_is_plain(x) || !kir_is_plain(y)) return KIR_NONE;
    return constant(b, t, kir_eval_int(KIR_CRC32, 32, t->aux, x->imm, y->imm, 0, result_width(y)));
}

// ---- sign bits and boxes of floating point (pure: they raise nothing) ---------------------------

static KirRef fold_sign(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a);
    uint64_t sign = (uint64_t)1 << (width(t) - 1);
    if (kir_is_plain(x)) return constant(b, t, t->op == KIR_FNEG ? x->imm ^ sign : x->imm & ~sign);
    if (t->op == KIR_FNEG) return x->op == KIR_FNEG ? x->a : KIR_NONE;
    if (x->op == KIR_FABS) return t->a;
    if (x->op == KIR_FNEG || x->op == KIR_FCOPYSIGN) t->a = x->a;
    return KIR_NONE;
}

static KirRef fold_copysign(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a), *y = definition(b, t->b);
    uint64_t sign = (uint64_t)1 << (width(t) - 1);
    if (t->a == t->b) return t->a;
    if (kir_is_plain(y)) {
        if (kir_is_plain(x)) return constant(b, t, (x->imm & ~sign) | (y->imm & sign));
        if (!(y->imm & sign)) return become(t, KIR_FABS, t->a, KIR_NONE);
    }
    if (y->op == KIR_FNEG && y->a == t->a) return become(t, KIR_FNEG, t->a, KIR_NONE); // x with its sign inverted
    return KIR_NONE;
}

static KirRef fold_nanbox(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a);
    return kir_is_plain(x) ? constant(b, t, x->imm | 0xffffffff00000000u) : KIR_NONE;
}

static KirRef fold_nanunbox(KirBuilder *b, KirInsn *t) {
    const KirInsn *x = definition(b, t->a);
    if (x->op == KIR_NANBOX) return x->a;
    if (kir_is_plain(x)) return constant(b, t, x->imm >> 32 == 0xffffffffu ? x->imm : 0x7fc00000u);
    return KIR_NONE;
}

// ---- entry points -------------------------------------------------------------------------------

KirRef kir_fold(KirBuilder *b, KirInsn *t) {
    switch (t->op) {
    case KIR_ADD ... KIR_XOR:
    case KIR_SHL ... KIR_ROTR:
    case KIR_CLMUL:
    case KIR_CLMULH: return fold_binary(b, t);
    case KIR_NOT:
    case KIR_NEG:
    case KIR_CLZ ... KIR_ORCB: return fold_unary(b, t);
    case KIR_CRC32: return fold_crc(b, t);
    case KIR_BFX:
    case KIR_SBFX: return fold_field(b, t);
    case KIR_BFI:
    case KIR_FUNNEL: return fold_insert(b, t);
    case KIR_ADC ... KIR_ADC_V: return fold_carry(b, t);
    case KIR_CMP: return fold_cmp(b, t);
    case KIR_SELECT: return fold_select(b, t);
    case KIR_SEXT:
    case KIR_ZEXT: return fold_extend(b, t);
    case KIR_TRUNC: return fold_trunc(b, t);
    case KIR_BITCAST: return fold_bitcast(b, t);
    case KIR_LO64:
    case KIR_HI64: return fold_half(b, t);
    case KIR_FNEG:
    case KIR_FABS: return fold_sign(b, t);
    case KIR_FCOPYSIGN: return fold_copysign(b, t);
    case KIR_NANBOX: return fold_nanbox(b, t);
    case KIR_NANUNBOX: return fold_nanunbox(b, t);
    default: return KIR_NONE;
    }
}

// A store needs the low bits of its value alone.
static void fold_stored_value(const KirBlock *block, KirInsn *t) {
    unsigned stored = 8u << (t->aux & KIR_MEM_SIZE);
    const KirInsn *value = &block->insns[t->b];
    while (value->op == KIR_SEXT || value->op == KIR_ZEXT || value->op == KIR_TRUNC || value->op == KIR_NANBOX) {
        KirType type = kir_result_type_of(&block->insns[value->a]);
        if (kir_bits(type) < stored) return;
        t->b = value->a;
        t->type = (uint8_t)type;
        value = &block->insns[t->b];
    }
}

void kir_fold_memory(const KirBlock *block, KirInsn *t) {
    uint32_t *displacement = t->op == KIR_LOAD ? &t->b : &t->c;
    const KirInsn *address = &block->insns[t->a];
    if (address->op == KIR_ADD && kir_is_plain(&block->insns[address->b])) {
        int64_t offset = (int64_t)block->insns[address->b].imm, sum;
        if (!__builtin_add_overflow(offset, (int64_t)(int32_t)*displacement, &sum) && sum == (int32_t)sum) {
            t->a = address->a;
            *displacement = (uint32_t)sum;
        }
    }
    if (t->op == KIR_STORE) fold_stored_value(block, t);
}
