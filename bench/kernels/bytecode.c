// SPDX-License-Identifier: MIT
// A bytecode interpreter: a switch in a loop, that is, an indirect jump an instruction.
// group: int
// size: 4400
#include "kernel.h"

enum { PUSH, ADD, SUB, MUL, AND, XOR, DUP, SWAP, LOAD, STORE, DEC, JNZ, HALT };

static const uint8_t program[] = {
    // 0: variables 0 = counter, 1 = sum, 2 = seed
    LOAD, 2,   PUSH, 13,   MUL,   PUSH, 7,     ADD,  DUP, STORE, 2, // seed = seed * 13 + 7
    PUSH, 127, AND,  LOAD, 1,     ADD,  STORE, 1,                   // sum += seed & 127
    LOAD, 1,   LOAD, 0,    XOR,   LOAD, 2,     SWAP, SUB, STORE, 1, // sum = seed - (sum ^ counter)
    LOAD, 0,   DEC,  DUP,  STORE, 0,    JNZ,   0,    HALT};

static uint64_t run(uint64_t count) {
    uint64_t stack[16], *top = stack, variables[3] = {count, 0, 1};
    for (const uint8_t *pc = program;;) {
        switch (*pc++) {
        case PUSH: *top++ = *pc++; break;
        case ADD: top--, top[-1] += *top; break;
        case SUB: top--, top[-1] -= *top; break;
        case MUL: top--, top[-1] *= *top; break;
        case AND: top--, top[-1] &= *top; break;
        case XOR: top--, top[-1] ^= *top; break;
        case DUP: *top = top[-1], top++; break;
        case SWAP: {
            uint64_t t = top[-1];
            top[-1] = top[-2], top[-2] = t;
            break;
        }
        case LOAD: *top++ = variables[*pc++]; break;
        case STORE: variables[*pc++] = *--top; break;
        case DEC: top[-1]--; break;
        case JNZ: pc = *--top ? program + *pc : pc + 1; break;
        default: return variables[1];
        }
    }
}

static uint64_t kernel(unsigned percent) { return run(percent * 25000ull); }
