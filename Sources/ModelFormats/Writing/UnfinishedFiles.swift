import Glibc
import Synchronization

/// The temporary files and directories of writers at work, in a table that a signal handler can
/// read.
///
/// Paths lie in memory that is never moved or freed, each behind a flag, so that the handler
/// needs no lock and no allocation.
@safe
package final class UnfinishedFiles: Sendable {
  package static let shared = UnfinishedFiles()

  private static let slotCount = 64
  private static let slotSize = Int(PATH_MAX)
  private nonisolated(unsafe) let paths: UnsafeMutablePointer<CChar>
  private nonisolated(unsafe) let isUsed: UnsafeMutablePointer<Atomic<Bool>>
  private let lock = Mutex<Void>(())

  private init() {
    // Pages that no path is written to stay unbacked.
    unsafe paths = .allocate(capacity: UnfinishedFiles.slotCount * UnfinishedFiles.slotSize)
    unsafe isUsed = .allocate(capacity: UnfinishedFiles.slotCount)
    for slot in 0..<UnfinishedFiles.slotCount {
      unsafe (isUsed + slot).initialize(to: Atomic(false))
    }
  }

  /// Takes a path in; nil where the table is full or the path too long, which leaves the file
  /// to its writer alone.
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
    // A directory goes once it is empty, and enters the table before what is in it.
    for slot in (0..<UnfinishedFiles.slotCount).reversed()
    where unsafe isUsed[slot].load(ordering: .acquiring) {
      unsafe rmdir(paths + slot * UnfinishedFiles.slotSize)
    }
  }
}
