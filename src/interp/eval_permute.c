// SPDX-License-Identifier: MIT
//
// Vector operations that move lanes and bytes without computing. Lane indices are taken modulo the lanes of
// 16 bytes, so that a wrong one reads a wrong lane and nothing else.
#include "interp/eval.h"

static unsigned lane_size(const Eval *v) {
    unsigned size = v->insn->aux & KIR_VEC_LANE;
    return size > 4 ? 4 : size;
}
static unsigned bytes(const Eval *v) { return v->bits / 8; }
static unsigned lane_count(const Eval *v) { return bytes(v) >> lane_size(v); }

// Every lane of the result is picked from a or b by a function of its number; numbers from `count` on mean b.
typedef unsigned (*Pick)(unsigned i, unsigned count, unsigned selector);
static KirValue permute(const Eval *v, Pick pick, unsigned selector) {
    KirValue result = kir_value(0);
    unsigned count = lane_count(v);
    for (unsigned i = 0; i < count; i++) {
        unsigned from = pick(i, count, selector & 1);
        U128 lane = from < count ? lane_unsigned(&v->a, lane_size(v), from) : lane_unsigned(&v->b, lane_size(v), from - count);
        lane_put(&result, lane_size(v), i, lane);
    }
    return result;
}
static unsigned zip(unsigned i, unsigned count, unsigned high) { return i / 2 + high * (count / 2) + (i & 1) * count; }
static unsigned unzip(unsigned i, unsigned count, unsigned odd) { return 2 * i + odd; }
static unsigned transpose(unsigned i, unsigned count, unsigned odd) { return (i & ~1u) + odd + (i & 1) * count; }
KirValue kir_eval_VZIP(const Eval *v) { return permute(v, zip, v->insn->c); }
KirValue kir_eval_VUZP(const Eval *v) { return permute(v, unzip, v->insn->c); }
KirValue kir_eval_VTRN(const Eval *v) { return permute(v, transpose, v->insn->c); }

KirValue kir_eval_VREV(const Eval *v) {
    KirValue result = kir_value(0);
    unsigned in_group = v->insn->b >> lane_size(v); // a power of two
    if (in_group == 0 || (in_group & (in_group - 1))) return v->a;
    for (unsigned i = 0; i < lane_count(v); i++)
        lane_put(&result, lane_size(v), i, lane_unsigned(&v->a, lane_size(v), i ^ (in_group - 1)));
    return result;
}

KirValue kir_eval_VEXT(const Eval *v) {
    KirValue result = kir_value(0);
    for (unsigned i = 0; i < bytes(v); i++) {
        unsigned from = i + v->insn->c;
        if (from < bytes(v)) result.u8[i] = v->a.u8[from];
        else if (from < 2 * bytes(v)) result.u8[i] = v->b.u8[from - bytes(v)];
    }
    return result;
}

static KirValue look_up(const Eval *v, KirValue otherwise) {
    KirValue result = kir_value(0);
    for (unsigned i = 0; i < bytes(v); i++) {
        unsigned from = v->b.u8[i];
        result.u8[i] = from < bytes(v) ? v->a.u8[from] : otherwise.u8[i];
    }
    return result;
}
KirValue kir_eval_VTBL(const Eval *v) { return look_up(v, kir_value(0)); }
KirValue kir_eval_VTBX(const Eval *v) { return look_up(v, v->c); }

static KirValue splat(const Eval *v, U128 lane) {
    KirValue result = kir_value(0);
    for (unsigned i = 0; i < lane_count(v); i++) lane_put(&result, lane_size(v), i, lane);
    return result;
}
KirValue kir_eval_VSPLAT(const Eval *v) { return splat(v, v->a.i); }
KirValue kir_eval_VDUP(const Eval *v) { return splat(v, lane_unsigned(&v->a, lane_size(v), v->insn->b)); }

KirValue kir_eval_VGET(const Eval *v) {
    if (v->insn->aux & KIR_VEC_SIGNED) return kir_value((uint64_t)lane_signed(&v->a, lane_size(v), v->insn->b));
    return kir_value((uint64_t)lane_unsigned(&v->a, lane_size(v), v->insn->b));
}
KirValue kir_eval_VPUT(const Eval *v) {
    KirValue result = v->a;
    lane_put(&result, lane_size(v), v->insn->c, v->b.i);
    return result;
}
