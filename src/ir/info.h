// SPDX-License-Identifier: MIT
//
// Facts about operations beyond KirOpInfo, for the code of this folder and for consumers that want names:
// what the slots hold in a form that costs one load, what `aux` means, and the names that the text form uses.
#ifndef KILN_IR_INFO_H
#define KILN_IR_INFO_H

#include "ir/kir.h"

enum { KIR_TYPE_FROM_INSN = 0xff };

// One byte each, made from ops.def. The builder reads them for every operation it emits.
typedef struct KirOpFacts {
    uint8_t result;    // KirType of the result, KIR_TYPE_FROM_INSN: the type field, KIR_VOID: none
    uint8_t refs;      // bits 0-2: slots a, b, c hold references
    uint8_t unused;    // bits 0-2: no meaning; the builder stores KIR_NONE
    uint8_t free_type; // the type field has a meaning of its own (else it repeats the result's type)
} KirOpFacts;
extern const KirOpFacts kir_op_facts[KIR_OP_COUNT];

// What an operation's aux holds.
typedef enum KirAuxClass {
    KIR_AUX_NONE,
    KIR_AUX_BYTES,
    KIR_AUX_CONST,
    KIR_AUX_HELPER,
    KIR_AUX_CRC,
    KIR_AUX_COND,
    KIR_AUX_MEM,
    KIR_AUX_FENCE,
    KIR_AUX_FP,
    KIR_AUX_FCMP,
    KIR_AUX_VEC,
    KIR_AUX_SHA,
    KIR_AUX_HINT,
} KirAuxClass;
KirAuxClass kir_aux_class(unsigned op);

// Names as the text form writes them; NULL if out of range (rounds 5 and 6 have none).
const char *kir_type_name(unsigned type);
const char *kir_cond_name(unsigned cond);
const char *kir_round_name(unsigned round);
const char *kir_fcmp_name(unsigned cond);
const char *kir_amo_name(unsigned amo);
const char *kir_sha_name(unsigned sha);
const char *kir_hint_name(unsigned hint);
const char *kir_exception_name(unsigned code);

// Single bits of aux with a name, by class; ended by a NULL name.
typedef struct KirBitName {
    uint16_t bit;
    const char *name;
} KirBitName;
const KirBitName *kir_aux_bits(KirAuxClass class);

static inline KirType kir_result_type_of(const KirInsn *insn) {
    uint8_t result = kir_op_facts[insn->op].result;
    return (KirType)(result == KIR_TYPE_FROM_INSN ? insn->type : result);
}

extern const uint8_t kir_bits_of_type[KIR_TYPE_COUNT];
static inline unsigned kir_bits(unsigned type) { return kir_bits_of_type[type]; }

// The low `bits` of a value; bits = 1..64.
static inline uint64_t kir_low_bits(uint64_t value, unsigned bits) { return value & (~(uint64_t)0 >> (64 - bits)); }

#endif
