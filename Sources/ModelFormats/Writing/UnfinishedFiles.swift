import Glibc
import Synchronization

/// The temporary files and directories of active writers, in a table that a signal handler can
/// read.
///
/// Paths are in memory that is never moved or freed, each with a flag, so the handler needs no lock
/// and no allocation.
@safe
package final class UnfinishedFiles: Sendable {
  package static let shared = UnfinishedFiles()

  private static let slotCount = 64
  private static let slotSize = Int(PATH_MAX)
  private nonisolated(unsafe) let paths: UnsafeMutablePointer<CChar>
  private nonisolated(unsafe) let isUsed: UnsafeMutablePointer<Atomic<Bool>>
  private let lock = Mutex<Void>(())

  private init() {
    // Unused pages stay unbacked.
    unsafe paths = .allocate(capacity: UnfinishedFiles.slotCount * UnfinishedFiles.slotSize)
    unsafe isUsed = .allocate(capacity: UnfinishedFiles.slotCount)
    for slot in 0..<UnfinishedFiles.slotCount {
      unsafe (isUsed + slot).initialize(to: Atomic(false))
    }
  }

  /// Adds a path; nil if the table is full or the path too long, in which case only its writer
  /// removes the file.
  package func add(_ path: String) -> Int? {
    let bytes = FileName.bytes(path)
    guard bytes.count <= UnfinishedFiles.slotSize else { return nil }
    return lock.withLock { _ in
      for slot in 0..<UnfinishedFiles.slotCount
      where unsafe !isUsed[slot].load(ordering: .acquiring) {
        for (index, byte) in bytes.enumerated() {
          unsafe paths[slot * UnfinishedFiles.slotSize + index] = byte
        }
        unsafe isUsed[slot].store(true, ordering: .releasing)
        return slot
      }
      return nil
    }
  }

  package func remove(_ slot: Int?) {
    guard let slot else { return }
    unsafe isUsed[slot].store(false, ordering: .releasing)
  }

  func unlinkAll() {
    for slot in 0..<UnfinishedFiles.slotCount
    where unsafe isUsed[slot].load(ordering: .acquiring) {
      unsafe unlink(paths + slot * UnfinishedFiles.slotSize)
    }
    // A directory can be removed only when empty; it enters the table before its contents.
    for slot in (0..<UnfinishedFiles.slotCount).reversed()
    where unsafe isUsed[slot].load(ordering: .acquiring) {
      unsafe rmdir(paths + slot * UnfinishedFiles.slotSize)
    }
  }
}
