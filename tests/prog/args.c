// SPDX-License-Identifier: MIT
// Shows a caller what arrived: arguments, environment, kernel release; ends as told. Used by tests/options.py.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "args";
    if (strcmp(what, "args") == 0) {
        for (int i = 0; i < argc; i++) printf("[%s]", argv[i]);
        putchar('\n');
    } else if (strcmp(what, "env") == 0) {
        for (int i = 2; i < argc; i++) printf("%s=%s\n", argv[i], getenv(argv[i]) ? getenv(argv[i]) : "(none)");
    } else if (strcmp(what, "uname") == 0) {
        struct utsname u;
        uname(&u);
        printf("%s %s\n", u.release, u.machine);
    } else if (strcmp(what, "stack") == 0) {
        struct rlimit r;
        getrlimit(RLIMIT_STACK, &r);
        volatile char *deep = __builtin_alloca(12 << 20); // fits a stack of 16 MiB alone
        deep[0] = 1, deep[6 << 20] = 1;
        printf("stack works %d\n", deep[0]);
    } else if (strcmp(what, "exit") == 0) {
        fflush(stdout);
        _exit(atoi(argv[2]));
    } else if (strcmp(what, "kill") == 0) {
        signal(atoi(argv[2]), SIG_DFL);
        raise(atoi(argv[2]));
    } else if (strcmp(what, "fault") == 0) {
        *(volatile int *)8 = 1;
    }
    return 0;
}
