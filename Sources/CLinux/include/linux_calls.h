// Linux calls that Swift's Glibc module lacks, since they are GNU extensions.
//
// No system header is included here: its declarations would become this module's. Truncation of
// mapped files is handled in mapping_guard.h, lack of memory in memory_guard.h.
#pragma once

/// fallocate(2): reserves the file's first `size` bytes and sets that size; -1 with errno on
/// failure.
int sdk_reserve(int descriptor, long long size);

/// sync_file_range(2): starts writing these bytes to disk without waiting.
void sdk_start_writing_back(int descriptor, long long offset, long long count);

/// Opens a new unnamed file for writing, on the file system of `directory`; -1 if it does not
/// support that.
int sdk_open_unnamed(const char *directory, unsigned mode);

/// Names the file of `descriptor` `path`, which must not exist; 0, or -1 with errno.
int sdk_link_unnamed(int descriptor, const char *path);

/// memmem(3): the first position of `pattern` in the bytes, or -1.
long long sdk_find(
    const void *bytes, long long count, const void *pattern, long long pattern_count);

/// flock(2): locks an open file until it is closed, without waiting; 0, or -1 with errno, which is
/// EWOULDBLOCK if another process has locked it.
int sdk_lock(int descriptor);

/// flock(2), shared: waits while another process holds the lock exclusively; 0, or -1 with errno.
int sdk_lock_shared(int descriptor);

/// A file's identity, independent of its name, and different from a later file with the same inode
/// number: the time of birth, in nanoseconds, is 0 if the file system does not store it.
typedef struct {
  unsigned long long device, inode;
  long long birth;
} sdk_identity;

/// statx(2) of `path`, following links, or of `descriptor` if `path` is empty; 0, or -1 with errno.
int sdk_identify(int descriptor, const char *path, sdk_identity *identity);

/// renameat2(2): exchanges two paths atomically; 0, or -1 with errno.
int sdk_exchange(const char *path, const char *other);

/// Cores that this process may run on.
int sdk_core_count(void);
