#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random control flow: what the host makes of a program against kiln, in the ways that traces are made.

    tests/flow.py --kiln build/kiln [--count 12] [--seed 1] [--jobs 2] [--ways NAME,NAME] [--keep DIR] [--long]

A program is a handful of functions that call each other, directly and through a table of pointers, and recursively; with nested loops,
switches, conditions that go one way for a while and another way then (phases), longjmp out of the midst, and a function whose code is
rewritten as it runs (on the host: a variable). Everything is counted by `fuel`, so each program ends. It prints a checksum a phase, and
again the sum of all at its end.

Each program runs in some of the ways, the next program in the next ones, so that all have their turn; with --long in all."""
import argparse
import random
import sys

import support

WAYS_EACH = 4

PREFIX = """// %(name)s
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
typedef uint64_t u64;
typedef u64 Function(u64 x, u64 y, int depth);
enum { SIZE = 256 };
static u64 array[SIZE], sum, ticks, phase;
static long fuel;
static jmp_buf out;
#ifdef __riscv
#include <sys/mman.h>
static uint32_t *patched;
// li a0, value; add a0, a0, a1; ret
static void patch(unsigned value) {
    if (!patched) patched = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t code[] = {0x00000513 | value %% 2048 << 20, 0x00b50533, 0x00008067};
    memcpy(patched, code, sizeof code);
    __asm__ volatile("fence.i" ::: "memory");
}
static u64 rewritten(u64 x) { return ((u64(*)(u64, u64))(void *)patched)(0, x); }
#else
static unsigned patched;
static void patch(unsigned value) { patched = value %% 2048; }
static u64 rewritten(u64 x) { return patched + x; }
#endif
static u64 mix(u64 x) { x ^= x >> 29; x *= 0x9e3779b97f4a7c15ull; return x ^ x >> 32; }
"""

SUFFIX = """
int main(void) {
    for (int i = 0; i < SIZE; i++) array[i] = mix((u64)i + %(seed)d);
    patch(7);
    for (phase = 0; phase < %(phases)d; phase++) {
        fuel = %(fuel)d;
        volatile u64 round = 0;
        setjmp(out);
        while (fuel > 0) {
            round++;
            fuel--;
            sum += f0(round, phase, 0);
        }
        printf("%%d %%016llx %%llu\\n", (int)phase, (unsigned long long)sum, (unsigned long long)round);
    }
    for (int i = 0; i < SIZE; i++) sum = mix(sum ^ array[i]);
    printf("%%016llx %%llu\\n", (unsigned long long)sum, (unsigned long long)ticks);
    return 0;
}
"""


class Writer:
    """One program; a body is a list of lines, and every statement may use x, y, a and b."""

    def __init__(self, seed):
        self.rng, self.seed = random.Random(seed * 7919 + 3), seed
        self.functions = self.rng.randrange(4, 9)

    def value(self, deep=2):
        rng = self.rng
        if not deep or rng.random() < 0.3:
            return rng.choice(("x", "y", "a", "b", f"{rng.randrange(1, 999)}u", f"array[{rng.choice('xyab')} % SIZE]", "phase"))
        left, right = self.value(deep - 1), self.value(deep - 1)
        return rng.choice((f"({left} + {right})", f"({left} - {right})", f"({left} ^ {right})", f"({left} * {rng.randrange(3, 99)}u)",
                           f"({left} >> {rng.randrange(1, 40)})", f"({left} << {rng.randrange(1, 9)})", f"({left} & {right})",
                           f"(u64)((int){left} % {rng.randrange(2, 50)})", f"(u64)({left} < {right})"))

    def condition(self):
        """Most of them lean to one side, some change it with the phase or with time."""
        rng = self.rng
        return rng.choice((f"{self.value()} % {rng.randrange(2, 12)} == 0", f"ticks % 1024 < {rng.randrange(20, 1000)}",
                           f"(phase + {rng.randrange(3)}) % 3 == 0", f"{self.value()} > {self.value()}", f"ticks++ & {1 << rng.randrange(10)}"))

    def assignment(self):
        target = self.rng.choice(("a", "b", "a", "b", "x", "y", f"array[{self.rng.choice('xyab')} % SIZE]", "sum"))
        return f"{target} {self.rng.choice(('=', '+=', '^=', '-='))} {self.value()};"

    def call(self):
        rng = self.rng
        kind = rng.randrange(4)
        if kind == 0:
            return f"b ^= rewritten({self.value(1)});"
        which = f"table[{self.value(1)} % {self.functions}]" if kind == 1 else f"f{rng.randrange(self.functions)}"
        return f"if (depth < {rng.randrange(3, 7)}) a += {which}({self.value(1)}, {self.value(1)}, depth + 1);"

    def statement(self, nest):
        rng = self.rng
        kind = rng.random() if nest else rng.random() * 0.45
        if kind < 0.35:
            return [self.assignment()]
        if kind < 0.43:
            return [self.call()]
        if kind < 0.45:
            return [rng.choice((f"if (ticks++ % {rng.randrange(200, 900)} == 3) patch((unsigned)ticks);",
                                f"if (ticks++ % {rng.randrange(300, 2000)} == 5) longjmp(out, 1);", "if (fuel <= 0) return a;"))]
        if kind < 0.68:
            body = self.block(nest - 1)
            other = ["} else {", *self.block(nest - 1)] if rng.random() < 0.6 else []
            return [f"if ({self.condition()}) {{", *body, *other, "}"]
        if kind < 0.88:
            count = rng.choice((f"{rng.randrange(1, 40)}", f"{self.value(1)} % {rng.randrange(2, 30)}"))
            leave = [f"if ({self.condition()}) {rng.choice(('break', 'continue'))};"] if rng.random() < 0.4 else []
            return [f"for (u64 i = 0, n = {count}; i < n && --fuel > 0; i++) {{", "a += i;", *leave, *self.block(nest - 1), "}"]
        cases = rng.randrange(3, 12)
        lines = [f"switch ({self.value(1)} % {cases + 1}) {{"]
        for case in range(cases):
            lines += [f"case {case}:", *self.block(nest - 1, 1), *(["break;"] if rng.random() < 0.8 else [])]
        return [*lines, f"default: a += {cases};", "}"]

    def block(self, nest, most=4):
        return [line for _ in range(self.rng.randrange(1, most + 1)) for line in self.statement(nest)]

    def program(self):
        n = self.functions
        parts = [PREFIX % {"name": f"seed {self.seed}"}, *(f"static Function f{i};" for i in range(n)),
                 f"static Function *const table[] = {{{', '.join(f'f{i}' for i in range(n))}}};"]
        for i in range(n):
            parts += [f"__attribute__((noinline)) static u64 f{i}(u64 x, u64 y, int depth) {{", "u64 a = mix(x), b = y + (u64)depth;",
                      "if (--fuel <= 0) return x;", *self.block(3), "return a ^ b;", "}"]
        return "\n".join(parts) + SUFFIX % {"seed": self.seed, "phases": 4, "fuel": self.rng.choice((4000, 20000, 100000))}


def level(seed):
    return support.LEVELS[seed % len(support.LEVELS)]


def prepare(seed, folder):
    source, native, guest = folder / f"{seed}.c", folder / f"{seed}.native", folder / f"{seed}.riscv64"
    source.write_text(Writer(seed).program())
    flags = ["-w", "-fno-strict-aliasing", level(seed)]
    error = support.compile_c(source, native, "native", flags) or support.compile_c(source, guest, "riscv64", flags)
    if error:
        raise RuntimeError(error)
    result = support.run([native], 20)
    if result.status != 0:
        raise RuntimeError(f"native: {result.describe()}")
    return guest, result


def check(seed, args, folder):
    guest, expected = prepare(seed, folder)
    names = list(args.ways)
    if not args.long:
        first = seed * WAYS_EACH
        names = [names[i % len(names)] for i in range(first, first + min(WAYS_EACH, len(names)))]
    outcomes = []
    for name in names:
        result = support.run([*args.ways[name], guest], 120)
        outcomes.append((name, "" if result.same == expected.same else f"{result.output!r}, expected {expected.output!r}; {result.describe()}"))
    return outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    support.random_arguments(parser, 12)
    parser.add_argument("--ways", default=",".join(support.WAYS))
    parser.add_argument("--long", action="store_true", help="every program in every way")
    args = parser.parse_args()
    args.ways = support.ways_of(args.kiln, args.ways.split(","))
    return support.run_random_programs(args, level, lambda seed, folder: check(seed, args, folder))


sys.exit(main())
