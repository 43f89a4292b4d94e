// SPDX-License-Identifier: MIT
//
// The serialised forms of requests and results: little-endian, no pointers, no padding, fixed order, lengths before arrays.
//
// What is read comes from another process or a file and is not trusted (bytes.h): every number that a consumer uses as an index is
// checked here.
#include <string.h>
#include "ir/bytes.h"
#include "ir/info.h"
#include "ir/request.h"

enum {
    REQUEST_MAGIC = 0x3152544b, // "KTR1"
    RESULT_MAGIC = 0x3153544b,  // "KTS1"
    VERSION = 2 << 16 | KIR_OP_COUNT,
    MAX_GLOBALS = 256,
    MAX_HELPERS = 4096,
    MAX_OFFSET = 1 << 20,
    MAX_INSNS = 1 << 16, // of all blocks together
    ALL_ASSUMPTIONS = TRACE_PRIVATE_MEMORY | TRACE_NO_FAULT_HANDLER,
    ALL_OPTIONS =
        TRACE_WANT_TEXT | TRACE_NO_VECTORS | TRACE_NO_PASSES | TRACE_NO_AVX | TRACE_NO_FMA | TRACE_NO_BMI | TRACE_EVAL_ALL,
    NO_PIN = 0xffff,
};

static bool is_data_type(unsigned type) { return type > KIR_VOID && type < KIR_TYPE_COUNT; }

// ---- request ------------------------------------------------------------------------------------------------------------------
static void put_world(Writer *w, const KirWorld *world) {
    put_u32(w, world->global_count);
    for (uint32_t i = 0; i < world->global_count; i++) {
        put_name(w, world->globals[i].name);
        put_u32(w, world->globals[i].offset);
        put_u8(w, world->globals[i].type);
    }
    put_u32(w, world->helper_count);
    for (uint32_t i = 0; i < world->helper_count; i++) {
        const KirHelper *helper = &world->helpers[i];
        put_name(w, helper->name);
        put_u8(w, helper->result);
        put(w, helper->operands, sizeof helper->operands);
        put_u8(w, helper->flags);
    }
}

static void get_globals(Reader *r, KirWorld *world) {
    world->global_count = get_count(r, 6, MAX_GLOBALS);
    KirGlobal *globals = arena_alloc(r->arena, (world->global_count + 1) * sizeof *globals);
    world->globals = globals;
    for (uint32_t i = 0; i < world->global_count; i++) {
        globals[i].name = get_name(r);
        globals[i].offset = get_u32(r);
        globals[i].type = get_u8(r);
        check(r, is_data_type(globals[i].type) && globals[i].offset <= MAX_OFFSET);
    }
}

static void get_helpers(Reader *r, KirWorld *world) {
    world->helper_count = get_count(r, 6, MAX_HELPERS);
    KirHelper *helpers = arena_alloc(r->arena, (world->helper_count + 1) * sizeof *helpers);
    world->helpers = helpers;
    for (uint32_t i = 0; i < world->helper_count; i++) {
        helpers[i].name = get_name(r);
        helpers[i].result = get_u8(r);
        get(r, helpers[i].operands, sizeof helpers[i].operands);
        helpers[i].flags = get_u8(r);
        check(r, helpers[i].result < KIR_TYPE_COUNT && kir_bits(helpers[i].result) <= 64);
        for (int j = 0; j < 3; j++)
            check(r, helpers[i].operands[j] < KIR_TYPE_COUNT && kir_bits(helpers[i].operands[j]) <= 64 &&
                         helpers[i].operands[j] != KIR_V64);
        check(r, helpers[i].result != KIR_V64);
    }
}

// In the order of the struct.
static void put_layout(Writer *w, const TraceLayout *l) {
    const int32_t offsets[] = {l->bias,        l->cpu,        l->pc,        l->ibc,           l->ibc_mask, l->poll,
                               l->guest_mxcsr, l->host_mxcsr, l->functions, l->fault_address, l->args};
    for (unsigned i = 0; i < sizeof offsets / sizeof *offsets; i++) put_u32(w, (uint32_t)offsets[i]);
    put_u32(w, l->ibc_entries);
    put_u32(w, l->ibc_entry_bytes);
    put_u32(w, l->ibc_code);
    put_u32(w, l->pc_shift);
    put_u32(w, l->evaluator);
}

static void get_layout(Reader *r, TraceLayout *l) {
    int32_t *const offsets[] = {&l->bias,        &l->cpu,        &l->pc,        &l->ibc,           &l->ibc_mask, &l->poll,
                                &l->guest_mxcsr, &l->host_mxcsr, &l->functions, &l->fault_address, &l->args};
    for (unsigned i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        *offsets[i] = (int32_t)get_u32(r);
        check(r, *offsets[i] >= -MAX_OFFSET && *offsets[i] <= MAX_OFFSET);
    }
    l->ibc_entries = get_u32(r);
    l->ibc_entry_bytes = get_u32(r);
    l->ibc_code = get_u32(r);
    l->pc_shift = get_u32(r);
    l->evaluator = get_u32(r);
    check(r, l->ibc_entries && !(l->ibc_entries & (l->ibc_entries - 1)) && l->ibc_entries <= MAX_OFFSET);
    check(r, l->ibc_entry_bytes >= 16 && l->ibc_entry_bytes <= 64 && l->ibc_code <= l->ibc_entry_bytes - 8);
    check(r, l->pc_shift < 16 && l->evaluator <= MAX_HELPERS);
}

static void check_pins(Reader *r, const TraceRequest *request) {
    bool seen[MAX_GLOBALS] = {false};
    unsigned vector_type = KIR_VOID;
    for (unsigned i = 0; i < 18; i++) {
        unsigned global = i < 10 ? request->pinned_int[i] : request->pinned_float[i - 10];
        if (global == NO_PIN) continue;
        if (!check(r, global < request->world.global_count && !seen[global])) return;
        seen[global] = true;
        unsigned type = request->world.globals[global].type;
        if (i < 10) check(r, type == KIR_I64);
        else check(r, (type == KIR_F64 || type == KIR_V128) && (vector_type == KIR_VOID || vector_type == type));
        if (i >= 10) vector_type = type;
    }
}

static void put_block(Writer *w, const TraceBlock *block) {
    size_t size = kir_write(block->kir, NULL, 0);
    put_u32(w, (uint32_t)size);
    if (w->size <= w->capacity && size <= w->capacity - w->size) kir_write(block->kir, w->out + w->size, size);
    w->size += size;
    for (uint32_t i = 0; i < block->kir->exit_count; i++) put_u32(w, (uint32_t)block->next[i]);
    put_u32(w, (uint32_t)block->next_indirect);
    put_u32(w, block->weight);
}

static void get_block(Reader *r, const KirWorld *world, TraceBlock *block) {
    uint32_t size = get_u32(r);
    const uint8_t *data = take(r, size);
    block->kir = data ? kir_read(r->arena, world, data, size) : NULL;
    if (!check(r, block->kir && block->kir->fault_count == 0)) return;
    uint32_t exits = block->kir->exit_count;
    if (!check(r, (uint64_t)exits * 4 <= (uint64_t)(r->end - r->next))) return;
    int32_t *next = arena_alloc(r->arena, (exits + 1) * sizeof *next);
    for (uint32_t i = 0; i < exits; i++) next[i] = (int32_t)get_u32(r);
    block->next = next;
    block->next_indirect = (int32_t)get_u32(r);
    block->weight = get_u32(r);
}

static bool leads_to(const TraceRequest *request, int32_t next) {
    return next == TRACE_LEAVES || (next >= 0 && (uint32_t)next < request->block_count);
}

// After all blocks are known: every edge leads to a block that begins where the exit goes.
static void check_edges(Reader *r, const TraceRequest *request) {
    for (uint32_t i = 0; i < request->block_count && !r->failed; i++) {
        const TraceBlock *block = &request->blocks[i];
        for (uint32_t j = 0; j < block->kir->exit_count; j++) {
            const KirExit *exit = &block->kir->exits[j];
            if (!check(r, leads_to(request, block->next[j]))) return;
            if (block->next[j] == TRACE_LEAVES) continue;
            check(r, exit->kind == KIR_EXIT_DIRECT && exit->target == request->blocks[block->next[j]].kir->pc);
        }
        bool indirect = block->kir->insns[block->kir->count - 1].op == KIR_EXIT_IND;
        check(r, leads_to(request, block->next_indirect) && (indirect || block->next_indirect == TRACE_LEAVES));
    }
}

size_t trace_request_write(const TraceRequest *request, uint8_t *out, size_t capacity) {
    Writer w = {.out = out, .capacity = capacity};
    put_u32(&w, REQUEST_MAGIC);
    put_u32(&w, VERSION);
    put_u64(&w, request->id);
    put_u32(&w, request->heat);
    put_u32(&w, request->assumptions);
    put_u32(&w, request->options);
    put_u32(&w, request->disabled_passes);
    put_layout(&w, &request->layout);
    put_world(&w, &request->world);
    for (int i = 0; i < 10; i++) put_u16(&w, request->pinned_int[i]);
    for (int i = 0; i < 8; i++) put_u16(&w, request->pinned_float[i]);
    put_u32(&w, request->block_count);
    for (uint32_t i = 0; i < request->block_count; i++) put_block(&w, &request->blocks[i]);
    return w.size;
}

static bool get_head(Reader *r, TraceRequest *request) {
    if (!check(r, get_u32(r) == REQUEST_MAGIC) || !check(r, get_u32(r) == VERSION)) return false;
    request->id = get_u64(r);
    request->heat = get_u32(r);
    return !r->failed;
}

bool trace_request_peek(const uint8_t *data, size_t size, uint64_t *id, uint32_t *heat) {
    Reader r = {.next = data, .end = data + size};
    TraceRequest request = {0};
    bool ok = get_head(&r, &request);
    *id = request.id;
    *heat = request.heat;
    return ok;
}

bool trace_request_read(Arena *arena, TraceRequest *request, const uint8_t *data, size_t size) {
    Reader r = {.next = data, .end = data + size, .arena = arena};
    memset(request, 0, sizeof *request);
    if (!get_head(&r, request)) return false;
    request->assumptions = get_u32(&r);
    request->options = get_u32(&r);
    request->disabled_passes = get_u32(&r);
    check(&r, !(request->assumptions & ~(uint32_t)ALL_ASSUMPTIONS) && !(request->options & ~(uint32_t)ALL_OPTIONS));
    get_layout(&r, &request->layout);
    KirWorld *world = arena_alloc(arena, sizeof *world);
    get_globals(&r, world);
    get_helpers(&r, world);
    request->world = *world;
    for (int i = 0; i < 10; i++) request->pinned_int[i] = get_u16(&r);
    for (int i = 0; i < 8; i++) request->pinned_float[i] = get_u16(&r);
    check_pins(&r, request);
    request->block_count = get_count(&r, 12, TRACE_MAX_BLOCKS);
    if (!check(&r, request->block_count > 0)) return false;
    TraceBlock *blocks = arena_alloc(arena, request->block_count * sizeof *blocks);
    request->blocks = blocks;
    uint64_t insns = 0;
    for (uint32_t i = 0; i < request->block_count && !r.failed; i++) {
        get_block(&r, world, &blocks[i]);
        if (!r.failed) insns += blocks[i].kir->count;
        check(&r, insns <= MAX_INSNS);
    }
    if (!check(&r, r.next == r.end)) return false;
    check_edges(&r, request);
    return !r.failed;
}

// ---- result -------------------------------------------------------------------------------------------------------------------
size_t trace_result_write(const TraceResult *result, uint8_t *out, size_t capacity) {
    Writer w = {.out = out, .capacity = capacity};
    put_u32(&w, RESULT_MAGIC);
    put_u32(&w, VERSION);
    put_u64(&w, result->id);
    put_u32(&w, result->reason);
    put_u64(&w, result->compile_ns);
    put_u32(&w, result->fallbacks);
    put_u32(&w, result->exit_count);
    for (uint32_t i = 0; i < result->exit_count; i++) {
        put_exit(&w, &result->exits[i].exit);
        put_u8(&w, result->exits[i].kind);
        put_u32(&w, result->exits[i].block);
    }
    put_u32(&w, result->entry_count);
    for (uint32_t i = 0; i < result->entry_count; i++) {
        put_u16(&w, result->entries[i].global);
        put_u8(&w, result->entries[i].place);
        put_u8(&w, result->entries[i].reg);
        put_u64(&w, (uint64_t)result->entries[i].value);
    }
    put_u32(&w, result->fault_count);
    for (uint32_t i = 0; i < result->fault_count; i++) {
        put_u32(&w, result->faults[i].offset);
        put_u32(&w, result->faults[i].first_entry);
        put_u32(&w, result->faults[i].entry_count);
        put_u64(&w, result->faults[i].pc);
    }
    put_u32(&w, result->object_size);
    put(&w, result->object, result->object_size);
    for (int i = 0; i < TRACE_TEXTS; i++) {
        size_t length = result->text[i] ? strlen(result->text[i]) + 1 : 0;
        put_u32(&w, (uint32_t)length);
        put(&w, result->text[i], length);
    }
    return w.size;
}

static void get_exits(Reader *r, TraceResult *result) {
    result->exit_count = get_count(r, 25, UINT32_MAX);
    TraceExit *exits = arena_alloc(r->arena, (result->exit_count + 1) * sizeof *exits);
    result->exits = exits;
    for (uint32_t i = 0; i < result->exit_count; i++) {
        get_exit(r, &exits[i].exit);
        exits[i].kind = get_u8(r);
        exits[i].block = get_u32(r);
        check(r, exits[i].kind <= TRACE_EXIT_EXCEPTION && exits[i].block < TRACE_MAX_BLOCKS);
        check(r, (exits[i].kind == TRACE_EXIT_EXCEPTION) == (exits[i].exit.kind == KIR_EXIT_EXCEPTION));
    }
}

static void get_faults(Reader *r, TraceResult *result) {
    result->entry_count = get_count(r, 12, UINT32_MAX);
    TraceFaultEntry *entries = arena_alloc(r->arena, (result->entry_count + 1) * sizeof *entries);
    result->entries = entries;
    for (uint32_t i = 0; i < result->entry_count; i++) {
        entries[i].global = get_u16(r);
        entries[i].place = get_u8(r);
        entries[i].reg = get_u8(r);
        entries[i].value = (int64_t)get_u64(r);
        check(r, entries[i].global < MAX_GLOBALS && entries[i].place <= TRACE_PLACE_STACK && entries[i].reg < 16);
    }
    result->fault_count = get_count(r, 20, UINT32_MAX);
    TraceFault *faults = arena_alloc(r->arena, (result->fault_count + 1) * sizeof *faults);
    result->faults = faults;
    for (uint32_t i = 0; i < result->fault_count; i++) {
        faults[i].offset = get_u32(r);
        faults[i].first_entry = get_u32(r);
        faults[i].entry_count = get_u32(r);
        faults[i].pc = get_u64(r);
        check(r, i == 0 || faults[i - 1].offset < faults[i].offset);
        check(r, (uint64_t)faults[i].first_entry + faults[i].entry_count <= result->entry_count &&
                     faults[i].entry_count <= MAX_GLOBALS);
    }
}

bool trace_result_read(Arena *arena, TraceResult *result, const uint8_t *data, size_t size) {
    Reader r = {.next = data, .end = data + size, .arena = arena};
    memset(result, 0, sizeof *result);
    if (!check(&r, get_u32(&r) == RESULT_MAGIC) || !check(&r, get_u32(&r) == VERSION)) return false;
    result->id = get_u64(&r);
    result->reason = get_u32(&r);
    check(&r, result->reason < REASON_COUNT);
    result->compile_ns = get_u64(&r);
    result->fallbacks = get_u32(&r);
    get_exits(&r, result);
    get_faults(&r, result);
    result->object_size = get_u32(&r);
    result->object = take(&r, result->object_size);
    for (int i = 0; i < TRACE_TEXTS; i++) {
        uint32_t length = get_u32(&r);
        const char *text = (const char *)take(&r, length);
        if (!text || !length) continue;
        check(&r, memchr(text, 0, length) == text + length - 1);
        result->text[i] = text;
    }
    check(&r, r.next == r.end && (result->object_size > 0) == (result->reason == REASON_NONE));
    return !r.failed;
}
