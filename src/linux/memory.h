// SPDX-License-Identifier: MIT
//
// The map of guest memory: which host addresses belong to the guest, and with what guest protection.
//
// There is one map a host address space (a vfork child shares its parent's), so it is a singleton behind functions. What
// is not in the map belongs to Kiln or to nobody, and no guest call changes it: every host call made here is either
// within the map or places new memory with MAP_FIXED_NOREPLACE.
//
// Guest PROT_EXEC is not host PROT_EXEC: Kiln reads guest code and never runs it. The map alone knows what is executable.
//
// All functions take the map's lock themselves, and tell the engine about code that changed after they have let it go
// (lock order: engine before map, as the engine calls memory_fetch).
#ifndef KILN_LINUX_MEMORY_H
#define KILN_LINUX_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/engine.h"

enum { GUEST_PAGE = 4096 };
// The guest's area: where memory is placed unless the guest asks for an address. It is that of a 39-bit RISC-V machine,
// far below everything the host kernel gives Kiln. When it is full the host's kernel chooses.
#define GUEST_AREA_LOW  UINT64_C(0x10000)
#define GUEST_AREA_HIGH UINT64_C(0x4000000000)
#define HOST_AREA_HIGH  UINT64_C(0x7ffffffff000)

enum { MAPPING_SHARED = 1, MAPPING_FILE = 2, MAPPING_IMAGE = 4, MAPPING_SHM = 8 };

typedef struct Mapping {
    uint64_t start, end;
    uint32_t prot;  // guest's PROT_*
    uint32_t flags; // MAPPING_*
    union {
        uint64_t image_base; // if IMAGE: load bias of the guest file
        uint64_t shm_start;  // if SHM: where the segment was attached
    };
    uint64_t device, inode, offset; // if FILE: which, and the offset of `start`
} Mapping;

static inline uint64_t page_down(uint64_t x) { return x & ~(uint64_t)(GUEST_PAGE - 1); }
static inline uint64_t page_up(uint64_t x) { return (x + GUEST_PAGE - 1) & ~(uint64_t)(GUEST_PAGE - 1); }

// `mmap_top`: where automatic placement starts, downwards.
void memory_init(uint64_t mmap_top);
void memory_set_top(uint64_t mmap_top);
void memory_set_engine(Engine *engine); // who is told about changed code; may be NULL before the program starts
// Most bytes that mappings (all, or private writable ones) may have together; UINT64_MAX: no limit.
void memory_set_limits(uint64_t total, uint64_t data);

// As the system calls: address or 0, or negative errno. Flags are the generic kernel's MAP_*, MREMAP_*.
long memory_map(uint64_t address, uint64_t size, int prot, int flags, int fd, uint64_t offset);
long memory_unmap(uint64_t address, uint64_t size);
long memory_protect(uint64_t address, uint64_t size, int prot);
long memory_remap(uint64_t address, uint64_t old_size, uint64_t new_size, int flags, uint64_t new_address);
long memory_attach(int shmid, uint64_t address, int flags);
long memory_detach(uint64_t address);

// The program break.
void memory_set_brk(uint64_t start);
uint64_t memory_brk(uint64_t wanted); // the new break, or the old one if it cannot be had
uint64_t memory_brk_start(void);

// The mapping that holds `address`, or (next) the first one that ends above it.
bool memory_lookup(uint64_t address, Mapping *out);
bool memory_next(uint64_t address, Mapping *out);
// All of [address, address + size) is guest memory.
bool memory_covers(uint64_t address, uint64_t size);

// Declares [start, end) part of a program file; movable: it could lie elsewhere, and has this load bias.
void memory_set_image(uint64_t start, uint64_t end, bool movable, uint64_t base);

// EngineHooks.fetch, .image and .protect.
size_t memory_fetch(uint64_t pc, GuestCodeKind *kind);
bool memory_image(uint64_t pc, uint64_t *base);
bool memory_guard(uint64_t page, bool guard);
// The guest says that code in [start, end) may have changed, or any code (start == end): forgets the translations that are not right
// any more.
void memory_code_changed(uint64_t start, uint64_t end);
// Forgets translations in a range whose content changed.
void memory_invalidate(uint64_t start, uint64_t end);

// -d page: the whole map (sys_memory.c, which logs the changes too).
void memory_log(const Engine *engine);

// Around fork: nobody else changes the map meanwhile.
void memory_lock(void);
void memory_unlock(void);

#endif
