// SPDX-License-Identifier: MIT
//
// Guest memory as the interpreter touches it: one host access each, atomic where the guest's is. All of these
// may fault; the caller has made that safe (interp_run).
#ifndef KILN_INTERP_ACCESS_H
#define KILN_INTERP_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include "ir/kir.h"

// `mem` is the aux of the operation. Results are zero above the access's size.
KirValue access_load(unsigned mem, uint64_t address);
void access_store(unsigned mem, uint64_t address, KirValue value);
KirValue access_cas(unsigned mem, uint64_t address, KirValue expected, KirValue desired);
KirValue access_amo(unsigned mem, KirAmo operation, uint64_t address, KirValue operand);
void access_fence(unsigned fence);

// Guest memory as C code touches it, which may fault too.
void access_copy(void *to, const void *from, size_t size);
bool access_equal(const void *a, const void *b, size_t size);

#endif
