// Calls of Linux that Swift's Glibc module leaves out, since they are GNU extensions.
//
// No system header is included here: its declarations would become this module's.
#pragma once

/// copy_file_range(2): appends to `target` at most `count` bytes that begin at `*source_offset` of
/// `source`, and moves the offset on. The bytes that were copied; -1 with errno on failure.
long sdk_copy_file_range(int source, long long *source_offset, int target, unsigned long count);

/// Opens a new file of no name for writing, on the file system of `directory`; -1 where that file
/// system knows no such files.
int sdk_open_unnamed(const char *directory, unsigned mode);

/// Gives the file that `descriptor` is of the name `path`, which must be free; 0, or -1 with errno.
int sdk_link_unnamed(int descriptor, const char *path);
