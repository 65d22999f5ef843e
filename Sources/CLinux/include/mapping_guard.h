// Files that are mapped into memory and truncated meanwhile: SIGBUS becomes zeros and a flag.
//
// No system header is included here: its declarations would become this module's.
#pragma once

/// Installs the handler of SIGBUS, once. A fault in a mapping of the table maps zeros over the rest of
/// it, from the page of the fault on, and sets the mapping's flag; any other goes to the handler that
/// was there before, or ends the process as if there were none.
///
/// 0, or -1 with errno.
int sdk_guard_install(void);

/// Puts a mapping into the table; its place, or -1 where the table is full. It must be taken out
/// before it is unmapped.
int sdk_guard_add(const void *base, long long size, int is_writable);

/// Takes a mapping out of the table.
void sdk_guard_remove(int place);

/// Whether a page of the mapping could not be read, since the file ends before it or its disk failed.
int sdk_guard_is_lost(int place);
