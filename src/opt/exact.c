// SPDX-License-Identifier: MIT
//
// Guest accesses where somebody looks at the registers when they fault.
//
// Each is a patchpoint: an opaque call that keeps everything but r11, and for which code generation leaves a few bytes of nops, with
// address and value in registers of its choice. All globals that are not at home are operands too, and LLVM writes down where each of
// them is: register, stack, or constant. sites.c puts the access into the nops, and what was written down becomes the fault table. So
// the access is exactly where LLVM believes it to be, in order with all others, and every value it names is right there.
//
// A load may not be removed or moved, but it changes nothing: other loads may be forwarded past it.
#include <string.h>
#include "opt/lower.h"

enum { ANY_REGISTER = 13, MOST_OPERANDS = 4 + 3 + LOWER_GLOBALS };

// ---- the table of sites ---------------------------------------------------------------------------------------------------------
static void *grow(Arena *arena, void *old, uint32_t *capacity, uint32_t needed, size_t size) {
    if (needed <= *capacity) return old;
    uint32_t bigger = *capacity ? 2 * *capacity : 32;
    while (bigger < needed) bigger *= 2;
    old = arena_grow(arena, old, *capacity * size, bigger * size);
    *capacity = bigger;
    return old;
}

static Site *new_site(Lower *l, SiteKind kind, unsigned log2_size) {
    SiteTable *t = &l->sites;
    t->sites = grow(l->arena, t->sites, &t->capacity, t->count + 1, sizeof *t->sites);
    Site *site = &t->sites[t->count++];
    *site = (Site){.pc = l->insn_pc, .kind = (uint8_t)kind, .log2_size = (uint8_t)log2_size, .first_global = t->global_count};
    return site;
}

static void add_global(Lower *l, Site *site, unsigned global) {
    SiteTable *t = &l->sites;
    t->globals = grow(l->arena, t->globals, &t->global_capacity, t->global_count + 1, sizeof *t->globals);
    t->globals[t->global_count++] = (uint16_t)global;
    site->global_count++;
}

// A global as an operand: narrow integers as wide ones, which have a place of their own in every register.
static LLVMValueRef operand_of(Lower *l, unsigned global) {
    LLVMValueRef value = read_global(l, global);
    switch (l->request->world.globals[global].type) {
    case KIR_I1:
    case KIR_I8:
    case KIR_I16:
    case KIR_I32: return LLVMBuildZExt(l->builder, value, llvm_type(l, KIR_I64), "");
    case KIR_I128: l->failed = true; return value;
    default: return value;
    }
}

// ---- the patchpoint -------------------------------------------------------------------------------------------------------------
// `memory` of LLVM's attribute: two bits for each of arguments, inaccessible memory, all other; 1: reads.
enum { READS_MEMORY = 1 | 1 << 2 | 1 << 4 };

static LLVMValueRef patchpoint(Lower *l, Site *site, LLVMTypeRef result, LLVMValueRef *args, unsigned arg_count) {
    LLVMValueRef operands[MOST_OPERANDS];
    unsigned count = 0;
    site->bytes = (uint8_t)site_bytes(site);
    operands[count++] = const_int(l, KIR_I64, (uint64_t)(site - l->sites.sites));
    operands[count++] = const_i32(l, site->bytes);
    operands[count++] = LLVMConstNull(l->ptr);
    operands[count++] = const_i32(l, arg_count);
    for (unsigned i = 0; i < arg_count; i++) operands[count++] = args[i];
    for (unsigned i = 0; i < l->request->world.global_count; i++) {
        if (!l->copy[i] || !set_has(&l->dirty, i)) continue;
        operands[count++] = operand_of(l, i);
        add_global(l, site, i);
    }
    LLVMValueRef call = result == llvm_type(l, KIR_VOID)
                            ? intrinsic(l, "llvm.experimental.patchpoint.void", NULL, 0, operands, count)
                            : intrinsic(l, "llvm.experimental.patchpoint", &result, 1, operands, count);
    LLVMSetInstructionCallConv(call, ANY_REGISTER);
    add_call_attribute(l, call, "nounwind", 0);
    if (site->kind == SITE_LOAD) add_call_attribute(l, call, "memory", READS_MEMORY);
    return call;
}

// ---- loads and stores -------------------------------------------------------------------------------------------------------------
LLVMValueRef exact_load(Lower *l, LLVMTypeRef type, const Access *access) {
    LLVMTypeRef i64 = llvm_type(l, KIR_I64);
    bool integer = LLVMGetTypeKind(type) == LLVMIntegerTypeKind;
    Site *site = new_site(l, SITE_LOAD, access->log2_size);
    site->displacement = access->displacement;
    site->is_signed = access->is_signed;
    site->vector = !integer;
    LLVMValueRef base = access->base, loaded = patchpoint(l, site, integer ? i64 : type, &base, 1);
    return integer && type != i64 ? LLVMBuildTrunc(l->builder, loaded, type, "") : loaded;
}

// The low bits of an integer, in a register.
static LLVMValueRef in_register(Lower *l, LLVMValueRef value) {
    unsigned bits = LLVMGetIntTypeWidth(LLVMTypeOf(value));
    if (bits > 64) return LLVMBuildTrunc(l->builder, value, llvm_type(l, KIR_I64), "");
    return bits < 32 ? LLVMBuildZExt(l->builder, value, llvm_type(l, KIR_I32), "") : value;
}

LLVMValueRef exact_store(Lower *l, LLVMValueRef value, const Access *access) {
    bool integer = LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMIntegerTypeKind;
    Site *site = new_site(l, SITE_STORE, access->log2_size);
    site->displacement = access->displacement;
    site->vector = !integer;
    LLVMValueRef args[2] = {access->base, integer ? in_register(l, value) : value};
    return patchpoint(l, site, llvm_type(l, KIR_VOID), args, 2);
}

// ---- atomic operations in memory that others see ------------------------------------------------------------------------------------
// The old value, zero-extended to the operand's type.
static LLVMValueRef atomic(Lower *l, SiteKind kind, LLVMValueRef address, LLVMValueRef *values, unsigned count) {
    LLVMTypeRef type = LLVMTypeOf(values[0]), i64 = llvm_type(l, KIR_I64);
    unsigned bits = LLVMGetIntTypeWidth(type);
    Site *site = new_site(l, kind, (unsigned)__builtin_ctz(bits / 8));
    LLVMValueRef args[3] = {address};
    for (unsigned i = 0; i < count; i++) args[i + 1] = in_register(l, values[i]);
    LLVMValueRef old = patchpoint(l, site, i64, args, count + 1);
    return type == i64 ? old : LLVMBuildTrunc(l->builder, old, type, "");
}

static LLVMValueRef wide_compare_and_swap(Lower *l, LLVMValueRef *args) {
    return patchpoint(l, new_site(l, SITE_COMPARE_WIDE, 4), llvm_type(l, KIR_V128), args, 3);
}

LLVMValueRef exact_compare_and_swap(Lower *l, LLVMValueRef address, LLVMValueRef expected, LLVMValueRef desired) {
    if (LLVMTypeOf(expected) == llvm_type(l, KIR_V128))
        return wide_compare_and_swap(l, (LLVMValueRef[]){address, expected, desired});
    LLVMValueRef values[2] = {expected, desired};
    return atomic(l, SITE_COMPARE, address, values, 2);
}

LLVMValueRef exact_exchange(Lower *l, LLVMValueRef address, LLVMValueRef value) {
    return atomic(l, SITE_EXCHANGE, address, &value, 1);
}

LLVMValueRef exact_add(Lower *l, LLVMValueRef address, LLVMValueRef value) { return atomic(l, SITE_ADD, address, &value, 1); }
