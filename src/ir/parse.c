// SPDX-License-Identifier: MIT
//
// Reads the text form that ir/print.c writes (the format is described there), line by line; kir_verify has
// the last word. Arbitrary input is survived: every name and number is checked where it is read, references
// and types in the end.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ir/fold.h"

enum { MAX_WORD = 64, MAX_INSNS = 1 << 20 };

typedef struct Parser {
    KirBlock *block;
    KirBuilder builder; // for its growing arrays alone: nothing is folded here
    const char *at;
    unsigned line;
    bool failed, has_header;
    char *error;
    size_t error_size;
} Parser;

__attribute__((format(printf, 2, 3))) static bool fail(Parser *p, const char *format, ...) {
    if (p->failed) return false;
    p->failed = true;
    if (!p->error_size) return false;
    int used = snprintf(p->error, p->error_size, "line %u: ", p->line);
    if (used < 0 || (size_t)used >= p->error_size) return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(p->error + used, p->error_size - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

// ---- words and numbers --------------------------------------------------------------------------

static bool is_word_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

static void skip_spaces(Parser *p) {
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\r') p->at++;
    if (*p->at == ';')
        while (*p->at && *p->at != '\n') p->at++;
}

static bool at_line_end(Parser *p) {
    skip_spaces(p);
    return *p->at == '\n' || *p->at == '\0';
}

static bool accept(Parser *p, const char *text) {
    skip_spaces(p);
    size_t length = strlen(text);
    if (strncmp(p->at, text, length) != 0) return false;
    if (is_word_char(text[length - 1]) && is_word_char(p->at[length])) return false; // the start of a longer word
    p->at += length;
    return true;
}

static bool expect(Parser *p, const char *text) { return accept(p, text) || fail(p, "expected '%s'", text); }

static bool read_word(Parser *p, char word[MAX_WORD]) {
    skip_spaces(p);
    size_t length = 0;
    while (is_word_char(p->at[length])) length++;
    if (length == 0 || length >= MAX_WORD) return fail(p, length ? "word too long" : "expected a word");
    memcpy(word, p->at, length);
    word[length] = '\0';
    p->at += length;
    return true;
}

static bool read_number(Parser *p, uint64_t *value) {
    skip_spaces(p);
    bool negative = *p->at == '-';
    const char *digits = p->at + negative;
    if (*digits < '0' || *digits > '9') return fail(p, "expected a number");
    char *end;
    *value = strtoull(digits, &end, digits[0] == '0' && digits[1] == 'x' ? 16 : 10);
    if (negative) *value = -*value;
    p->at = end;
    return !is_word_char(*end) || fail(p, "malformed number");
}

static bool read_u32(Parser *p, uint32_t *value) {
    uint64_t wide;
    if (!read_number(p, &wide)) return false;
    *value = (uint32_t)wide;
    return wide == *value || (int64_t)wide == (int32_t)wide || fail(p, "number out of range");
}

static bool read_u16(Parser *p, uint16_t *value) {
    uint32_t wide;
    if (!read_u32(p, &wide)) return false;
    *value = (uint16_t)wide;
    return wide == *value || fail(p, "number out of range");
}

// A plain number, or image+N: relative to the base.
static bool read_address(Parser *p, bool *image, uint64_t *value) {
    *image = accept(p, "image");
    if (*image && !expect(p, "+")) return false;
    if (!read_number(p, value)) return false;
    if (*image) *value += p->block->image_base;
    return true;
}

static bool find(const char *(*name_of)(unsigned), unsigned limit, const char *word, unsigned *index) {
    for (unsigned i = 0; i < limit; i++) {
        const char *name = name_of(i);
        if (!name || strcmp(name, word) != 0) continue;
        *index = i;
        return true;
    }
    return false;
}

static bool read_name(Parser *p, const char *(*name_of)(unsigned), unsigned limit, unsigned *index) {
    char word[MAX_WORD];
    if (!read_word(p, word)) return false;
    return find(name_of, limit, word, index) || fail(p, "unknown name '%s'", word);
}

static bool read_global(Parser *p, uint32_t *index) {
    const KirWorld *world = p->block->world;
    char word[MAX_WORD];
    if (!read_word(p, word)) return false;
    for (uint32_t i = 0; i < world->global_count; i++)
        if (strcmp(world->globals[i].name, word) == 0) return *index = i, true;
    return fail(p, "unknown global '%s'", word);
}

static bool read_helper(Parser *p, uint32_t *index) {
    const KirWorld *world = p->block->world;
    char word[MAX_WORD];
    if (!read_word(p, word)) return false;
    for (uint32_t i = 0; i < world->helper_count; i++)
        if (strcmp(world->helpers[i].name, word) == 0) return *index = i, true;
    return fail(p, "unknown helper '%s'", word);
}

// ---- lines that describe the block --------------------------------------------------------------

static bool parse_header(Parser *p) {
    KirBlock *block = p->block;
    if (p->has_header) return fail(p, "second header");
    p->has_header = true;
    if (!read_number(p, &block->pc) || !expect(p, "mode") || !read_u32(p, &block->mode) || !expect(p, "bytes") ||
        !read_u32(p, &block->guest_bytes) || !expect(p, "insns") || !read_u32(p, &block->guest_insns) || !expect(p, "base") ||
        !read_number(p, &block->image_base))
        return false;
    block->image_valid = accept(p, "movable");
    return true;
}

static bool parse_exit(Parser *p) {
    uint32_t number;
    unsigned code, hint;
    KirExit exit = {0};
    if (!read_u32(p, &number) || !expect(p, "=")) return false;
    if (number != p->block->exit_count) return fail(p, "the next exit is #%u", p->block->exit_count);
    if (accept(p, "exception")) {
        if (!read_name(p, kir_exception_name, KIR_EXC_RESUME + 1, &code)) return false;
        exit.kind = KIR_EXIT_EXCEPTION;
        exit.code = (uint8_t)code;
    } else if (!expect(p, "direct")) {
        return false;
    }
    bool image;
    if (!read_address(p, &image, &exit.target)) return false;
    exit.image = image;
    for (hint = KIR_JUMP_CALL; hint <= KIR_JUMP_RETURN; hint++)
        if (accept(p, kir_hint_name(hint))) exit.hint = (uint8_t)hint;
    if (accept(p, "link")) {
        if (!read_address(p, &image, &exit.link)) return false;
        if (image != exit.image) return fail(p, "link and target must be of one kind");
    }
    kir_exit_new(&p->builder, exit);
    return true;
}

static bool parse_wide(Parser *p) {
    KirBlock *block = p->block;
    uint32_t number;
    KirWide wide;
    if (!read_u32(p, &number) || !expect(p, "=")) return false;
    if (number != block->wide_count) return fail(p, "the next wide constant is $%u", block->wide_count);
    if (!read_number(p, &wide.lo) || !expect(p, ",") || !read_number(p, &wide.hi)) return false;
    if (block->wide_count == block->wide_capacity) {
        uint32_t capacity = block->wide_capacity ? block->wide_capacity * 2 : 8;
        block->wides = arena_grow(block->arena, block->wides, block->wide_capacity * sizeof wide, capacity * sizeof wide);
        block->wide_capacity = capacity;
    }
    block->wides[block->wide_count++] = wide;
    return true;
}

static bool parse_fault(Parser *p) {
    KirBlock *block = p->block;
    KirFaultEntry entry = {0};
    uint32_t global;
    if (!expect(p, "%") || !read_u32(p, &entry.at) || !expect(p, ":") || !read_global(p, &global) || !expect(p, "=") ||
        !expect(p, "%") || !read_u32(p, &entry.value))
        return false;
    if (global > UINT16_MAX) return fail(p, "global out of range");
    entry.global = (uint16_t)global;
    if (block->fault_count == block->fault_capacity) {
        uint32_t capacity = block->fault_capacity ? block->fault_capacity * 2 : 8;
        block->faults = arena_grow(block->arena, block->faults, block->fault_capacity * sizeof entry, capacity * sizeof entry);
        block->fault_capacity = capacity;
    }
    block->faults[block->fault_count++] = entry;
    return true;
}

// ---- instructions -------------------------------------------------------------------------------

static bool read_reference(Parser *p, uint32_t *value) {
    *value = KIR_NONE;
    if (accept(p, "_")) return true;
    if (!expect(p, "%") || !read_u32(p, value)) return false;
    return *value < p->block->count || fail(p, "%%%u is not an earlier instruction", *value);
}

static bool read_immediate(Parser *p, unsigned op, uint32_t *value) {
    skip_spaces(p);
    bool named = op == KIR_AMO || op == KIR_VCMP || op == KIR_VFCMP;
    if (!named || (*p->at >= '0' && *p->at <= '9')) return read_u32(p, value);
    if (op == KIR_AMO) return read_name(p, kir_amo_name, KIR_AMO_CLEAR + 1, value);
    if (op == KIR_VCMP) return read_name(p, kir_cond_name, KIR_GEU + 1, value);
    return read_name(p, kir_fcmp_name, KIR_FGE_S + 1, value);
}

static bool read_slot(Parser *p, const KirInsn *insn, char letter, uint32_t *value) {
    switch (letter) {
    case 'i': return read_immediate(p, insn->op, value);
    case 'g': return read_global(p, value);
    case 'h': return read_helper(p, value);
    case 'x': return expect(p, "#") && read_u32(p, value);
    default: return read_reference(p, value);
    }
}

static bool read_aux_bit(Parser *p, KirAuxClass class, const char *word, uint16_t *aux) {
    for (const KirBitName *bit = kir_aux_bits(class); bit->name; bit++) {
        if (strcmp(bit->name, word) != 0) continue;
        *aux |= bit->bit;
        return true;
    }
    return fail(p, "unknown modifier '%s'", word);
}

// The first word of a modifier may be a value of an enum or a size.
static bool read_aux_value(KirAuxClass class, const char *word, uint16_t *aux) {
    unsigned value = 0;
    bool found = false;
    switch (class) {
    case KIR_AUX_COND: found = find(kir_cond_name, KIR_GEU + 1, word, &value); break;
    case KIR_AUX_FCMP: found = find(kir_fcmp_name, KIR_FGE_S + 1, word, &value); break;
    case KIR_AUX_SHA: found = find(kir_sha_name, KIR_SHA256SU1 + 1, word, &value); break;
    case KIR_AUX_HINT: found = find(kir_hint_name, KIR_JUMP_RETURN + 1, word, &value); break;
    case KIR_AUX_FP: found = find(kir_round_name, KIR_RDYN + 1, word, &value); break;
    case KIR_AUX_MEM:
    case KIR_AUX_VEC:
        for (value = 0; value <= 4 && !found; value++) {
            char size[8];
            snprintf(size, sizeof size, "%u", 8u << value);
            if (strcmp(size, word) == 0) {
                found = true;
                break;
            }
        }
        break;
    default: break;
    }
    if (found) *aux = (uint16_t)value;
    return found;
}

static bool parse_aux(Parser *p, KirInsn *insn) {
    KirAuxClass class = kir_aux_class(insn->op);
    if (!accept(p, "{")) return true;
    if (accept(p, "aux")) return expect(p, "=") && read_u16(p, &insn->aux) && expect(p, "}");
    char word[MAX_WORD];
    bool first = true;
    while (!accept(p, "}")) {
        if (!read_word(p, word)) return false;
        if (!(first && read_aux_value(class, word, &insn->aux)) && !read_aux_bit(p, class, word, &insn->aux)) return false;
        first = false;
    }
    return true;
}

static bool at_operands_end(Parser *p) { return at_line_end(p) || *p->at == '{'; }

static bool parse_operands(Parser *p, KirInsn *insn) {
    const char *letters = kir_op_info[insn->op].operands;
    uint32_t slots[3] = {KIR_NONE, KIR_NONE, KIR_NONE}, helper;
    bool first = true;
    if (insn->op == KIR_CALL3) {
        if (!read_helper(p, &helper)) return false;
        if (helper > UINT16_MAX) return fail(p, "helper out of range");
        insn->aux = (uint16_t)helper;
        first = false;
    }
    for (int i = 0; i < 3; i++) {
        if (letters[i] == '.') continue;
        if (insn->op == KIR_CALL && at_operands_end(p)) break;
        if (!first && !expect(p, ",")) return false;
        if (!read_slot(p, insn, letters[i], &slots[i])) return false;
        first = false;
    }
    insn->a = slots[0];
    insn->b = slots[1];
    insn->c = slots[2];
    return insn->op == KIR_CALL3 || parse_aux(p, insn);
}

static bool parse_const(Parser *p, KirInsn *insn) {
    bool image;
    uint64_t value;
    insn->c = KIR_NONE;
    if (!read_address(p, &image, &value)) return false;
    insn->imm = value;
    insn->aux = image ? KIR_IMAGE : KIR_PLAIN;
    return true;
}

static bool parse_count(Parser *p, KirInsn *insn) {
    uint64_t address;
    insn->c = KIR_NONE;
    if (!read_number(p, &address)) return false;
    insn->imm = address;
    return true;
}

static bool parse_constv(Parser *p, KirInsn *insn) {
    insn->b = insn->c = KIR_NONE;
    return expect(p, "$") && read_u32(p, &insn->a);
}

static bool parse_start(Parser *p, KirInsn *insn) {
    uint64_t pc;
    insn->c = KIR_NONE;
    if (!read_number(p, &pc) || !expect(p, ",") || !read_u16(p, &insn->aux)) return false;
    insn->imm = pc;
    return true;
}

// The type that the text leaves out: the result's, or that of the stored value.
static bool implied_type(Parser *p, KirInsn *insn) {
    if (insn->op != KIR_SET && insn->op != KIR_STORE) {
        insn->type = kir_op_facts[insn->op].result;
        return true;
    }
    if (insn->b == KIR_NONE) return fail(p, "a value is missing");
    insn->type = (uint8_t)kir_result_type_of(&p->block->insns[insn->b]);
    return true;
}

// KIR_OP_COUNT if there is no such operation.
static unsigned find_op(const char *word) {
    unsigned op = 0;
    while (op < KIR_OP_COUNT && strcmp(kir_op_info[op].name, word) != 0) op++;
    return op;
}

static bool parse_insn(Parser *p, bool has_result) {
    KirInsn insn = {0};
    char word[MAX_WORD];
    unsigned op, type = KIR_VOID;
    if (p->block->count >= MAX_INSNS) return fail(p, "too many instructions");
    if (!read_word(p, word)) return false;
    if ((op = find_op(word)) >= KIR_OP_COUNT) return fail(p, "unknown operation '%s'", word);
    insn.op = (uint8_t)op;
    bool implied = !kir_op_facts[op].free_type || op == KIR_SET || op == KIR_STORE;
    if (!implied && (!expect(p, ".") || !read_name(p, kir_type_name, KIR_TYPE_COUNT, &type))) return false;
    insn.type = (uint8_t)type;
    bool ok = op == KIR_CONST    ? parse_const(p, &insn)
              : op == KIR_CONSTV ? parse_constv(p, &insn)
              : op == KIR_INSN   ? parse_start(p, &insn)
              : op == KIR_COUNT  ? parse_count(p, &insn)
                                 : parse_operands(p, &insn);
    if (!ok || (implied && !implied_type(p, &insn))) return false;
    if (has_result != (kir_result_type_of(&insn) != KIR_VOID)) return fail(p, has_result ? "no result" : "result unnamed");
    kir_append(p->block, insn);
    return true;
}

static bool parse_result(Parser *p) {
    uint32_t number;
    if (!read_u32(p, &number) || !expect(p, "=")) return false;
    if (number != p->block->count) return fail(p, "this instruction is %%%u", p->block->count);
    return parse_insn(p, true);
}

static bool parse_line(Parser *p) {
    if (accept(p, "block")) return parse_header(p);
    if (accept(p, "#")) return parse_exit(p);
    if (accept(p, "$")) return parse_wide(p);
    if (accept(p, "fault")) return parse_fault(p);
    if (accept(p, "%")) return parse_result(p);
    return parse_insn(p, false);
}

KirBlock *kir_parse(Arena *arena, const KirWorld *world, const char *text, char *error, size_t error_size) {
    KirBlock *block = kir_block_new(arena, world, 0, 0);
    Parser p = {
        .block = block, .builder.block = block, .at = text, .line = 1, .error = error, .error_size = error ? error_size : 0};
    while (!p.failed) {
        if (!at_line_end(&p) && parse_line(&p) && !at_line_end(&p)) fail(&p, "more than expected");
        if (*p.at == '\0' || p.failed) break;
        p.at++;
        p.line++;
    }
    if (!p.failed && !p.has_header) fail(&p, "no header");
    return !p.failed && kir_verify(block, error, error_size) ? block : NULL;
}
