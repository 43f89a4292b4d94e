// SPDX-License-Identifier: MIT
//
// The x86-64 instruction encoder: bytes and nothing else. It knows no values, no guest and no registers' roles.
//
// Errors are sticky: when the buffer is full, `overflow` is set and bytes are dropped; the caller looks once a block.
// `p` always points to where the next byte goes in the executable view; bytes are written at p + write_delta, which is 0
// unless the host forbids memory that is writable and executable at once.
#ifndef KILN_HOST_X86_64_ENCODE_H
#define KILN_HOST_X86_64_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, NO_REG = 0xff };

typedef enum X86Cond {
    CC_O,
    CC_NO,
    CC_B,
    CC_AE,
    CC_E,
    CC_NE,
    CC_BE,
    CC_A,
    CC_S,
    CC_NS,
    CC_P,
    CC_NP,
    CC_L,
    CC_GE,
    CC_LE,
    CC_G
} X86Cond;

typedef struct Code {
    uint8_t *p, *end;
    ptrdiff_t write_delta;
    bool overflow;
    bool avx; // floating point and vectors in VEX forms
} Code;

// A memory operand: base + index * 2^scale + disp, or rip-relative to `target` (base == NO_REG).
typedef struct Mem {
    uint8_t base, index, scale;
    int32_t disp;
    const uint8_t *target;
} Mem;

static inline Mem mem_base(unsigned base, int32_t disp) { return (Mem){(uint8_t)base, NO_REG, 0, disp, 0}; }
static inline Mem mem_index(unsigned base, unsigned index, unsigned scale, int32_t disp) {
    return (Mem){(uint8_t)base, (uint8_t)index, (uint8_t)scale, disp, 0};
}
static inline Mem mem_rip(const void *target) { return (Mem){NO_REG, NO_REG, 0, 0, target}; }

static inline void emit8(Code *c, uint8_t byte) {
    if (c->p >= c->end) {
        c->overflow = true;
        return;
    }
    *(c->p + c->write_delta) = byte;
    c->p++;
}
static inline void emit32(Code *c, uint32_t word) {
    if (c->end - c->p < 4) {
        c->overflow = true;
        return;
    }
    memcpy(c->p + c->write_delta, &word, 4);
    c->p += 4;
}
static inline void emit64(Code *c, uint64_t word) {
    emit32(c, (uint32_t)word);
    emit32(c, (uint32_t)(word >> 32));
}

// Opcodes are written as in the manual: 0x89, 0x0faf, 0x0f38f6. A mandatory prefix stands in bits 24-31.
#define P66(opcode) (0x66000000u | (opcode))
#define PF2(opcode) (0xf2000000u | (opcode))
#define PF3(opcode) (0xf3000000u | (opcode))

static inline void emit_opcode(Code *c, uint32_t opcode) {
    opcode &= 0xffffff;
    if (opcode > 0xffff) emit8(c, (uint8_t)(opcode >> 16));
    if (opcode > 0xff) emit8(c, (uint8_t)(opcode >> 8));
    emit8(c, (uint8_t)opcode);
}

// ModRM, SIB and displacement. `after` = bytes of immediate that follow (rip-relative displacements count from there).
static inline void emit_mem(Code *c, unsigned reg, Mem m, int after) {
    reg = (reg & 7) << 3;
    if (m.base == NO_REG) {
        emit8(c, (uint8_t)(reg | 5));
        emit32(c, (uint32_t)(int32_t)(m.target - (c->p + 4 + after)));
        return;
    }
    unsigned base = m.base & 7;
    unsigned mod = m.disp == 0 && base != 5 ? 0 : m.disp == (int8_t)m.disp ? 1 : 2;
    if (m.index != NO_REG) {
        emit8(c, (uint8_t)(mod << 6 | reg | 4));
        emit8(c, (uint8_t)(m.scale << 6 | (m.index & 7u) << 3 | base));
    } else {
        emit8(c, (uint8_t)(mod << 6 | reg | base));
        if (base == 4) emit8(c, 0x24);
    }
    if (mod == 1) emit8(c, (uint8_t)m.disp);
    if (mod == 2) emit32(c, (uint32_t)m.disp);
}

static inline unsigned high(unsigned reg) { return reg != NO_REG && (reg & 8) ? 1 : 0; }

static inline void emit_prefix_rex(Code *c, uint32_t opcode, unsigned w, unsigned reg, unsigned index, unsigned base,
                                   bool force_rex) {
    if (opcode >> 24) emit8(c, (uint8_t)(opcode >> 24));
    unsigned rex = w << 3 | high(reg) << 2 | high(index) << 1 | high(base);
    if (rex || force_rex) emit8(c, (uint8_t)(0x40 | rex));
}

// op reg, rm(register). w = 64-bit operand size.
static inline void x_rr(Code *c, uint32_t opcode, unsigned w, unsigned reg, unsigned rm) {
    emit_prefix_rex(c, opcode, w, reg, NO_REG, rm, false);
    emit_opcode(c, opcode);
    emit8(c, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}
// Byte registers spl..dil need a REX prefix.
static inline void x_rr8(Code *c, uint32_t opcode, unsigned w, unsigned reg, unsigned rm) {
    emit_prefix_rex(c, opcode, w, reg, NO_REG, rm, reg >= 4 || rm >= 4);
    emit_opcode(c, opcode);
    emit8(c, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}
static inline void x_rm_after(Code *c, uint32_t opcode, unsigned w, unsigned reg, Mem m, int after) {
    emit_prefix_rex(c, opcode, w, reg, m.index, m.base, false);
    emit_opcode(c, opcode);
    emit_mem(c, reg, m, after);
}
static inline void x_rm(Code *c, uint32_t opcode, unsigned w, unsigned reg, Mem m) { x_rm_after(c, opcode, w, reg, m, 0); }
static inline void x_rm8(Code *c, uint32_t opcode, unsigned reg, Mem m) {
    emit_prefix_rex(c, opcode, 0, reg, m.index, m.base, reg >= 4 && reg < 8);
    emit_opcode(c, opcode);
    emit_mem(c, reg, m, 0);
}

// The eight two-operand arithmetic instructions, by their /digit: add or adc sbb and sub xor cmp.
enum { X_ADD, X_OR, X_ADC, X_SBB, X_AND, X_SUB, X_XOR, X_CMP };
static inline void x_alu_rr(Code *c, unsigned op, unsigned w, unsigned dst, unsigned src) { x_rr(c, op << 3 | 1, w, src, dst); }
static inline void x_alu_rm(Code *c, unsigned op, unsigned w, unsigned dst, Mem m) { x_rm(c, op << 3 | 3, w, dst, m); }
static inline void x_alu_mr(Code *c, unsigned op, unsigned w, Mem m, unsigned src) { x_rm(c, op << 3 | 1, w, src, m); }
static inline void x_alu_ri(Code *c, unsigned op, unsigned w, unsigned dst, int32_t imm) {
    if (imm == (int8_t)imm) {
        x_rr(c, 0x83, w, op, dst);
        emit8(c, (uint8_t)imm);
    } else {
        x_rr(c, 0x81, w, op, dst);
        emit32(c, (uint32_t)imm);
    }
}
static inline void x_alu_mi(Code *c, unsigned op, unsigned w, Mem m, int32_t imm) {
    if (imm == (int8_t)imm) {
        x_rm_after(c, 0x83, w, op, m, 1);
        emit8(c, (uint8_t)imm);
    } else {
        x_rm_after(c, 0x81, w, op, m, 4);
        emit32(c, (uint32_t)imm);
    }
}

static inline void x_mov_rr(Code *c, unsigned w, unsigned dst, unsigned src) { x_rr(c, 0x8b, w, dst, src); }
static inline void x_mov_rm(Code *c, unsigned w, unsigned dst, Mem m) { x_rm(c, 0x8b, w, dst, m); }
static inline void x_mov_mr(Code *c, unsigned w, Mem m, unsigned src) { x_rm(c, 0x89, w, src, m); }
static inline void x_lea(Code *c, unsigned w, unsigned dst, Mem m) { x_rm(c, 0x8d, w, dst, m); }
static inline void x_mov_mi(Code *c, unsigned w, Mem m, int32_t imm) {
    x_rm_after(c, 0xc7, w, 0, m, 4);
    emit32(c, (uint32_t)imm);
}
// Leaves the flags alone (no xor): constants are materialised between a compare and its jump.
static inline void x_mov_ri(Code *c, unsigned dst, uint64_t imm) {
    if (imm <= 0xffffffffu) {
        emit_prefix_rex(c, 0, 0, 0, NO_REG, dst, false);
        emit8(c, (uint8_t)(0xb8 | (dst & 7)));
        emit32(c, (uint32_t)imm);
    } else if ((int64_t)imm == (int32_t)imm) {
        x_rr(c, 0xc7, 1, 0, dst);
        emit32(c, (uint32_t)imm);
    } else {
        emit_prefix_rex(c, 0, 1, 0, NO_REG, dst, false);
        emit8(c, (uint8_t)(0xb8 | (dst & 7)));
        emit64(c, imm);
    }
}
// Shifts by /digit: rol ror rcl rcr shl shr - sar.
enum { X_ROL, X_ROR, X_SHL = 4, X_SHR = 5, X_SAR = 7 };
static inline void x_shift_ri(Code *c, unsigned op, unsigned w, unsigned dst, unsigned amount) {
    x_rr(c, 0xc1, w, op, dst);
    emit8(c, (uint8_t)amount);
}
static inline void x_shift_cl(Code *c, unsigned op, unsigned w, unsigned dst) { x_rr(c, 0xd3, w, op, dst); }
static inline void x_test_rr(Code *c, unsigned w, unsigned a, unsigned b) { x_rr(c, 0x85, w, b, a); }
static inline void x_setcc(Code *c, X86Cond cc, unsigned dst) { x_rr8(c, 0x0f90u | cc, 0, 0, dst); }
static inline void x_cmov(Code *c, X86Cond cc, unsigned w, unsigned dst, unsigned src) { x_rr(c, 0x0f40u | cc, w, dst, src); }
static inline void x_movzx8(Code *c, unsigned dst, unsigned src) { x_rr8(c, 0x0fb6, 0, dst, src); }

// Jumps: the displacement's address is returned for patching.
static inline uint8_t *x_jmp(Code *c, const uint8_t *target) {
    emit8(c, 0xe9);
    uint8_t *at = c->p;
    emit32(c, target ? (uint32_t)(int32_t)(target - (at + 4)) : 0);
    return at;
}
static inline uint8_t *x_jcc(Code *c, X86Cond cc, const uint8_t *target) {
    emit8(c, 0x0f);
    emit8(c, (uint8_t)(0x80 | cc));
    uint8_t *at = c->p;
    emit32(c, target ? (uint32_t)(int32_t)(target - (at + 4)) : 0);
    return at;
}
static inline uint8_t *x_jcc_short(Code *c, X86Cond cc) {
    emit8(c, (uint8_t)(0x70 | cc));
    emit8(c, 0);
    return c->p - 1;
}
static inline uint8_t *x_jmp_short(Code *c) {
    emit8(c, 0xeb);
    emit8(c, 0);
    return c->p - 1;
}
static inline void x_bind_short(Code *c, uint8_t *at) {
    if (!c->overflow) *(at + c->write_delta) = (uint8_t)(c->p - (at + 1));
}
static inline void x_bind(Code *c, uint8_t *at, const uint8_t *target) {
    if (c->overflow) return;
    int32_t displacement = (int32_t)(target - (at + 4));
    memcpy(at + c->write_delta, &displacement, 4);
}
static inline void x_call(Code *c, const uint8_t *target) {
    emit8(c, 0xe8);
    emit32(c, (uint32_t)(int32_t)(target - (c->p + 4)));
}

// One to eight bytes of no-operation.
static inline void x_nop(Code *c, unsigned bytes) {
    static const uint8_t nops[9][8] = {{0},
                                       {0x90},
                                       {0x66, 0x90},
                                       {0x0f, 0x1f, 0x00},
                                       {0x0f, 0x1f, 0x40, 0},
                                       {0x0f, 0x1f, 0x44, 0, 0},
                                       {0x66, 0x0f, 0x1f, 0x44, 0, 0},
                                       {0x0f, 0x1f, 0x80, 0, 0, 0, 0},
                                       {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}};
    while (bytes) {
        unsigned n = bytes > 8 ? 8 : bytes;
        for (unsigned i = 0; i < n; i++) emit8(c, nops[n][i]);
        bytes -= n;
    }
}

// ---- VEX ----------------------------------------------------------------------------------------------------------
// The opcode notation is the same: P66/PF2/PF3 and 0x0f.., 0x0f38.., 0x0f3a.. choose pp and map.
static inline void emit_vex(Code *c, uint32_t opcode, unsigned w, unsigned l, unsigned reg, unsigned vvvv, unsigned index,
                            unsigned base) {
    unsigned prefix = opcode >> 24;
    unsigned pp = prefix == 0x66 ? 1 : prefix == 0xf3 ? 2 : prefix == 0xf2 ? 3 : 0;
    unsigned long_opcode = opcode & 0xffffff;
    unsigned map = long_opcode > 0xffff ? ((long_opcode >> 8 & 0xff) == 0x38 ? 2 : 3) : 1;
    unsigned v = (~vvvv & 15) << 3 | l << 2 | pp;
    if (map == 1 && !w && !high(index) && !high(base)) {
        emit8(c, 0xc5);
        emit8(c, (uint8_t)((high(reg) ? 0 : 0x80) | v));
    } else {
        emit8(c, 0xc4);
        emit8(c, (uint8_t)((high(reg) ? 0 : 0x80) | (high(index) ? 0 : 0x40) | (high(base) ? 0 : 0x20) | map));
        emit8(c, (uint8_t)(w << 7 | v));
    }
    emit8(c, (uint8_t)opcode);
}
static inline void v_rrr(Code *c, uint32_t opcode, unsigned w, unsigned reg, unsigned vvvv, unsigned rm) {
    emit_vex(c, opcode, w, 0, reg, vvvv, NO_REG, rm);
    emit8(c, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}
static inline void v_rrm(Code *c, uint32_t opcode, unsigned w, unsigned reg, unsigned vvvv, Mem m) {
    emit_vex(c, opcode, w, 0, reg, vvvv, m.index, m.base);
    emit_mem(c, reg, m, 0);
}

// ---- SSE and AVX alike: VEX form where the host has it ----------------------------------------------------------------
// Two-operand forms (moves, conversions to another register file, compares): vvvv unused.
static inline void s_rr(Code *c, uint32_t opcode, unsigned w, unsigned reg, unsigned rm) {
    if (c->avx) v_rrr(c, opcode, w, reg, 0, rm);
    else x_rr(c, opcode, w, reg, rm);
}
static inline void s_rm(Code *c, uint32_t opcode, unsigned w, unsigned reg, Mem m) {
    if (c->avx) v_rrm(c, opcode, w, reg, 0, m);
    else x_rm(c, opcode, w, reg, m);
}
// dst = dst op src; in VEX form the same register twice.
static inline void s_op(Code *c, uint32_t opcode, unsigned w, unsigned dst, unsigned src) {
    if (c->avx) v_rrr(c, opcode, w, dst, dst, src);
    else x_rr(c, opcode, w, dst, src);
}
static inline void s_op_m(Code *c, uint32_t opcode, unsigned w, unsigned dst, Mem m) {
    if (c->avx) v_rrm(c, opcode, w, dst, dst, m);
    else x_rm(c, opcode, w, dst, m);
}
static inline void s_mov(Code *c, unsigned dst, unsigned src) { s_rr(c, 0x0f28, 0, dst, src); } // movaps
enum { S_LOAD_128 = 0x0f10, S_STORE_128 = 0x0f11 };                                             // movups
#define S_LOAD_64  PF3(0x0f7e)                                                                  // movq xmm, m64
#define S_STORE_64 P66(0x0fd6)                                                                  // movq m64, xmm
#define S_LOAD_32  PF3(0x0f10)                                                                  // movss xmm, m32
#define S_STORE_32 PF3(0x0f11)                                                                  // movss m32, xmm
#define S_FROM_GPR P66(0x0f6e)                                                                  // movd/movq xmm, r
#define S_TO_GPR   P66(0x0f7e) // movd/movq r, xmm (reg field = xmm)

#endif
