// SPDX-License-Identifier: MIT
//
// The optimizer's floating-point and vector operations, one at a time: each form (operation, types, modifiers, immediates) that random blocks
// are made of becomes a trace of its own, which runs on hard operands in all rounding modes. Result and floating-point environment
// must be the evaluator's, bit by bit. What the optimizer leaves to the evaluator is listed here, and nothing else is.
//
//   test_opt_values [--seed N] [--forms N] [--op NAME]
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "arguments.h"
#include "base/error.h"
#include "eval_check.h"
#include "ir/info.h"
#include "kir_random.h"
#include "opt/lower.h"

enum { DEFAULT_FORMS = 1500, RUNS = 160, SCALAR_RUNS = 400, ENVIRONMENT = 0x603d, CODE_SIZE = 1 << 16 };

unsigned checks_passed, checks_failed;
static uint64_t random_state = 0x9e3779b97f4a7c15;
static Cpu *cpu;
static unsigned evaluator_calls;

// ---- one form -----------------------------------------------------------------------------------------------------------------
typedef struct Form {
    KirInsn insn; // operands that are values are globals 0 to 2
    uint8_t types[4], result;
} Form;

static bool is_reference(const Form *f, unsigned slot) { return kir_op_facts[f->insn.op].refs >> slot & 1; }

// What is rare in programs or needs a host that is rarer.
static bool may_be_evaluated(const Form *f, uint32_t options) {
    const KirInsn *i = &f->insn;
    unsigned round = i->aux & KIR_FP_ROUND;
    bool fma = !(options & (TRACE_NO_AVX | TRACE_NO_FMA));
    switch (i->op) {
    case KIR_FADD ... KIR_FSQRT: return round != KIR_RDYN;
    case KIR_FMA: return round != KIR_RDYN || !fma;
    case KIR_VFMA: return !fma;
    case KIR_VSHL: return (i->aux & KIR_VEC_LANE) == 2 && (options & TRACE_NO_AVX || !__builtin_cpu_supports("avx2"));
    case KIR_ITOF: return round != KIR_RDYN && !(f->types[0] == KIR_I32 && i->type == KIR_F64);
    case KIR_FTOF: return round != KIR_RDYN && i->type == KIR_F32;
    case KIR_VFTOI:
    case KIR_VFROUND: return i->b == KIR_RMM;
    case KIR_VFCVTL: return (i->aux & KIR_VEC_LANE) == 1;
    case KIR_VFCVTN: return (i->aux & KIR_VEC_LANE) == 2;
    case KIR_HTOF:
    case KIR_FTOH:
    case KIR_VFEST:
    case KIR_VFSTEP:
    case KIR_SHA: return true;
    default: return false;
    }
}

// Those of which no form need have code.
static bool never_lowered(unsigned op) {
    return op == KIR_HTOF || op == KIR_FTOH || op == KIR_VFEST || op == KIR_VFSTEP || op == KIR_SHA;
}

static bool is_tested(unsigned op) { return op >= KIR_FADD && op <= KIR_SHA; }

static KirType type_of_operand(const Form *f, unsigned slot) {
    KirType type = (KirType)f->types[slot];
    return type == KIR_VOID ? KIR_I64 : type;
}

// ---- objects ------------------------------------------------------------------------------------------------------------------
static uint8_t *code; // the first byte returns: all ways out lead there

static uint8_t *address_of_symbol(const Elf64_Sym *symbol, const char *names, uint8_t **sections) {
    if (symbol->st_shndx != SHN_UNDEF) return sections[symbol->st_shndx] + symbol->st_value;
    if (strncmp(names + symbol->st_name, "kiln_exit_", 10)) bug("a trace wants %s", names + symbol->st_name);
    return code;
}

static void relocate(const Elf64_Shdr *headers, const Elf64_Shdr *table, const uint8_t *object, uint8_t **sections) {
    const Elf64_Rela *r = (const void *)(object + table->sh_offset), *end = (const void *)((const uint8_t *)r + table->sh_size);
    const Elf64_Sym *symbols = (const void *)(object + headers[table->sh_link].sh_offset);
    const char *names = (const char *)object + headers[headers[table->sh_link].sh_link].sh_offset;
    for (; r < end && sections[table->sh_info]; r++) {
        uint8_t *at = sections[table->sh_info] + r->r_offset,
                *to = address_of_symbol(&symbols[ELF64_R_SYM(r->r_info)], names, sections);
        unsigned kind = ELF64_R_TYPE(r->r_info);
        if (kind != R_X86_64_PC32 && kind != R_X86_64_PLT32) bug("relocation %u", kind);
        int32_t value = (int32_t)(to + r->r_addend - at);
        memcpy(at, &value, 4);
    }
}

// Copies the object's code and constants behind the return; gives the entry.
static uint8_t *load(const uint8_t *object) {
    const Elf64_Ehdr *elf = (const void *)object;
    const Elf64_Shdr *headers = (const void *)(object + elf->e_shoff);
    uint8_t *sections[64] = {NULL}, *next = code + 64;
    if (elf->e_shnum > 64) bug("%u sections", elf->e_shnum);
    for (unsigned i = 0; i < elf->e_shnum; i++) {
        if (!(headers[i].sh_flags & SHF_ALLOC) || headers[i].sh_type != SHT_PROGBITS) continue;
        next = (uint8_t *)(((uintptr_t)next + 63) & ~(uintptr_t)63);
        if (next + headers[i].sh_size > code + CODE_SIZE) bug("a trace of more than %d bytes", CODE_SIZE);
        memcpy(next, object + headers[i].sh_offset, headers[i].sh_size);
        sections[i] = next;
        next += headers[i].sh_size;
    }
    for (unsigned i = 0; i < elf->e_shnum; i++)
        if (headers[i].sh_type == SHT_RELA) relocate(headers, &headers[i], object, sections);
    for (unsigned i = 0; i < elf->e_shnum; i++) {
        if (headers[i].sh_type != SHT_SYMTAB) continue;
        const Elf64_Sym *s = (const void *)(object + headers[i].sh_offset), *end = s + headers[i].sh_size / sizeof *s;
        const char *names = (const char *)object + headers[headers[i].sh_link].sh_offset;
        for (; s < end; s++)
            if (!strcmp(names + s->st_name, "kiln_trace")) return sections[s->st_shndx] + s->st_value;
    }
    bug("a trace without kiln_trace");
}

// preserve_none has the cpu state in r14 and keeps rbp alone.
void enter_trace(void *base, void *entry, uint32_t *mxcsr);
__asm__(".text\n"
        "enter_trace:\n"
        "  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15; pushq %rdx\n"
        "  movq %rdi, %r14\n"
        "  ldmxcsr (%rdx)\n"
        "  call *%rsi\n"
        "  popq %rdx\n"
        "  stmxcsr (%rdx)\n"
        "  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp\n"
        "  ret\n");

typedef struct EvalRecord {
    KirInsn insn;
    uint8_t types[4];
} EvalRecord;

static void evaluate_record(Cpu *state, const EvalRecord *record) {
    evaluator_calls++;
    state->args[3] = kir_eval(&record->insn, record->types, state->args[0], state->args[1], state->args[2]);
}
static const void *const functions[] = {(const void *)evaluate_record};

// ---- a form as a request ------------------------------------------------------------------------------------------------------
#define FROM_GUEST(field) ((int32_t)offsetof(Cpu, field) - (int32_t)offsetof(Cpu, guest))
static const TraceLayout layout = {
    .cpu = -(int32_t)offsetof(Cpu, guest),
    .pc = FROM_GUEST(pc),
    .ibc = FROM_GUEST(ibc),
    .ibc_mask = FROM_GUEST(ibc_mask),
    .poll = FROM_GUEST(poll),
    .guest_mxcsr = FROM_GUEST(guest_mxcsr),
    .host_mxcsr = FROM_GUEST(host_mxcsr),
    .functions = FROM_GUEST(functions),
    .fault_address = FROM_GUEST(fault_address),
    .args = FROM_GUEST(args),
    .ibc_entries = CPU_IBC_ENTRIES,
    .ibc_entry_bytes = sizeof(IbcEntry),
    .pc_shift = 1,
};

static KirBlock *block_of(Arena *arena, const Form *f, const KirWorld *world) {
    KirBlock *block = kir_block_new(arena, world, 0x1000, 0);
    KirBuilder b;
    kir_builder_init(&b, block);
    kir_insn_start(&b, 0x1000, 4);
    uint32_t slots[3] = {f->insn.a, f->insn.b, f->insn.c};
    for (unsigned i = 0; i < 3; i++)
        if (is_reference(f, i) && f->types[i] != KIR_VOID) slots[i] = kir_get(&b, i);
    KirRef value = kir_emit(&b, (KirOp)f->insn.op, (KirType)f->insn.type, f->insn.aux, slots[0], slots[1], slots[2]);
    if (f->result != KIR_VOID) kir_set(&b, 3, value);
    kir_exit(&b, kir_exit_direct(&b, 0x1004));
    return block;
}

// Result, environment and address of code that does it; NULL: the optimizer refused.
static uint8_t *compile_form(Compiler *compiler, Arena *arena, const Form *f, uint32_t options, TraceResult *result) {
    static const char *const names[4] = {"a", "b", "c", "result"};
    KirGlobal *globals = arena_alloc(arena, 4 * sizeof *globals);
    KirWorld *world = arena_alloc(arena, sizeof *world);
    for (unsigned i = 0; i < 4; i++) {
        KirType type = i < 3 ? type_of_operand(f, i) : f->result == KIR_VOID ? KIR_I64 : (KirType)f->result;
        globals[i] = (KirGlobal){names[i], i * 16, (uint8_t)type};
    }
    *world = (KirWorld){globals, 4, NULL, 0};
    static const int32_t next[1] = {TRACE_LEAVES};
    TraceBlock block = {.kir = block_of(arena, f, world), .next = next, .next_indirect = TRACE_LEAVES, .weight = 1};
    TraceRequest request = {.assumptions = TRACE_PRIVATE_MEMORY | TRACE_NO_FAULT_HANDLER,
                            .options = options,
                            .layout = layout,
                            .world = *world,
                            .blocks = &block,
                            .block_count = 1};
    memset(request.pinned_int, 0xff, sizeof request.pinned_int);
    memset(request.pinned_float, 0xff, sizeof request.pinned_float);
    compile_trace(compiler, &request, arena, result);
    return result->reason == REASON_NONE ? load(result->object) : NULL;
}

// ---- operands -----------------------------------------------------------------------------------------------------------------
static uint64_t next(void) { return next_random(&random_state); }

static uint64_t random_single(void) {
    static const uint32_t corners[] = {0,          1,          0x007fffff, 0x00800000, 0x00800001, 0x3f000000, 0x3f7fffff,
                                       0x3f800000, 0x3f800001, 0x3fc00000, 0x4b7fffff, 0x4b800000, 0x4effffff, 0x4f000000,
                                       0x4f7fffff, 0x4f800000, 0x5effffff, 0x5f000000, 0x5f7fffff, 0x5f800000, 0x7f7fffff,
                                       0x7f800000, 0x7fc00000, 0x7f800001, 0x7fffffff, 0x7fa00000, 0x33800000};
    uint64_t r = next();
    uint32_t sign = (uint32_t)(r >> 32 & 0x80000000), bits = (uint32_t)next() & 0x7fffffff;
    if ((r & 3) == 0) return sign | corners[(r >> 8) % (sizeof corners / sizeof *corners)];
    if ((r & 3) == 1) return sign | (0x3f800000 + ((bits & 0x0fff0000) >> 1) - 0x02000000);             // few bits, near 1: ties
    if ((r & 3) == 2) return sign | (0x3f800000 + ((uint32_t)(r >> 8) % 80 << 22) + (bits & 0x7fffff)); // to the limits of integers
    return sign | bits;
}

static uint64_t random_double(void) {
    static const uint64_t corners[] = {0,
                                       1,
                                       0x000fffffffffffff,
                                       0x0010000000000000,
                                       0x0010000000000001,
                                       0x3fe0000000000000,
                                       0x3fefffffffffffff,
                                       1023ull << 52,
                                       0x3ff0000000000001,
                                       0x3ff8000000000000,
                                       0x41dfffffffc00000,
                                       0x41dfffffffe00000,
                                       0x41dfffffffffffff,
                                       0x41e0000000000000,
                                       0x41e0000000200000,
                                       0x41efffffffe00000,
                                       0x41effffffff00000,
                                       0x41f0000000000000,
                                       0x432fffffffffffff,
                                       0x4330000000000000,
                                       0x433fffffffffffff,
                                       0x43dfffffffffffff,
                                       0x43e0000000000000,
                                       0x43efffffffffffff,
                                       0x43f0000000000000,
                                       0x7fefffffffffffff,
                                       0x7ff0000000000000,
                                       0x7ff8000000000000,
                                       0x7ff0000000000001,
                                       0x7fffffffffffffff,
                                       0x47efffffefffffff,
                                       0x47effffff0000000,
                                       0x380fffffffffffff,
                                       0x36a0000000000000,
                                       0x3ca0000000000000};
    uint64_t r = next(), sign = next() & 1ull << 63, bits = next() & ~(1ull << 63);
    if ((r & 3) == 0) return sign | corners[(r >> 8) % (sizeof corners / sizeof *corners)];
    if ((r & 3) == 1) return sign | (0x3ff0000000000000 + ((bits & 0x01fff00000000000) >> 1) - 0x0040000000000000);
    if ((r & 3) == 2) return sign | (0x3ff0000000000000 + ((r >> 8) % 140 << 51) + (bits & 0xfffffffffffff));
    return sign | bits;
}

static uint64_t random_bits(void) {
    uint64_t r = next();
    switch (r & 7) {
    case 0: return 0;
    case 1: return ~0ull;
    case 2: return 0x8080808080808080ull << (r >> 8 & 63 & -8);
    case 3: return 0x7f80ff0001fe8001 ^ (r >> 3);
    case 4: return next() & 0x0f0f0f0f0f0f0f0f;
    case 5: return 1ull << (r >> 8 & 63);
    default: return next();
    }
}

static bool works_on_numbers(const KirInsn *insn) {
    return insn->op >= KIR_VFADD && insn->op <= KIR_VFCVTN && insn->op != KIR_VITOF;
}

static uint64_t random_word(const Form *f, unsigned slot) {
    KirType type = type_of_operand(f, slot);
    if (type == KIR_F32) return random_single();
    if (type == KIR_F64) return (next() & 3) || f->insn.op != KIR_NANUNBOX ? random_double() : 0xffffffff00000000 | random_single();
    if (type < KIR_V64 || !works_on_numbers(&f->insn)) return random_bits();
    if ((f->insn.aux & KIR_VEC_LANE) == 1) return random_bits();
    return (f->insn.aux & KIR_VEC_LANE) == 3 ? random_double() : random_single() | random_single() << 32;
}

static KirValue random_operand(const Form *f, unsigned slot) {
    KirValue value = {.u64 = {random_word(f, slot), random_word(f, slot)}};
    unsigned bits = kir_type_bits(type_of_operand(f, slot));
    if (bits < 128) value.u64[1] = 0;
    if (bits < 64) value.u64[0] &= (1ull << bits) - 1;
    return value;
}

// ---- comparing ----------------------------------------------------------------------------------------------------------------
static uint32_t random_environment(unsigned i) {
    static const uint32_t modes[4] = {MXCSR_NEAREST, MXCSR_DOWN, MXCSR_UP, MXCSR_ZERO};
    uint32_t flags = next() & 1 ? 0 : (uint32_t)next() & MXCSR_STICKY;
    return modes[i & 3] | flags;
}

static void one_run(const Form *f, uint8_t *entry, const char *text, uint32_t environment) {
    KirValue operands[3] = {{{0}}}, got = {{0}};
    for (unsigned i = 0; i < 3; i++)
        if (is_reference(f, i)) operands[i] = random_operand(f, i);
    for (unsigned i = 0; i < 3; i++) memcpy(cpu->guest + i * 16, &operands[i], 16);
    memset(cpu->guest + 48, 0, 16);
    uint32_t after = environment, before = read_mxcsr();
    enter_trace(cpu->guest, entry, &after);
    write_mxcsr(environment);
    KirValue want = kir_eval(&f->insn, f->types, operands[0], operands[1], operands[2]);
    uint32_t wanted = read_mxcsr() & ENVIRONMENT;
    write_mxcsr(before);
    memcpy(&got, cpu->guest + 48, 16);
    unsigned bits = f->result == KIR_VOID ? 0 : kir_type_bits((KirType)f->result);
    bool same = !memcmp(&got, &want, (bits + 7) / 8) && (after & ENVIRONMENT) == wanted;
    CHECK(same, "%s of %016lx%016lx, %016lx%016lx, %016lx%016lx mxcsr %#x: %016lx%016lx mxcsr %#x, should be %016lx%016lx %#x",
          text, operands[0].u64[1], operands[0].u64[0], operands[1].u64[1], operands[1].u64[0], operands[2].u64[1],
          operands[2].u64[0], environment, got.u64[1], got.u64[0], after & ENVIRONMENT, want.u64[1], want.u64[0], wanted);
}

static const char *describe(const Form *f, uint32_t options, char *text, size_t size) {
    snprintf(text, size, "%s.%s aux %#x slots %x %x %x of %s %s %s options %#x", kir_op_info[f->insn.op].name,
             kir_type_name(f->insn.type), f->insn.aux, f->insn.a, f->insn.b, f->insn.c, kir_type_name(f->types[0]),
             kir_type_name(f->types[1]), kir_type_name(f->types[2]), options);
    return text;
}

static unsigned forms_of[KIR_OP_COUNT], lowered_of[KIR_OP_COUNT], runs_of[KIR_OP_COUNT], calls_of[KIR_OP_COUNT];
static bool is_scalar(unsigned op) { return op < KIR_VADD; }

static void one_form(Compiler *compiler, Arena *arena, const Form *f, uint32_t options) {
    char text[200];
    TraceResult result;
    describe(f, options, text, sizeof text);
    uint8_t *entry = compile_form(compiler, arena, f, options, &result);
    CHECK(entry, "%s: refused", text);
    if (!entry) return;
    CHECK(!result.fallbacks || may_be_evaluated(f, options), "%s: has no code", text);
    forms_of[f->insn.op]++;
    unsigned before = evaluator_calls, runs = is_scalar(f->insn.op) ? SCALAR_RUNS : RUNS;
    for (unsigned i = 0; i < runs; i++) one_run(f, entry, text, random_environment(i));
    if (result.fallbacks) return;
    lowered_of[f->insn.op]++;
    runs_of[f->insn.op] += runs;
    calls_of[f->insn.op] += evaluator_calls - before;
}

// ---- which forms: those of random blocks, each once -----------------------------------------------------------------------------
enum { TABLE = 1 << 16 };
static uint64_t known[TABLE];

static bool is_new(const Form *f) {
    uint64_t hash = 0xcbf29ce484222325;
    const uint8_t *bytes = (const void *)f;
    for (size_t i = 0; i < sizeof *f; i++) hash = (hash ^ bytes[i]) * 0x100000001b3;
    for (unsigned i = (unsigned)hash % TABLE;; i = (i + 1) % TABLE) {
        if (known[i] == hash) return false;
        if (known[i]) continue;
        known[i] = hash;
        return true;
    }
}

static Form form_of(const KirBlock *block, uint32_t index) {
    Form f;
    memset(&f, 0, sizeof f);
    f.insn = block->insns[index];
    f.result = (uint8_t)kir_result_type(&f.insn);
    uint32_t *refs[3];
    int n = kir_operands(&f.insn, refs);
    for (int i = 0; i < n; i++) {
        unsigned slot = refs[i] == &f.insn.a ? 0 : refs[i] == &f.insn.b ? 1 : 2;
        f.types[slot] = (uint8_t)kir_result_type(&block->insns[*refs[i]]);
        *refs[i] = slot;
    }
    return f;
}

// Scalar forms with all options; vector forms, of which there are many, with one each in turn.
static void with_options(Compiler *compiler, Arena *arena, const Form *f) {
    static const uint32_t sets[] = {0, TRACE_NO_AVX, TRACE_NO_PASSES, TRACE_NO_FMA | TRACE_NO_BMI};
    enum { SETS = sizeof sets / sizeof *sets };
    static unsigned turn;
    unsigned first = is_scalar(f->insn.op) ? 0 : turn++ % SETS, last = is_scalar(f->insn.op) ? SETS - 1 : first;
    for (unsigned i = first; i <= last; i++) {
        one_form(compiler, arena, f, sets[i]);
        arena_reset(arena);
    }
}

static void test_forms(Compiler *compiler, uint64_t seed, unsigned wanted, const char *only) {
    Arena blocks = {0}, arena = {0};
    static uint8_t buffer[RANDOM_BUFFER];
    unsigned per_op = only ? wanted : wanted / 25;
    for (unsigned done = 0, tries = 0; done < wanted && tries < 40 * wanted; tries++) {
        KirBlock *block = kir_random_block(&blocks, RANDOM_RAW, seed + tries, 8, buffer);
        for (uint32_t i = 0; i < block->count && done < wanted; i++) {
            unsigned op = block->insns[i].op;
            if (!is_tested(op) || forms_of[op] >= per_op || (only && strcmp(only, kir_op_info[op].name))) continue;
            Form f = form_of(block, i);
            if (!is_new(&f)) continue;
            with_options(compiler, &arena, &f);
            done++;
        }
        arena_reset(&blocks);
    }
    arena_free(&arena);
    arena_free(&blocks);
}

static void print_coverage(const char *only) {
    for (unsigned op = 0; op < KIR_OP_COUNT; op++) {
        if (!is_tested(op) || (only && strcmp(only, kir_op_info[op].name))) continue;
        printf("%-10s %4u forms, %4u with code, evaluator called %5u times in %u runs of those\n", kir_op_info[op].name,
               forms_of[op], lowered_of[op], calls_of[op], runs_of[op]);
        CHECK(lowered_of[op] || (forms_of[op] && never_lowered(op)), "%s never had code", kir_op_info[op].name);
    }
}

int main(int argc, char **argv) {
    uint64_t seed = number_argument(argc, argv, "--seed", 1);
    unsigned forms = (unsigned)number_argument(argc, argv, "--forms", DEFAULT_FORMS);
    const char *only = text_argument(argc, argv, "--op");
    random_state += seed;
    code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cpu = aligned_alloc(64, (sizeof *cpu + 63) & ~(size_t)63);
    if (code == MAP_FAILED || !cpu) fatal("no memory");
    memset(cpu, 0, sizeof *cpu);
    cpu->functions = functions;
    cpu->host_mxcsr = MXCSR_NEAREST;
    *code = 0xc3;
    compiler_start();
    Compiler *compiler = compiler_new();
    test_forms(compiler, seed, forms, only);
    compiler_free(compiler);
    print_coverage(only);
    printf("%u passed, %u failed\n", checks_passed, checks_failed);
    return checks_failed != 0;
}
