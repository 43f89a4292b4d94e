// SPDX-License-Identifier: MIT
//
// Places the optimizer's objects, and describes cpu state and register convention to it.
//
// An object is ELF64, relocatable, for x86-64. Its sections that are in memory at run time (.text, read-only data) are copied in
// their order, behind them an 8-byte slot with a jump for each exit, and the exits' stubs:
//
//   slot N   jmp stub N, or what the exit is linked to: redirected by one store of the displacement, which does not cross 8 bytes
//   stub N   lea rax, [record N]; jmp exit
//
// Undefined symbols are kiln_exit_N (slot N; the stub itself where the exit is never linked nor counted), kiln_exit_indirect and kiln_exit_return.
// Where one jump alone leads to an exit that may be linked, and can be redirected by itself, it does without the slot: a taken jump less,
// which also leaves the processor's memory of past jumps to those that tell something. Where exits are counted all have their slot, of 16
// bytes, in which an addition precedes the jump.
// Relocations are relative to themselves (PC32, PLT32). Anything else is refused, and every number is checked: the object comes from
// another process.
#include <elf.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "host/x86_64/emit.h"

enum { CACHE_LINE = 64, CODE_ALIGNMENT = 16, SLOT_BYTES = 8, COUNTED_SLOT_BYTES = 16, STUB_BYTES = 16, MAX_SECTIONS = 256 };

typedef struct Object {
    const uint8_t *data;
    size_t size;
    const Elf64_Shdr *sections;
    unsigned section_count;
    const Elf64_Sym *symbols;
    size_t symbol_count;
    const char *names; // of symbols; ends with NUL
    size_t names_size;
    uint32_t place[MAX_SECTIONS]; // offset of a copied section in the trace, or NOT_PLACED
} Object;
#define NOT_PLACED UINT32_MAX

typedef struct Placing {
    const Host *host;
    CodeMemory *memory;
    const TraceResult *result;
    Object object;
    uint8_t *line, *start, *slots, *stubs; // places are counted from the cache line in which it starts
    size_t size;
    ExitRecord **records;
    uint32_t *jumps; // by exit: how many relocations name it
} Placing;

// ---- the object ---------------------------------------------------------------------------------------------------------------
static bool lies_within(const Object *o, uint64_t offset, uint64_t size) { return offset <= o->size && size <= o->size - offset; }

static bool find_sections(Object *o) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)o->data;
    if (o->size < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_type != ET_REL || header->e_machine != EM_X86_64)
        return false;
    o->section_count = header->e_shnum;
    if (header->e_shentsize != sizeof(Elf64_Shdr) || o->section_count > MAX_SECTIONS || header->e_shoff % 8) return false;
    if (!lies_within(o, header->e_shoff, (uint64_t)o->section_count * sizeof(Elf64_Shdr))) return false;
    o->sections = (const Elf64_Shdr *)(o->data + header->e_shoff);
    for (unsigned i = 0; i < o->section_count; i++)
        if (o->sections[i].sh_type != SHT_NOBITS && !lies_within(o, o->sections[i].sh_offset, o->sections[i].sh_size)) return false;
    return true;
}

static bool find_symbols(Object *o) {
    for (unsigned i = 0; i < o->section_count; i++) {
        const Elf64_Shdr *section = &o->sections[i];
        if (section->sh_type != SHT_SYMTAB) continue;
        if (section->sh_link >= o->section_count || section->sh_entsize != sizeof(Elf64_Sym) || section->sh_offset % 8)
            return false;
        const Elf64_Shdr *names = &o->sections[section->sh_link];
        if (names->sh_type != SHT_STRTAB || !names->sh_size) return false;
        o->symbols = (const Elf64_Sym *)(o->data + section->sh_offset);
        o->symbol_count = section->sh_size / sizeof(Elf64_Sym);
        o->names = (const char *)o->data + names->sh_offset;
        o->names_size = names->sh_size;
        return o->names[o->names_size - 1] == 0;
    }
    return false;
}

// Where copied sections go, from `used` on; *end: behind all of them.
static bool lay_out(Object *o, size_t used, size_t *end) {
    const size_t start = used;
    for (unsigned i = 0; i < o->section_count; i++) {
        const Elf64_Shdr *section = &o->sections[i];
        o->place[i] = NOT_PLACED;
        if (!(section->sh_flags & SHF_ALLOC) || !section->sh_size) continue;
        uint64_t align = section->sh_addralign ? section->sh_addralign : 1;
        if (section->sh_type != SHT_PROGBITS || (section->sh_flags & (SHF_WRITE | SHF_TLS))) return false;
        if ((align & (align - 1)) || align > CACHE_LINE) return false;
        used = (used + align - 1) & ~(size_t)(align - 1);
        o->place[i] = (uint32_t)used;
        used += section->sh_size;
        if (used > INT32_MAX / 2) return false;
    }
    *end = used;
    return used > start;
}

static const char *symbol_name(const Object *o, const Elf64_Sym *symbol) {
    return symbol->st_name < o->names_size ? o->names + symbol->st_name : "";
}

// ---- symbols and relocations --------------------------------------------------------------------------------------------------
static bool can_be_linked(const TraceExit *exit) { return exit->kind == TRACE_EXIT_LINK; }

static size_t slot_bytes(const Placing *p) { return p->host->options->count ? COUNTED_SLOT_BYTES : SLOT_BYTES; }

// The number in "kiln_exit_N"; NO_EXIT: it is none.
#define NO_EXIT UINT32_MAX
static uint32_t exit_number(const Placing *p, const char *name) {
    static const char prefix[] = "kiln_exit_";
    if (strncmp(name, prefix, sizeof prefix - 1)) return NO_EXIT;
    name += sizeof prefix - 1;
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    return *name < '0' || *name > '9' || *end || number >= p->result->exit_count ? NO_EXIT : (uint32_t)number;
}

static const uint8_t *exit_address(const Placing *p, const char *name) {
    if (!strcmp(name, "kiln_exit_indirect")) return p->host->exit_indirect_stored;
    if (!strcmp(name, "kiln_exit_return")) return p->host->exit_return_stored;
    uint32_t number = exit_number(p, name);
    if (number == NO_EXIT) return NULL;
    bool by_slot = can_be_linked(&p->result->exits[number]) || p->host->options->count;
    return by_slot ? p->slots + number * slot_bytes(p) : p->stubs + number * STUB_BYTES;
}

static const uint8_t *symbol_address(const Placing *p, uint64_t number) {
    const Object *o = &p->object;
    if (number >= o->symbol_count) return NULL;
    const Elf64_Sym *symbol = &o->symbols[number];
    if (symbol->st_shndx == SHN_UNDEF) return exit_address(p, symbol_name(o, symbol));
    if (symbol->st_shndx >= o->section_count || o->place[symbol->st_shndx] == NOT_PLACED) return NULL;
    if (symbol->st_value > o->sections[symbol->st_shndx].sh_size) return NULL;
    return p->line + o->place[symbol->st_shndx] + symbol->st_value;
}

// The exit that an undefined symbol names.
static uint32_t exit_of_symbol(const Placing *p, uint64_t number) {
    const Object *o = &p->object;
    if (number >= o->symbol_count || o->symbols[number].st_shndx != SHN_UNDEF) return NO_EXIT;
    return exit_number(p, symbol_name(o, &o->symbols[number]));
}

// `at` is the displacement of the only jump to the exit, and can be redirected: one store does it, or nobody else runs the code.
static bool is_own_jump(const Placing *p, uint32_t exit, const uint8_t *at, const uint8_t *section, int64_t addend) {
    if (exit == NO_EXIT || p->jumps[exit] != 1 || addend != -4 || !can_be_linked(&p->result->exits[exit])) return false;
    if (p->host->options->count || at - section < 2 || (((uintptr_t)at & 7) > 4 && !p->host->private_memory)) return false;
    const uint8_t *opcode = at + p->memory->write_delta - 2;
    return opcode[1] == 0xe9 || (opcode[0] == 0x0f && (opcode[1] & 0xf0) == 0x80);
}

static bool relocate(const Placing *p, const Elf64_Shdr *target, uint32_t place, const Elf64_Rela *relocation) {
    uint64_t type = ELF64_R_TYPE(relocation->r_info), symbol_number = ELF64_R_SYM(relocation->r_info);
    const uint8_t *symbol = symbol_address(p, symbol_number);
    if ((type != R_X86_64_PC32 && type != R_X86_64_PLT32) || !symbol) return false;
    if (target->sh_size < 4 || relocation->r_offset > target->sh_size - 4) return false;
    if (relocation->r_addend != (int32_t)relocation->r_addend) return false;
    uint8_t *at = p->line + place + relocation->r_offset;
    uint32_t exit = exit_of_symbol(p, symbol_number);
    if (is_own_jump(p, exit, at, p->line + place, relocation->r_addend)) {
        record_set_jump(p->records[exit], at);
        symbol = record_stub(p->records[exit]);
    }
    int64_t value = symbol - at + relocation->r_addend;
    int32_t displacement = (int32_t)value;
    if (displacement != value) return false;
    memcpy(at + p->memory->write_delta, &displacement, sizeof displacement);
    return true;
}

static bool count_jump(const Placing *p, const Elf64_Shdr *target, uint32_t place, const Elf64_Rela *relocation) {
    uint32_t exit = exit_of_symbol(p, ELF64_R_SYM(relocation->r_info));
    if (exit != NO_EXIT) p->jumps[exit]++;
    return true;
}

typedef bool EachRelocation(const Placing *p, const Elf64_Shdr *target, uint32_t place, const Elf64_Rela *relocation);
static bool each_relocation(const Placing *p, EachRelocation *each) {
    const Object *o = &p->object;
    for (unsigned i = 0; i < o->section_count; i++) {
        const Elf64_Shdr *section = &o->sections[i];
        if (section->sh_type != SHT_RELA && section->sh_type != SHT_REL) continue;
        if (section->sh_info >= o->section_count || o->place[section->sh_info] == NOT_PLACED) continue;
        if (section->sh_type == SHT_REL || section->sh_entsize != sizeof(Elf64_Rela) || section->sh_offset % 8) return false;
        const Elf64_Rela *relocations = (const Elf64_Rela *)(o->data + section->sh_offset);
        for (size_t j = 0; j < section->sh_size / sizeof *relocations; j++)
            if (!each(p, &o->sections[section->sh_info], o->place[section->sh_info], &relocations[j])) return false;
    }
    return true;
}

static uint8_t *find_trace(const Placing *p) {
    const Object *o = &p->object;
    for (size_t i = 0; i < o->symbol_count; i++) {
        const Elf64_Sym *symbol = &o->symbols[i];
        if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx >= o->section_count || strcmp(symbol_name(o, symbol), "kiln_trace"))
            continue;
        if (!(o->sections[symbol->st_shndx].sh_flags & SHF_EXECINSTR)) return NULL;
        return (uint8_t *)(uintptr_t)symbol_address(p, i);
    }
    return NULL;
}

// ---- exits --------------------------------------------------------------------------------------------------------------------
static bool write_exits(Placing *p, Arena *scratch) {
    uint32_t count = p->result->exit_count;
    p->records = arena_alloc(scratch, (count + 1) * sizeof *p->records);
    p->jumps = arena_alloc(scratch, (count + 1) * sizeof *p->jumps);
    for (uint32_t i = 0; i < count; i++) {
        bool counts = p->host->options->count;
        ExitRecord *record = p->records[i] = code_data_alloc(p->memory, counts ? sizeof(CountedExit) : sizeof *record);
        if (!record) return false;
        Code c = {.p = p->stubs + i * STUB_BYTES, .end = p->stubs + (i + 1) * STUB_BYTES, .write_delta = p->memory->write_delta};
        record_describe(record, &p->result->exits[i].exit);
        record_set_stub(record, c.p);
        x_lea(&c, 1, RAX, mem_rip(record));
        x_jmp(&c, p->host->exit);
        size_t slot = slot_bytes(p);
        c = (Code){.p = p->slots + i * slot, .end = p->slots + (i + 1) * slot, .write_delta = p->memory->write_delta};
        if (counts) {
            CountedExit *counted = (CountedExit *)record;
            counted->part = p->result->exits[i].block + 1;
            x_alu_mi(&c, X_ADD, 1, mem_rip(&counted->count), 1); // 8 bytes
        }
        uint8_t *displacement = x_jmp(&c, record_stub(record));
        if (can_be_linked(&p->result->exits[i])) record_set_jump(record, displacement);
    }
    return true;
}

static bool copy_faults(const Placing *p, Arena *scratch, const uint8_t *code, HostCompiled *out) {
    static const uint8_t places[] = {[TRACE_PLACE_CONST] = PLACE_CONST,
                                     [TRACE_PLACE_GPR] = PLACE_GPR,
                                     [TRACE_PLACE_XMM] = PLACE_XMM,
                                     [TRACE_PLACE_STACK] = PLACE_STACK};
    const TraceResult *result = p->result;
    size_t size = (size_t)(p->start + p->size - code);
    if (result->entry_count >= HOST_MOST_ENTRIES) return false;
    out->entry_count = result->entry_count;
    out->entries = arena_alloc(scratch, (result->entry_count + 1) * sizeof *out->entries);
    for (uint32_t i = 0; i < result->entry_count; i++) {
        const TraceFaultEntry *entry = &result->entries[i];
        if (entry->global >= p->host->guest->world.global_count || entry->place > TRACE_PLACE_STACK) return false;
        out->entries[i] = (HostFaultEntry){entry->global, places[entry->place], entry->reg, (uint64_t)entry->value};
    }
    out->fault_count = result->fault_count;
    out->faults = arena_alloc(scratch, (result->fault_count + 1) * sizeof *out->faults);
    for (uint32_t i = 0; i < result->fault_count; i++) {
        const TraceFault *fault = &result->faults[i];
        if (fault->offset >= size || fault->entry_count > MAX_FAULT_ENTRIES) return false;
        out->faults[i] = (HostFault){.offset = fault->offset & INT32_MAX,
                                     .lists_pinned = true,
                                     .first_entry = fault->first_entry & (HOST_MOST_ENTRIES - 1),
                                     .entry_count = fault->entry_count & 1023,
                                     .pc = fault->pc};
    }
    return true;
}

// ---- all of it ----------------------------------------------------------------------------------------------------------------
static size_t round_up(size_t size, size_t unit) { return (size + unit - 1) & ~(unit - 1); }

static void begin(Placing *p) {
    p->start = (uint8_t *)round_up((uintptr_t)p->memory->code_next, CODE_ALIGNMENT);
    p->line = p->start - (uintptr_t)p->start % CACHE_LINE;
}

static bool reserve(Placing *p, size_t sections) {
    size_t slot = slot_bytes(p), slots = round_up(sections, slot), stubs = slots + (size_t)p->result->exit_count * slot;
    p->slots = p->line + slots;
    p->stubs = p->line + stubs;
    p->size = (size_t)(p->stubs - p->start) + (size_t)p->result->exit_count * STUB_BYTES;
    return p->start <= p->memory->code_end && p->size <= (size_t)(p->memory->code_end - p->start);
}

static void copy_sections(const Placing *p) {
    const Object *o = &p->object;
    uint8_t *to = p->line + p->memory->write_delta;
    memset(p->start + p->memory->write_delta, 0xcc, (size_t)(p->slots - p->start)); // int3 in the gaps
    for (unsigned i = 0; i < o->section_count; i++)
        if (o->place[i] != NOT_PLACED) memcpy(to + o->place[i], o->data + o->sections[i].sh_offset, o->sections[i].sh_size);
}

static Reason place(Placing *p, Arena *scratch, HostCompiled *out) {
    size_t sections;
    Object *o = &p->object;
    begin(p);
    if (!find_sections(o) || !find_symbols(o) || !lay_out(o, (size_t)(p->start - p->line), &sections)) return REASON_BAD_RESULT;
    if (!reserve(p, sections)) return REASON_CACHE_FULL;
    if (!write_exits(p, scratch)) return REASON_CACHE_FULL;
    copy_sections(p);
    uint8_t *code = find_trace(p);
    if (!code || !each_relocation(p, count_jump) || !each_relocation(p, relocate) || !copy_faults(p, scratch, code, out))
        return REASON_BAD_RESULT;
    out->code = code;
    out->size = (uint32_t)(p->start + p->size - code);
    out->exits = p->records;
    out->exit_count = p->result->exit_count;
    out->fallbacks = p->result->fallbacks;
    return REASON_NONE;
}

Reason host_place_trace(Host *host, CodeMemory *memory, const TraceResult *result, Arena *scratch, HostCompiled *out) {
    *out = (HostCompiled){0};
    if (result->reason != REASON_NONE) return (Reason)result->reason;
    uint8_t *data = memory->data_next;
    // Its tables are read as structures: it must lie as they want it.
    uint8_t *aligned = arena_alloc_raw(scratch, result->object_size + 1);
    memcpy(aligned, result->object, result->object_size);
    Placing p = {.host = host, .memory = memory, .result = result, .object = {.data = aligned, .size = result->object_size}};
    Reason reason = place(&p, scratch, out);
    if (reason == REASON_NONE) {
        memory->code_next = p.start + p.size;
        return REASON_NONE;
    }
    memset(data, 0, (size_t)(memory->data_next - data)); // code_data_alloc promises zeroes
    memory->data_next = data;
    *out = (HostCompiled){0};
    return reason;
}

// ---- the description ----------------------------------------------------------------------------------------------------------
void host_describe(const Host *host, TraceRequest *request) {
#define FROM_BASE(field) ((int32_t)offsetof(Cpu, field) - (int32_t)offsetof(Cpu, guest) - CPU_BIAS)
    request->layout = (TraceLayout){
        .bias = CPU_BIAS,
        .cpu = -(int32_t)offsetof(Cpu, guest) - CPU_BIAS,
        .pc = FROM_BASE(pc),
        .ibc = FROM_BASE(ibc),
        .ibc_mask = FROM_BASE(ibc_mask),
        .poll = FROM_BASE(poll),
        .guest_mxcsr = FROM_BASE(guest_mxcsr),
        .host_mxcsr = FROM_BASE(host_mxcsr),
        .functions = FROM_BASE(functions),
        .fault_address = FROM_BASE(fault_address),
        .args = FROM_BASE(args),
        .ibc_entries = CPU_IBC_ENTRIES,
        .ibc_entry_bytes = sizeof(IbcEntry),
        .ibc_code = offsetof(IbcEntry, code),
        .pc_shift = host->guest->min_insn_bytes == 4 ? 2 : 1,
        .evaluator = host->guest->world.helper_count,
    };
#undef FROM_BASE
    request->world = host->guest->world;
    memcpy(request->pinned_int, host->guest->pinned_int, sizeof request->pinned_int);
    memcpy(request->pinned_float, host->guest->pinned_float, sizeof request->pinned_float);
}
