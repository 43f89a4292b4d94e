// SPDX-License-Identifier: MIT
//
// Names of guest functions, for logs. Read from the program's symbol table when the first name is asked for.
#ifndef KILN_LINUX_SYMBOLS_H
#define KILN_LINUX_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

// Where the running program comes from; the name is looked up later.
void symbols_set_program(const char *path, uint64_t bias);
// EngineHooks.symbol.
const char *symbol_at(uint64_t pc, uint64_t *offset);
// Is there a function of this name in a file that symbol_at was asked about?
bool symbol_is_known(const char *name);

#endif
