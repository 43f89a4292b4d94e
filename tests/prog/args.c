// SPDX-License-Identifier: MIT
// Shows a caller what arrived: arguments, environment, kernel release; ends as told. Used by tests/options.py.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
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
        size_t size = (size_t)(argc > 2 ? atoi(argv[2]) : 12) << 20;
        volatile char *deep = __builtin_alloca(size);
        deep[0] = 1, deep[size / 2] = 1;
        printf("stack works %d\n", deep[0]);
    } else if (strcmp(what, "file") == 0) {
        char line[100] = "nothing\n";
        FILE *file = fopen(argv[2], "r");
        if (file && !fgets(line, sizeof line, file)) line[0] = 0;
        if (file) fclose(file);
        fputs(line, stdout);
    } else if (strcmp(what, "random") == 0) {
        const unsigned char *bytes = (const unsigned char *)getauxval(AT_RANDOM);
        for (int i = 0; i < 16; i++) printf("%02x", bytes[i]);
        putchar('\n');
    } else if (strcmp(what, "auxv") == 0) {
        printf("hwcap %lx secure %lu\n", getauxval(AT_HWCAP), getauxval(AT_SECURE));
    } else if (strcmp(what, "exec") == 0) {
        argv[1] = argv[0];
        fflush(stdout);
        execv("/proc/self/exe", argv + 1);
        perror("exec");
        return 1;
    } else if (strcmp(what, "map") == 0) {
        void *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(p, 65536);
    } else if (strcmp(what, "absent") == 0) {
        printf("%ld\n", syscall(5000));
    } else if (strcmp(what, "illegal") == 0) {
        __asm__ volatile(".4byte 0xffffffff");
    } else if (strcmp(what, "exit") == 0) {
        fflush(stdout);
        _exit(atoi(argv[2]));
    } else if (strcmp(what, "kill") == 0) {
        signal(atoi(argv[2]), SIG_DFL);
        raise(atoi(argv[2]));
    } else if (strcmp(what, "fork") == 0) {
        close(2);
        if (fork() == 0) exit(0);
        wait(NULL);
    } else if (strcmp(what, "fault") == 0) {
        *(volatile int *)8 = 1;
    }
    return 0;
}
