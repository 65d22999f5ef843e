import Glibc

/// Bytes aligned for vectors, in large pages where there are enough of them.
final class Allocation {
  let pointer: UnsafeMutableRawPointer
  let byteCount: Int
  /// The file that the bytes lie in, where they are not the process's own.
  private let file: WeightFile?

  /// The size of the large pages of x86-64.
  private static let hugePage = 2 << 20

  init(byteCount: Int, context: String) throws(EngineError) {
    let size = max(64, byteCount)
    let isLarge = size >= Self.hugePage
    var pointer: UnsafeMutableRawPointer?
    guard posix_memalign(&pointer, isLarge ? Self.hugePage : 64, size) == 0, let pointer else {
      throw EngineError(.memory, "\(byteCount) bytes of memory cannot be had", context: context)
    }
    // Fewer address translations for the same data; refused without harm where unsupported.
    if isLarge { madvise(pointer, size / Self.hugePage * Self.hugePage, MADV_HUGEPAGE) }
    self.pointer = pointer
    self.byteCount = byteCount
    file = nil
  }

  /// Room in `file`.
  ///
  /// - Throws: ``EngineError`` `memory` where the disk is full.
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
