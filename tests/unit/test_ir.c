// SPDX-License-Identifier: MIT
//
// Tests of the IR: one line a failed case, then the sum.
//
//   files       ir/*.kir: an input block, then sections `=== PASS` with the block after that pass alone (`all`:
//               after the pipeline; `print`: as read; `error`: the message that parser or verifier must give).
//               `test_ir --update` rewrites the sections with what comes out: review the difference.
//   constants   folding of operations on constants against kir_eval, the definition of their meaning
//   random      random blocks run on a small machine before and after the pipeline: same events, same values of
//               all globals wherever somebody may look, also after the guest file moved
//   forms       text and binary round trips of random blocks; mutated input of both forms must be refused or be
//               a valid block
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ir/fold.h"
#include "ir/passes.h"
#include "ir/world.h"

#define TEST_FOLDER TEST_DIR "/ir" // TEST_DIR: tests/unit

enum { RANDOM_BLOCKS = 20000, FORM_BLOCKS = 300, MUTATIONS = 60, CONSTANT_ROUNDS = 3000 };

static unsigned passed, failed;

static void check(bool ok, const char *what, const char *detail) {
    if (ok) {
        passed++;
        return;
    }
    failed++;
    printf("FAIL %s%s%s\n", what, *detail ? ": " : "", detail);
}

// ---- files --------------------------------------------------------------------------------------

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    size_t size = 0, capacity = 1 << 16;
    char *text = malloc(capacity + 1);
    for (size_t n; text && (n = fread(text + size, 1, capacity - size, file)) > 0;) {
        size += n;
        if (size < capacity) continue;
        char *bigger = realloc(text, (capacity *= 2) + 1);
        if (!bigger) free(text);
        text = bigger;
    }
    fclose(file);
    if (text) text[size] = '\0';
    return text;
}

// The text after which a section would be right.
static void section_output(KirText *out, Arena *arena, const char *input, const char *pass) {
    char error[200] = "";
    KirBlock *block = kir_parse(arena, &test_world, input, error, sizeof error);
    if (!block || !strcmp(pass, "error")) {
        out->data = strdup(block ? "no error\n" : strcat(error, "\n"));
        return;
    }
    if (!strcmp(pass, "all")) kir_optimise(block, 0);
    for (unsigned i = 0; kir_passes[i].name; i++)
        if (!strcmp(pass, kir_passes[i].name)) kir_passes[i].run(block);
    if (!kir_verify(block, error, sizeof error)) {
        out->data = strdup(error);
        return;
    }
    kir_print(out, block);
}

static void run_file(const char *name, bool update) {
    char path[500], pass[40], what[400];
    snprintf(path, sizeof path, "%s/%s", TEST_FOLDER, name);
    char *text = read_file(path), *section = text ? strstr(text, "\n=== ") : NULL;
    check(section, name, "cannot be read, or has no section");
    if (!section) return;
    section[1] = '\0'; // the input ends here
    FILE *rewritten = update ? fopen(path, "w") : NULL;
    if (rewritten) fputs(text, rewritten);
    for (section += 1; section;) {
        sscanf(section + 4, "%39s", pass);
        char *body = strchr(section + 4, '\n'), *next = body ? strstr(body, "\n=== ") : NULL;
        body = body ? body + 1 : section + strlen(section + 4);
        if (next) next[1] = '\0';
        Arena arena = {0};
        KirText out = {0};
        section_output(&out, &arena, text, pass);
        snprintf(what, sizeof what, "%s, %s", name, pass);
        if (rewritten) fprintf(rewritten, "=== %s\n%s", pass, out.data);
        else check(!strcmp(out.data, body), what, out.data);
        free(out.data);
        arena_free(&arena);
        section = next ? next + 1 : NULL;
    }
    if (rewritten) fclose(rewritten);
    free(text);
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int is_test(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot && !strcmp(dot, ".kir");
}

static void run_files(bool update) {
    struct dirent **entries;
    int count = scandir(TEST_FOLDER, &entries, is_test, by_name);
    check(count > 0, "directory of test files", TEST_FOLDER);
    for (int i = 0; i < count; i++) {
        run_file(entries[i]->d_name, update);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
}

// ---- folding of constants -----------------------------------------------------------------------

// The result of one block of one operation, folded by the builder, against the evaluator.
static void compare_constant(Arena *arena, const KirInsn *wanted, const uint8_t types[3], const uint64_t values[3]) {
    KirBlock *block = kir_block_new(arena, &test_world, 0, 0);
    KirBuilder b;
    kir_builder_init(&b, block);
    KirInsn insn = *wanted;
    uint32_t *slots[3];
    KirValue operands[3] = {0};
    unsigned refs = kir_op_facts[insn.op].refs;
    slots[0] = &insn.a, slots[1] = &insn.b, slots[2] = &insn.c;
    for (int i = 0; i < 3; i++) {
        if (!(refs >> i & 1)) continue;
        *slots[i] = kir_const(&b, (KirType)types[i], values[i]);
        operands[i].i = block->insns[*slots[i]].imm;
    }
    KirValue expected = kir_eval(&insn, types, operands[0], operands[1], operands[2]);
    KirRef r = kir_emit(&b, (KirOp)insn.op, (KirType)insn.type, insn.aux, insn.a, insn.b, insn.c);
    const KirInsn *result = &block->insns[r];
    uint64_t cut = kir_low_bits(expected.i, kir_type_bits(kir_result_type(&insn)));
    char detail[200];
    snprintf(detail, sizeof detail, "%s.%s aux %u (%#lx, %#lx, %#lx) %s %#lx, not %#lx", kir_op_info[insn.op].name,
             kir_type_name(insn.type), insn.aux, (unsigned long)operands[0].i, (unsigned long)operands[1].i,
             (unsigned long)operands[2].i, kir_op_info[result->op].name, (unsigned long)result->imm, (unsigned long)cut);
    check(result->op == KIR_CONST && result->imm == cut, "constant folding", detail);
}

static bool folds_constants(const KirInsn *insn) {
    return (insn->op >= KIR_ADD && insn->op <= KIR_BITCAST) || (insn->op >= KIR_FNEG && insn->op <= KIR_FCOPYSIGN) ||
           insn->op == KIR_NANBOX || insn->op == KIR_NANUNBOX;
}

// Takes operations and types from random blocks, values from everywhere.
static void run_constants(void) {
    uint64_t rng = 0x1234567;
    for (unsigned round = 0; round < CONSTANT_ROUNDS; round++) {
        Arena arena = {0};
        KirBlock *block = random_block(&arena, &rng, 30);
        for (uint32_t i = 0; i < block->count; i++) {
            KirInsn insn = block->insns[i];
            if (!folds_constants(&insn)) continue;
            const uint32_t slots[3] = {insn.a, insn.b, insn.c};
            uint8_t types[3] = {0};
            uint64_t values[3] = {0};
            bool narrow = true;
            for (int k = 0; k < 3; k++) {
                if (!(kir_op_facts[insn.op].refs >> k & 1)) continue;
                types[k] = (uint8_t)kir_result_type(&block->insns[slots[k]]);
                values[k] = next_random(&rng);
                if (next_random(&rng) & 1) values[k] = (uint64_t)(int64_t)(int8_t)values[k];
                if (!(next_random(&rng) & 7)) values[k] = (uint64_t)1 << ((kir_type_bits((KirType)types[k]) - 1) & 63);
                narrow &= kir_type_bits((KirType)types[k]) <= 64;
            }
            if (narrow) compare_constant(&arena, &insn, types, values);
        }
        arena_free(&arena);
    }
}

// ---- random blocks ------------------------------------------------------------------------------

static KirBlock *copy_block(Arena *arena, const KirBlock *block) {
    size_t size = kir_write(block, NULL, 0);
    uint8_t *data = arena_alloc(arena, size);
    kir_write(block, data, size);
    return kir_read(arena, &test_world, data, size);
}

static void move_image(KirBlock *block, uint64_t by) {
    for (uint32_t i = 0; i < block->count; i++)
        if (block->insns[i].op == KIR_CONST && block->insns[i].aux == KIR_IMAGE) block->insns[i].imm += by;
    for (uint32_t i = 0; i < block->exit_count; i++)
        if (block->exits[i].image) block->exits[i].target += by;
}

static bool same_run(const KirBlock *x, const KirBlock *y, uint64_t *rng) {
    static Machine first, second;
    memset(&first, 0, sizeof first);
    for (int i = 0; i < WORLD_GLOBALS; i++) first.globals[i].i = next_random(rng) >> (next_random(rng) & 63);
    first.seed = next_random(rng);
    first.polls = !(next_random(rng) & 7);
    second = first;
    machine_run(&first, x);
    machine_run(&second, y);
    return first.hash == second.hash && first.events == second.events;
}

static void show(const char *title, const KirBlock *block) {
    KirText text = {0};
    kir_print(&text, block);
    printf("--- %s\n%s", title, text.data);
    free(text.data);
}

static void run_random(void) {
    uint64_t rng = 0x9e3779b97f4a7c15u;
    unsigned before = failed;
    for (unsigned i = 0; i < RANDOM_BLOCKS && failed - before < 5; i++) {
        Arena arena = {0};
        char error[200] = "", name[80];
        KirBlock *block = random_block(&arena, &rng, 10 + i % 90);
        bool ok = kir_verify(block, error, sizeof error);
        check(ok, "random block", error);
        KirBlock *result = ok ? copy_block(&arena, block) : NULL;
        uint32_t disabled = i % 3 ? 0 : (uint32_t)(next_random(&rng) & 7);
        static const uint64_t pinned = 1 << 0 | 1 << 2 | 1 << WORLD_INTS;
        if (result && i % 2) result->pinned = &pinned;
        if (result) kir_optimise(result, disabled);
        snprintf(name, sizeof name, "random block %u, passes off %#x", i, disabled);
        ok = result && kir_verify(result, error, sizeof error);
        if (!ok && result) show("result", result);
        check(ok, name, error);
        for (int run = 0; ok && run < 3; run++) ok = same_run(block, result, &rng);
        if (ok) {
            move_image(block, 0x7000);
            move_image(result, 0x7000);
            ok = same_run(block, result, &rng);
        }
        check(ok, name, "runs differ");
        if (!ok && result) show("block", block), show("result", result);
        arena_free(&arena);
    }
}

// ---- forms --------------------------------------------------------------------------------------

static bool same_binary(const KirBlock *x, const KirBlock *y, Arena *arena) {
    size_t size = kir_write(x, NULL, 0);
    if (size != kir_write(y, NULL, 0)) return false;
    uint8_t *first = arena_alloc(arena, size), *second = arena_alloc(arena, size);
    kir_write(x, first, size);
    kir_write(y, second, size);
    return memcmp(first, second, size) == 0;
}

static void check_round_trips(const KirBlock *block) {
    Arena arena = {0};
    KirText text = {0};
    char error[200] = "";
    kir_print(&text, block);
    KirBlock *parsed = kir_parse(&arena, &test_world, text.data, error, sizeof error);
    if (parsed) parsed->folded = block->folded; // a hint that the text does not carry
    check(parsed && same_binary(block, parsed, &arena), "text round trip", error);
    KirBlock *read = copy_block(&arena, block);
    check(read && same_binary(block, read, &arena), "binary round trip", "");
    free(text.data);
    arena_free(&arena);
}

// Whatever a mutated form still yields must be a valid block that the pipeline and the printer survive.
static void use_if_valid(KirBlock *block) {
    if (!block) return;
    kir_optimise(block, 0);
    KirText text = {0};
    kir_print(&text, block);
    free(text.data);
    char error[200] = "";
    check(kir_verify(block, error, sizeof error), "mutated block after the pipeline", error);
}

static void mutate(uint8_t *data, size_t size, uint64_t *rng) {
    for (unsigned n = 1 + next_random(rng) % 3; n > 0; n--) {
        size_t at = (next_random(rng) >> 8) % size;
        switch (next_random(rng) & 3) {
        case 0: data[at] ^= (uint8_t)(1 << (next_random(rng) & 7)); break;
        case 1: data[at] = (uint8_t)next_random(rng); break;
        case 2: data[at] = data[(next_random(rng) >> 8) % size]; break;
        default: data[at]++; break;
        }
    }
}

static void check_mutations(const KirBlock *block, uint64_t *rng) {
    size_t size = kir_write(block, NULL, 0);
    uint8_t *data = malloc(size);
    KirText text = {0};
    kir_print(&text, block);
    for (unsigned i = 0; i < MUTATIONS; i++) {
        Arena arena = {0};
        char error[200];
        kir_write(block, data, size);
        mutate(data, size, rng);
        use_if_valid(kir_read(&arena, &test_world, data, i % 4 ? size : (next_random(rng) >> 8) % size));
        char *copy = strdup(text.data);
        mutate((uint8_t *)copy, text.length, rng);
        use_if_valid(kir_parse(&arena, &test_world, copy, error, sizeof error));
        free(copy);
        arena_free(&arena);
    }
    free(data);
    free(text.data);
}

static void run_forms(void) {
    uint64_t rng = 42;
    for (unsigned i = 0; i < FORM_BLOCKS; i++) {
        Arena arena = {0};
        KirBlock *block = random_block(&arena, &rng, 5 + i % 60);
        check_round_trips(block);
        KirBlock *optimised = copy_block(&arena, block);
        kir_optimise(optimised, 0);
        check_round_trips(optimised);
        check_mutations(i % 2 ? block : optimised, &rng);
        arena_free(&arena);
    }
}

int main(int argc, char **argv) {
    bool update = argc > 1 && !strcmp(argv[1], "--update");
    run_files(update);
    run_constants();
    run_random();
    run_forms();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
