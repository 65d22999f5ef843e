import CLinux

/// What becomes of a program that memory cannot be had for.
package enum MemoryShortage {
  /// Has the program end with a sentence and a status, and without unfinished files, instead of by a
  /// trap. For programs alone: it installs handlers of signals.
  package static func endProgram(saying text: String, status: Int32) {
    FileWriter.removeUnfinished()
    unsafe sdk_memory_guard_install(text, status) { FileWriter.removeUnfinished() }
  }
}
