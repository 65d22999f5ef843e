import Crypto
import Dispatch
import ModelFormats
import Synchronization

/// SHA-256 of tensors and files, in hexadecimal.
public enum TensorDigest {
  /// The SHA-256 of a tensor's contiguous little-endian values, whatever its layout in the file.
  public static func sha256(of tensor: Tensor) -> String {
    sha256(of: tensor) { _ in }
  }

  /// The SHA-256 of each tensor, in their order, computed on all cores.
  ///
  /// - Parameter progress: called now and then, on the caller's thread, with the bytes hashed.
  public static func sha256(
    of tensors: [Tensor], _ progress: (_ bytesDone: Int) -> Void = { _ in }
  ) -> [String] {
    // The largest first, so that no core is left with one at the end.
    let order = tensors.indices.sorted { tensors[$0].byteCount > tensors[$1].byteCount }
    let work = Work(count: tensors.count)
    let group = DispatchGroup()
    DispatchQueue.global(qos: .userInitiated).async(group: group) {
      DispatchQueue.concurrentPerform(iterations: order.count) { position in
        let index = order[position]
        let digest = sha256(of: tensors[index]) { work.bytesDone.add($0, ordering: .relaxed) }
        work.digests.withLock { $0[index] = digest }
      }
    }
    while group.wait(timeout: .now() + .milliseconds(100)) == .timedOut {
      progress(work.bytesDone.load(ordering: .relaxed))
    }
    return work.digests.withLock { $0 }
  }

  /// What the cores share.
  private final class Work: Sendable {
    let bytesDone = Atomic(0)
    let digests: Mutex<[String]>

    init(count: Int) {
      digests = Mutex([String](repeating: "", count: count))
    }
  }

  private static func sha256(of tensor: Tensor, _ advance: (Int) -> Void) -> String {
    var hash = SHA256()
    tensor.withContiguousBytes { bytes in
      let piece = 16 << 20
      for start in stride(from: 0, to: bytes.count, by: piece) {
        let part = bytes[start..<min(start + piece, bytes.count)]
        hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: part))
        advance(part.count)
      }
    }
    return Hexadecimal.text(hash.finalize())
  }

  /// The SHA-256 of a whole file.
  ///
  /// - Throws: ``FormatError`` where it cannot be opened.
  public static func sha256(ofFile path: String) throws(FormatError) -> String {
    sha256(of: try MappedFile(path: path)) { false } ?? ""
  }

  /// The SHA-256 of a mapped file; nil where `isCancelled` came to be true meanwhile.
  static func sha256(of file: MappedFile, isCancelled: () -> Bool) -> String? {
    var hash = SHA256()
    let piece = 16 << 20
    for start in stride(from: 0, to: file.count, by: piece) {
      if isCancelled() { return nil }
      file.withBytes(in: start..<min(start + piece, file.count)) { hash.update(bufferPointer: $0) }
    }
    return Hexadecimal.text(hash.finalize())
  }
}

/// Hashes files on another core while this one writes.
final class BackgroundDigests: Sendable {
  private let cancelled = Atomic(false)
  private let digests = Mutex<[String]>([])
  private let group = DispatchGroup()

  /// Starts with the first of `files`.
  init(of files: [MappedFile]) {
    DispatchQueue.global(qos: .userInitiated).async(group: group) { [self] in
      for file in files {
        guard
          let digest = TensorDigest.sha256(
            of: file, isCancelled: { cancelled.load(ordering: .relaxed) })
        else { return }
        digests.withLock { $0.append(digest) }
      }
    }
  }

  /// Waits for all digests, in the order of the files.
  func wait() -> [String] {
    group.wait()
    return digests.withLock { $0 }
  }

  /// Lets the work end early.
  func cancel() {
    cancelled.store(true, ordering: .relaxed)
    group.wait()
  }
}
