#define _GNU_SOURCE
#include "linux_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int sdk_reserve(int descriptor, long long size) {
  return fallocate(descriptor, 0, 0, size);
}

void sdk_start_writing_back(int descriptor, long long offset, long long count) {
  // Errors show on the final flush.
  (void)sync_file_range(descriptor, offset, count, SYNC_FILE_RANGE_WRITE);
}

int sdk_open_unnamed(const char *directory, unsigned mode) {
  return open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
}

int sdk_link_unnamed(int descriptor, const char *path) {
  char source[64];
  snprintf(source, sizeof source, "/proc/self/fd/%d", descriptor);
  return linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

long long sdk_find(
    const void *bytes, long long count, const void *pattern, long long pattern_count) {
  const char *found = memmem(bytes, (size_t)count, pattern, (size_t)pattern_count);
  return found ? found - (const char *)bytes : -1;
}

int sdk_lock(int descriptor) { return flock(descriptor, LOCK_EX | LOCK_NB); }
int sdk_lock_shared(int descriptor) { return flock(descriptor, LOCK_SH); }

int sdk_identify(int descriptor, const char *path, sdk_identity *identity) {
  const int directory = *path ? AT_FDCWD : descriptor;
  struct statx status;
  if (statx(directory, path, AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &status) == 0) {
    identity->device = makedev(status.stx_dev_major, status.stx_dev_minor);
    identity->inode = status.stx_ino;
    identity->birth = status.stx_mask & STATX_BTIME
      ? status.stx_btime.tv_sec * 1000000000 + status.stx_btime.tv_nsec : 0;
    return 0;
  }
  // Sandboxes reject calls that they do not know.
  struct stat usual;
  if (fstatat(directory, path, &usual, AT_EMPTY_PATH) != 0) return -1;
  *identity = (sdk_identity){.device = usual.st_dev, .inode = usual.st_ino, .birth = 0};
  return 0;
}

int sdk_exchange(const char *path, const char *other) {
  return renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE);
}

int sdk_core_count(void) {
  // The kernel rejects a set smaller than its own (EINVAL); cpu_set_t has only 1,024 CPUs.
  for (int capacity = CPU_SETSIZE; capacity <= 1 << 20; capacity *= 2) {
    cpu_set_t *set = CPU_ALLOC(capacity);
    if (set == NULL) break;
    const size_t size = CPU_ALLOC_SIZE(capacity);
    const int failed = sched_getaffinity(0, size, set) != 0;
    const int reason = errno;
    const int count = failed ? 0 : CPU_COUNT_S(size, set);
    CPU_FREE(set);
    if (count > 0) return count;
    if (!failed || reason != EINVAL) break;
  }
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 && online <= INT_MAX ? (int)online : 1;
}
