// SPDX-License-Identifier: MIT
//
// Writes the accesses of a trace in exact mode into its object, and their fault table.
//
// LLVM's section .llvm_stackmaps has a record for each patchpoint: its number, its offset in the function, and where its operands are. The
// access is encoded for these registers, at full length but for one byte, which a prefix without meaning fills. An atomic operation is a few
// instructions around the one that may fault; r11, which patchpoints leave free, is all they need:
//
//   exchange, add     mov r11, value;  xchg | lock xadd [m], r11;  result = r11
//   compare           mov r11, rax;  mov rax, expected;  lock cmpxchg [m], desired;  xchg rax, r11;  result = r11
//                     at the fault r11 holds what rax did
//   compare of 16     mov r11, base;  push rax, rbx, rcx, rdx;  rdx:rax = expected, rcx:rbx = desired, both from vectors;
//   bytes             lock cmpxchg16b [r11];  result = rdx:rax;  pop rdx, rcx, rbx, rax
//                     at the fault the four are on the stack, which is 32 bytes lower (traces have no red zone)
//
// The section itself is not for run time: it loses its flag "allocated", and the loader leaves it out.
#include <elf.h>
#include <string.h>
#include "opt/exact.h"

enum { RAX = 0, RCX, RDX, RBX, RSP, R11 = 11, R12 = 12, R13 = 13, DWARF_XMM0 = 17, REGISTERS = 16, STACK_MAP_VERSION = 3 };
enum { PREFIX_DS = 0x3e, PREFIX_LOCK = 0xf0, REX = 0x40, REX_W = 8 };
enum { LOCATION_REGISTER = 1, LOCATION_INDIRECT = 3, LOCATION_CONSTANT = 4, LOCATION_CONSTANT_INDEX = 5 };

typedef struct Location {
    uint8_t kind, reserved;
    uint16_t size, dwarf, reserved_too;
    int32_t offset;
} Location;
_Static_assert(sizeof(Location) == 12, "as in the section");

typedef struct Record {
    uint64_t site;
    uint32_t offset;
    uint16_t location_count;
    Location locations[3 + 1 + 256];
} Record;

typedef struct Writer {
    const SiteTable *table;
    const KirWorld *world;
    uint8_t *code, *code_end;  // the trace's, in the object
    const uint8_t *next, *end; // of the section
    const uint8_t *constants;
    uint32_t constant_count;
    TraceFault *faults;
    TraceFaultEntry *entries;
    uint32_t fault_count, entry_count, entry_capacity;
    Arena *arena;
} Writer;

// ---- encoding -------------------------------------------------------------------------------------------------------------------
typedef struct Encoder {
    uint8_t bytes[64];
    unsigned count;
} Encoder;

static void put(Encoder *e, unsigned byte) { e->bytes[e->count++] = (uint8_t)byte; }

static void put_displacement(Encoder *e, unsigned mod, int32_t displacement) {
    if (mod == 0) return;
    unsigned size = mod == 1 ? 1 : 4;
    memcpy(e->bytes + e->count, &displacement, size);
    e->count += size;
}

static unsigned displacement_bytes(int32_t displacement) { return displacement == (int8_t)displacement ? displacement != 0 : 4; }

// ModRM and what follows, for [base + displacement].
static void put_memory(Encoder *e, unsigned reg, unsigned base, int32_t displacement) {
    unsigned bytes = displacement_bytes(displacement), mod = bytes == 4 ? 2 : bytes;
    if (mod == 0 && (base & 7) == 5) mod = 1; // rbp, r13: there is no form without
    put(e, mod << 6 | (reg & 7) << 3 | (base & 7));
    if ((base & 7) == 4) put(e, 0x24);
    put_displacement(e, mod, displacement);
}

static unsigned rex_of(unsigned reg, unsigned base, bool wide) { return REX | (wide ? REX_W : 0) | (reg >> 3 << 2) | base >> 3; }

// [prefix] REX [0f] opcode ModRM: an opcode above 0xff stands for one behind 0f.
static void put_access(Encoder *e, unsigned prefix, bool wide, unsigned opcode, unsigned reg, unsigned base, int32_t displacement) {
    if (prefix) put(e, prefix);
    put(e, rex_of(reg, base, wide));
    if (opcode > 0xff) put(e, 0x0f);
    put(e, opcode & 0xff);
    put_memory(e, reg, base, displacement);
}

static void put_registers(Encoder *e, unsigned opcode, bool wide, unsigned reg, unsigned rm) {
    put(e, rex_of(reg, rm, wide));
    if (opcode > 0xff) put(e, 0x0f);
    put(e, opcode & 0xff);
    put(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

// What extends 1, 2, 4, 8 bytes to a register: opcodes for a source that is memory or register.
static unsigned extending_opcode(const Site *site) {
    static const uint16_t zero[4] = {0x1b6, 0x1b7, 0x8b, 0x8b}, sign[4] = {0x1be, 0x1bf, 0x63, 0x8b};
    return (site->is_signed ? sign : zero)[site->log2_size];
}
static bool extends_to_64(const Site *site) { return site->log2_size == 3 || site->is_signed; }

static void put_vector(Encoder *e, const Site *site, bool avx, unsigned reg, unsigned base) {
    static const uint8_t prefixes[5] = {0, 0, 0xf3, 0xf2, 0}; // movss, movsd, movups
    static const uint8_t vex_prefixes[5] = {0, 0, 2, 3, 0};
    unsigned opcode = site->kind == SITE_LOAD ? 0x110 : 0x111;
    if (!avx) {
        put_access(e, prefixes[site->log2_size], false, opcode, reg, base, site->displacement);
        return;
    }
    put(e, 0xc4);
    put(e, (reg >> 3 ? 0 : 0x80) | 0x40 | (base >> 3 ? 0 : 0x20) | 1);
    put(e, 0x78 | vex_prefixes[site->log2_size]);
    put(e, opcode & 0xff);
    put_memory(e, reg, base, site->displacement);
}

static void put_plain(Encoder *e, const Site *site, bool avx, unsigned reg, unsigned base) {
    if (site->vector) put_vector(e, site, avx, reg, base);
    else if (site->kind == SITE_LOAD) put_access(e, 0, extends_to_64(site), extending_opcode(site), reg, base, site->displacement);
    else
        put_access(e, site->log2_size == 1 ? 0x66 : 0, site->log2_size == 3, site->log2_size ? 0x89 : 0x88, reg, base,
                   site->displacement);
}

static void put_atomic(Encoder *e, const Site *site, bool locked, unsigned opcode, unsigned reg, unsigned base) {
    if (locked) put(e, PREFIX_LOCK);
    put_access(e, site->log2_size == 1 ? 0x66 : 0, site->log2_size == 3, site->log2_size ? opcode + 1 : opcode, reg, base, 0);
}

// ---- compare and swap of 16 bytes ---------------------------------------------------------------------------------------------------
static const uint8_t pushed[] = {RAX, RBX, RCX, RDX}; // in this order
enum { PUSHED = sizeof pushed, PUSHED_BYTES = PUSHED * 8 };

// Between a vector register and two general ones: movq and pextrq, or movq and pinsrq.
static void put_halves(Encoder *e, bool to_vector, unsigned vector, unsigned low, unsigned high) {
    put(e, 0x66);
    put_registers(e, to_vector ? 0x16e : 0x17e, true, vector, low);
    put(e, 0x66);
    put(e, rex_of(vector, high, true));
    put(e, 0x0f);
    put(e, 0x3a);
    put(e, to_vector ? 0x22 : 0x16);
    put(e, 0xc0 | (vector & 7) << 3 | (high & 7));
    put(e, 1);
}

static unsigned put_wide_compare(Encoder *e, const uint8_t *regs) {
    put_registers(e, 0x89, true, regs[1], R11);
    for (unsigned i = 0; i < PUSHED; i++) put(e, 0x50 | pushed[i]);
    put_halves(e, false, regs[2], RAX, RDX);
    put_halves(e, false, regs[3], RBX, RCX);
    unsigned at = e->count;
    put(e, PREFIX_LOCK);
    put_access(e, 0, true, 0x1c7, 1, R11, 0);
    put_halves(e, true, regs[0], RAX, RDX);
    for (unsigned i = PUSHED; i-- > 0;) put(e, 0x58 | pushed[i]);
    return at;
}

// Where the register is meanwhile. False: what the entry is relative to has been changed.
static bool describe_while_pushed(TraceFaultEntry *entry) {
    if (entry->place != TRACE_PLACE_GPR && entry->place != TRACE_PLACE_STACK) return true;
    for (unsigned i = 0; i < PUSHED; i++) {
        if (entry->reg != pushed[i]) continue;
        if (entry->place == TRACE_PLACE_STACK) return false;
        *entry = (TraceFaultEntry){
            .global = entry->global, .place = TRACE_PLACE_STACK, .reg = RSP, .value = 8 * (int64_t)(PUSHED - 1 - i)};
        return true;
    }
    if (entry->place == TRACE_PLACE_STACK && entry->reg == RSP) entry->value += PUSHED_BYTES;
    return true;
}

// Registers: result, address, values. Returns where in the code the access itself is.
static unsigned put_sequence(Encoder *e, const Site *site, const uint8_t *regs) {
    if (site->kind == SITE_COMPARE_WIDE) return put_wide_compare(e, regs);
    unsigned result = regs[0], base = regs[1], at;
    if (site->kind == SITE_COMPARE) {
        unsigned expected = regs[2], desired = regs[3];
        put_registers(e, 0x89, true, RAX, R11);
        put_registers(e, 0x89, true, expected, RAX);
        at = e->count;
        put_atomic(e, site, true, 0x1b0, desired == RAX ? R11 : desired, base == RAX ? R11 : base);
        put_registers(e, 0x87, true, RAX, R11);
    } else {
        put_registers(e, 0x89, true, regs[2], R11);
        at = e->count;
        if (site->kind == SITE_ADD) put_atomic(e, site, true, 0x1c0, R11, base);
        else put_atomic(e, site, false, 0x86, R11, base);
    }
    put_registers(e, extending_opcode(site), extends_to_64(site), result, R11);
    return at;
}

unsigned site_bytes(const Site *site) {
    static const uint8_t atomic[] = {[SITE_EXCHANGE] = 3 + 7 + 4,
                                     [SITE_ADD] = 3 + 8 + 4,
                                     [SITE_COMPARE] = 3 + 3 + 8 + 3 + 4,
                                     [SITE_COMPARE_WIDE] = 3 + PUSHED + 24 + 5 + 12 + PUSHED};
    if (site->kind > SITE_STORE) return atomic[site->kind];
    unsigned opcode = site->vector                    ? 5
                      : site->kind == SITE_STORE      ? 3 + (site->log2_size == 1)
                      : extending_opcode(site) > 0xff ? 4
                                                      : 3;
    return opcode + 1 + displacement_bytes(site->displacement);
}

// ---- the section ------------------------------------------------------------------------------------------------------------------
static bool take(Writer *w, void *out, size_t size) {
    if (size > (size_t)(w->end - w->next)) return false;
    memcpy(out, w->next, size);
    w->next += size;
    return true;
}

static bool skip(Writer *w, size_t size) {
    if (size > (size_t)(w->end - w->next)) return false;
    w->next += size;
    return true;
}

static bool align(Writer *w, const uint8_t *start) { return skip(w, -(uintptr_t)(w->next - start) & 7); }

typedef struct MapHeader {
    uint8_t version, reserved;
    uint16_t reserved_too;
    uint32_t functions, constants, records;
} MapHeader;

static bool read_record(Writer *w, const uint8_t *start, Record *record) {
    uint16_t flags, live_outs, padding;
    if (!take(w, &record->site, 8) || !take(w, &record->offset, 4) || !take(w, &flags, 2) || !take(w, &record->location_count, 2))
        return false;
    if (record->location_count > sizeof record->locations / sizeof *record->locations) return false;
    if (!take(w, record->locations, record->location_count * sizeof(Location)) || !align(w, start)) return false;
    return take(w, &padding, 2) && take(w, &live_outs, 2) && skip(w, live_outs * 4u) && align(w, start);
}

static int register_of(const Location *location, bool vector) {
    static const uint8_t general[REGISTERS] = {0, 2, 1, 3, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15}; // DWARF's order
    unsigned dwarf = location->dwarf;
    if (location->kind != LOCATION_REGISTER || location->offset) return -1;
    if (!vector) return dwarf < REGISTERS ? general[dwarf] : -1;
    return dwarf >= DWARF_XMM0 && dwarf < DWARF_XMM0 + REGISTERS ? (int)(dwarf - DWARF_XMM0) : -1;
}

// ---- the fault table --------------------------------------------------------------------------------------------------------------
static bool is_vector_global(const Writer *w, unsigned global) {
    KirType type = (KirType)w->world->globals[global].type;
    return type == KIR_F32 || type == KIR_F64 || type == KIR_V128;
}

static bool describe(const Writer *w, const Location *location, unsigned global, TraceFaultEntry *entry) {
    *entry = (TraceFaultEntry){.global = (uint16_t)global};
    Location base = *location;
    int reg;
    switch (location->kind) {
    case LOCATION_REGISTER: {
        bool vector = is_vector_global(w, global);
        reg = register_of(location, vector);
        entry->place = vector ? TRACE_PLACE_XMM : TRACE_PLACE_GPR;
        entry->reg = (uint8_t)reg;
        return reg >= 0;
    }
    case LOCATION_INDIRECT:
        base.kind = LOCATION_REGISTER;
        base.offset = 0;
        reg = register_of(&base, false);
        entry->place = TRACE_PLACE_STACK;
        entry->reg = (uint8_t)reg;
        entry->value = location->offset;
        return reg >= 0;
    case LOCATION_CONSTANT:
        entry->place = TRACE_PLACE_CONST;
        entry->value = location->offset;
        return kir_type_bits((KirType)w->world->globals[global].type) <= 64;
    case LOCATION_CONSTANT_INDEX:
        entry->place = TRACE_PLACE_CONST;
        if (location->offset < 0 || (uint32_t)location->offset >= w->constant_count) return false;
        memcpy(&entry->value, w->constants + (size_t)location->offset * 8, 8);
        return kir_type_bits((KirType)w->world->globals[global].type) <= 64;
    default: return false;
    }
}

static bool describe_all(Writer *w, const Site *site, const Location *locations, uint32_t offset) {
    w->faults[w->fault_count++] =
        (TraceFault){.offset = offset, .first_entry = w->entry_count, .entry_count = site->global_count, .pc = site->pc};
    if (w->entry_count + site->global_count > w->entry_capacity) {
        uint32_t bigger = 2 * w->entry_capacity + site->global_count;
        w->entries = arena_grow(w->arena, w->entries, w->entry_capacity * sizeof *w->entries, bigger * sizeof *w->entries);
        w->entry_capacity = bigger;
    }
    for (uint32_t i = 0; i < site->global_count; i++) {
        TraceFaultEntry *entry = &w->entries[w->entry_count++];
        if (!describe(w, &locations[i], w->table->globals[site->first_global + i], entry)) return false;
        if (site->kind == SITE_COMPARE && entry->place == TRACE_PLACE_GPR && entry->reg == RAX) entry->reg = R11;
        if (site->kind == SITE_COMPARE_WIDE && !describe_while_pushed(entry)) return false;
    }
    return true;
}

// ---- all of it --------------------------------------------------------------------------------------------------------------------
static unsigned operand_count(const Site *site) {
    static const uint8_t counts[] = {[SITE_LOAD] = 2, [SITE_STORE] = 2,   [SITE_EXCHANGE] = 3,
                                     [SITE_ADD] = 3,  [SITE_COMPARE] = 4, [SITE_COMPARE_WIDE] = 4}; // result included
    return counts[site->kind];
}

static bool is_vector_operand(const Site *site, unsigned i) {
    if (site->kind == SITE_COMPARE_WIDE) return i != 1;
    return site->vector && i == (site->kind == SITE_STORE ? 1 : 0);
}

static bool write_site(Writer *w, const Record *record) {
    if (record->site >= w->table->count) return false;
    const Site *site = &w->table->sites[record->site];
    unsigned operands = operand_count(site);
    if (record->location_count != operands + site->global_count) return false;
    if (record->offset > (size_t)(w->code_end - w->code) || site->bytes > (size_t)(w->code_end - w->code) - record->offset)
        return false;
    uint8_t regs[4];
    unsigned value = site->kind == SITE_STORE ? 1 : 0;
    for (unsigned i = 0; i < operands; i++) {
        int reg = register_of(&record->locations[i], is_vector_operand(site, i));
        if (reg < 0) return false;
        regs[i] = (uint8_t)reg;
    }
    Encoder e = {.count = 0};
    unsigned at = 0;
    if (site->kind > SITE_STORE) at = put_sequence(&e, site, regs);
    else put_plain(&e, site, w->table->avx, regs[value], regs[1 - value]);
    if (e.count > site->bytes) return false;
    unsigned gap = site->bytes - e.count;
    uint8_t *to = w->code + record->offset;
    memset(to, PREFIX_DS, gap);
    memcpy(to + gap, e.bytes, e.count);
    return describe_all(w, site, record->locations + operands, record->offset + (at ? gap + at : 0));
}

static bool write_records(Writer *w) {
    const uint8_t *start = w->next;
    MapHeader header;
    if (!take(w, &header, sizeof header) || header.version != STACK_MAP_VERSION || header.functions != 1) return false;
    if (!skip(w, header.functions * 24u)) return false;
    w->constants = w->next;
    w->constant_count = header.constants;
    if (!skip(w, (size_t)header.constants * 8)) return false;
    w->faults = arena_alloc(w->arena, (header.records + 1) * sizeof *w->faults);
    Record *record = arena_alloc_raw(w->arena, sizeof *record);
    for (uint32_t i = 0; i < header.records; i++)
        if (!read_record(w, start, record) || !write_site(w, record)) return false;
    for (uint32_t i = 1; i < w->fault_count; i++)
        if (w->faults[i - 1].offset >= w->faults[i].offset) return false; // records come in the order of the code
    return true;
}

static bool find_code(Writer *w, uint8_t *object, const Elf64_Ehdr *header, const Elf64_Shdr *sections) {
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB) continue;
        const char *names = (const char *)object + sections[sections[i].sh_link].sh_offset;
        for (size_t j = 0; j < sections[i].sh_size / sizeof(Elf64_Sym); j++) {
            Elf64_Sym symbol;
            memcpy(&symbol, object + sections[i].sh_offset + j * sizeof symbol, sizeof symbol);
            if (strcmp(names + symbol.st_name, "kiln_trace")) continue;
            const Elf64_Shdr *code = &sections[symbol.st_shndx];
            w->code = object + code->sh_offset + symbol.st_value;
            w->code_end = object + code->sh_offset + code->sh_size;
            return true;
        }
    }
    return false;
}

bool sites_write(const SiteTable *table, const KirWorld *world, uint8_t *object, size_t size, Arena *arena, TraceResult *result) {
    if (!table->count) return true;
    Elf64_Ehdr header;
    memcpy(&header, object, sizeof header);
    Elf64_Shdr *sections = arena_alloc_raw(arena, header.e_shnum * sizeof *sections);
    memcpy(sections, object + header.e_shoff, header.e_shnum * sizeof *sections);
    const char *names = (const char *)object + sections[header.e_shstrndx].sh_offset;
    Writer w = {.table = table, .world = world, .arena = arena};
    if (!find_code(&w, object, &header, sections)) return false;
    for (unsigned i = 0; i < header.e_shnum; i++) {
        if (strcmp(names + sections[i].sh_name, ".llvm_stackmaps")) continue;
        w.next = object + sections[i].sh_offset;
        w.end = w.next + sections[i].sh_size;
        sections[i].sh_flags &= ~(uint64_t)SHF_ALLOC;
    }
    memcpy(object + header.e_shoff, sections, header.e_shnum * sizeof *sections);
    if (w.next && !write_records(&w)) return false; // none: no access is ever reached
    result->faults = w.faults;
    result->fault_count = w.fault_count;
    result->entries = w.entries;
    result->entry_count = w.entry_count;
    return true;
}
