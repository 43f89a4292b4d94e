// SPDX-License-Identifier: MIT
//
// Host code as text. Kiln has no disassembler for the host: where this machine has objdump, it is asked once, for everything.
#include "debug/report_internal.h"
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GAP = 32, NOP = 0x90 }; // between two traces: objdump finds its way again

static bool write_code(FILE *file, ReportTrace *const *traces, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (!traces[i]->code) continue;
        fwrite(traces[i]->code, 1, traces[i]->host_bytes, file);
        for (unsigned gap = 0; gap < GAP; gap++) fputc(NOP, file);
    }
    return fflush(file) == 0;
}

// What objdump prints; closed at its end.
static FILE *start_objdump(char *path, pid_t *pid) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return NULL;
    char *arguments[] = {"objdump", "-D", "-w", "--no-show-raw-insn", "-Mintel", "-bbinary", "-mi386:x86-64", path, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int error = posix_spawnp(pid, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    FILE *in = error ? NULL : fdopen(ends[0], "r");
    if (!in) close(ends[0]);
    return in;
}

// Each line " address:\tinstruction" goes to the trace whose piece of the file it is.
static bool read_lines(FILE *in, ReportTrace *const *traces, unsigned count, char **texts) {
    char *line = NULL;
    size_t room = 0, lines = 0, length = 0, start = 0;
    FILE *out = NULL;
    unsigned at = 0;
    while (getline(&line, &room, in) > 0) {
        char *end;
        uint64_t address = strtoull(line, &end, 16);
        if (*end != ':' || end == line) continue;
        while (at < count && (!traces[at]->code || address >= start + traces[at]->host_bytes + GAP)) {
            if (out) fclose(out), out = NULL;
            if (traces[at]->code) start += traces[at]->host_bytes + GAP;
            at++;
        }
        if (at == count) break;
        if (address < start || address >= start + traces[at]->host_bytes) continue;
        if (!out) out = open_memstream(&texts[at], &length);
        if (!out) break;
        fprintf(out, "%4llx  %s", (unsigned long long)(address - start), end + 1 + strspn(end + 1, "\t "));
        lines++;
    }
    if (out) fclose(out);
    free(line);
    return lines > 0;
}

bool report_disassemble(ReportTrace *const *traces, unsigned count, char **texts) {
    char path[] = "/tmp/kiln-report-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC), status;
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file) return false;
    pid_t pid;
    FILE *in = write_code(file, traces, count) ? start_objdump(path, &pid) : NULL;
    bool done = in && read_lines(in, traces, count, texts);
    if (in) fclose(in);
    if (in) waitpid(pid, &status, 0);
    fclose(file);
    unlink(path);
    return done;
}
