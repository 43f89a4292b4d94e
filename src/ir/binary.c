// SPDX-License-Identifier: MIT
//
// The binary form: little-endian, no pointers, no padding, fixed order. Addresses are as in the block; a
// reader in another process that mapped the guest file elsewhere moves image constants by the difference of
// the bases.
//
//   header   u32 magic, u32 version, u64 pc, u64 image_base, u32 mode, u32 guest_bytes, u32 guest_insns,
//            u32 flags, u32 counts of instructions, exits, wide constants, fault entries
//   insns    16 bytes each: op, type, aux (u16), c (u32), a and b or imm (u64)
//   exits    u64 target, u64 link, u8 kind, code, hint, image
//   wides    u64 lo, hi
//   faults   u32 at, u32 global, u32 value
//
// Operation numbers are positions in ops.def, so the version holds their count: readers of another list
// refuse.
#include <string.h>
#include "ir/info.h"

enum {
    MAGIC = 0x3152494b, // "KIR1"
    VERSION = 1 << 16 | KIR_OP_COUNT,
    FLAG_MOVABLE = 1,
    FLAG_FOLDED = 2,
    HEADER_BYTES = 56,
    INSN_BYTES = 16,
    EXIT_BYTES = 20,
    WIDE_BYTES = 16,
    FAULT_BYTES = 12,
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they lie in memory");

typedef struct Writer {
    uint8_t *next;
} Writer;
typedef struct Reader {
    const uint8_t *next;
} Reader;

static void write_bytes(Writer *w, const void *data, size_t size) {
    memcpy(w->next, data, size);
    w->next += size;
}
static void write_u8(Writer *w, uint8_t value) { write_bytes(w, &value, sizeof value); }
static void write_u32(Writer *w, uint32_t value) { write_bytes(w, &value, sizeof value); }
static void write_u64(Writer *w, uint64_t value) { write_bytes(w, &value, sizeof value); }

static void read_bytes(Reader *r, void *data, size_t size) {
    memcpy(data, r->next, size);
    r->next += size;
}
static uint8_t read_u8(Reader *r) {
    uint8_t value;
    read_bytes(r, &value, sizeof value);
    return value;
}
static uint32_t read_u32(Reader *r) {
    uint32_t value;
    read_bytes(r, &value, sizeof value);
    return value;
}
static uint64_t read_u64(Reader *r) {
    uint64_t value;
    read_bytes(r, &value, sizeof value);
    return value;
}

static uint64_t total_size(uint32_t insns, uint32_t exits, uint32_t wides, uint32_t faults) {
    return HEADER_BYTES + (uint64_t)insns * INSN_BYTES + (uint64_t)exits * EXIT_BYTES + (uint64_t)wides * WIDE_BYTES +
           (uint64_t)faults * FAULT_BYTES;
}

static void write_header(Writer *w, const KirBlock *block) {
    write_u32(w, MAGIC);
    write_u32(w, VERSION);
    write_u64(w, block->pc);
    write_u64(w, block->image_base);
    write_u32(w, block->mode);
    write_u32(w, block->guest_bytes);
    write_u32(w, block->guest_insns);
    write_u32(w, (block->image_valid ? FLAG_MOVABLE : 0) | (block->folded ? FLAG_FOLDED : 0));
    write_u32(w, block->count);
    write_u32(w, block->exit_count);
    write_u32(w, block->wide_count);
    write_u32(w, block->fault_count);
}

size_t kir_write(const KirBlock *block, uint8_t *out, size_t capacity) {
    size_t size = total_size(block->count, block->exit_count, block->wide_count, block->fault_count);
    if (size > capacity) return size;
    Writer w = {out};
    write_header(&w, block);
    for (uint32_t i = 0; i < block->count; i++) write_bytes(&w, &block->insns[i], INSN_BYTES);
    for (uint32_t i = 0; i < block->exit_count; i++) {
        const KirExit *exit = &block->exits[i];
        write_u64(&w, exit->target);
        write_u64(&w, exit->link);
        write_u8(&w, exit->kind);
        write_u8(&w, exit->code);
        write_u8(&w, exit->hint);
        write_u8(&w, exit->image);
    }
    for (uint32_t i = 0; i < block->wide_count; i++) {
        write_u64(&w, block->wides[i].lo);
        write_u64(&w, block->wides[i].hi);
    }
    for (uint32_t i = 0; i < block->fault_count; i++) {
        write_u32(&w, block->faults[i].at);
        write_u32(&w, block->faults[i].global);
        write_u32(&w, block->faults[i].value);
    }
    return size;
}

// Slots without meaning may hold anything in a file; in memory they hold KIR_NONE.
static void normalise(KirInsn *insn) {
    if (insn->op >= KIR_OP_COUNT) return;
    unsigned unused = kir_op_facts[insn->op].unused;
    if (unused & 1) insn->a = KIR_NONE;
    if (unused & 2) insn->b = KIR_NONE;
    if (unused & 4) insn->c = KIR_NONE;
}

static void read_insns(Reader *r, KirBlock *block) {
    block->insns = arena_alloc(block->arena, (size_t)block->count * sizeof *block->insns);
    block->capacity = block->count;
    for (uint32_t i = 0; i < block->count; i++) {
        read_bytes(r, &block->insns[i], INSN_BYTES);
        normalise(&block->insns[i]);
    }
}

static void read_exits(Reader *r, KirBlock *block) {
    block->exits = arena_alloc(block->arena, (size_t)block->exit_count * sizeof *block->exits);
    block->exit_capacity = block->exit_count;
    for (uint32_t i = 0; i < block->exit_count; i++) {
        KirExit *exit = &block->exits[i];
        exit->target = read_u64(r);
        exit->link = read_u64(r);
        exit->kind = read_u8(r);
        exit->code = read_u8(r);
        exit->hint = read_u8(r);
        exit->image = read_u8(r);
    }
}

static void read_wides(Reader *r, KirBlock *block) {
    block->wides = arena_alloc(block->arena, (size_t)block->wide_count * sizeof *block->wides);
    block->wide_capacity = block->wide_count;
    for (uint32_t i = 0; i < block->wide_count; i++) {
        block->wides[i].lo = read_u64(r);
        block->wides[i].hi = read_u64(r);
    }
}

static bool read_faults(Reader *r, KirBlock *block) {
    block->faults = arena_alloc(block->arena, (size_t)block->fault_count * sizeof *block->faults);
    block->fault_capacity = block->fault_count;
    for (uint32_t i = 0; i < block->fault_count; i++) {
        uint32_t at = read_u32(r), global = read_u32(r), value = read_u32(r);
        if (global > UINT16_MAX) return false;
        block->faults[i] = (KirFaultEntry){.at = at, .global = (uint16_t)global, .value = value};
    }
    return true;
}

KirBlock *kir_read(Arena *arena, const KirWorld *world, const uint8_t *data, size_t size) {
    Reader r = {data};
    if (size < HEADER_BYTES || read_u32(&r) != MAGIC || read_u32(&r) != VERSION) return NULL;
    uint64_t pc = read_u64(&r), base = read_u64(&r);
    KirBlock *block = kir_block_new(arena, world, pc, read_u32(&r));
    block->image_base = base;
    block->guest_bytes = read_u32(&r);
    block->guest_insns = read_u32(&r);
    uint32_t flags = read_u32(&r);
    block->image_valid = flags & FLAG_MOVABLE;
    block->folded = flags & FLAG_FOLDED;
    block->count = read_u32(&r);
    block->exit_count = read_u32(&r);
    block->wide_count = read_u32(&r);
    block->fault_count = read_u32(&r);
    if ((flags & ~(FLAG_MOVABLE | FLAG_FOLDED)) ||
        size != total_size(block->count, block->exit_count, block->wide_count, block->fault_count))
        return NULL;
    read_insns(&r, block);
    read_exits(&r, block);
    read_wides(&r, block);
    if (!read_faults(&r, block)) return NULL;
    return kir_verify(block, NULL, 0) ? block : NULL;
}
