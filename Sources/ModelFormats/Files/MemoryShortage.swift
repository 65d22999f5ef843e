import CLinux

/// How a program ends if memory cannot be allocated.
package enum MemoryShortage {
  /// Makes the program end with a message and a status, and without unfinished files, instead of a
  /// trap. Only for programs: it installs signal handlers.
  package static func endProgram(saying text: String, status: Int32) {
    FileWriter.removeUnfinished()
    unsafe sdk_memory_guard_install(text, status) { FileWriter.removeUnfinished() }
  }
}
