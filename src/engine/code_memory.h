// SPDX-License-Identifier: MIT
#ifndef KILN_ENGINE_CODE_MEMORY_H
#define KILN_ENGINE_CODE_MEMORY_H

#include "host/host.h"

// Reserves and maps; a fatal message if the host gives none.
void code_memory_init(CodeMemory *memory);
// Empties it; nothing may be running in it.
void code_memory_reset(CodeMemory *memory);

#endif
