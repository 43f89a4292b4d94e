// SPDX-License-Identifier: MIT
//
// Accesses that tell where all registers are when they fault (exact.c makes them, sites.c writes them).
#ifndef KILN_OPT_EXACT_H
#define KILN_OPT_EXACT_H

#include "base/arena.h"
#include "ir/request.h"

typedef enum SiteKind { SITE_LOAD, SITE_STORE, SITE_EXCHANGE, SITE_ADD, SITE_COMPARE, SITE_COMPARE_WIDE } SiteKind;

// One access. LLVM keeps room for it (a patchpoint with the site's number) and says in which registers its operands and the guest's
// registers are: result if it has one, address, values, then the globals.
typedef struct Site {
    uint64_t pc;
    int32_t displacement;
    uint8_t kind; // SiteKind
    uint8_t log2_size;
    bool is_signed; // the result is extended so
    bool vector;    // value or result is in an xmm register
    uint8_t bytes;  // of room
    uint32_t first_global, global_count;
} Site;

typedef struct SiteTable {
    Site *sites;
    uint16_t *globals; // of all sites
    uint32_t count, capacity, global_count, global_capacity;
    bool avx; // 16-byte and floating-point accesses in VEX form
} SiteTable;

// The most bytes that the access may take.
unsigned site_bytes(const Site *site);
// Writes the accesses into an object that LLVM made (which is changed), and the fault table of the result. False: it cannot be done; nothing
// of the object may be used.
bool sites_write(const SiteTable *table, const KirWorld *world, uint8_t *object, size_t size, Arena *arena, TraceResult *result);

#endif
