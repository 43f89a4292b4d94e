// SPDX-License-Identifier: MIT
//
// The riscv64 decode tables against llvm-mc, and the translator against the verifier.
//
// Each row is filled with random operands, decoded and disassembled, and compared with what llvm-mc makes of the same bytes; then
// random words, where both must agree on what is an instruction. llvm-mc runs once for all of them: a marker instruction
// between any two encodings shows which have no line. Without llvm-mc that part is skipped.
//
// Then every row's encodings are translated alone, and random words in long runs, and each block is verified.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "guest/riscv64/decode.h"
#include "guest/riscv64/features.h"
#include "guest/riscv64/state.h"
#include "guest/guest.h"

enum { PER_ROW = 40, RANDOM_WORDS = 6000, LINE = 128, RUNS = 3000, RUN_BYTES = 256 };

typedef struct Case {
    uint32_t bits;
    unsigned length, row;
    char llvm[LINE];
} Case;

static Case cases[RV_ROW_COUNT * PER_ROW + RANDOM_WORDS];
static unsigned case_count, passed, failed;
static uint64_t random_state = 1;

static uint32_t random32(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

static void check(bool ok, const char *what, const Case *c, const char *ours) {
    if (ok) passed++;
    else failed++;
    if (!ok && failed < 60) printf("FAIL %s: %0*x `%s`, expected `%s`\n", what, (int)c->length * 2, c->bits, ours, c->llvm);
}

// ---- cases ---------------------------------------------------------------------------------------------------------
// Free bits that carry no meaning for us but must be zero for llvm-mc: registers and mode of a fence.
static uint32_t meaningful_bits(unsigned row) {
    if (row == RV_FENCE) return 0x0ff00000;
    if (row == RV_FENCE_TSO || row == RV_FENCE_I) return 0;
    return UINT32_MAX;
}

// CSRs that both know by the same name.
static uint32_t known_csr(void) {
    static const uint32_t csrs[] = {RV_CSR_FFLAGS, RV_CSR_FRM, RV_CSR_FCSR, RV_CSR_CYCLE, RV_CSR_TIME, RV_CSR_INSTRET};
    return csrs[random32() % 6] << 20;
}

static uint32_t fill_row(unsigned row) {
    const RvRow *r = &rv_rows[row];
    uint32_t bits = (random32() & meaningful_bits(row) & ~r->mask) | r->value;
    if (strncmp(r->name, "csrr", 4) == 0) bits = (bits & 0xfffff) | known_csr();
    return r->bytes == 2 ? bits & 0xffff : bits;
}

static void add_case(uint32_t bits, unsigned row) {
    unsigned length = rv_length((uint16_t)bits);
    cases[case_count++] = (Case){.bits = length == 2 ? bits & 0xffff : bits, .length = length, .row = row};
}

static void make_cases(void) {
    for (unsigned row = 1; row < RV_ROW_COUNT; row++)
        for (unsigned n = 0; n < PER_ROW; n++) add_case(fill_row(row), row);
    for (unsigned n = 0; n < RANDOM_WORDS; n++) add_case(random32() | (n & 1 ? 3 : 0), RV_ILLEGAL);
}

// ---- llvm-mc -------------------------------------------------------------------------------------------------------
#define MARKER       "[0x73 0x00 0x10 0x00]\n"
#define MARKER_TEXT  "ebreak"
#define LLVM_MC      "llvm-mc"
#define LLVM_OPTIONS " -disassemble -triple=riscv64 -mattr=+m,+a,+f,+d,+c,+zba,+zbb,+zbc,+zbs -M no-aliases"

static bool write_cases(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) return false;
    for (unsigned i = 0; i < case_count; i++) {
        fputc('[', file);
        for (unsigned byte = 0; byte < cases[i].length; byte++)
            fprintf(file, "%s0x%02x", byte ? " " : "", cases[i].bits >> 8 * byte & 0xff);
        fputs("]\n" MARKER, file);
    }
    return fclose(file) == 0;
}

// A case that is the marker's own instruction has one line more than the others.
static bool read_lines(FILE *pipe) {
    unsigned at = 0;
    char line[LINE];
    while (at < case_count && fgets(line, sizeof line, pipe)) {
        char *text = line + strspn(line, " \t");
        size_t length = strcspn(text, "#\n");
        while (length && isspace((unsigned char)text[length - 1])) length--;
        text[length] = 0;
        if (!*text || *text == '.') continue;
        bool own = strcmp(text, MARKER_TEXT) == 0 && cases[at].bits == 0x100073 && !cases[at].llvm[0];
        if (strcmp(text, MARKER_TEXT) == 0 && !own) at++;
        else snprintf(cases[at].llvm, LINE, "%s", text);
    }
    return at == case_count;
}

static bool run_llvm(void) {
    char path[] = "/tmp/kiln-riscv-XXXXXX", command[256];
    if (system(LLVM_MC " --version >/dev/null 2>&1") != 0) return false;
    int fd = mkstemp(path);
    if (fd < 0) return false;
    close(fd);
    snprintf(command, sizeof command, "timeout 120 " LLVM_MC LLVM_OPTIONS " %s 2>/dev/null", path);
    bool ok = write_cases(path);
    FILE *pipe = ok ? popen(command, "r") : NULL;
    ok = pipe && read_lines(pipe);
    if (pipe) pclose(pipe);
    unlink(path);
    return ok;
}

// ---- comparison ----------------------------------------------------------------------------------------------------
// Numbers compare by value, everything else by spelling without blanks.
static bool same_text(const char *a, const char *b) {
    for (;;) {
        while (isspace((unsigned char)*a)) a++;
        while (isspace((unsigned char)*b)) b++;
        bool number_a = isdigit((unsigned char)*a) || *a == '-', number_b = isdigit((unsigned char)*b) || *b == '-';
        if (number_a && number_b) {
            char *end_a, *end_b;
            uint64_t value_a = *a == '-' ? (uint64_t)strtoll(a, &end_a, 0) : strtoull(a, &end_a, 0);
            uint64_t value_b = *b == '-' ? (uint64_t)strtoll(b, &end_b, 0) : strtoull(b, &end_b, 0);
            if (value_a != value_b) return false;
            a = end_a, b = end_b;
        } else {
            if (*a != *b) return false;
            if (!*a) return true;
            a++, b++;
        }
    }
}

static bool starts_with(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

// Instructions that only one of the two knows, by name: extensions and hints too new for it, privileged ones for us.
static bool unknown_to_llvm(const char *ours) { return starts_with(ours, "czero."); }

static bool unknown_to_us(const char *theirs) {
    static const char *const names[] = {"mret",    "sret", "uret", "wfi",     "sfence.", "sinval.", "hfence.",
                                        "hinval.", "hlv",  "hsv",  "c.unimp", "unimp",   "dret"};
    size_t length = strlen(theirs);
    if (starts_with(theirs, "c.lui") && strcmp(theirs + length - 3, ", 0") == 0) return true; // reserved
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (starts_with(theirs, names[i])) return true;
    return false;
}

// The same instruction spelt otherwise there: another name, a CSR's name that we print as a number, the sign of a hint's
// constant.
static bool other_name(const Case *c, const char *ours) {
    if (starts_with(ours, "csrr")) return !rv_csr_name(c->bits >> 20);
    if (starts_with(ours, "prefetch.")) return starts_with(c->llvm, "ori\tzero");
    if (starts_with(ours, "c.s")) return strstr(c->llvm, "64") && strstr(ours, ", 0");
    return starts_with(ours, "pause") || starts_with(c->llvm, "c.lui\tzero");
}

// Free bits that we ignore, as the manual asks, and llvm-mc refuses.
static bool lenient(const Case *c, unsigned row) {
    bool exact = row == RV_FCVT_D_S || row == RV_FCVT_D_W || row == RV_FCVT_D_WU; // the rounding mode
    return row == RV_FENCE || row == RV_FENCE_TSO || row == RV_FENCE_I || exact;
}

static void compare(const Case *c, bool have_llvm) {
    char text[LINE];
    uint8_t bytes[4];
    memcpy(bytes, &c->bits, sizeof bytes);
    unsigned length = rv_disassemble(text, sizeof text, bytes, sizeof bytes, 0);
    RvInsn insn;
    rv_decode(c->bits, &insn);
    check(length == c->length && insn.length == length, "length", c, text);
    if (insn.row) check((c->bits & rv_rows[insn.row].mask) == rv_rows[insn.row].value, "row does not match", c, text);
    if (!have_llvm) return;
    if (!insn.row) check(!c->llvm[0] || unknown_to_us(c->llvm), "not decoded", c, text);
    else if (!c->llvm[0]) check(unknown_to_llvm(text) || lenient(c, insn.row), "decoded, but no instruction", c, text);
    else check(same_text(text, c->llvm) || other_name(c, text), "text", c, text);
}

// ---- translation -----------------------------------------------------------------------------------------------------
static KirBlock *translate(Arena *arena, const uint8_t *code, size_t size, uint64_t pc, uint32_t mode, unsigned max) {
    KirBlock *block = kir_block_new(arena, &guest_riscv64.world, pc, mode);
    block->image_valid = true;
    block->image_base = pc & ~(uint64_t)0xffff;
    KirBuilder builder;
    kir_builder_init(&builder, block);
    GuestTranslation request = {.builder = &builder,
                                .pc = pc,
                                .bytes = code,
                                .size = size,
                                .mode = mode,
                                .features = guest_riscv64.models[0].features,
                                .max_insns = max};
    guest_riscv64.translate(&request);
    return block;
}

static void check_block(const Case *c, const KirBlock *block) {
    char error[256] = "", text[LINE] = "";
    if (!kir_verify(block, error, sizeof error)) snprintf(text, sizeof text, "verifier: %.100s", error);
    check(!*text, "block", c, text);
}

static bool raises_illegal(const KirBlock *block) {
    for (unsigned i = 0; i < block->exit_count; i++)
        if (block->exits[i].kind == KIR_EXIT_EXCEPTION && block->exits[i].code == KIR_EXC_ILLEGAL) return true;
    return false;
}

// What decodes must translate: only writes to read-only CSRs and unknown CSRs are left to be illegal.
static void translate_rows(Arena *arena) {
    for (unsigned i = 0; i < case_count; i++) {
        const Case *c = &cases[i];
        RvInsn insn;
        rv_decode(c->bits, &insn);
        for (uint32_t mode = RV_MODE_NORMAL; mode <= RV_MODE_INVALID_FRM; mode++) {
            arena_reset(arena);
            KirBlock *block = translate(arena, (const uint8_t *)&c->bits, c->length, 0x10000, mode, 1);
            check_block(c, block);
            check(block->guest_insns == 1 && block->guest_bytes == c->length, "size of the block", c, "");
            bool may_fail = insn.csr || mode == RV_MODE_INVALID_FRM || strcmp(rv_rows[insn.row].extension, "Zicsr") == 0;
            if (!may_fail) check(raises_illegal(block) == !insn.row, "illegal", c, rv_rows[insn.row].name);
        }
    }
}

static void translate_runs(Arena *arena) {
    Case run = {.length = 4};
    for (unsigned n = 0; n < RUNS; n++) {
        uint8_t code[RUN_BYTES];
        size_t size = 0;
        while (size + 4 <= sizeof code) {
            uint32_t bits = n % 4 ? fill_row(1 + random32() % (RV_ROW_COUNT - 1)) : random32();
            memcpy(code + size, &bits, 4);
            size += rv_length((uint16_t)bits);
        }
        arena_reset(arena);
        uint64_t pc = 0x10000 + (random32() & 0xffe);
        memcpy(&run.bits, code, 4);
        check_block(&run, translate(arena, code, size, pc, n % 3, 1 + random32() % 64));
    }
}

// ---- borders of readable code ----------------------------------------------------------------------------------------------
typedef struct Second {
    uint64_t pc;
    const uint8_t *bytes;
    size_t size;
} Second;

static size_t fetch_second(void *context, uint64_t pc, const uint8_t **bytes) {
    const Second *second = context;
    if (pc < second->pc || pc >= second->pc + second->size) return 0;
    *bytes = second->bytes + (pc - second->pc);
    return second->size - (size_t)(pc - second->pc);
}

static KirBlock *translate_at_border(Arena *arena, const uint8_t *code, size_t size, Second *second, uint64_t pc) {
    arena_reset(arena);
    KirBlock *block = kir_block_new(arena, &guest_riscv64.world, pc, 0);
    KirBuilder builder;
    kir_builder_init(&builder, block);
    GuestTranslation request = {.builder = &builder,
                                .pc = pc,
                                .bytes = code,
                                .size = size,
                                .max_insns = 64,
                                .features = RV_FEATURES_MAX,
                                .fetch = fetch_second,
                                .context = second};
    guest_riscv64.translate(&request);
    return block;
}

static void expect_exit(const KirBlock *block, const char *what, KirExitKind kind, unsigned code, uint64_t target, unsigned insns) {
    const KirExit *exit = &block->exits[block->exit_count - 1];
    Case c = {.length = 4, .bits = (uint32_t)exit->target};
    bool ok = exit->kind == kind && (kind == KIR_EXIT_DIRECT || exit->code == code) && exit->target == target &&
              block->guest_insns == insns && block->guest_bytes != 0;
    check(ok, what, &c, "");
}

static void check_borders(Arena *arena) {
    static const uint8_t add_add[8] = {0x33, 0x05, 0xb5, 0x00, 0x33, 0x05, 0xb5, 0x00}; // add a0, a0, a1 twice
    Second none = {0}, rest = {0x11000, add_add + 6, 2};
    expect_exit(translate_at_border(arena, add_add, 0, &none, 0x10000), "nothing readable", KIR_EXIT_EXCEPTION, KIR_EXC_FETCH_FAULT,
                0x10000, 1);
    expect_exit(translate_at_border(arena, add_add, 2, &none, 0x10ffe), "half an instruction", KIR_EXIT_EXCEPTION,
                KIR_EXC_FETCH_FAULT, 0x10ffe, 1);
    expect_exit(translate_at_border(arena, add_add, 6, &none, 0x10ffa), "half of the second", KIR_EXIT_DIRECT, 0, 0x10ffe, 1);
    expect_exit(translate_at_border(arena, add_add, 6, &rest, 0x10ffa), "straddles", KIR_EXIT_DIRECT, 0, 0x11002, 2);
    expect_exit(translate_at_border(arena, add_add, 8, &none, 0x10ffc), "next page", KIR_EXIT_DIRECT, 0, 0x11000, 1);
}

int main(void) {
    make_cases();
    bool have_llvm = run_llvm();
    if (!have_llvm) printf("llvm-mc is missing or has other output: no comparison with it\n");
    for (unsigned i = 0; i < case_count; i++) compare(&cases[i], have_llvm);
    Arena arena = {0};
    translate_rows(&arena);
    translate_runs(&arena);
    check_borders(&arena);
    arena_free(&arena);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
