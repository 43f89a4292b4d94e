// SPDX-License-Identifier: MIT
#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void say(const char *prefix, const char *format, va_list args) {
    char line[1024];
    int n = snprintf(line, sizeof line, "kiln: %s", prefix);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    if (m > 0) n += m;
    if ((size_t)n > sizeof line - 2) n = sizeof line - 2;
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0) return; // nowhere left to say it
}

void fatal_code(int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
    _exit(code);
}

void fatal(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
    _exit(EXIT_CANNOT_RUN);
}

void warning(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say("warning: ", format, args);
    va_end(args);
}

void bug_at(const char *file, int line, const char *format, ...) {
    char prefix[256];
    snprintf(prefix, sizeof prefix, "internal error at %s:%d (please report it): ", file, line);
    va_list args;
    va_start(args, format);
    say(prefix, format, args);
    va_end(args);
    abort();
}
