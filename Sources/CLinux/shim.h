// Calls of Linux that Swift's Glibc module leaves out, since they are GNU extensions.
#pragma once

#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/// copy_file_range(2), appending to `target` what begins at `*source_offset` of `source`.
static inline ssize_t sdk_copy_file_range(
    int source, long long *source_offset, int target, size_t count) {
  return syscall(SYS_copy_file_range, source, source_offset, target, (void *)0, count, 0u);
}
