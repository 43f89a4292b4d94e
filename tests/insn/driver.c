// SPDX-License-Identifier: MIT
//
// The guest program around the generated units: makes an input state for each case, runs the unit, and prints
// `name unit.state hash` over everything the unit could have changed, and how many signals it raised, if any.
// Freestanding: needs write and exit; for units that fault, rt_sigaction, sigaltstack, mprotect and munmap.
//
//   driver [-e] [-f] [-v UNIT STATE]
//
// -e  executes instructions here that the reference emulator does not know (a few lines of C in the SIGILL handler)
// -f  writes each line at once (to find the case that crashes or hangs)
// -v  runs one case and prints its input and output in full
//
// Memory: ten pages; A is the start of the second. Units use [A - 256, A + 512), which straddles a page boundary; the state
// lies at A + 1024. Among the pages from A + 0x2000 on are the bad ones of the fault tests (see protect).
#include "guest.h"

enum { PAGE = 4096, WINDOW_LOW = -256, WINDOW_HIGH = 512 };
enum { UNIT_MEMORY = 1, UNIT_FLOAT = 2, UNIT_FAULTS = 4 };
enum { MAX_SIGNALS = 24, PRESETS = 7 };

// generate.py packs these; see Unit.pack there.
typedef struct Preset {
    uint8_t reg, constant;
    uint16_t unused;
    int32_t value;
} Preset;
typedef struct Unit {
    uint32_t code; // offset in the code
    uint16_t name; // index of the 24-byte name
    uint8_t anchor, flags;
    uint64_t seed;
    uint8_t states, presets, float_kind, int_kind;
    uint8_t fix_reg, unused[3]; // after a fault this register gets A + fix_value
    int32_t fix_value, unused2;
    Preset preset[PRESETS]; // integer registers that hold A + value, or the constant value
    uint8_t pad[8];
} Unit;
_Static_assert(sizeof(Unit) == 96, "generate.py packs units of 96 bytes");

extern const Unit units[], units_end[];
extern const char names[];
extern uint8_t code[], code_end[];

static uint8_t arena[10 * PAGE] __attribute__((aligned(PAGE)));
static uint8_t *const A = arena + PAGE;

static const Unit *current;
static int emulate, verbose, flush_each;
static uint64_t signal_hash;
static unsigned signals;

// ---- values -----------------------------------------------------------------------------------------------------

static uint64_t random_state;

static uint64_t rnd(void) {
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static const uint64_t int_corner[] = {
    0,
    1,
    -1ull,
    2,
    -2ull,
    0x7fffffff,
    0x80000000,
    0xffffffff,
    0x100000000,
    -0x80000000ull,
    0x7fffffffffffffff,
    0x8000000000000000,
    0x8000000000000001,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0xffffffff00000000,
    0x5555555555555555,
    0xaaaaaaaaaaaaaaaa,
    0x0102030405060708,
    0x8000000080000000,
    0x00ff00ff00ff00ff,
    31,
    32,
    63,
    64,
    -0x7fffffffull,
    3,
    5,
};

static uint64_t int_value(unsigned kind, uint64_t previous) {
    uint64_t r = rnd(), v = rnd();
    switch (kind ? kind + 15 : r & 15) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4: return int_corner[r >> 8 & 31];
    case 5: return (1ull << (r >> 8 & 63)) + (r >> 16) % 3 - 1;
    case 6: return -(1ull << (r >> 8 & 63)) + (r >> 16) % 3 - 1;
    case 7: return (int32_t)v;
    case 8: return (uint32_t)v;
    case 9: return v & 0x3f;
    case 10: return previous;
    case 11: return previous + (r >> 8 & 2) - 1;
    case 12: return v >> (r >> 8 & 63);
    case 13: return (int64_t)v >> (r >> 8 & 63);
    case 16: return r & 256 ? v & 127 : int_corner[r >> 9 & 31]; // shift amounts, small numbers
    case 17: return r & 0x300 ? previous : v & 3;                // many equal values
    default: return v;
    }
}

static const uint64_t f64_corner[] = {
    0,
    0x8000000000000000,
    1,
    0x8000000000000001,
    0x000fffffffffffff,
    0x800fffffffffffff,
    0x0010000000000000,
    0x8010000000000000,
    0x7fefffffffffffff,
    0xffefffffffffffff,
    0x7ff0000000000000,
    0xfff0000000000000,
    0x7ff8000000000000,
    0xfff8000000000000,
    0x7ff800000000dead,
    0x7ff0000000000001,
    0xfff4000000000123,
    0x7ff7ffffffffffff,
    0x3ff0000000000000,
    0xbff0000000000000,
    0x3fe0000000000000,
    0xbfe0000000000000,
    0x3ff8000000000000,
    0xc004000000000000,
    0x3fefffffffffffff,
    0x3fe0000000000001,
    0x41dfffffffc00000,
    0x41dfffffffe00000,
    0x41e0000000000000,
    0xc1e0000000000000,
    0xc1e0000000100000,
    0xc1e0000000200000,
    0x41efffffffe00000,
    0x41effffffff00000,
    0x41f0000000000000,
    0x43dfffffffffffff,
    0x43e0000000000000,
    0xc3e0000000000000,
    0xc3e0000000000001,
    0x43efffffffffffff,
    0x43f0000000000000,
    0x4330000000000001,
    0x4340000000000000,
    0xbfd0000000000000,
    0x36a0000000000000,
    0x3690000000000000,
    0x3690000000000001,
    0x380fffffffffffff,
    0x380fffffe0000000,
    0x380ffffff0000000,
    0x47efffffe0000000,
    0x47efffffefffffff,
    0x47effffff0000000,
    0xc7f0000000000000,
    0x3ff0000010000000,
    0x3ff0000010000001,
    0x3ff0000030000000,
    0x400921fb54442d18,
    0xbff0000000000001,
    0x3ca0000000000000,
    0x3cb0000000000000,
    0x5fe0000000000000,
    0x2000000000000000,
    0x1ff0000000000001,
};

static const uint32_t f32_corner[] = {
    0,          0x80000000, 1,          0x80000001, 0x007fffff, 0x807fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff,
    0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7fc0dead, 0x7f800001, 0xffa00123, 0x7fbfffff, 0x3f800000, 0xbf800000,
    0x3f000000, 0xbf000000, 0x3fc00000, 0xc0200000, 0x3f7fffff, 0x3f000001, 0x4effffff, 0x4f000000, 0xcf000000, 0xcf000001,
    0x4f7fffff, 0x4f800000, 0x5effffff, 0x5f000000, 0xdf000000, 0xdf000001, 0x5f7fffff, 0x5f800000, 0x4b000001, 0x4b800000,
    0xbe800000, 0x33800000, 0x34000000, 0x38800000, 0x477fe000, 0x477ff000, 0x33000000, 0x387fc000, 0x40490fdb, 0x3f800001,
    0xbf800001, 0x5f3504f3, 0x1fb504f3, 0x20000000, 0x00000002, 0x00400000, 0x7f000000, 0x0c000000, 0x72ffffff, 0x43ff8000,
    0x46fffe00, 0x47000000, 0x477fff00, 0xc7000100,
};

static const uint16_t f16_corner[] = {
    0,      0x8000, 1,      0x8001, 0x03ff, 0x83ff, 0x0400, 0x8400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0xfe00, 0x7edd, 0x7c01,
    0xfd23, 0x7dff, 0x3c00, 0xbc00, 0x3800, 0xb800, 0x3e00, 0xc100, 0x3bff, 0x3801, 0x7800, 0x7bfe, 0x6400, 0x6401, 0x0002, 0x0200,
};

static uint64_t f64_value(void) {
    uint64_t r = rnd(), v = rnd();
    if (!(r & 3)) return v;
    if (r & 4) return f64_corner[r >> 8 & 63];
    uint64_t exponent = r & 8 ? 1023 + (r >> 8 & 63) - 32 : r & 16 ? (r >> 8) % 60 : 2046 - (r >> 8) % 60;
    uint64_t fraction = r & 32 ? v & 0xfffffffffffff : v & 0xffff000000000 << (r >> 20 & 1) * 4;
    return (v & 1ull << 63) | exponent << 52 | (fraction & 0xfffffffffffff);
}

static uint32_t f32_value(void) {
    uint64_t r = rnd(), v = rnd();
    if (!(r & 3)) return v;
    if (r & 4) return f32_corner[r >> 8 & 63];
    uint32_t exponent = r & 8 ? 127 + (r >> 8 & 31) - 16 : r & 16 ? (r >> 8) % 30 : 254 - (r >> 8) % 30;
    return (uint32_t)(v >> 32 & 0x80000000) | exponent << 23 | (v & (r & 32 ? 0x7fffff : 0x7f8000));
}

static uint64_t float_value(unsigned kind, uint64_t previous) {
    uint64_t r = rnd();
    if (kind == 0) kind = 1 + (r >> 32) % 3;
    if (!(r & 15)) return r & 16 ? previous : previous ^ 1ull << 63 ^ 1u << 31; // equal, or the negative, in both formats
    if (!(r & 0xf0)) return f64_value();                                        // for f32 and f16: mostly not boxed
    if (kind == 1) return -1ull << 32 | f32_value();
    if (kind == 2) return f64_value();
    return -1ull << 16 | (r & 256 ? f16_corner[r >> 9 & 31] : rnd() & 0xffff);
}

// ---- states -----------------------------------------------------------------------------------------------------

static uint64_t *x_slot(int i) { return (uint64_t *)(A + X_OFFSET) + i; }
static uint64_t *f_slot(int i) { return (uint64_t *)(A + F_OFFSET) + i; }
static uint64_t *word_at(int offset) { return (uint64_t *)(A + offset); }

// The memory of a unit, as ranges from A: the window, and for units that fault what lies around the bad pages.
typedef struct Range {
    int low, high;
} Range;
static const Range ranges[] = {
    {WINDOW_LOW, WINDOW_HIGH}, {0x2000 - 128, 0x2000}, {0x3000, 0x3000 + 16}, {0x4000 - 128, 0x4000},
    {0x5000, 0x5000 + 16},     {0x6000 - 128, 0x6000}, {0x7000, 0x7000 + 16},
};

static const Range *ranges_end(const Unit *unit) {
    if (!(unit->flags & UNIT_MEMORY)) return ranges;
    return unit->flags & UNIT_FAULTS ? ranges + sizeof ranges / sizeof ranges[0] : ranges + 1;
}

static void make_memory(const Unit *unit) {
    uint64_t v = 0;
    for (const Range *range = ranges; range < ranges_end(unit); range++)
        for (int i = range->low; i < range->high; i += 8)
            *word_at(i) = v = rnd() & 1 ? int_value(unit->int_kind, v) : float_value(unit->float_kind, v);
}

static void make_state(const Unit *unit, unsigned state) {
    uint64_t v = 0;
    random_state = unit->seed + state * 0x2545f4914f6cdd1d;
    for (int i = 1; i < 32; i++) *x_slot(i) = v = int_value(unit->int_kind, v);
    for (int i = 0; i < unit->presets; i++) {
        const Preset *preset = &unit->preset[i];
        *x_slot(preset->reg) = preset->constant ? (uint64_t)preset->value : (uint64_t)A + preset->value;
    }
    *x_slot(unit->anchor) = (uint64_t)A;
    for (int i = 0; i < 32; i++) *f_slot(i) = v = float_value(unit->float_kind, v);
    uint64_t r = rnd();
    *word_at(FCSR_OFFSET) = (r & 0xffff) % 5 << 5 | (r & 0x10000 ? 0 : r & 0x20000 ? 31 : r >> 20 & 31);
    *word_at(ENTRY_OFFSET) = (uint64_t)(code + unit->code);
    *word_at(EXIT_OFFSET) = (uint64_t)leave_table[unit->anchor];
    make_memory(unit);
}

static uint64_t mix(uint64_t hash, uint64_t v) {
    hash = (hash ^ v) * 0x9fb21c651e98df25;
    return hash ^ hash >> 29;
}

static uint64_t hash_state(const Unit *unit) {
    uint64_t hash = signal_hash;
    for (int i = 1; i < 32; i++) hash = mix(hash, *x_slot(i));
    for (int i = 0; i < 32; i++) hash = mix(hash, *f_slot(i));
    hash = mix(hash, *word_at(FCSR_OFFSET));
    for (const Range *range = ranges; range < ranges_end(unit); range++)
        for (int i = range->low; i < range->high; i += 8) hash = mix(hash, *word_at(i));
    return hash;
}

static void print_state(const Unit *unit, const char *what) {
    for (int i = 1; i < 32; i++) put_line(what, "x", i, *x_slot(i));
    for (int i = 0; i < 32; i++) put_line(what, "f", i, *f_slot(i));
    put_line(what, "fcsr", -1, *word_at(FCSR_OFFSET));
    for (const Range *range = ranges; range < ranges_end(unit); range++)
        for (int i = range->low; i < range->high; i += 8)
            put_line(what, "mem", i - WINDOW_LOW, *word_at(i)); // counted from A - 256
}

// ---- signals ----------------------------------------------------------------------------------------------------

// The instructions that the reference does not know (Zicond) or gets wrong: the ctzw of qemu 7.2 counts on into the high
// word when the low one is 0. Under -e the wrong ones are replaced by an opcode that is free for customs, so that they come
// to `emulated` too.
enum { CTZW_MASK = 0xfff0707f, CTZW = 0x6010101b, STAND_IN = 0x0b };

static void replace_wrong_insns(void) {
    syscall4(SYS_MPROTECT, (long)code, (code_end - code + PAGE - 1) & -PAGE, 7, 0);
    for (uint16_t *p = (uint16_t *)code; p < (uint16_t *)code_end; p += (p[0] & 3) == 3 ? 2 : 1) {
        uint32_t insn = insn_at((uint64_t)p);
        if ((insn & CTZW_MASK) == CTZW) p[0] = (p[0] & ~0x7f) | STAND_IN;
    }
    syscall4(SYS_MPROTECT, (long)code, (code_end - code + PAGE - 1) & -PAGE, 5, 0);
}

static unsigned count_zeros(uint32_t v) {
    unsigned n = 0;
    for (; !(v & 1); v >>= 1) n++;
    return n;
}

// True: done.
static int emulated(Context *context) {
    uint32_t insn = insn_at(context->x[0]);
    unsigned rd = insn >> 7 & 31, rs1 = insn >> 15 & 31, rs2 = insn >> 20 & 31;
    uint64_t a = rs1 ? context->x[rs1] : 0, b = rs2 ? context->x[rs2] : 0, result;
    if ((insn & 0xfe00707f) == 0x0e005033) // czero.eqz
        result = b == 0 ? 0 : a;
    else if ((insn & 0xfe00707f) == 0x0e007033) // czero.nez
        result = b != 0 ? 0 : a;
    else if ((insn & 0x7f) == STAND_IN) // ctzw
        result = (uint32_t)a ? count_zeros((uint32_t)a) : 32;
    else return 0;
    if (rd) context->x[rd] = result;
    context->x[0] += 4;
    return 1;
}

static void note_signal(const Info *info, const Context *context) {
    uint64_t hash = mix(signal_hash, (uint64_t)info->signal << 32 | (uint32_t)info->code);
    hash = mix(hash, info->signal == SIGTRAP ? 0 : info->address);
    for (int i = 0; i < 32; i++) hash = mix(hash, context->x[i]);
    for (int i = 0; i < 32; i++) hash = mix(hash, context->f[i]);
    signal_hash = mix(hash, context->fcsr);
    if (!verbose) return;
    put_line("signal", "number", -1, info->signal);
    put_line("signal", "code", -1, info->code);
    put_line("signal", "address", -1, info->address);
    put_line("signal", "pc", -1, context->x[0]);
    for (int i = 1; i < 32; i++) put_line("signal", "x", i, context->x[i]);
    for (int i = 0; i < 32; i++) put_line("signal", "f", i, context->f[i]);
    put_line("signal", "fcsr", -1, context->fcsr);
}

// Notes everything and goes on: behind an illegal instruction or breakpoint, or, once the register that the unit names
// is mended, at the faulting instruction again. A unit with too many signals is left at once.
static void on_signal(int number, const Info *info, Context *context) {
    uint64_t pc = context->x[0];
    int in_unit = pc >= (uint64_t)code && pc < (uint64_t)code_end;
    if (in_unit && number == SIGILL && emulate && emulated(context)) return;
    if (!in_unit) {
        put_line("driver", "signal", number, pc);
        flush();
        syscall4(SYS_EXIT, 4, 0, 0, 0);
    }
    note_signal(info, context);
    int fault = number == SIGSEGV || number == SIGBUS;
    if (++signals > MAX_SIGNALS || (fault && !current->fix_reg)) {
        context->x[current->anchor] = (uint64_t)A;
        context->x[0] = (uint64_t)leave_table[current->anchor];
    } else if (fault) {
        context->x[current->fix_reg] = (uint64_t)A + current->fix_value;
    } else {
        context->x[0] += (insn_at(pc) & 3) == 3 ? 4 : 2;
    }
}

// From A: +0x2000 no access, +0x4000 read-only, +0x6000 not mapped; ordinary pages between them.
static void protect(void) {
    syscall4(SYS_MPROTECT, (long)(A + 0x2000), PAGE, 0, 0);
    for (int i = 0; i < PAGE; i += 8) *word_at(0x4000 + i) = rnd();
    syscall4(SYS_MPROTECT, (long)(A + 0x4000), PAGE, 1, 0);
    syscall4(SYS_MUNMAP, (long)(A + 0x6000), PAGE, 0, 0);
}

// ---- cases --------------------------------------------------------------------------------------------------------

static void run_case(const Unit *unit, unsigned state) {
    current = unit;
    signal_hash = signals = 0;
    make_state(unit, state);
    if (verbose) {
        put_line("code", "at", -1, (uint64_t)(code + unit->code));
        print_state(unit, "in");
        flush();
    }
    run_unit((uint64_t)A, enter_table[unit->anchor]);
    if (verbose) print_state(unit, "out");
    put(names + 24 * unit->name);
    put(" ");
    put_dec(unit - units);
    put(".");
    put_dec(state);
    put(" ");
    put_hex(hash_state(unit));
    if (signals) {
        put(" signals ");
        put_dec(signals);
    }
    put("\n");
    if (flush_each || verbose) flush();
}

static unsigned number(const char *text) {
    unsigned v = 0;
    while (*text) v = v * 10 + (unsigned)(*text++ - '0');
    return v;
}

void driver_main(uint64_t *stack) {
    char **argument = (char **)(stack + 2);
    catch_signals(on_signal);
    protect();
    if (*argument && (*argument)[1] == 'e') {
        emulate = 1;
        replace_wrong_insns();
        argument++;
    }
    if (*argument && (*argument)[1] == 'f') {
        flush_each = 1;
        argument++;
    }
    if (*argument && (*argument)[1] == 'v') {
        verbose = 1;
        run_case(units + number(argument[1]), number(argument[2]));
    } else {
        for (const Unit *unit = units; unit < units_end; unit++)
            for (unsigned state = 0; state < unit->states; state++) run_case(unit, state);
    }
    put("end\n");
    flush();
    syscall4(SYS_EXIT, 0, 0, 0, 0);
    __builtin_unreachable();
}
