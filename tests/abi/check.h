// SPDX-License-Identifier: MIT
//
// Self-checking programs for the system calls that guests make. Each is one file; it builds for the guest and for the host
// (`cc -static`), must pass natively on both, and therefore under Kiln. It prints `ok what` or `FAIL what` for each check, the
// same checks everywhere, and its exit status says whether all were good. The line `// Calls:` at its top names the rows of syscalls.def that it is about.
#ifndef KILN_TESTS_CHECK_H
#define KILN_TESTS_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int checks_passed, checks_failed;

static inline bool check_at(bool good, const char *what, int line) {
    int number = errno;
    if (good) printf("ok line %d: %s\n", line, what);
    else printf("FAIL line %d: %s (errno %d, %s)\n", line, what, number, strerror(number));
    fflush(stdout); // a child must not print it again
    *(good ? &checks_passed : &checks_failed) += 1;
    errno = number;
    return good;
}
#define CHECK(condition) check_at((condition), #condition, __LINE__)
// The call fails, and with this error.
#define CHECK_ERROR(call, number) (errno = 0, check_at((call) == -1 && errno == (number), #call " is " #number, __LINE__))

// An address where nothing is, hidden from the compiler.
static void *volatile bad_address = (void *)8;

static inline int check_summary(void) {
    printf("# %d passed, %d failed\n", checks_passed, checks_failed);
    return checks_failed ? 1 : 0;
}

// A directory for the test alone, made the current one and removed (if empty) by temporary_leave.
static char temporary_directory[64];
static inline void temporary_enter(void) {
    strcpy(temporary_directory, "/tmp/kiln-abi-XXXXXX");
    if (!mkdtemp(temporary_directory) || chdir(temporary_directory) != 0) {
        perror("temporary directory");
        exit(1);
    }
}
static inline void temporary_leave(void) { CHECK(chdir("/") == 0 && rmdir(temporary_directory) == 0); }

#endif
