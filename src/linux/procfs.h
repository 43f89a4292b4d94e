// SPDX-License-Identifier: MIT
//
// The files of /proc that show the guest's process where the host's would show Kiln. Only the running process' own: other
// processes are seen as the host shows them.
#ifndef KILN_LINUX_PROCFS_H
#define KILN_LINUX_PROCFS_H

#include <stdbool.h>
#include "linux/linux.h"

typedef enum ProcFile {
    PROC_NONE, // not ours: as the host shows it
    PROC_EXE,
    PROC_CMDLINE,
    PROC_ENVIRON,
    PROC_AUXV,
    PROC_STAT,
    PROC_MAPS,
    PROC_SMAPS,
    PROC_CPUINFO,
    PROC_OWN_FD, // a descriptor of Kiln's: does not exist
} ProcFile;

// What an absolute path names.
ProcFile procfs_find(const char *path);
// Is the last component of a path one that procfs_find could know? (a cheap first look)
bool procfs_known_name(const char *name);
// A descriptor with the guest's view of the file (not PROC_EXE, PROC_OWN_FD), open for reading, or negative errno.
long procfs_open(const LinuxThread *t, ProcFile file, bool close_on_exec);
// Does this descriptor stand for /proc/<own pid>/fd (or fdinfo)?
bool procfs_is_fd_directory(int fd);

#endif
