// SPDX-License-Identifier: MIT
//
// The server sleeps until there is something to do: before LLVM's constructors run, which take half of its start and touch more than
// half of the memory that it then has. So a guest can start the optimizer while it still may, as a precaution, for what an execve costs.
//
// It runs before everything else, sanitizers included, and calls nothing but the kernel.
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// As in main.c: `--serve FD` comes first.
static int hub_of(int argc, char **argv) {
    static const char serve[] = "--serve";
    if (argc < 3) return -1;
    for (unsigned i = 0; i < sizeof serve; i++)
        if (argv[1][i] != serve[i]) return -1;
    int hub = 0;
    for (const char *digit = argv[2]; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || hub > 1 << 20) return -1;
        hub = 10 * hub + *digit - '0';
    }
    return hub;
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
__attribute__((no_sanitize("address", "thread", "undefined")))
#endif
static void
sleep_until_needed(int argc, char **argv, char **envp) {
    (void)envp;
    struct pollfd hub = {.fd = hub_of(argc, argv), .events = POLLIN};
    int type;
    socklen_t size = sizeof type;
    if (hub.fd < 0 || syscall(SYS_getsockopt, hub.fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return; // main says what is wrong
    long ready;
    do ready = syscall(SYS_poll, &hub, 1, -1);
    while (ready < 0);
    char first_byte;
    if (syscall(SYS_recvfrom, hub.fd, &first_byte, 1, MSG_PEEK, NULL, NULL) <= 0) syscall(SYS_exit_group, 0); // nobody will come
}

__attribute__((section(".preinit_array"), used)) static void (*const first)(int, char **, char **) = sleep_until_needed;
