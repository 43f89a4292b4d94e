// SPDX-License-Identifier: MIT
//
// The text form of a block. ir/parse.c reads exactly this back; the two files change together.
//
//   block 0x101b4 mode 0 bytes 12 insns 3 base 0x10000 movable
//   #0 = direct image+0x1c0                ; exits, by number
//   #1 = exception syscall image+0x1bc
//   $0 = 0x1, 0x2                          ; wide constants: low, high half
//     insn 0x101b4, 4                      ; pc, bytes
//     %1 = get.i64 a1                      ; a result's number is the index of its instruction
//     %2 = const.i64 image+0x1234          ; relative to the base
//     %3 = load.i64 %1, -8 {32 signed}     ; aux in braces
//     set a0, %3
//     exit #0
//   fault %3: t0 = %2
//
// `;` starts a comment. A suffix names the type field where it is not implied by the operation or the stored
// value. A modifier that its class cannot name is printed as {aux=N}, so that malformed blocks can be looked
// at too.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/error.h"
#include "ir/info.h"

__attribute__((format(printf, 2, 3))) static void put(KirText *out, const char *format, ...) {
    for (;;) {
        size_t room = out->capacity - out->length;
        va_list arguments;
        va_start(arguments, format);
        int n = vsnprintf(out->data ? out->data + out->length : NULL, room, format, arguments);
        va_end(arguments);
        if (n < 0) return;
        if ((size_t)n < room) {
            out->length += (size_t)n;
            return;
        }
        out->capacity = out->capacity * 2 + (size_t)n + 1024;
        out->data = realloc(out->data, out->capacity);
        if (!out->data) fatal("out of memory (%zu bytes for text)", out->capacity);
    }
}

static void put_address(KirText *out, const KirBlock *block, bool image, uint64_t address) {
    if (image) put(out, "image+%#" PRIx64, address - block->image_base);
    else put(out, "%#" PRIx64, address);
}

static void put_exit(KirText *out, const KirBlock *block, uint32_t number) {
    const KirExit *exit = &block->exits[number];
    put(out, "#%u = ", number);
    if (exit->kind == KIR_EXIT_EXCEPTION) {
        const char *name = kir_exception_name(exit->code);
        put(out, "exception %s ", name ? name : "?");
    } else {
        put(out, "direct ");
    }
    put_address(out, block, exit->image, exit->target);
    const char *hint = kir_hint_name(exit->hint);
    if (exit->hint != KIR_JUMP) put(out, " %s", hint ? hint : "?");
    if (exit->link) {
        put(out, " link ");
        put_address(out, block, exit->image, exit->link);
    }
    put(out, "\n");
}

static void put_reference(KirText *out, uint32_t v) {
    if (v == KIR_NONE) put(out, "_");
    else put(out, "%%%u", v);
}

static void put_helper(KirText *out, const KirBlock *block, unsigned number) {
    put(out, "%s", number < block->world->helper_count ? block->world->helpers[number].name : "?");
}

static void put_immediate(KirText *out, const KirInsn *insn, char slot, uint32_t value) {
    bool displacement = (insn->op == KIR_LOAD && slot == 'b') || (insn->op == KIR_STORE && slot == 'c');
    const char *name = insn->op == KIR_AMO     ? kir_amo_name(value)
                       : insn->op == KIR_VCMP  ? kir_cond_name(value)
                       : insn->op == KIR_VFCMP ? kir_fcmp_name(value)
                                               : NULL;
    if (name) put(out, "%s", name);
    else if (displacement) put(out, "%" PRId32, (int32_t)value);
    else put(out, "%" PRIu32, value);
}

static void put_slot(KirText *out, const KirBlock *block, const KirInsn *insn, char letter, char slot, uint32_t value) {
    switch (letter) {
    case 'i': put_immediate(out, insn, slot, value); break;
    case 'g': put(out, "%s", value < block->world->global_count ? block->world->globals[value].name : "?"); break;
    case 'x': put(out, "#%u", value); break;
    case 'h': put_helper(out, block, value); break;
    default: put_reference(out, value); break;
    }
}

static const char *put_bits(KirText *out, KirAuxClass class, unsigned aux, const char *separator) {
    for (const KirBitName *bit = kir_aux_bits(class); bit->name; bit++) {
        if (!(aux & bit->bit)) continue;
        put(out, "%s%s", separator, bit->name);
        separator = " ";
    }
    return separator;
}

// Everything in aux has a name in its class.
static bool is_nameable(KirAuxClass class, unsigned aux) {
    unsigned known = 0;
    for (const KirBitName *bit = kir_aux_bits(class); bit->name; bit++) known |= bit->bit;
    switch (class) {
    case KIR_AUX_NONE: return aux == 0;
    case KIR_AUX_COND: return kir_cond_name(aux);
    case KIR_AUX_FCMP: return kir_fcmp_name(aux);
    case KIR_AUX_SHA: return kir_sha_name(aux);
    case KIR_AUX_HINT: return kir_hint_name(aux);
    case KIR_AUX_MEM: return (aux & KIR_MEM_SIZE) <= KIR_MEM_128 && !(aux & ~(known | KIR_MEM_SIZE));
    case KIR_AUX_VEC: return (aux & KIR_VEC_LANE) <= 4 && !(aux & ~(known | KIR_VEC_LANE));
    case KIR_AUX_FP: return kir_round_name(aux & KIR_FP_ROUND) && !(aux & ~(known | KIR_FP_ROUND));
    default: return !(aux & ~known);
    }
}

static void put_aux(KirText *out, const KirInsn *insn) {
    KirAuxClass class = kir_aux_class(insn->op);
    unsigned aux = insn->aux;
    if (!is_nameable(class, aux)) {
        put(out, " {aux=%#x}", aux);
        return;
    }
    switch (class) {
    case KIR_AUX_COND: put(out, " {%s}", kir_cond_name(aux)); break;
    case KIR_AUX_FCMP: put(out, " {%s}", kir_fcmp_name(aux)); break;
    case KIR_AUX_SHA: put(out, " {%s}", kir_sha_name(aux)); break;
    case KIR_AUX_HINT:
        if (aux) put(out, " {%s}", kir_hint_name(aux));
        break;
    case KIR_AUX_MEM:
    case KIR_AUX_VEC:
        put(out, " {%u", 8u << (aux & 7));
        put_bits(out, class, aux, " ");
        put(out, "}");
        break;
    case KIR_AUX_FP:
        put(out, " {%s", kir_round_name(aux & KIR_FP_ROUND));
        put_bits(out, class, aux, " ");
        put(out, "}");
        break;
    default:
        if (!aux) break;
        put_bits(out, class, aux, " {");
        put(out, "}");
        break;
    }
}

static void put_operands(KirText *out, const KirBlock *block, const KirInsn *insn) {
    const char *letters = kir_op_info[insn->op].operands;
    const uint32_t slots[3] = {insn->a, insn->b, insn->c};
    const char *separator = " ";
    if (insn->op == KIR_CALL3) {
        put(out, " ");
        put_helper(out, block, insn->aux);
        separator = ", ";
    }
    for (int i = 0; i < 3; i++) {
        if (letters[i] == '.') continue;
        bool last = insn->op == KIR_CALL && i > 0 && insn->c == KIR_NONE && (i == 2 || insn->b == KIR_NONE);
        if (last) break; // a helper's missing operands are not written
        put(out, "%s", separator);
        put_slot(out, block, insn, letters[i], (char)('a' + i), slots[i]);
        separator = ", ";
    }
    if (insn->op != KIR_CALL3) put_aux(out, insn);
}

static void put_insn(KirText *out, const KirBlock *block, uint32_t number) {
    const KirInsn *insn = &block->insns[number];
    put(out, "  ");
    if (insn->op >= KIR_OP_COUNT) {
        put(out, "? %u\n", insn->op);
        return;
    }
    if (kir_result_type_of(insn) != KIR_VOID) put(out, "%%%u = ", number);
    put(out, "%s", kir_op_info[insn->op].name);
    const char *type = kir_type_name(insn->type);
    if (kir_op_facts[insn->op].free_type && insn->op != KIR_SET && insn->op != KIR_STORE) put(out, ".%s", type ? type : "?");
    switch (insn->op) {
    case KIR_INSN: put(out, " %#" PRIx64 ", %u", insn->imm, insn->aux); break;
    case KIR_COUNT: put(out, " %#" PRIx64, insn->imm); break;
    case KIR_CONST:
        put(out, " ");
        put_address(out, block, insn->aux == KIR_IMAGE, insn->imm);
        if (insn->aux > KIR_IMAGE) put(out, " {aux=%#x}", insn->aux);
        break;
    case KIR_CONSTV: put(out, " $%u", insn->a); break;
    default: put_operands(out, block, insn); break;
    }
    put(out, "\n");
}

void kir_print(KirText *out, const KirBlock *block) {
    put(out, "block %#" PRIx64 " mode %#x bytes %u insns %u base %#" PRIx64 "%s\n", block->pc, block->mode, block->guest_bytes,
        block->guest_insns, block->image_base, block->image_valid ? " movable" : "");
    for (uint32_t i = 0; i < block->exit_count; i++) put_exit(out, block, i);
    for (uint32_t i = 0; i < block->wide_count; i++)
        put(out, "$%u = %#" PRIx64 ", %#" PRIx64 "\n", i, block->wides[i].lo, block->wides[i].hi);
    for (uint32_t i = 0; i < block->count; i++) put_insn(out, block, i);
    for (uint32_t i = 0; i < block->fault_count; i++) {
        const KirFaultEntry *entry = &block->faults[i];
        bool known = entry->global < block->world->global_count;
        put(out, "fault %%%u: %s = %%%u\n", entry->at, known ? block->world->globals[entry->global].name : "?", entry->value);
    }
}
