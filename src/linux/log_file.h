// SPDX-License-Identifier: MIT
//
// The file of the log. Guests do not feel it: its descriptor is hidden (own_fd.h), and where nothing more can be written (a full disk, the
// process's limit on the size of files) a warning says so once, no signal comes of it, and the guest goes on.
#ifndef KILN_LINUX_LOG_FILE_H
#define KILN_LINUX_LOG_FILE_H

#include <stddef.h>
#include <stdio.h>

// A stream that writes whole lines to `fd`, which is the log's from now on. NULL: out of memory, fd is as it was. Once a process.
FILE *log_file_stream(int fd);

// The descriptor of that stream.
int log_file_fd(void);

// Writes to a descriptor of the log, by the same rules.
void log_file_write(int fd, const char *text, size_t size);

#endif
