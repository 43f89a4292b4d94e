// SPDX-License-Identifier: MIT
//
// A line in the log of -d, for the Linux layer.
#ifndef KILN_DEBUG_LOG_H
#define KILN_DEBUG_LOG_H

#include "engine/engine.h"

// Prints if `item` (ENGINE_LOG_*) was asked for. A line ends with a newline.
void log_item(const Engine *engine, uint32_t item, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
