// SPDX-License-Identifier: MIT
//
// Between the files of the gdb stub: gdb.c (stopping and going on), gdb_commands.c (what gdb asks), gdb_wire.c (packets, hex).
#ifndef KILN_DEBUG_GDB_INTERNAL_H
#define KILN_DEBUG_GDB_INTERNAL_H

#include "linux/linux.h"

enum { GDB_PACKET = 16384 }; // largest packet, without its frame

// ---- gdb_wire.c --------------------------------------------------------------------------------------------------------
typedef struct GdbWire {
    int fd;
    bool no_ack;
    size_t in_start, in_end;
    char in[GDB_PACKET];
} GdbWire;

// Waits at `place` until somebody connects. False: a message was printed.
bool gdb_wire_accept(GdbWire *wire, const char *place);
// The next packet, unescaped and ended by a NUL; its length, or -1 when the connection is gone. A lone ^C comes as "\003".
long gdb_wire_receive(GdbWire *wire, char packet[GDB_PACKET + 1]);
bool gdb_wire_send(GdbWire *wire, const char *packet, size_t length);
// Without waiting: 1 if a ^C has come, 0 if not, -1 if the connection is gone.
int gdb_wire_interrupted(GdbWire *wire);

void hex_from(char *to, const void *from, size_t size); // 2 * size characters and a NUL
bool hex_to(void *to, const char *from, size_t size);
int gdb_signal_from_host(int signal);
int gdb_signal_to_host(int signal);

// ---- gdb_commands.c ----------------------------------------------------------------------------------------------------
// What the debugger wants next.
typedef struct GdbResume {
    enum { GDB_CONTINUE, GDB_DETACH, GDB_KILL } how;
    pid_t step; // this thread executes one instruction; 0: none
    pid_t only; // no other thread runs; 0: all do
    int signal; // what the stopped thread gets; 0: nothing
} GdbResume;

// Answers packets until one lets the process go on. `stopped` is the thread that reports; `report`: say so unasked.
GdbResume gdb_converse(GdbWire *wire, LinuxThread *stopped, int signal, bool at_breakpoint, bool report);
void gdb_remove_breakpoints(Engine *engine);

// ---- gdb.c -------------------------------------------------------------------------------------------------------------
// The threads of the debugged process by number (from 0), or NULL; and one by id.
LinuxThread *gdb_thread(unsigned index);
LinuxThread *gdb_thread_by_id(pid_t tid);

#endif
