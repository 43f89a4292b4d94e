// SPDX-License-Identifier: MIT
//
// A guest that reads the clock must not pay for leaving generated code and for a system call. So the vdso contains three
// instructions of opcode custom-0 that become helper calls, and the helpers call the host's own vdso. Their results fit one
// register; the guest code around them (scripts/vdso.py) takes them apart and stores them, so a bad pointer faults in the
// guest. Clocks that the host reads by a system call anyway, and those that do not exist, are left to the guest's system
// call.
//
// Everywhere else these encodings are illegal, as on any processor without extensions of its own. The address tells: there is
// one guest program a host address space, and it has one vdso. A copy of the vdso elsewhere (mremap) does not work; nothing but
// checkpointing programs makes one.
#include "guest/riscv64/vdso.h"
#include <sched.h>
#include <time.h>
#include "guest/riscv64/linux.h"
#include "vdso_image.h"

enum { NANOSECOND_BITS = 30, CUSTOM_0 = 0x0b, OPCODE_MASK = 0x7f };

static uint64_t vdso_start = UINT64_MAX - sizeof vdso_image;

static void placed(uint64_t address) { vdso_start = address; }

const GuestVdso rv_vdso = {vdso_image, sizeof vdso_image, RV_VDSO_SIGRETURN, placed};

static bool in_host_vdso(uint64_t clock) {
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI: return true;
    default: return false;
    }
}

// The system call looks at the low half of its argument alone.
uint64_t rv_vdso_clock(void *cpu, uint64_t clock, uint64_t b, uint64_t c) {
    struct timespec now;
    clock = (uint32_t)clock;
    if (!in_host_vdso(clock) || clock_gettime((clockid_t)clock, &now) != 0) return UINT64_MAX;
    return (uint64_t)now.tv_sec << NANOSECOND_BITS | (uint64_t)now.tv_nsec;
}

uint64_t rv_vdso_resolution(void *cpu, uint64_t clock, uint64_t b, uint64_t c) {
    struct timespec resolution;
    clock = (uint32_t)clock;
    if (!in_host_vdso(clock) || clock_getres((clockid_t)clock, &resolution) != 0 || resolution.tv_sec != 0) return UINT64_MAX;
    return (uint64_t)resolution.tv_nsec;
}

uint64_t rv_vdso_processor(void *cpu, uint64_t a, uint64_t b, uint64_t c) {
    unsigned processor = 0, node = 0;
    getcpu(&processor, &node);
    return (uint64_t)node << 32 | processor;
}

bool rv_vdso_insn(RvTranslator *t, uint32_t bits) {
    unsigned rd = bits >> 7 & 31, which = bits >> 12 & 7, rs1 = bits >> 15 & 31;
    if ((bits & OPCODE_MASK) != CUSTOM_0 || t->pc - vdso_start >= sizeof vdso_image) return false;
    unsigned helper = RV_HELPER_VDSO_CLOCK + which;
    if (helper > RV_HELPER_VDSO_PROCESSOR) return false;
    KirRef operand = helper == RV_HELPER_VDSO_PROCESSOR ? KIR_NONE : rv_x(t, rs1);
    return rv_set_x(t, rd, kir_call(t->b, helper, operand, KIR_NONE, KIR_NONE));
}
