import CChecksum
import Crypto
import ModelFormats
import Synchronization
import Threads

/// The hashes by which model sites and web UIs identify a file.
public struct FileHashes: Sendable, Hashable {
  /// The file.
  public let path: String
  /// Its size in bytes.
  public let byteCount: Int
  /// The SHA-256 of the whole file.
  public let sha256: String
  /// The first 8 digits of the SHA-256 of the 65,536 bytes from byte 1,048,576 on, or of fewer at
  /// the end of the file; nil if it ends before that; the web UI then prints `e3b0c442`, the hash
  /// of nothing.
  public let autoV1: String?
  /// The first 12 digits of the SHA-256 of the data after a safetensors header; nil for other files
  /// and without data.
  public let autoV3: String?
  /// The CRC-32 of the whole file; nil unless requested.
  public let crc32: String?

  /// The first 10 digits of the file's SHA-256.
  public var autoV2: String { String(sha256.prefix(10)) }

  /// The range hashed by AutoV1.
  ///
  /// Source: `model_hash` of stable-diffusion-webui.
  static let autoV1Range = 0x10_0000..<0x11_0000

  /// The hashes of each file, computed on all cores.
  ///
  /// - Parameter progress: called occasionally, on the caller's thread, with the fraction done and
  ///   the total bytes of the files, however many hashes are computed.
  /// - Throws: ``FormatError`` if a file cannot be read; `unrecognized` if it is empty, because the
  ///   hash of nothing identifies nothing.
  public static func of(
    _ paths: [String], crc32: Bool = false, _ progress: (Int, Int) -> Void = { _, _ in }
  ) throws(FormatError) -> [FileHashes] {
    let files = try paths.map { path throws(FormatError) in
      let file = try MappedFile(path: path)
      guard file.count > 0 else {
        throw FormatError(
          .unrecognized, "the file is empty", file: path,
          hint: "the download failed; download the file again")
      }
      return file
    }
    var jobs: [Job] = []
    for (index, file) in files.enumerated() {
      jobs.append(Job(file: index, range: 0..<file.count, kind: .sha256))
      if autoV1Range.lowerBound < file.count {
        jobs.append(Job(file: index, range: autoV1Range.clamped(to: 0..<file.count), kind: .autoV1))
      }
      if let start = valuesStart(of: file), start < file.count {
        jobs.append(Job(file: index, range: start..<file.count, kind: .autoV3))
      }
      if crc32 { jobs.append(Job(file: index, range: 0..<file.count, kind: .crc32)) }
    }
    // Longest first, so that no core works alone at the end.
    jobs.sort { $0.range.count > $1.range.count }
    let total = jobs.reduce(0) { $0 + $1.range.count }
    let size = files.reduce(0) { $0 + $1.count }
    let work = Work(count: jobs.count)
    let report = { (_: Int) in
      let done = Double(work.bytesDone.load(ordering: .relaxed))
      progress(min(size, Int(done / Double(total) * Double(size))), size)
    }
    try Cores.share(jobs.count, report) { [jobs] (next) throws(FormatError) in
      let buffer = BlockBuffer()
      while let position = next() {
        let digest = try jobs[position].run(files[jobs[position].file], buffer) {
          work.bytesDone.add($0, ordering: .relaxed)
        }
        work.digests.withLock { $0[position] = digest }
      }
    }
    let digests = work.digests.withLock { $0 }
    func digest(_ file: Int, _ kind: Job.Kind) -> String? {
      zip(jobs, digests).first { $0.0.file == file && $0.0.kind == kind }?.1
    }
    return files.enumerated().map { index, file in
      FileHashes(
        path: file.path, byteCount: file.count, sha256: digest(index, .sha256) ?? "",
        autoV1: digest(index, .autoV1).map { String($0.prefix(8)) },
        autoV3: digest(index, .autoV3).map { String($0.prefix(12)) },
        crc32: digest(index, .crc32))
    }
  }

  /// The offset of the values in a safetensors file; nil for other or invalid files.
  private static func valuesStart(of file: MappedFile) -> Int? {
    guard let tensors = try? Safetensors.read(file) else { return nil }
    return tensors.tensors.compactMap(\.offset).min() ?? file.count
  }

  /// One hash of one range of a file.
  private struct Job: Sendable {
    enum Kind { case sha256, autoV1, autoV3, crc32 }

    let file: Int
    let range: Range<Int>
    let kind: Kind

    func run(
      _ file: MappedFile, _ buffer: BlockBuffer, _ advance: (Int) -> Void
    ) throws(FormatError) -> String {
      var hash = SHA256()
      var sum: UInt32 = 0
      // Small enough to stay in a core's cache.
      let block = 256 << 10
      for start in stride(from: range.lowerBound, to: range.upperBound, by: block) {
        let bytes = buffer.bytes(min(block, range.upperBound - start))
        try file.read(into: bytes, at: start)
        if kind == .crc32 {
          sum = sdk_crc32(sum, bytes.baseAddress, bytes.count)
        } else {
          hash.update(bufferPointer: UnsafeRawBufferPointer(bytes))
        }
        advance(bytes.count)
      }
      guard kind == .crc32 else { return Hexadecimal.text(hash.finalize()) }
      return String(Hexadecimal.text(UInt64(sum)).suffix(8)).uppercased()
    }
  }

  /// State shared by the cores.
  private final class Work: Sendable {
    let bytesDone = Atomic(0)
    let digests: Mutex<[String]>

    init(count: Int) {
      digests = Mutex([String](repeating: "", count: count))
    }
  }
}

extension ModelCheckpoint {
  /// Whether the path is a directory.
  ///
  /// - Throws: ``FormatError`` `notFound` if there is nothing.
  public static func isDirectory(_ path: String) throws(FormatError) -> Bool {
    try Directory(path: path) != nil
  }

  /// Whether the path is a directory that may be replaced by a repository: empty, or a repository
  /// itself.
  public static func isEmptyOrRepository(_ path: String) -> Bool {
    guard let directory = try? Directory(path: path) else { return false }
    return directory.isEmpty || directory.isRepository
  }

  /// Unread weights in a directory, by path in it: other formats and variants, and complete models
  /// as single files.
  public var otherWeights: [String] { unreadWeights.map(\.path) }
}
