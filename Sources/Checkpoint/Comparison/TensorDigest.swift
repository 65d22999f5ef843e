import Crypto
import ModelFormats
import Synchronization
import Threads

/// SHA-256 of tensors and files, in hexadecimal.
public enum TensorDigest {
  /// The SHA-256 of a tensor's contiguous little-endian values, independent of its layout in the
  /// file.
  public static func sha256(of tensor: Tensor) -> String {
    var hash = SHA256()
    tensor.withContiguousPieces { hash.update(bufferPointer: $0) }
    return Hexadecimal.text(hash.finalize())
  }

  /// The SHA-256 of each tensor, in order, computed on all cores a block at a time.
  ///
  /// - Parameter progress: called occasionally, on the caller's thread, with the bytes hashed.
  /// - Throws: ``FormatError`` if reading fails.
  public static func sha256(
    of tensors: [Tensor], _ progress: (_ bytesDone: Int) -> Void = { _ in }
  ) throws(FormatError) -> [String] {
    // Largest first, so that no core works alone at the end.
    let order = tensors.indices.sorted { tensors[$0].byteCount > tensors[$1].byteCount }
    let work = Work(count: tensors.count)
    let report = { (_: Int) in progress(work.bytesDone.load(ordering: .relaxed)) }
    try Cores.share(tensors.count, report) { (next) throws(FormatError) in
      let buffer = BlockBuffer()
      while let position = next() {
        let tensor = tensors[order[position]]
        var hash = SHA256()
        // The bits of the widest type divide a block's.
        let step = blockSize * 8 / tensor.dtype.bitWidth / 8 * 8
        var start = 0
        while start < tensor.elementCount {
          let end = step < tensor.elementCount - start ? start + step : tensor.elementCount
          try tensor.withElements(start..<end, buffer) { (bytes) throws(FormatError) in
            hash.update(bufferPointer: bytes)
            work.bytesDone.add(bytes.count, ordering: .relaxed)
          }
          start = end
        }
        let digest = Hexadecimal.text(hash.finalize())
        work.digests.withLock { $0[order[position]] = digest }
      }
    }
    return work.digests.withLock { $0 }
  }

  /// Bytes hashed at a time: small enough to stay in a core's cache.
  private static let blockSize = 256 << 10

  /// State shared by the cores.
  private final class Work: Sendable {
    let bytesDone = Atomic(0)
    let digests: Mutex<[String]>

    init(count: Int) {
      digests = Mutex([String](repeating: "", count: count))
    }
  }

  /// The SHA-256 of a whole file.
  ///
  /// - Throws: ``FormatError`` if it cannot be opened.
  public static func sha256(ofFile path: String) throws(FormatError) -> String {
    sha256(of: try MappedFile(path: path)) { false } ?? ""
  }

  /// The SHA-256 of a mapped file; nil if `isCancelled` became true.
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
  private let state = Shared()
  private let work: BackgroundWork

  private final class Shared: Sendable {
    let isCancelled = Atomic(false)
    let digests = Mutex<[String]>([])
  }

  /// Starts with the first of `files`.
  init(of files: [MappedFile]) {
    work = BackgroundWork { [state] in
      for file in files {
        guard
          let digest = TensorDigest.sha256(
            of: file, isCancelled: { state.isCancelled.load(ordering: .relaxed) })
        else { return }
        state.digests.withLock { $0.append(digest) }
      }
    }
  }

  /// Waits for all digests, in the order of the files.
  func wait() -> [String] {
    work.wait()
    return state.digests.withLock { $0 }
  }

  /// Stops the work early.
  func cancel() {
    state.isCancelled.store(true, ordering: .relaxed)
    work.wait()
  }
}
