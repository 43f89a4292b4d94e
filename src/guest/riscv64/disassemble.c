// SPDX-License-Identifier: MIT
//
// Instructions as text: the name of the row and its syntax with the operands put in, without pseudo-instructions. Targets
// are printed as absolute addresses. What is no instruction comes out as `.2byte` or `.4byte`.
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "guest/riscv64/decode.h"
#include "guest/riscv64/state.h"

typedef struct Text {
    char *at;
    size_t left;
} Text;

static void __attribute__((format(printf, 2, 3))) append(Text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->at, text->left, format, arguments);
    va_end(arguments);
    size_t written = length < 0 ? 0 : (size_t)length < text->left ? (size_t)length : text->left ? text->left - 1 : 0;
    text->at += written;
    text->left -= written;
}

const char *rv_csr_name(unsigned csr) {
    switch (csr) {
    case RV_CSR_FFLAGS: return "fflags";
    case RV_CSR_FRM: return "frm";
    case RV_CSR_FCSR: return "fcsr";
    case RV_CSR_CYCLE: return "cycle";
    case RV_CSR_TIME: return "time";
    case RV_CSR_INSTRET: return "instret";
    default: return NULL;
    }
}

static void append_csr(Text *text, unsigned csr) {
    const char *name = rv_csr_name(csr);
    if (name) append(text, "%s", name);
    else append(text, "%u", csr);
}

// The sets of a fence: i, o, r, w from the highest bit down.
static void append_fence_set(Text *text, unsigned set) {
    if (!set) append(text, "unknown");
    for (unsigned bit = 0; bit < 4; bit++)
        if (set & 8u >> bit) append(text, "%c", "iorw"[bit]);
}

static void append_register(Text *text, const RvInsn *i, const char *name) {
    bool is_float = *name == 'f';
    const char *field = name + is_float;
    unsigned n = strcmp(field, "rd") == 0    ? i->rd
                 : strcmp(field, "rs1") == 0 ? i->rs1
                 : strcmp(field, "rs2") == 0 ? i->rs2
                                             : i->rs3;
    append(text, "%s", (is_float ? rv_f_names : rv_x_names)[n]);
}

static const char *const round_names[8] = {"rne", "rtz", "rdn", "rup", "rmm", "?", "?", "dyn"};

// One word of a row's syntax.
static void append_operand(Text *text, const RvInsn *i, const char *word, uint64_t pc) {
    if (strcmp(word, "imm") == 0) append(text, "%d", i->imm);
    else if (strcmp(word, "upper") == 0) append(text, "0x%x", (uint32_t)i->imm >> 12);
    else if (strcmp(word, "target") == 0) append(text, "0x%llx", (unsigned long long)(pc + (uint64_t)(int64_t)i->imm));
    else if (strcmp(word, "csr") == 0) append_csr(text, i->csr);
    else if (strcmp(word, "rm") == 0) append(text, "%s", round_names[i->rm]);
    else if (strcmp(word, "pred") == 0) append_fence_set(text, i->pred);
    else if (strcmp(word, "succ") == 0) append_fence_set(text, i->succ);
    else append_register(text, i, word);
}

static void append_syntax(Text *text, const RvInsn *i, const char *syntax, uint64_t pc) {
    while (*syntax) {
        char word[16];
        size_t length = 0;
        while (length < sizeof word - 1 && isalnum((unsigned char)syntax[length])) length++;
        if (!length) {
            append(text, "%c", *syntax++);
            continue;
        }
        memcpy(word, syntax, length);
        word[length] = 0;
        append_operand(text, i, word, pc);
        syntax += length;
    }
}

unsigned rv_disassemble(char *text, size_t text_size, const uint8_t *bytes, size_t size, uint64_t pc) {
    Text out = {text, text_size};
    uint32_t bits = 0;
    if (text_size) *text = 0;
    if (size < 2) return 0;
    memcpy(&bits, bytes, 2);
    unsigned length = rv_length((uint16_t)bits);
    if (size < length) return 0;
    memcpy(&bits, bytes, length);
    RvInsn insn;
    rv_decode(bits, &insn);
    const RvRow *row = &rv_rows[insn.row];
    if (insn.row == RV_ILLEGAL) {
        append(&out, length == 2 ? ".2byte 0x%04x" : ".4byte 0x%08x", bits);
        return length;
    }
    append(&out, "%s%s%s%s", row->name, insn.aq || insn.rl ? "." : "", insn.aq ? "aq" : "", insn.rl ? "rl" : "");
    if (insn.row == RV_C_NOP && !insn.imm) return length;
    if (*row->syntax) append(&out, " ");
    append_syntax(&out, &insn, row->syntax, pc);
    return length;
}
