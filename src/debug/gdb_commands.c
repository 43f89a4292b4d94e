// SPDX-License-Identifier: MIT
//
// What gdb asks while the process stands: registers, memory, breakpoints, threads, the auxiliary vector, and how to go on. A packet
// that is not known gets the empty answer, as the protocol wants it.
#include "debug/gdb_internal.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "linux/memory.h"

// One stop. `answer` is sent after the packet is handled, unless the process goes on.
typedef struct Stop {
    GdbWire *wire;
    LinuxThread *thread;  // that reports
    pid_t general_tid;    // that registers are asked of (Hg) ...
    LinuxThread *general; // ... looked up for each packet, as it may end in a system call
    pid_t continued;      // that c and s are for (Hc); 0: all
    int signal;
    bool at_breakpoint;
    GdbResume *resume; // what comes next
    bool over;         // the process goes on
    size_t length;
    char answer[GDB_PACKET + 1];
} Stop;

static bool reports_breakpoints; // gdb knows the word

static void answer(Stop *stop, const char *text) { stop->length = (size_t)snprintf(stop->answer, sizeof stop->answer, "%s", text); }

static const GuestDebug *registers_of(const LinuxThread *t) { return t->process->guest->debug; }

// ---- registers ---------------------------------------------------------------------------------------------------------

static unsigned put_register(Stop *stop, unsigned number, size_t at) {
    uint8_t value[16];
    unsigned size = registers_of(stop->general)->read(stop->general->cpu, number, value);
    hex_from(stop->answer + at, value, size);
    return 2 * size;
}

static void read_all_registers(Stop *stop) {
    unsigned count = registers_of(stop->general)->register_count;
    for (unsigned n = 0; n < count; n++) stop->length += put_register(stop, n, stop->length);
}

// The length of the text that was used up, 0: wrong.
static unsigned take_register(Stop *stop, unsigned number, const char *text) {
    uint8_t value[16];
    const GuestDebug *debug = registers_of(stop->general);
    unsigned size = debug->read(stop->general->cpu, number, value);
    if (!hex_to(value, text, size)) return 0;
    debug->write(stop->general->cpu, number, value);
    return 2 * size;
}

static void write_all_registers(Stop *stop, const char *text) {
    for (unsigned n = 0; n < registers_of(stop->general)->register_count && *text; n++) {
        unsigned used = take_register(stop, n, text);
        if (!used) return answer(stop, "E01");
        text += used;
    }
    answer(stop, "OK");
}

static void one_register(Stop *stop, const char *text, bool write) {
    char *end;
    unsigned long number = strtoul(text, &end, 16);
    if (number >= registers_of(stop->general)->register_count) answer(stop, "E01");
    else if (!write) stop->length = put_register(stop, (unsigned)number, 0);
    else answer(stop, *end == '=' && take_register(stop, (unsigned)number, end + 1) ? "OK" : "E01");
}

// ---- memory ------------------------------------------------------------------------------------------------------------

// Through the kernel, which asks no page for its protection: text can be written, and what is mapped without access be read.
static size_t copy_piece(int mem, uint64_t address, void *buffer, size_t size, bool write) {
    ssize_t n = write ? pwrite(mem, buffer, size, (off_t)address) : pread(mem, buffer, size, (off_t)address);
    return n > 0 ? (size_t)n : 0;
}

// Copies as much of guest memory as is there from `address` on, and nothing of Kiln's.
static size_t copy_memory(uint64_t address, uint8_t *buffer, size_t size, bool write) {
    int mem = open("/proc/self/mem", (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    size_t done = 0;
    Mapping m;
    while (mem >= 0 && done < size && memory_lookup(address + done, &m)) {
        size_t piece = m.end - (address + done) < size - done ? m.end - (address + done) : size - done;
        size_t n = copy_piece(mem, address + done, buffer + done, piece, write);
        done += n;
        if (n < piece) break;
    }
    if (mem >= 0) close(mem);
    if (write && done) memory_invalidate(address, address + done);
    return done;
}

static void read_memory(Stop *stop, const char *text) {
    uint8_t bytes[GDB_PACKET / 2];
    char *end;
    uint64_t address = strtoull(text, &end, 16), size = *end == ',' ? strtoull(end + 1, NULL, 16) : 0;
    if (size > sizeof bytes) size = sizeof bytes;
    size_t done = copy_memory(address, bytes, size, false);
    if (!done && size) return answer(stop, "E14");
    hex_from(stop->answer, bytes, done);
    stop->length = 2 * done;
}

// M has hexadecimal, X plain bytes behind the colon.
static void write_memory(Stop *stop, const char *text, const char *packet_end, bool plain) {
    uint8_t bytes[GDB_PACKET];
    char *end;
    uint64_t address = strtoull(text, &end, 16), size = *end == ',' ? strtoull(end + 1, &end, 16) : 0;
    if (*end != ':' || size > sizeof bytes) return answer(stop, "E01");
    const char *data = end + 1;
    if ((uint64_t)(packet_end - data) < (plain ? size : 2 * size)) return answer(stop, "E01");
    if (plain) memcpy(bytes, data, size);
    else if (!hex_to(bytes, data, size)) return answer(stop, "E01");
    answer(stop, copy_memory(address, bytes, size, true) == size ? "OK" : "E14");
}

// ---- breakpoints -------------------------------------------------------------------------------------------------------

static uint64_t *breakpoints;
static size_t breakpoint_count;

static void set_breakpoint(Stop *stop, const char *text, bool set) {
    if (*text != '0' && *text != '1') return; // no watchpoints
    uint64_t address = text[1] == ',' ? strtoull(text + 2, NULL, 16) : 0;
    Engine *engine = stop->thread->process->engine;
    size_t at = 0;
    while (at < breakpoint_count && breakpoints[at] != address) at++;
    if (set && at == breakpoint_count) {
        uint64_t *list = reallocarray(breakpoints, breakpoint_count + 1, sizeof *list);
        if (!list) return answer(stop, "E0c");
        breakpoints = list;
        breakpoints[breakpoint_count++] = address;
    } else if (!set && at < breakpoint_count) {
        breakpoints[at] = breakpoints[--breakpoint_count];
    }
    engine_breakpoint(engine, address, set);
    answer(stop, "OK");
}

void gdb_remove_breakpoints(Engine *engine) {
    while (breakpoint_count) engine_breakpoint(engine, breakpoints[--breakpoint_count], false);
}

// ---- threads -----------------------------------------------------------------------------------------------------------

static void list_threads(Stop *stop) {
    stop->answer[stop->length++] = 'm';
    const LinuxThread *t;
    for (unsigned i = 0; (t = gdb_thread(i)) && stop->length < GDB_PACKET - 20; i++)
        stop->length += (size_t)sprintf(stop->answer + stop->length, "%s%x", i ? "," : "", (unsigned)t->tid);
}

// "-1" and "0" mean all or any.
static pid_t read_thread(const char *text) { return *text == '-' ? 0 : (pid_t)strtol(text, NULL, 16); }

static void choose_thread(Stop *stop, const char *text) {
    pid_t tid = read_thread(text + 1);
    LinuxThread *t = tid ? gdb_thread_by_id(tid) : stop->thread;
    if (!t) return answer(stop, "E03");
    if (*text == 'g') stop->general_tid = t->tid;
    else stop->continued = tid;
    answer(stop, "OK");
}

// ---- queries -----------------------------------------------------------------------------------------------------------

// The part that "offset,length" asks for: 'm' means that there is more, 'l' that it is the last.
static void put_part(Stop *stop, const char *range, const void *data, size_t size) {
    char *end;
    size_t offset = strtoull(range, &end, 16), length = *end == ',' ? strtoull(end + 1, NULL, 16) : 0;
    if (length > GDB_PACKET / 2) length = GDB_PACKET / 2; // escapes may double it
    if (offset > size) offset = size;
    if (length > size - offset) length = size - offset;
    stop->answer[0] = offset + length < size ? 'm' : 'l';
    memcpy(stop->answer + 1, (const char *)data + offset, length);
    stop->length = 1 + length;
}

static void transfer(Stop *stop, const char *text) {
    static char xml[8192];
    const LinuxProcess *process = stop->thread->process;
    uint8_t auxv[1024];
    size_t auxv_size = process->auxv_size < sizeof auxv ? process->auxv_size : sizeof auxv;
    if (strncmp(text, "features:read:target.xml:", 25) == 0)
        put_part(stop, text + 25, xml, registers_of(stop->thread)->target_xml(xml, sizeof xml));
    else if (strncmp(text, "auxv:read::", 11) == 0)
        put_part(stop, text + 11, auxv, copy_memory(process->auxv_start, auxv, auxv_size, false));
    else if (strncmp(text, "exec-file:read:", 15) == 0 && strchr(text + 15, ':'))
        put_part(stop, strchr(text + 15, ':') + 1, process->exe_path, strlen(process->exe_path));
    else answer(stop, "E00");
}

static void query(Stop *stop, const char *text) {
    char line[160];
    if (strncmp(text, "Supported", 9) == 0) {
        reports_breakpoints = strstr(text, "swbreak+") != NULL;
        snprintf(line, sizeof line,
                 "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;qXfer:auxv:read+;"
                 "qXfer:exec-file:read+;vContSupported+;swbreak+",
                 GDB_PACKET);
        answer(stop, line);
    } else if (strncmp(text, "Xfer:", 5) == 0) {
        transfer(stop, text + 5);
    } else if (strcmp(text, "fThreadInfo") == 0) {
        list_threads(stop);
    } else if (strcmp(text, "sThreadInfo") == 0) {
        answer(stop, "l");
    } else if (strcmp(text, "C") == 0) {
        snprintf(line, sizeof line, "QC%x", (unsigned)stop->thread->tid);
        answer(stop, line);
    } else if (strncmp(text, "Attached", 8) == 0) {
        answer(stop, "0"); // we started the program, so it ends with the session
    }
}

// ---- going on ----------------------------------------------------------------------------------------------------------

static void go_on(Stop *stop, char how, int gdb_signal, pid_t tid) {
    stop->over = true;
    if (gdb_signal) stop->resume->signal = gdb_signal_to_host(gdb_signal);
    if (how == 's' || how == 'S') stop->resume->step = tid ? tid : stop->thread->tid;
}

// c, s, C, S with signal and address.
static void go_on_simply(Stop *stop, const char *text) {
    char *at = (char *)text + 1;
    int signal = *text == 'C' || *text == 'S' ? (int)strtol(at, &at, 16) : 0;
    if (*at == ';') at++;
    if (*at) stop->thread->cpu->pc = strtoull(at, NULL, 16);
    go_on(stop, *text, signal, stop->continued);
}

// vCont;ACTION[:THREAD]...: the first action that names a thread, or none, is the one for it. Threads without one stand still.
static void go_on_by_thread(Stop *stop, const char *text) {
    pid_t only = 0;
    bool all = false;
    for (const char *at = text; *at == ';'; at += strcspn(at, ";")) {
        char how = *++at, *end = (char *)at + 1;
        int signal = how == 'C' || how == 'S' ? (int)strtol(end, &end, 16) : 0;
        pid_t tid = *end == ':' ? read_thread(end + 1) : 0;
        if (how != 't') go_on(stop, stop->resume->step ? 'c' : how, signal, tid);
        if (!tid) all = true;
        else if (!only) only = tid;
    }
    if (!all) stop->resume->only = only;
}

static void v_packet(Stop *stop, const char *text) {
    if (strcmp(text, "Cont?") == 0) answer(stop, "vCont;c;C;s;S");
    else if (strncmp(text, "Cont;", 5) == 0) go_on_by_thread(stop, text + 4);
    else if (strncmp(text, "Kill", 4) == 0) answer(stop, "OK"), stop->over = true, stop->resume->how = GDB_KILL;
}

// ---- a conversation ----------------------------------------------------------------------------------------------------

static void why(Stop *stop) {
    bool tell = stop->at_breakpoint && reports_breakpoints;
    stop->length =
        (size_t)snprintf(stop->answer, sizeof stop->answer, "T%02xthread:%x;%s", (unsigned)gdb_signal_from_host(stop->signal),
                         (unsigned)stop->thread->tid, tell ? "swbreak:;" : "");
}

static void handle(Stop *stop, const char *packet, size_t length) {
    stop->general = gdb_thread_by_id(stop->general_tid);
    if (!stop->general) stop->general = stop->thread;
    switch (packet[0]) {
    case '?': why(stop); break;
    case 'g': read_all_registers(stop); break;
    case 'G': write_all_registers(stop, packet + 1); break;
    case 'p': one_register(stop, packet + 1, false); break;
    case 'P': one_register(stop, packet + 1, true); break;
    case 'm': read_memory(stop, packet + 1); break;
    case 'M': write_memory(stop, packet + 1, packet + length, false); break;
    case 'X': write_memory(stop, packet + 1, packet + length, true); break;
    case 'Z': set_breakpoint(stop, packet + 1, true); break;
    case 'z': set_breakpoint(stop, packet + 1, false); break;
    case 'c':
    case 's':
    case 'C':
    case 'S': go_on_simply(stop, packet); break;
    case 'v': v_packet(stop, packet + 1); break;
    case 'H': choose_thread(stop, packet + 1); break;
    case 'T': answer(stop, gdb_thread_by_id(read_thread(packet + 1)) ? "OK" : "E03"); break;
    case 'q': query(stop, packet + 1); break;
    case 'D': answer(stop, "OK"), stop->over = true, stop->resume->how = GDB_DETACH; break;
    case 'k': stop->over = true, stop->resume->how = GDB_KILL; break;
    case 'Q':
        if (strcmp(packet, "QStartNoAckMode") == 0) answer(stop, "OK");
        break;
    default: break;
    }
}

// Does a packet that lets the process go on have an answer of its own?
static bool is_answered(const Stop *stop) { return !stop->over || stop->length > 0; }

GdbResume gdb_converse(GdbWire *wire, LinuxThread *stopped, int signal, bool at_breakpoint, bool report) {
    static char packet[GDB_PACKET + 1];
    static Stop stop; // one thread talks at a time
    GdbResume resume = {GDB_CONTINUE, 0, 0, 0};
    stop = (Stop){.wire = wire,
                  .thread = stopped,
                  .general_tid = stopped->tid,
                  .signal = signal,
                  .at_breakpoint = at_breakpoint,
                  .resume = &resume};
    if (report) {
        why(&stop);
        gdb_wire_send(wire, stop.answer, stop.length);
    }
    while (!stop.over) {
        long length = gdb_wire_receive(wire, packet);
        if (length < 0) return (GdbResume){.how = GDB_DETACH};
        if (packet[0] == '\003') continue;
        stop.length = 0;
        handle(&stop, packet, (size_t)length);
        if (is_answered(&stop) && !gdb_wire_send(wire, stop.answer, stop.length)) return (GdbResume){.how = GDB_DETACH};
        if (strcmp(packet, "QStartNoAckMode") == 0) wire->no_ack = true;
    }
    return resume;
}
