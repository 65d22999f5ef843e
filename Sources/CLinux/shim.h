// Calls of Linux that Swift's Glibc module leaves out, since they are GNU extensions.
#pragma once

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/// copy_file_range(2), appending to `target` what begins at `*source_offset` of `source`.
static inline ssize_t sdk_copy_file_range(
    int source, long long *source_offset, int target, size_t count) {
  return syscall(SYS_copy_file_range, source, source_offset, target, (void *)0, count, 0u);
}

/// Opens a new file of no name for writing, on the file system of `directory`; -1 where that file
/// system knows no such files.
static inline int sdk_open_unnamed(const char *directory, mode_t mode) {
  // O_TMPFILE, which the headers show to GNU sources alone: a bit of its own and O_DIRECTORY.
  const int unnamed = 020000000 | O_DIRECTORY;
  return open(directory, unnamed | O_WRONLY | O_CLOEXEC, mode);
}

/// Gives the file that `descriptor` is of the name `path`, which must be free.
static inline int sdk_link_unnamed(int descriptor, const char *path) {
  char source[64];
  snprintf(source, sizeof source, "/proc/self/fd/%d", descriptor);
  return linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}
