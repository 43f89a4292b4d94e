// SPDX-License-Identifier: MIT
//
// Guest memory accesses.
//
// Plain loads and stores are single host instructions of the right width, so they are as atomic as the host
// makes them (fully, when aligned) at any alignment. x86 orders loads with loads and stores with stores by
// itself: an acquiring load and a releasing store are plain, a sequentially consistent store is fenced.
// Read-modify-write operations are compare-and-exchange loops with a lock prefix as long as they lie within
// 16 aligned bytes, hence within a cache line: a locked access to two lines would stop every processor of the
// machine. Beyond that no guest architecture promises atomicity, and they are done by a load and a store.
#include <cpuid.h>
#include <string.h>
#include "interp/access.h"

// Memory of any alignment and any type.
typedef uint8_t U8 __attribute__((may_alias));
typedef uint16_t U16 __attribute__((may_alias, aligned(1)));
typedef uint32_t U32 __attribute__((may_alias, aligned(1)));
typedef uint64_t U64 __attribute__((may_alias, aligned(1)));
typedef long long Vector __attribute__((vector_size(16)));

static unsigned size_of(unsigned mem) { return 1u << (mem & KIR_MEM_SIZE); }
static bool within_16(uint64_t address, unsigned size) { return (address & 15) + size <= 16; }
static bool is_wide_atomic(unsigned mem, uint64_t address) { return (mem & KIR_MEM_ATOMIC) && !(address & 15); }
static bool is_sequential(unsigned mem) { return (mem & KIR_MEM_ACQUIRE) && (mem & KIR_MEM_RELEASE); }

// 16-byte moves are atomic when aligned on machines with AVX (both vendors promise it), and on no others.
static bool wide_moves_are_atomic(void) {
    static signed char known;
    uint32_t eax, ebx, ecx, edx;
    if (!known) known = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_AVX) ? 1 : -1;
    return known > 0;
}

// ---- 16 bytes -----------------------------------------------------------------------------------
static KirValue wide_cas(uint64_t address, KirValue expected, KirValue desired) {
    KirValue old = expected;
    __asm__ volatile("lock cmpxchg16b (%2)"
                     : "+a"(old.u64[0]), "+d"(old.u64[1])
                     : "r"(address), "b"(desired.u64[0]), "c"(desired.u64[1])
                     : "memory", "cc");
    return old;
}

// One instruction each, so that an access that runs into a page without access does nothing at all.
static KirValue wide_move_load(uint64_t address) {
    union {
        Vector vector;
        KirValue value;
    } result;
    __asm__ volatile("movdqu (%1), %0" : "=x"(result.vector) : "r"(address) : "memory");
    return result.value;
}

static void wide_move_store(uint64_t address, KirValue value) {
    union {
        KirValue value;
        Vector vector;
    } source = {value};
    __asm__ volatile("movdqu %1, (%0)" : : "r"(address), "x"(source.vector) : "memory");
}

static KirValue wide_load(unsigned mem, uint64_t address) {
    static const KirValue nothing;
    if (!is_wide_atomic(mem, address) || wide_moves_are_atomic()) return wide_move_load(address);
    return wide_cas(address, nothing, nothing); // exchanges nothing, or 0 for 0
}

static void wide_store(unsigned mem, uint64_t address, KirValue value) {
    if (!is_wide_atomic(mem, address) || wide_moves_are_atomic()) {
        wide_move_store(address, value);
        return;
    }
    KirValue before = {.u64 = {0}}, seen;
    while (seen = wide_cas(address, before, value), memcmp(&seen, &before, sizeof seen)) before = seen;
}

// ---- loads and stores ---------------------------------------------------------------------------
static KirValue plain_load(unsigned mem, uint64_t address) {
    KirValue result = {.u64 = {0}};
    switch (mem & KIR_MEM_SIZE) {
    case KIR_MEM_8: result.i = *(const volatile U8 *)address; break;
    case KIR_MEM_16: result.i = *(const volatile U16 *)address; break;
    case KIR_MEM_32: result.i = *(const volatile U32 *)address; break;
    case KIR_MEM_64: result.i = *(const volatile U64 *)address; break;
    default: result = wide_load(mem, address); break;
    }
    return result;
}

static void plain_store(unsigned mem, uint64_t address, KirValue value) {
    switch (mem & KIR_MEM_SIZE) {
    case KIR_MEM_8: *(volatile U8 *)address = value.u8[0]; break;
    case KIR_MEM_16: *(volatile U16 *)address = value.u16[0]; break;
    case KIR_MEM_32: *(volatile U32 *)address = value.u32[0]; break;
    case KIR_MEM_64: *(volatile U64 *)address = value.u64[0]; break;
    default: wide_store(mem, address, value); break;
    }
}

// Volatile accesses may not pass each other, and these fences keep the compiler from moving others: the host
// orders the rest.
static void compiler_fence(void) { __atomic_thread_fence(__ATOMIC_ACQ_REL); }

KirValue access_load(unsigned mem, uint64_t address) {
    KirValue result = plain_load(mem, address);
    compiler_fence();
    return result;
}

void access_store(unsigned mem, uint64_t address, KirValue value) {
    compiler_fence();
    plain_store(mem, address, value);
    if (is_sequential(mem)) __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

// ---- read-modify-write --------------------------------------------------------------------------
static KirValue locked_cas(unsigned mem, uint64_t address, KirValue expected, KirValue desired) {
    uint64_t old = expected.i;
    switch (mem & KIR_MEM_SIZE) {
    case KIR_MEM_8: __asm__ volatile("lock cmpxchgb %b2, (%1)" : "+a"(old) : "r"(address), "q"(desired.i) : "memory", "cc"); break;
    case KIR_MEM_16: __asm__ volatile("lock cmpxchgw %w2, (%1)" : "+a"(old) : "r"(address), "r"(desired.i) : "memory", "cc"); break;
    case KIR_MEM_32: __asm__ volatile("lock cmpxchgl %k2, (%1)" : "+a"(old) : "r"(address), "r"(desired.i) : "memory", "cc"); break;
    case KIR_MEM_64: __asm__ volatile("lock cmpxchgq %q2, (%1)" : "+a"(old) : "r"(address), "r"(desired.i) : "memory", "cc"); break;
    default: return wide_cas(address, expected, desired);
    }
    return (KirValue){.u64 = {old}};
}

static KirValue cut_to_access(unsigned mem, KirValue value) {
    KirValue result = {.u64 = {0}};
    memcpy(&result, &value, size_of(mem));
    return result;
}

static bool equal(KirValue a, KirValue b) { return a.u64[0] == b.u64[0] && a.u64[1] == b.u64[1]; }

static bool can_lock(unsigned mem, uint64_t address) {
    unsigned size = size_of(mem);
    return size == 16 ? !(address & 15) : within_16(address, size);
}

KirValue access_cas(unsigned mem, uint64_t address, KirValue expected, KirValue desired) {
    expected = cut_to_access(mem, expected);
    if (can_lock(mem, address)) return locked_cas(mem, address, expected, desired);
    KirValue old = access_load(mem, address);
    access_store(mem, address, equal(old, expected) ? desired : old);
    return old;
}

static uint64_t combine(KirAmo operation, unsigned bits, uint64_t old, uint64_t operand) {
    unsigned unused = 64 - bits; // values compare in the same order with their bits at the top
    uint64_t x = old << unused, y = operand << unused;
    switch (operation) {
    case KIR_AMO_XCHG: return operand;
    case KIR_AMO_ADD: return old + operand;
    case KIR_AMO_AND: return old & operand;
    case KIR_AMO_OR: return old | operand;
    case KIR_AMO_XOR: return old ^ operand;
    case KIR_AMO_SMIN: return (int64_t)x < (int64_t)y ? old : operand;
    case KIR_AMO_SMAX: return (int64_t)x > (int64_t)y ? old : operand;
    case KIR_AMO_UMIN: return x < y ? old : operand;
    case KIR_AMO_UMAX: return x > y ? old : operand;
    case KIR_AMO_CLEAR: return old & ~operand;
    }
    return old;
}

KirValue access_amo(unsigned mem, KirAmo operation, uint64_t address, KirValue operand) {
    for (;;) {
        KirValue old = access_load(mem, address);
        KirValue wanted = {.u64 = {combine(operation, 8 * size_of(mem), old.i, operand.i)}};
        if (equal(access_cas(mem, address, old, wanted), old)) return old;
    }
}

// Only a store before a load may pass on x86.
void access_fence(unsigned fence) {
    if ((fence & KIR_FENCE_PW) && (fence & KIR_FENCE_SR)) __atomic_thread_fence(__ATOMIC_SEQ_CST);
    else compiler_fence();
}

// ---- for C --------------------------------------------------------------------------------------
#ifdef KILN_TSAN // the C library's functions are the sanitizer's there
void access_copy(void *to, const void *from, size_t size) {
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

bool access_equal(const void *a, const void *b, size_t size) {
    const volatile uint8_t *x = a, *y = b;
    while (size && *x == *y) x++, y++, size--;
    return size == 0;
}
#else
// Guest addresses are any numbers, 0 among them.
__attribute__((no_sanitize("undefined"))) void access_copy(void *to, const void *from, size_t size) { memcpy(to, from, size); }
__attribute__((no_sanitize("undefined"))) bool access_equal(const void *a, const void *b, size_t size) {
    return memcmp(a, b, size) == 0;
}
#endif
