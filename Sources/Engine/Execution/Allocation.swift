import Glibc

/// Memory aligned for vectors, in huge pages if large enough.
final class Allocation {
  let pointer: UnsafeMutableRawPointer
  let byteCount: Int
  /// The file that contains the bytes, if they are not anonymous memory.
  private let file: WeightFile?

  /// The size of huge pages on x86-64.
  private static let hugePage = 2 << 20

  init(byteCount: Int, context: String) throws(EngineError) {
    let size = max(64, byteCount)
    let isLarge = size >= Self.hugePage
    var pointer: UnsafeMutableRawPointer?
    guard posix_memalign(&pointer, isLarge ? Self.hugePage : 64, size) == 0, let pointer else {
      throw EngineError(.memory, "cannot allocate \(byteCount) bytes of memory", context: context)
    }
    // Reduces TLB misses; ignored if unsupported.
    if isLarge { madvise(pointer, size / Self.hugePage * Self.hugePage, MADV_HUGEPAGE) }
    self.pointer = pointer
    self.byteCount = byteCount
    file = nil
  }

  /// Allocates space in `file`.
  ///
  /// - Throws: ``EngineError`` `memory` if the disk is full.
  init(byteCount: Int, in file: WeightFile, context: String) throws(EngineError) {
    guard let pointer = file.room(byteCount) else {
      throw EngineError(
        .memory, "the temporary file for weights cannot grow by \(byteCount) bytes",
        context: context)
    }
    self.pointer = pointer
    self.byteCount = byteCount
    self.file = file
  }

  deinit {
    if file == nil { free(pointer) }
  }
}
