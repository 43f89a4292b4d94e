// SPDX-License-Identifier: MIT
//
// libFuzzer target for everything between guest bytes and host code: decoder, translation, passes, verifier, text and binary form, fast
// tier, disassembler. Nothing is executed.
//
//   input: HEADER_BYTES of settings (struct Settings), then guest code
//
// Besides not crashing: KIR is well formed before and after the passes; a compilation that does not fit takes nothing and writes nothing
// behind the end; what it says about its code (faults, exits, jumps to patch) lies inside that code.
#include "fuzz.h"
#include <string.h>
#include "base/error.h"
#include "engine/internal.h"
#include "guest/riscv64/features.h"
#include "guest/riscv64/state.h"

enum { HEADER_BYTES = 8, MAX_CODE = 1024, ENGINES = 4, CODE_STEP = 24, DATA_STEP = 32, CLEAN_BYTES = 4096 };

typedef struct Settings {
    uint64_t pc, features;
    uint32_t mode, disabled_passes;
    unsigned max_insns, engine;
    size_t first, code_room, data_room; // bytes in the first range; room for code and data, 0: all there is
    bool movable, through_text;
} Settings;

typedef struct Code {
    const uint8_t *bytes;
    size_t size;
    uint64_t pc;
} Code;

static Engine *engines[ENGINES];
static Arena arena;
static bool printing; // FUZZ_PRINT is set: every block, for a look at a crash

// ---- setting up ---------------------------------------------------------------------------------------------------------------
static void no_hook(Cpu *cpu) { (void)cpu; }
static void no_exception(Cpu *cpu, KirException code) { (void)cpu, (void)code; }
static size_t no_fetch(uint64_t pc, GuestCodeKind *kind) { return (void)pc, (void)kind, 0; }

static void set_up(void) {
    static const EngineOptions options[ENGINES] = {
        {0}, {.no_avx = true, .no_fma = true, .no_bmi = true}, {.eval_all = true}, {.shared_memory = true}};
    printing = getenv("FUZZ_PRINT");
    EngineHooks hooks = {.exception = no_exception, .fault = no_hook, .poll = no_hook, .fetch = no_fetch};
    for (int i = 0; i < ENGINES; i++) engines[i] = engine_new(&guest_riscv64, &hooks, &options[i]);
}

static Settings read_settings(const uint8_t *h) {
    static const uint64_t pages[] = {0x10000, 0x7fffe000, 0x7fff12345000, 0};
    static const uint64_t features[] = {RV_FEATURES_GC, RV_FEATURES_RVA22, RV_FEATURES_MAX, RV_FEATURE_I};
    Settings s = {
        .features = features[h[0] & 3], .mode = (h[0] >> 2 & 3) % 3, .movable = h[0] >> 4 & 1, .through_text = h[0] >> 5 & 1};
    s.pc = pages[h[0] >> 6] + (h[1] & 1 ? 4096 - (h[1] & 0xfeu) : h[1]);
    s.max_insns = 1 + h[2] % 64;
    s.engine = h[3] & (ENGINES - 1);
    s.disabled_passes = h[3] >> 2 & 7;
    s.first = h[4] * 2u;
    s.code_room = h[5] * (size_t)CODE_STEP;
    s.data_room = h[6] * (size_t)DATA_STEP;
    return s;
}

// ---- guest bytes to KIR -------------------------------------------------------------------------------------------------------
static size_t fetch(void *context, uint64_t pc, const uint8_t **bytes) {
    const Code *code = context;
    uint64_t offset = pc - code->pc;
    if (offset >= code->size) return 0;
    *bytes = code->bytes + offset;
    return code->size - offset;
}

static void print_block(const KirBlock *kir) {
    KirText text = {0};
    kir_print(&text, kir);
    fputs(text.data, stderr);
    free(text.data);
}

static void require_valid(const KirBlock *kir, const char *where) {
    char error[300];
    if (kir_verify(kir, error, sizeof error)) return;
    fprintf(stderr, "%s: %s\n", where, error);
    print_block(kir);
    abort();
}

static KirBlock *translate(const Settings *s, const Code *code, unsigned max_insns) {
    KirBlock *kir = kir_block_new(&arena, &guest_riscv64.world, s->pc, s->mode);
    kir->pinned = host_pinned(engines[s->engine]->host);
    kir->image_valid = s->movable;
    kir->image_base = s->movable ? 0x10000 : 0;
    KirBuilder builder;
    kir_builder_init(&builder, kir);
    GuestTranslation t = {.builder = &builder,
                          .pc = s->pc,
                          .mode = s->mode,
                          .features = s->features,
                          .max_insns = max_insns,
                          .bytes = code->bytes,
                          .size = s->first < code->size ? s->first : code->size,
                          .fetch = fetch,
                          .context = (void *)(uintptr_t)code};
    guest_riscv64.translate(&t);
    require_valid(kir, "translation");
    REQUIRE(kir->guest_insns >= 1 && kir->guest_insns <= max_insns);
    REQUIRE(kir->guest_bytes >= 2 * kir->guest_insns && kir->guest_bytes <= 4 * kir->guest_insns);
    kir_optimise(kir, s->disabled_passes);
    require_valid(kir, "passes");
    if (printing) print_block(kir);
    return kir;
}

// ---- text and binary form -----------------------------------------------------------------------------------------------------
static void check_forms(const KirBlock *kir) {
    KirText text = {0}, again = {0};
    char error[200];
    kir_print(&text, kir);
    KirBlock *read = kir_parse(&arena, kir->world, text.data, error, sizeof error);
    if (!read) fprintf(stderr, "%s\n%s", error, text.data), abort();
    kir_print(&again, read);
    REQUIRE(strcmp(text.data, again.data) == 0);
    free(text.data);
    free(again.data);
    size_t size = kir_write(kir, NULL, 0);
    uint8_t *bytes = malloc(2 * size);
    REQUIRE(bytes && kir_write(kir, bytes, size) == size);
    KirBlock *binary = kir_read(&arena, kir->world, bytes, size);
    REQUIRE(binary && kir_write(binary, bytes + size, size) == size && memcmp(bytes, bytes + size, size) == 0);
    free(bytes);
}

// ---- KIR to host code ---------------------------------------------------------------------------------------------------------
static void check_exit(const CodeMemory *memory, const HostCompiled *out, const ExitRecord *record) {
    const uint8_t *end = out->code + out->size, *data = (const uint8_t *)record;
    REQUIRE(data >= memory->data && data + sizeof *record <= memory->data_next);
    REQUIRE(!record->linked && !record->next && !record->block);
    const uint8_t *stub = record_stub(record), *jump = record_jump(record);
    if (record->stub) REQUIRE(stub >= out->code && stub < end);
    if (!record->jump) return;
    REQUIRE(jump >= out->code && jump + 4 <= end && ((uintptr_t)jump & 7) <= 4 && record->stub);
    int32_t displacement;
    memcpy(&displacement, jump + memory->write_delta, sizeof displacement);
    REQUIRE(jump + 4 + displacement == stub);
}

static void check_compiled(const CodeMemory *memory, const KirBlock *kir, const HostCompiled *out) {
    REQUIRE(out->code + out->size == memory->code_next && memory->code_next <= memory->code_end);
    REQUIRE(memory->data_next <= memory->data_end);
    for (uint32_t i = 0; i < out->fault_count; i++) {
        const HostFault *fault = &out->faults[i];
        REQUIRE(fault->offset < out->size && (i == 0 || fault[-1].offset <= fault->offset));
        REQUIRE((uint64_t)fault->first_entry + fault->entry_count <= out->entry_count && fault->pc - kir->pc < kir->guest_bytes);
    }
    for (uint32_t i = 0; i < out->entry_count; i++)
        REQUIRE(out->entries[i].global < kir->world->global_count && out->entries[i].place <= PLACE_GLOBAL);
    for (uint32_t i = 0; i < out->exit_count; i++) check_exit(memory, out, out->exits[i]);
}

// One attempt in memory with the room that the settings leave; the memory is afterwards as before.
static bool compile(const Settings *s, const KirBlock *kir, bool *too_complex) {
    static const uint8_t canary[] = "what lies behind the end stays as it is", zeroes[CLEAN_BYTES];
    CodeMemory whole = engines[s->engine]->memory, memory = whole;
    if (s->code_room) memory.code_end = memory.code_next + s->code_room;
    if (s->data_room) memory.data_end = memory.data_next + s->data_room;
    uint8_t *behind_code = memory.code_end + memory.write_delta;
    if (s->code_room) memcpy(behind_code, canary, sizeof canary);
    HostCompiled out = {0};
    bool done = host_compile(engines[s->engine]->host, &memory, kir, NULL, &arena, &out);
    if (done) check_compiled(&memory, kir, &out);
    else REQUIRE(memory.code_next == whole.code_next && memory.data_next == whole.data_next);
    REQUIRE(!s->code_room || memcmp(behind_code, canary, sizeof canary) == 0);
    memset(whole.data_next, 0, (size_t)(memory.data_next - whole.data_next));
    // Nothing of an attempt that failed may show up in the next one.
    REQUIRE(memcmp(whole.data_next, zeroes, sizeof zeroes) == 0);
    *too_complex = out.too_complex;
    return done;
}

static void translate_and_compile(const Settings *s, const Code *code) {
    unsigned max_insns = s->max_insns;
    for (;;) {
        bool too_complex;
        arena_reset(&arena);
        KirBlock *kir = translate(s, code, max_insns);
        if (s->through_text) check_forms(kir);
        if (compile(s, kir, &too_complex)) return;
        if (!too_complex) {
            REQUIRE(s->code_room || s->data_room);
            return;
        }
        REQUIRE(max_insns > 1);
        max_insns /= 2;
    }
}

// ---- disassembler -------------------------------------------------------------------------------------------------------------
static void disassemble(const Code *code, size_t text_size) {
    for (size_t at = 0; at < code->size;) {
        char *text = malloc(text_size + 1); // of the exact size but one, so that the sanitizer sees what is written behind
        REQUIRE(text);
        text[text_size] = 'x';
        unsigned length = guest_riscv64.disassemble(text, text_size, code->bytes + at, code->size - at, code->pc + at);
        REQUIRE(text[text_size] == 'x' && (!text_size || strlen(text) < text_size));
        free(text);
        REQUIRE(length == 0 || length == 2 || length == 4);
        if (!length) break;
        at += length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!engines[0]) set_up();
    if (size < HEADER_BYTES || size > HEADER_BYTES + MAX_CODE) return 0;
    Settings settings = read_settings(data);
    Code code = {data + HEADER_BYTES, size - HEADER_BYTES, settings.pc};
    translate_and_compile(&settings, &code);
    disassemble(&code, data[7]);
    return 0;
}
