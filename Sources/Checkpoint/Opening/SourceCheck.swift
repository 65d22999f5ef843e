import ModelFormats
import Synchronization
import Threads

/// Verifies a conversion's input on another core while it runs: by the checksums of a .sdflat file,
/// or the CRC-32 of the records with tensors in a PyTorch file. Otherwise new checksums would hide
/// the damage.
final class SourceCheck: Sendable {
  private let isCancelled = Atomic(false)
  private let failure = Mutex<FormatError?>(nil)
  private let work = Mutex<BackgroundWork?>(nil)

  /// Starts the check.
  ///
  /// - Parameter tensors: the tensors of `source` that are read.
  init(of source: ModelCheckpoint, _ tensors: [Tensor]) {
    let work = BackgroundWork { [self] in
      do throws(FormatError) {
        try source.requireUndamaged()
        try checkRecords(tensors)
      } catch {
        failure.withLock { $0 = error }
      }
    }
    self.work.withLock { $0 = work }
  }

  /// Waits for the end of the check.
  ///
  /// - Throws: ``FormatError`` `malformed` with the damaged parts.
  func requireSound() throws(FormatError) {
    wait()
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  /// Stops the check early.
  func cancel() {
    isCancelled.store(true, ordering: .relaxed)
    let work = takeWork()
    // Without a thread nothing was started.
    if work?.isRunning == true { work?.wait() }
  }

  private func wait() { takeWork()?.wait() }

  /// Takes the work, which refers to this object, out of its storage.
  private func takeWork() -> BackgroundWork? {
    work.withLock { work in
      defer { work = nil }
      return work
    }
  }

  private func checkRecords(_ tensors: [Tensor]) throws(FormatError) {
    var files: [(path: String, tensors: [Tensor])] = []
    var places: [String: Int] = [:]
    for tensor in tensors {
      guard let path = tensor.file?.path else { continue }
      if let place = places[path] {
        files[place].tensors.append(tensor)
      } else {
        places[path] = files.count
        files.append((path, [tensor]))
      }
    }
    let buffer = BlockBuffer()
    for (path, tensors) in files {
      guard let archive = try ArchiveCheck(path) else { continue }
      var checked: Set<Int> = []
      for tensor in tensors {
        if isCancelled.load(ordering: .relaxed) { return }
        guard let offset = tensor.offset, let record = archive.record(at: offset),
          checked.insert(record).inserted
        else { continue }
        guard var problem = archive.problem(record, buffer) else { continue }
        problem.hint =
          "the values of \(Tensor.displayName(tensor.name)) are damaged: download the file again, or "
          + "see what \(do: .verify) finds"
        throw problem
      }
    }
  }
}
