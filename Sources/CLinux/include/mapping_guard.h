// Mapped files that are truncated: SIGBUS becomes zeros and a flag.
//
// No system header is included here: its declarations would become this module's. Truncation of
// mapped files is handled in mapping_guard.h, lack of memory in memory_guard.h.
#pragma once

/// Installs the SIGBUS handler once. A fault in a mapping of the table maps zeros over the rest of
/// it, from the faulting page on, and sets the mapping's flag; any other fault goes to the previous
/// handler, or ends the process if there was none.
///
/// 0, or -1 with errno.
int sdk_guard_install(void);

/// Adds a mapping to the table; returns its slot, or -1 if the table is full. It must be removed
/// before it is unmapped.
int sdk_guard_add(const void *base, long long size, int is_writable);

/// Removes a mapping from the table.
void sdk_guard_remove(int place);

/// Whether a page of the mapping could not be read, because the file ends before it or its disk
/// failed.
int sdk_guard_is_lost(int place);
