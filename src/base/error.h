// SPDX-License-Identifier: MIT
//
// How Kiln says that something went wrong. Three kinds, never mixed:
//   fatal()     the user's input or machine cannot do it (missing file, no memory): one line, exit code 126 unless told otherwise;
//   bug()       Kiln broke one of its own rules: one line with file and line, then abort;
//   warning()   worth saying, execution goes on.
// All write "kiln: ..." to stderr with one write(2), without stdio, so they work in signal handlers and after fork.
#ifndef KILN_BASE_ERROR_H
#define KILN_BASE_ERROR_H

#include <stdarg.h>

enum { EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 }; // as a shell's

void fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn)); // exits with 126
void fatal_code(int code, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
void warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bug_at(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn, cold));
#define bug(...)               bug_at(__FILE__, __LINE__, __VA_ARGS__)
#define kiln_assert(condition) ((condition) ? (void)0 : bug("%s does not hold", #condition))
#ifdef KILN_DEBUG
#define debug_assert(condition) kiln_assert(condition)
#else
#define debug_assert(condition) ((void)0)
#endif

#endif
