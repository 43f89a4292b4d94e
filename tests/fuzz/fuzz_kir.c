// SPDX-License-Identifier: MIT
//
// libFuzzer target for KIR from outside: the text parser, the binary reader, the verifier, and the passes on whatever the verifier lets
// through. Nothing is executed.
//
//   input: 'T' text
//          'B' binary form
//          'M' n, then n times (place: 2 bytes, value: 1 byte), then text: its binary form with these bytes replaced
//
// What is accepted must print, write and read back to itself, and stay well formed through the passes.
#include "fuzz.h"
#include <string.h>
#include "ir/kir.h"
#include "unit/ir/world.h"

enum { EDIT_BYTES = 3 };

static Arena arena;

static void require_valid(const KirBlock *block) {
    char error[200];
    if (kir_verify(block, error, sizeof error)) return;
    fprintf(stderr, "not well formed: %s\n", error);
    abort();
}

static void require_same(const KirBlock *a, const KirBlock *b) {
    REQUIRE(a->pc == b->pc && a->mode == b->mode && a->guest_bytes == b->guest_bytes && a->guest_insns == b->guest_insns);
    REQUIRE(a->image_base == b->image_base && a->image_valid == b->image_valid);
    REQUIRE(a->count == b->count && a->exit_count == b->exit_count && a->wide_count == b->wide_count &&
            a->fault_count == b->fault_count);
    for (uint32_t i = 0; i < a->count; i++) REQUIRE(memcmp(&a->insns[i], &b->insns[i], sizeof *a->insns) == 0);
    for (uint32_t i = 0; i < a->wide_count; i++) REQUIRE(a->wides[i].lo == b->wides[i].lo && a->wides[i].hi == b->wides[i].hi);
    for (uint32_t i = 0; i < a->fault_count; i++)
        REQUIRE(a->faults[i].at == b->faults[i].at && a->faults[i].global == b->faults[i].global &&
                a->faults[i].value == b->faults[i].value);
}

static KirBlock *through_text(const KirBlock *block) {
    KirText text = {0}, again = {0};
    char error[200] = "";
    kir_print(&text, block);
    KirBlock *read = kir_parse(&arena, &test_world, text.data, error, sizeof error);
    if (!read) fprintf(stderr, "what was printed is refused: %s\n%s", error, text.data), abort();
    kir_print(&again, read);
    if (strcmp(text.data, again.data) != 0) fprintf(stderr, "text changes:\n%s---\n%s", text.data, again.data), abort();
    free(text.data);
    free(again.data);
    return read;
}

static uint8_t *write_binary(const KirBlock *block, size_t *size) {
    *size = kir_write(block, NULL, 0);
    uint8_t *bytes = malloc(*size);
    REQUIRE(bytes && kir_write(block, bytes, *size) == *size);
    return bytes;
}

static KirBlock *through_binary(const KirBlock *block) {
    size_t size, size_again;
    uint8_t *bytes = write_binary(block, &size);
    KirBlock *read = kir_read(&arena, &test_world, bytes, size);
    REQUIRE(read);
    uint8_t *again = write_binary(read, &size_again);
    REQUIRE(size == size_again && memcmp(bytes, again, size) == 0);
    free(bytes);
    free(again);
    return read;
}

static void check_block(KirBlock *block) {
    if (!block) return;
    require_valid(block);
    require_same(block, through_text(block));
    require_same(block, through_binary(block));
    kir_optimise(block, 0);
    require_valid(block);
    require_same(block, through_text(block));
}

static KirBlock *parse(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1), error[100] = "";
    REQUIRE(text);
    memcpy(text, data, size);
    text[size] = '\0';
    KirBlock *block = kir_parse(&arena, &test_world, text, error, sizeof error);
    REQUIRE(!block == (error[0] != '\0'));
    free(text);
    return block;
}

static KirBlock *read_binary(const uint8_t *data, size_t size) {
    uint8_t *bytes = malloc(size ? size : 1); // of the exact size, so that the sanitizer sees a read behind it
    REQUIRE(bytes);
    memcpy(bytes, data, size);
    KirBlock *block = kir_read(&arena, &test_world, bytes, size);
    free(bytes);
    return block;
}

static KirBlock *read_edited(const uint8_t *data, size_t size) {
    size_t edits = data[0] * (size_t)EDIT_BYTES, length;
    if (size < 1 + edits) return NULL;
    const KirBlock *block = parse(data + 1 + edits, size - 1 - edits);
    if (!block) return NULL;
    uint8_t *bytes = write_binary(block, &length);
    for (const uint8_t *edit = data + 1; edit < data + 1 + edits; edit += EDIT_BYTES)
        bytes[(edit[0] | edit[1] << 8) % length] = edit[2];
    KirBlock *read = read_binary(bytes, length);
    free(bytes);
    return read;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    arena_reset(&arena);
    if (data[0] == 'T') check_block(parse(data + 1, size - 1));
    if (data[0] == 'B') check_block(read_binary(data + 1, size - 1));
    if (data[0] == 'M') check_block(read_edited(data + 1, size - 1));
    return 0;
}
