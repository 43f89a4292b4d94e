// SPDX-License-Identifier: MIT
//
// kiln-opt as a server: one answer to each request, whatever it is; garbage costs the one who sends it; it ends when nobody is left.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/channel.h"
#include "kir_random.h"
#include "opt/watchdog.h"
#include "opt_tier.h"

enum { PATIENCE_MS = 20000, FLOOD = 600, MUTATED = 150 };

static unsigned long passed, failed;
static uint64_t state = 99;
static Arena arena;

static uint64_t next_random(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1du >> 33;
}

static void check(bool ok, const char *what) {
    if (ok) {
        passed++;
        return;
    }
    printf("FAIL %s\n", what);
    failed++;
}

// ---- the server ---------------------------------------------------------------------------------------------------------------------
typedef struct Server {
    pid_t pid;
    int hub;
} Server;

static Server start(const char *threads, const char *more) {
    int ends[2];
    char number[16];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) abort();
    snprintf(number, sizeof number, "%d", 100);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 100);
        execl(KILN_OPT, "kiln-opt", "--serve", number, threads, more, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    return (Server){pid, ends[0]};
}

// True: it ended in time, by itself, with code 0.
static bool ended(Server server) {
    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        int status;
        if (waitpid(server.pid, &status, WNOHANG) == server.pid) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        usleep(10000);
    }
    kill(server.pid, SIGKILL);
    waitpid(server.pid, NULL, 0);
    return false;
}

// ---- requests and answers -------------------------------------------------------------------------------------------------------------
static Engine *engine(void) {
    static const uint16_t ints[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, floats[8] = {16, 17, 18, 19, 20, 21, 22, 23};
    static const EngineOptions options;
    static Engine *only;
    if (!only) only = fast_tier_new(&kir_random_world, ints, floats, &options);
    return only;
}

static size_t make_request(uint64_t id, uint32_t heat, uint8_t **data) {
    static const uint8_t buffer[RANDOM_BUFFER];
    KirBlock *kir = kir_random_block(&arena, RANDOM_BUILT, id * 2 + 1, 4, buffer);
    int32_t *next = arena_alloc(&arena, (kir->exit_count + 1) * sizeof *next);
    for (uint32_t i = 0; i < kir->exit_count; i++) next[i] = TRACE_LEAVES;
    TraceBlock block = {.kir = kir, .next = next, .next_indirect = TRACE_LEAVES};
    TraceRequest request = {.id = id, .heat = heat, .assumptions = TRACE_NO_FAULT_HANDLER, .blocks = &block, .block_count = 1};
    opt_tier_describe(engine(), &kir_random_world, &request);
    size_t size = trace_request_write(&request, NULL, 0);
    *data = arena_alloc(&arena, size);
    return trace_request_write(&request, *data, size);
}

static ChannelOutcome send_patiently(int fd, const uint8_t *data, size_t size) {
    for (;;) {
        ChannelOutcome outcome = channel_send(fd, data, size);
        if (outcome != CHANNEL_AGAIN) return outcome;
        if (poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, PATIENCE_MS) <= 0) return outcome;
    }
}

// The next answer, or CHANNEL_AGAIN if none comes in time.
static ChannelOutcome receive(int fd, TraceResult *result) {
    uint8_t *data;
    size_t size;
    for (;;) {
        ChannelOutcome outcome = channel_receive(fd, &data, &size);
        if (outcome == CHANNEL_OK) {
            uint8_t *copy = arena_alloc(&arena, size);
            memcpy(copy, data, size);
            free(data);
            return trace_result_read(&arena, result, copy, size) ? CHANNEL_OK : CHANNEL_TOO_LARGE;
        }
        if (outcome != CHANNEL_AGAIN) return outcome;
        if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, PATIENCE_MS) <= 0) return outcome;
    }
}

static bool served(int fd, uint64_t id) {
    uint8_t *data;
    size_t size = make_request(id, 1, &data);
    TraceResult result;
    return send_patiently(fd, data, size) == CHANNEL_OK && receive(fd, &result) == CHANNEL_OK && result.id == id &&
           result.reason == REASON_NONE && result.object_size > 0;
}

static int open_channel(int hub) {
    int fd;
    return channel_open(hub, &fd) == CHANNEL_OK ? fd : -1;
}

// ---- the tests ------------------------------------------------------------------------------------------------------------------------
static void test_garbage(int hub) {
    int fd = open_channel(hub);
    TraceResult result;
    uint8_t bytes[300];
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned j = 0; j < sizeof bytes; j++) bytes[j] = (uint8_t)next_random();
        bool answered =
            send_patiently(fd, bytes, 1 + next_random() % sizeof bytes) == CHANNEL_OK && receive(fd, &result) == CHANNEL_OK;
        check(answered && result.reason == REASON_BAD_REQUEST, "garbage is answered");
    }
    uint8_t *data;
    unsigned answered = 0;
    for (uint64_t i = 0; i < MUTATED; i++) {
        size_t size = make_request(i, 1, &data);
        for (unsigned n = 1 + (unsigned)(next_random() % 3); n; n--)
            data[16 + next_random() % (size - 16)] ^= (uint8_t)(1u << next_random() % 8);
        answered += send_patiently(fd, data, size) == CHANNEL_OK && receive(fd, &result) == CHANNEL_OK && result.id == i;
    }
    check(answered == MUTATED, "every mutated request is answered");
    check(served(fd, 7), "and then a good one is served");
    close(fd);
}

// Files that the receiver must not trust: not sealed, too large.
static void test_bad_files(int hub) {
    for (int kind = 0; kind < 2; kind++) {
        int fd = open_channel(hub), file = memfd_create("test", MFD_CLOEXEC);
        if (ftruncate(file, kind ? (off_t)CHANNEL_LARGEST * 2 : 1 << 20)) abort();
        char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
        struct iovec piece = {&byte, 1};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &file, sizeof file);
        TraceResult result;
        check(sendmsg(fd, &message, MSG_NOSIGNAL) == 1 && receive(fd, &result) == CHANNEL_BROKEN, "a bad file ends the channel");
        close(file);
        close(fd);
    }
}

static void test_flood(int hub) {
    int fd = open_channel(hub);
    static bool answered[FLOOD];
    unsigned sent = 0, answers = 0, objects = 0, refused = 0, repeated = 0;
    TraceResult result;
    while (answers < FLOOD) {
        uint8_t *data;
        if (sent < FLOOD) {
            size_t size = make_request(sent, sent % 50, &data);
            ChannelOutcome outcome = channel_send(fd, data, size);
            if (outcome == CHANNEL_OK) sent++;
            if (outcome == CHANNEL_OK) continue;
        }
        if (receive(fd, &result) != CHANNEL_OK || result.id >= FLOOD) break;
        repeated += answered[result.id];
        answered[result.id] = true;
        answers++;
        if (result.reason == REASON_NONE) objects++;
        if (result.reason == REASON_QUEUE_FULL) refused++;
    }
    check(answers == FLOOD && !repeated, "one answer to every request of a flood");
    check(objects + refused == FLOOD, "an object, or queue-full");
    printf("flood: %u objects, %u refused\n", objects, refused);
    close(fd);
}

static void test_death(void) {
    Server server = start("--threads=2", NULL);
    int fd = open_channel(server.hub), other;
    check(served(fd, 3), "served before it dies");
    uint8_t *data;
    for (uint64_t i = 0; i < 20; i++) {
        size_t size = make_request(i, 1, &data);
        channel_send(fd, data, size);
    }
    kill(server.pid, SIGKILL);
    TraceResult result;
    ChannelOutcome outcome;
    while ((outcome = receive(fd, &result)) == CHANNEL_OK) {}
    check(outcome == CHANNEL_BROKEN, "its death is seen");
    check(channel_open(server.hub, &other) == CHANNEL_BROKEN, "and no channel can be opened then");
    waitpid(server.pid, NULL, 0);
    close(fd);
    close(server.hub);
}

// A process that goes away with its requests unanswered, others being served.
static void test_leaving(int hub) {
    int fd = open_channel(hub), other = open_channel(hub);
    uint8_t *data;
    for (uint64_t i = 0; i < 50; i++) {
        size_t size = make_request(i, 1, &data);
        channel_send(fd, data, size);
    }
    close(fd);
    check(served(other, 5), "others are served");
    close(other);
}

// Threads of the server, 0: it is gone.
static unsigned threads_of(Server server) {
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/task", server.pid);
    DIR *folder = opendir(name);
    unsigned count = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));) count += *entry->d_name != '.';
    if (folder) closedir(folder);
    return count;
}

static uint64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// Nothing runs before there is something to do: neither workers nor the watchdog are there.
static void test_asleep(void) {
    Server unused = start("--threads=2", NULL), server = start("--threads=2", NULL);
    usleep(200000);
    check(threads_of(unused) == 1 && threads_of(server) == 1, "asleep while there is no channel");
    close(unused.hub);
    check(ended(unused), "it ends asleep");
    int fd = open_channel(server.hub);
    check(served(fd, 1) && threads_of(server) == 4, "awake: the main thread, the watchdog and two workers");
    close(server.hub);
    close(fd);
    check(ended(server), "it ends awake");
}

// Each answer is held back by its worker: four of them need two rounds for eight requests, a single one eight.
static void test_workers(void) {
    enum { HELD_BACK_MS = 400, CLIENTS = 4 };
    Server server = start("--threads=4", "--delay=400");
    int fds[CLIENTS], good = 0;
    uint8_t *data;
    for (int i = 0; i < CLIENTS; i++) fds[i] = open_channel(server.hub);
    check(served(fds[0], 1), "served before it is measured");
    uint64_t began = milliseconds();
    for (int i = 0; i < 2 * CLIENTS; i++) {
        size_t size = make_request(10 + (uint64_t)i, 1, &data);
        send_patiently(fds[i % CLIENTS], data, size);
    }
    for (int i = 0; i < 2 * CLIENTS; i++) {
        TraceResult result;
        good += receive(fds[i % CLIENTS], &result) == CHANNEL_OK && result.reason == REASON_NONE;
    }
    check(good == 2 * CLIENTS, "several workers: all are served");
    check(milliseconds() - began < 6 * HELD_BACK_MS, "several workers work at the same time");
    for (int i = 0; i < CLIENTS; i++) close(fds[i]);
    close(server.hub);
    check(ended(server), "several workers: it ends");
}

// A main thread that does nothing any more: the watchdog ends the process.
static void test_stuck(void) {
    Server server = start("--threads=1", "--stuck");
    int fd = open_channel(server.hub), other = open_channel(server.hub);
    usleep(300000);
    close(server.hub);
    close(other);
    usleep((WATCHDOG_GRACE_MS + 500) * 1000);
    check(threads_of(server) == 3, "stuck: it lives while a client does");
    close(fd);
    int status = 0, waited = 0;
    while (waitpid(server.pid, &status, WNOHANG) == 0 && waited++ < PATIENCE_MS / 10) usleep(10000);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 1, "stuck: it is ended");
    kill(server.pid, SIGKILL);
}

// The token is one packet: everybody may look, one may take.
static void test_mailbox(void) {
    int ends[2], fd, file = open("/dev/null", O_RDONLY);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) abort();
    check(token_look(ends[0], false, &fd) == TOKEN_TAKEN, "an empty mailbox");
    check(token_put(ends[1], TOKEN_FREE, -1), "a free token");
    check(token_look(ends[0], false, &fd) == TOKEN_FREE && token_look(ends[0], true, &fd) == TOKEN_FREE, "seen and taken");
    check(token_look(ends[0], true, &fd) == TOKEN_TAKEN, "it is there once");
    check(token_put(ends[1], TOKEN_HUB, file), "a token with a hub");
    for (int i = 0; i < 3; i++) {
        check(token_look(ends[0], false, &fd) == TOKEN_HUB && fd >= 0, "the hub for everybody");
        close(fd);
    }
    check(token_look(ends[0], true, &fd) == TOKEN_HUB && fd >= 0, "the hub is taken");
    close(fd);
    close(file);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    Server server = start("--threads=2", NULL);
    int fd = open_channel(server.hub);
    check(served(fd, 1), "served");
    test_garbage(server.hub);
    test_bad_files(server.hub);
    test_flood(server.hub);
    test_leaving(server.hub);
    check(served(fd, 2), "still served");
    close(server.hub);
    check(served(fd, 2), "served without a hub");
    check(kill(server.pid, 0) == 0, "it lives while a channel does");
    close(fd);
    check(ended(server), "it ends when nobody is left");
    test_death();
    test_asleep();
    test_workers();
    test_stuck();
    test_mailbox();
    arena_free(&arena);
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
