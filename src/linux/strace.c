// SPDX-License-Identifier: MIT
//
// -strace: one line a system call, "1234 write(1, "hello\n", 6) = 6", decoded by the words of syscalls.def.
//
// A line is built in a buffer and written with one write, so lines of several threads do not mix. What the call reads is
// printed before it, as it may be gone afterwards; from the first argument that the call fills in on, everything is
// printed after it. Calls that do not come back (exit, exec) are written before.
//
// The lines go to the engine's log, else to a copy of stderr as it was at the first traced call, out of the guest's reach.
#include "linux/strace.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include "linux/handlers.h"
#include "linux/log_file.h"
#include "linux/own_fd.h"
#include "linux/path.h"
#include "linux/strace_names.h"

enum { SHOWN_BYTES = 40, SHOWN_TEXT = 256 };

// ---- the log -----------------------------------------------------------------------------------------------------------

static int stderr_copy = -1;

static void open_copy(void) {
    int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) copy = open("/dev/null", O_WRONLY | O_CLOEXEC);
    stderr_copy = copy;
    if (copy >= 0) own_fd_keep(&stderr_copy);
}

static int log_fd(const LinuxThread *t) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    FILE *log = engine_options(t->process->engine)->log;
    if (log && log != stderr) return fileno(log) < 0 ? log_file_fd() : fileno(log);
    pthread_once(&once, open_copy);
    return stderr_copy;
}

static void write_line(StraceLine *line) {
    if (line->length == sizeof line->text) line->length--;
    line->text[line->length++] = '\n';
    log_file_write(log_fd(line->thread), line->text, line->length);
    line->length = 0;
}

// ---- text --------------------------------------------------------------------------------------------------------------

void strace_put(StraceLine *line, const char *format, ...) {
    va_list list;
    va_start(list, format);
    size_t room = sizeof line->text - line->length;
    int more = vsnprintf(line->text + line->length, room, format, list);
    va_end(list);
    if (more > 0) line->length += (size_t)more < room ? (unsigned)more : (unsigned)room - (room > 0);
}

static void put_char(StraceLine *line, unsigned char c, unsigned char next) {
    static const char escapes[] = "\a\b\t\n\v\f\r", letters[] = "abtnvfr";
    const char *escape = c ? strchr(escapes, c) : NULL;
    if (escape) strace_put(line, "\\%c", letters[escape - escapes]);
    else if (c == '"' || c == '\\') strace_put(line, "\\%c", c);
    else if (isprint(c)) strace_put(line, "%c", c);
    else strace_put(line, isdigit(next) ? "\\%03o" : "\\%o", c);
}

static void put_string(StraceLine *line, const char *text, size_t shown, bool more) {
    strace_put(line, "\"");
    for (size_t i = 0; i < shown; i++) put_char(line, (unsigned char)text[i], i + 1 < shown ? (unsigned char)text[i + 1] : 0);
    strace_put(line, more ? "\"..." : "\"");
}

void strace_bytes(StraceLine *line, uint64_t address, uint64_t size) {
    char text[SHOWN_BYTES];
    size_t shown = size < sizeof text ? (size_t)size : sizeof text;
    if (guest_read(text, address, shown)) put_string(line, text, shown, shown < size);
    else strace_put(line, "0x%" PRIx64, address);
}

static void put_text(StraceLine *line, uint64_t address) {
    char text[SHOWN_TEXT];
    long length = guest_read_string(text, address, sizeof text);
    if (length == -ENAMETOOLONG) put_string(line, text, sizeof text, true);
    else if (length >= 0) put_string(line, text, (size_t)length, false);
    else strace_put(line, "0x%" PRIx64, address);
}

// ---- arguments ---------------------------------------------------------------------------------------------------------

static void put_pointer(StraceLine *line, uint64_t value) {
    if (value) strace_put(line, "0x%" PRIx64, value);
    else strace_put(line, "NULL");
}

static void put_table(StraceLine *line, unsigned kind, uint64_t value) {
    char text[400];
    if (kind & ARG_BITS) name_bits(text, sizeof text, kind & 0xff, value);
    else name_value(text, sizeof text, kind & 0xff, value);
    strace_put(line, "%s", text);
}

static void put_structure(StraceLine *line, unsigned index, unsigned kind, int64_t result) {
    const uint64_t *args = line->args;
    StraceStruct s = {.address = args[index],
                      .first = args[0],
                      .next = index < 5 ? args[index + 1] : 0,
                      .result = result,
                      .out = !(kind & ARG_IN)};
    if (!s.address || (s.out && result < 0)) put_pointer(line, s.address);
    else strace_struct(line, kind & 0xff, &s);
}

static void put_plain(StraceLine *line, unsigned index, unsigned kind, int64_t result) {
    uint64_t value = line->args[index];
    switch (kind) {
    case ARG_UINT: strace_put(line, "%u", (unsigned)value); break;
    case ARG_LONG:
    case ARG_OFF: strace_put(line, "%" PRId64, (int64_t)value); break;
    case ARG_SIZE: strace_put(line, "%" PRIu64, value); break;
    case ARG_HEX: strace_put(line, value ? "0x%" PRIx64 : "%" PRIu64, value); break;
    case ARG_MODE: strace_put(line, "0%o", (unsigned)value); break;
    case ARG_SIGNAL: strace_put(line, "%s", signal_name((int)value)); break;
    case ARG_PTR: put_pointer(line, value); break;
    case ARG_ATFD: strace_put(line, (int)value == AT_FDCWD ? "AT_FDCWD" : "%d", (int)value); break;
    case ARG_PATH:
    case ARG_LINK:
    case ARG_NEWPATH:
    case ARG_TEXT: put_text(line, value); break;
    case ARG_INBUF: strace_bytes(line, value, index < 5 ? line->args[index + 1] : 0); break;
    case ARG_OUTBUF:
        if (result >= 0) strace_bytes(line, value, (uint64_t)result);
        else put_pointer(line, value);
        break;
    default: strace_put(line, "%d", (int)value); break;
    }
}

// A mode behind open flags counts only where a file may be made.
static bool is_unused_mode(const StraceLine *line, unsigned index) {
    return line->row->args[index] == ARG_MODE && index > 0 && line->row->args[index - 1] == (ARG_TABLE | ARG_BITS | TABLE_OPEN) &&
           !(line->args[index - 1] & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)));
}

static bool is_filled_in(unsigned kind) { return kind == ARG_OUTBUF || (kind & (ARG_IN | ARG_OUT)) == ARG_OUT; }

static unsigned argument_kind(const StraceLine *line, unsigned index) { return line->row ? line->row->args[index] : ARG_HEX; }

// The arguments from where the line stands; before the call only up to the first that is filled in.
static void put_arguments(StraceLine *line, bool before, int64_t result) {
    for (; line->done < 6; line->done++) {
        unsigned kind = argument_kind(line, line->done);
        if (kind == ARG_NONE || (before && is_filled_in(kind))) return;
        if (line->row && is_unused_mode(line, line->done)) return;
        if (line->done) strace_put(line, ", ");
        if ((kind & ARG_CLASS) == ARG_STRUCT) put_structure(line, line->done, kind, result);
        else if ((kind & ARG_CLASS) == ARG_TABLE) put_table(line, kind, line->args[line->done]);
        else put_plain(line, line->done, kind, result);
    }
}

// ---- calls -------------------------------------------------------------------------------------------------------------

static bool is_exec(const SyscallRow *row) { return row && (row->handler == sys_execve || row->handler == sys_execveat); }

static bool has_no_return(const SyscallRow *row) { return row && (row->handler == sys_exit || row->handler == sys_exit_group); }

static bool returns_address(const SyscallRow *row) {
    return row && (row->handler == sys_mmap || row->handler == sys_brk || row->handler == sys_mremap || row->handler == sys_shmat);
}

static void put_start(StraceLine *line) {
    strace_put(line, "%d ", line->thread->tid);
    if (line->row) strace_put(line, "%s(", line->row->name);
    else strace_put(line, "syscall_%" PRIu64 "(", line->number);
}

void strace_begin(StraceLine *line, LinuxThread *t, uint64_t number, const SyscallRow *row, const uint64_t args[6]) {
    line->thread = t;
    line->row = row;
    line->number = number;
    line->args = args;
    line->done = line->length = 0;
    put_start(line);
    put_arguments(line, true, 0);
    if (has_no_return(row)) strace_put(line, ") = ?");
    else if (is_exec(row)) strace_put(line, " <unfinished ...>");
    else return;
    write_line(line);
}

static void put_result(StraceLine *line, long result) {
    if (result >= 0) {
        strace_put(line, returns_address(line->row) ? "0x%lx" : "%ld", result);
        return;
    }
    switch (-result) {
    case LINUX_ERESTARTSYS: strace_put(line, "? ERESTARTSYS"); return;
    case LINUX_ERESTARTNOINTR: strace_put(line, "? ERESTARTNOINTR"); return;
    case LINUX_ERESTARTNOHAND: strace_put(line, "? ERESTARTNOHAND"); return;
    case LINUX_NO_RESULT: strace_put(line, "?"); return;
    }
    const char *name = -result < 4096 ? strerrorname_np((int)-result) : NULL;
    if (name) strace_put(line, "-1 %s (%s)", name, strerrordesc_np((int)-result));
    else strace_put(line, "%ld", result);
}

// What the call changed in the structures that were printed before it.
static void put_changes(StraceLine *line, long result) {
    const char *separator = " => ";
    for (unsigned i = 0; line->row && result > 0 && i < 6 && line->row->args[i]; i++) {
        unsigned kind = line->row->args[i];
        if ((kind & ARG_CLASS) != ARG_STRUCT || !(kind & ARG_IN) || !(kind & ARG_OUT) || !line->args[i]) continue;
        strace_put(line, "%s", separator);
        put_structure(line, i, kind, result);
        separator = ", ";
    }
}

void strace_end(StraceLine *line, long result) {
    if (is_exec(line->row)) strace_put(line, "%d <... %s resumed>", line->thread->tid, line->row->name);
    else put_arguments(line, false, result);
    strace_put(line, ") = ");
    put_result(line, result);
    put_changes(line, result);
    write_line(line);
}

void strace_signal(LinuxThread *t, int signal, const siginfo_t *info) {
    StraceLine line;
    line.thread = t;
    line.length = 0;
    strace_put(&line, "%d --- %s {si_code=%d", t->tid, signal_name(signal), info->si_code);
    if (info->si_code > 0 && (signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE))
        strace_put(&line, ", si_addr=%p", info->si_addr);
    else if (info->si_code <= 0) strace_put(&line, ", si_pid=%d, si_uid=%d", info->si_pid, info->si_uid);
    strace_put(&line, "} ---");
    write_line(&line);
}
