#define _GNU_SOURCE
#include "linux_calls.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

long sdk_copy_file_range(int source, long long *source_offset, int target, unsigned long count) {
  off64_t offset = *source_offset;
  ssize_t copied = copy_file_range(source, &offset, target, NULL, count, 0);
  *source_offset = offset;
  return copied;
}

int sdk_open_unnamed(const char *directory, unsigned mode) {
  return open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
}

int sdk_link_unnamed(int descriptor, const char *path) {
  char source[64];
  snprintf(source, sizeof source, "/proc/self/fd/%d", descriptor);
  return linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}
