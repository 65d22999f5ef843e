// Memory that cannot be had ends a program with a status and a sentence instead of a trap.
//
// No system header is included here: its declarations would become this module's.
#pragma once

/// Installs handlers of the signals by which a program ends where memory cannot be had: SIGABRT,
/// SIGILL, SIGTRAP and SIGSEGV. Where there is memory they leave the signal to what it did before.
///
/// `text` is copied, and written to stderr; `clean` is called before, and may only do what a handler
/// may; the program ends with `status`.
void sdk_memory_guard_install(const char *text, int status, void (*clean)(void));
