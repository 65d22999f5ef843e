// Calls of Linux that Swift's Glibc module leaves out, since they are GNU extensions.
//
// No system header is included here: its declarations would become this module's. What keeps a process
// alive while a mapped file is truncated is in mapping_guard.h; what ends it where there is no memory, in
// memory_guard.h.
#pragma once

/// fallocate(2): gives the file room for its first `size` bytes, and that size; -1 with errno on
/// failure.
int sdk_reserve(int descriptor, long long size);

/// sync_file_range(2): starts to bring these bytes to the disk and does not wait for them.
void sdk_start_writing_back(int descriptor, long long offset, long long count);

/// Opens a new file of no name for writing, on the file system of `directory`; -1 where that file
/// system knows no such files.
int sdk_open_unnamed(const char *directory, unsigned mode);

/// Gives the file that `descriptor` is of the name `path`, which must be free; 0, or -1 with errno.
int sdk_link_unnamed(int descriptor, const char *path);

/// memmem(3): where `pattern` first is in the bytes; -1 if it is not.
long long sdk_find(
    const void *bytes, long long count, const void *pattern, long long pattern_count);

/// flock(2): locks what is open for as long as it is, without waiting; 0, or -1 with errno, which is
/// EWOULDBLOCK where another process has locked it.
int sdk_lock(int descriptor);

/// What a file is, whatever it is called, told from a later one that its inode's number comes back
/// for: the time of its birth, in nanoseconds, is 0 where its file system keeps none.
typedef struct {
  unsigned long long device, inode;
  long long birth;
} sdk_identity;

/// statx(2) of `path`, links followed, or of what `descriptor` is of where `path` is empty; 0, or -1
/// with errno.
int sdk_identify(int descriptor, const char *path, sdk_identity *identity);

/// renameat2(2): lets two paths change places at once; 0, or -1 with errno.
int sdk_exchange(const char *path, const char *other);

/// Cores that this process may run on.
int sdk_core_count(void);
