// SPDX-License-Identifier: MIT
//
// The two system calls that RISC-V alone has.
#include <errno.h>
#include "linux/handlers.h"
#include "linux/memory.h"

enum HwprobeKey {
    HWPROBE_BASE_BEHAVIOR = 3,
    HWPROBE_IMA_EXT_0,
    HWPROBE_CPUPERF_0,
    HWPROBE_ZICBOZ_BLOCK_SIZE,
    HWPROBE_HIGHEST_VIRT_ADDRESS,
    HWPROBE_TIME_CSR_FREQ,
    HWPROBE_MISALIGNED_SCALAR_PERF,
    HWPROBE_KNOWN_KEYS
};
enum { HWPROBE_BEHAVIOR_IMA = 1, HWPROBE_MISALIGNED_FAST = 3, FLUSH_LOCAL = 1, TIME_FREQUENCY = 10000000 };

typedef struct HwprobePair {
    int64_t key;
    uint64_t value;
} HwprobePair;

static uint64_t hwprobe_value(const LinuxProcess *process, int64_t key) {
    switch (key) {
    case HWPROBE_BASE_BEHAVIOR: return HWPROBE_BEHAVIOR_IMA;
    case HWPROBE_IMA_EXT_0: return process->guest->linux_abi.hwprobe_extensions(process->features);
    case HWPROBE_CPUPERF_0:
    case HWPROBE_MISALIGNED_SCALAR_PERF: return HWPROBE_MISALIGNED_FAST;
    case HWPROBE_HIGHEST_VIRT_ADDRESS: return HOST_AREA_HIGH - 1;
    case HWPROBE_TIME_CSR_FREQ: return TIME_FREQUENCY;
    default: return 0; // vendor, architecture, implementation; no Zicboz
    }
}

long sys_riscv_hwprobe(LinuxThread *t, const uint64_t args[6]) {
    uint64_t cpus;
    if (args[4] != 0) return -EINVAL;
    if (args[3] || args[2]) {
        if (args[2] < sizeof cpus) return -EINVAL;
        if (!guest_read(&cpus, args[3], sizeof cpus)) return -EFAULT;
        if (!cpus && args[2] == sizeof cpus) return -EINVAL; // no processor chosen
    }
    for (uint64_t i = 0; i < args[1]; i++) {
        HwprobePair pair;
        uint64_t at = args[0] + i * sizeof pair;
        if (!guest_read(&pair, at, sizeof pair)) return -EFAULT;
        bool known = pair.key >= 0 && pair.key < HWPROBE_KNOWN_KEYS;
        pair = (HwprobePair){known ? pair.key : -1, known ? hwprobe_value(t->process, pair.key) : 0};
        if (!guest_write(at, &pair, sizeof pair)) return -EFAULT;
    }
    return 0;
}

// The kernel takes an empty range for everything too.
long sys_riscv_flush_icache(LinuxThread *t, const uint64_t args[6]) {
    if (args[2] & ~(uint64_t)FLUSH_LOCAL) return -EINVAL;
    bool range = args[0] < args[1];
    memory_code_changed(range ? args[0] : 0, range ? args[1] : 0);
    return 0;
}
