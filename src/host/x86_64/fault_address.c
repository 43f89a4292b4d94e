// SPDX-License-Identifier: MIT
//
// The address of a memory access that the processor refused without telling it: x86 raises a general protection fault (or, where the
// base is rbp or rsp, a stack fault) for addresses that are not canonical, and the kernel then knows no address. The instruction does:
//
//   legacy prefixes, REX | VEX, opcode, ModRM [SIB] [displacement]     address = base + index * scale + displacement
//
// This holds for all accesses of generated code and for those that a C compiler makes of a volatile access.
#include <string.h>
#include <ucontext.h>
#include "host/x86_64/emit.h"

typedef struct Decoder {
    const uint8_t *at;
    const greg_t *gregs;
    unsigned index_high, base_high; // bit 3 of the register numbers
} Decoder;

static uint64_t reg(const Decoder *d, unsigned number) { return (uint64_t)d->gregs[context_gpr[number]]; }

// False: a prefix after which the address is not what ModRM says.
static bool skip_legacy_prefixes(Decoder *d) {
    for (;; d->at++) switch (*d->at) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e: // no meaning in 64-bit mode
        case 0x66:
        case 0xf0:
        case 0xf2:
        case 0xf3: break;
        case 0x64:
        case 0x65:
        case 0x67: return false; // thread-local, 32-bit addresses
        default: return true;
        }
}

// Leaves d->at at the byte behind the opcode.
static bool skip_opcode(Decoder *d) {
    if (*d->at == 0x62) return false; // EVEX scales displacements
    if (*d->at == 0xc5) {
        d->at += 3;
        return true;
    }
    if (*d->at == 0xc4) {
        d->index_high = (d->at[1] & 0x40) ? 0 : 8; // kept inverted
        d->base_high = (d->at[1] & 0x20) ? 0 : 8;
        d->at += 4;
        return true;
    }
    if ((*d->at & 0xf0) == 0x40) {
        d->index_high = (*d->at & 2) ? 8 : 0;
        d->base_high = (*d->at & 1) ? 8 : 0;
        d->at++;
    }
    if (*d->at++ != 0x0f) return true;
    if (*d->at == 0x38 || *d->at == 0x3a) d->at++;
    d->at++;
    return true;
}

static uint64_t displacement(const uint8_t *at, unsigned size) {
    int32_t wide = 0;
    if (size == 1) return (uint64_t)(int64_t)(int8_t)*at;
    if (size == 4) memcpy(&wide, at, sizeof wide);
    return (uint64_t)(int64_t)wide;
}

static bool effective_address(Decoder *d, uint64_t *address) {
    unsigned modrm = *d->at++, mod = modrm >> 6, base = modrm & 7;
    if (mod == 3 || (mod == 0 && base == 5)) return false; // a register; relative to the instruction
    uint64_t sum = 0;
    bool no_base = false;
    if (base == 4) {
        unsigned sib = *d->at++, index = (sib >> 3 & 7) | d->index_high;
        base = sib & 7;
        no_base = mod == 0 && base == 5;
        if (index != 4) sum = reg(d, index) << (sib >> 6);
    }
    if (!no_base) sum += reg(d, base | d->base_high);
    *address = sum + displacement(d->at, mod == 1 ? 1 : mod == 2 || no_base ? 4 : 0);
    return true;
}

bool host_fault_address(const void *ucontext, uint64_t *address) {
    Decoder d = {.at = (const uint8_t *)host_context_pc(ucontext), .gregs = ((const ucontext_t *)ucontext)->uc_mcontext.gregs};
    return skip_legacy_prefixes(&d) && skip_opcode(&d) && effective_address(&d, address);
}
