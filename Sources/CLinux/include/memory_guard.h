// If memory runs out, the program ends with a status and a message instead of a trap.
//
// No system header is included here: its declarations would become this module's. Truncation of
// mapped files is handled in mapping_guard.h, lack of memory in memory_guard.h.
#pragma once

/// Installs handlers for the signals that end a program without memory: SIGABRT, SIGILL, SIGTRAP
/// and SIGSEGV. If there is memory, they leave the signal to its previous action.
///
/// `text` is copied, and written to stderr; `clean` is called first and may only do what a signal
/// handler may; the program ends with `status`.
void sdk_memory_guard_install(const char *text, int status, void (*clean)(void));
