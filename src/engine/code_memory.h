// SPDX-License-Identifier: MIT
#ifndef KILN_ENGINE_CODE_MEMORY_H
#define KILN_ENGINE_CODE_MEMORY_H

#include "host/host.h"

// Reserves and maps; a fatal message if the host gives none. `traces` (room for trace_bytes of code and as much data; 0: none) lies in the
// same reservation, so that all code reaches all data.
void code_memory_init(CodeMemory *memory, CodeMemory *traces, size_t trace_bytes);
// Maps it anew where it is mapped twice (nothing of it is inherited over fork); its content is gone.
void code_memory_after_fork(CodeMemory *memory, CodeMemory *traces);
// Empties it; nothing may be running in it.
void code_memory_reset(CodeMemory *memory);

#endif
