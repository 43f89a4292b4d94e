// SPDX-License-Identifier: MIT
//
// kiln-opt, the optimizer as a program.
//
//   kiln-opt --serve FD [--threads=N]     serves guest processes; FD is the hub (base/channel.h)
//   kiln-opt --request FILE [--text]      does one request that was written to a file
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/error.h"
#include "opt/compiler.h"
#include "opt/serve.h"
#include "opt/watchdog.h"

typedef struct Arguments {
    const char *request;
    int hub;
    unsigned threads, delay;
    bool text, self_test, stuck;
} Arguments;

static void help(FILE *out) {
    fputs("Usage: kiln-opt --serve FD [--threads=N]\n"
          "       kiln-opt --request FILE [--text]\n"
          "Kiln's optimizer: turns recorded paths of guest code into host code. kiln starts it by itself.\n"
          "  --serve FD     serve the guest processes behind socket FD, until none is left\n"
          "  --threads=N    worker threads (1)\n"
          "  --request FILE compile a request that was dumped, and say what came out\n"
          "  --text         print LLVM IR before and after optimisation, and assembly\n",
          out);
}

static unsigned number(const char *text, unsigned most) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (!*text || *end || value > most) fatal("kiln-opt: `%s` is no number up to %u", text, most);
    return (unsigned)value;
}

static const char *file_name(const char *value) {
    if (!*value) fatal("kiln-opt: --request needs the name of a file");
    return value;
}

// As dormant.c looks at it.
static int hub(const char *text) {
    int fd = (int)number(text, 1 << 20), type;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) fatal("kiln-opt: --serve %d: %s", fd, strerror(errno));
    return fd;
}

static unsigned threads(const char *text) {
    unsigned value = number(text, OPTIMIZER_MOST_THREADS);
    if (!value) fatal("kiln-opt: no request is served by 0 threads");
    return value;
}

static Arguments parse(int argc, char **argv) {
    Arguments a = {.hub = -1, .threads = 1};
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(arg, "--serve")) a.hub = hub(value), i++;
        else if (!strcmp(arg, "--request")) a.request = file_name(value), i++;
        else if (!strncmp(arg, "--threads=", 10)) a.threads = threads(arg + 10);
        else if (!strncmp(arg, "--delay=", 8)) a.delay = number(arg + 8, 100000); // for tests
        else if (!strcmp(arg, "--text")) a.text = true;
        else if (!strcmp(arg, "--self-test")) a.self_test = true; // for the build
        else if (!strcmp(arg, "--stuck")) a.stuck = true;         // for tests
        else if (!strcmp(arg, "--help")) help(stdout), exit(0);
        else if (!strcmp(arg, "--version")) printf("kiln-opt %s\n", KILN_VERSION), exit(0);
        else fatal("kiln-opt: unknown option `%s` (--help lists them)", arg);
    }
    return a;
}

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) fatal("cannot open %s: %s", path, strerror(errno));
    uint8_t *data = NULL;
    size_t used = 0, capacity = 0, n;
    do {
        if (used == capacity) data = realloc(data, capacity = capacity ? 2 * capacity : 1 << 16);
        if (!data) fatal("out of memory");
        n = fread(data + used, 1, capacity - used, file);
        used += n;
    } while (n);
    if (ferror(file)) fatal("cannot read %s: %s", path, strerror(errno)); // a folder can be opened
    fclose(file);
    *size = used;
    return data;
}

static void print_result(const TraceResult *result, size_t serialised) {
    static const char *const titles[TRACE_TEXTS] = {"LLVM IR", "LLVM IR, optimised", "assembly"};
    for (int i = 0; i < TRACE_TEXTS; i++)
        if (result->text[i]) printf("; ---- %s\n%s\n", titles[i], result->text[i]);
    printf("; %s: object of %u bytes, %u exits, %u fallbacks, %u faults, %.3f ms, result of %zu bytes\n",
           result->reason ? reason_name((Reason)result->reason) : "done", result->object_size, result->exit_count,
           result->fallbacks, result->fault_count, (double)result->compile_ns / 1e6, serialised);
}

static int replay(const Arguments *a) {
    size_t size;
    uint8_t *data = read_file(a->request, &size);
    Arena arena = {0};
    TraceRequest request;
    TraceResult result;
    if (!trace_request_read(&arena, &request, data, size)) fatal("%s is not a request of this version", a->request);
    if (a->text) request.options |= TRACE_WANT_TEXT;
    Compiler *compiler = compiler_new();
    compile_trace(compiler, &request, &arena, &result);
    print_result(&result, trace_result_write(&result, NULL, 0));
    compiler_free(compiler);
    arena_free(&arena);
    free(data);
    return result.reason != REASON_NONE;
}

static int self_test(void) {
    Compiler *compiler = compiler_new();
    if (!convention_test(compiler)) fatal("kiln-opt: this LLVM passes arguments in other registers than expected");
    compiler_free(compiler);
    puts("kiln-opt: LLVM's calling convention is as expected");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    Arguments a = parse(argc, argv);
    if (!a.request && a.hub < 0 && !a.self_test) {
        help(stderr);
        return EXIT_NOT_FOUND;
    }
    if (a.hub >= 0) watchdog_start(a.hub);
    compiler_start();
    if (a.self_test) return self_test();
    return a.request ? replay(&a) : serve(&(Serve){.hub = a.hub, .threads = a.threads, .delay = a.delay, .stuck = a.stuck});
}
