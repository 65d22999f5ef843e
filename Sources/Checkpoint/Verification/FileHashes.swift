import CChecksum
import Crypto
import ModelFormats
import Synchronization
import Threads

/// The hashes by which model sites and web UIs know a file.
public struct FileHashes: Sendable, Hashable {
  /// The file.
  public let path: String
  /// Its size in bytes.
  public let byteCount: Int
  /// Of the whole file.
  public let sha256: String
  /// The first 8 digits of the SHA-256 of the 65,536 bytes from byte 1,048,576 on, or of fewer
  /// where the file ends; nil where it ends before, of which the web UI prints `e3b0c442`, the hash
  /// of nothing.
  public let autoV1: String?
  /// The first 12 digits of the SHA-256 of what follows a safetensors file's header; nil of other
  /// files and where nothing follows.
  public let autoV3: String?
  /// CRC-32 of the whole file; nil where it was not asked for.
  public let crc32: String?

  /// The first 10 digits of the file's SHA-256.
  public var autoV2: String { String(sha256.prefix(10)) }

  /// Where AutoV1 begins, and how much it hashes.
  ///
  /// Source: `model_hash` of stable-diffusion-webui.
  static let autoV1Range = 0x10_0000..<0x11_0000

  /// The hashes of each file; the parts of the work are shared out among all cores.
  ///
  /// - Parameter progress: called now and then, on the caller's thread, with the share done and the
  ///   whole in bytes of the files, however many hashes are made of each.
  /// - Throws: ``FormatError`` where a file cannot be read; `unrecognized` where it is empty, since
  ///   the hash of nothing tells nothing.
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
    // The longest first, so that no core is left with one at the end.
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

  /// Where the values of a safetensors file begin; nil where it is none that can be read.
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
      // What stays in a core's cache between reading and hashing.
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

  /// What the cores share.
  private final class Work: Sendable {
    let bytesDone = Atomic(0)
    let digests: Mutex<[String]>

    init(count: Int) {
      digests = Mutex([String](repeating: "", count: count))
    }
  }
}

extension ModelCheckpoint {
  /// Whether the path is of a directory.
  ///
  /// - Throws: ``FormatError`` `notFound` where there is nothing.
  public static func isDirectory(_ path: String) throws(FormatError) -> Bool {
    try Directory(path: path) != nil
  }

  /// Whether the path is of a directory that a repository may be written as: with nothing in it, or
  /// a repository itself.
  public static func isEmptyOrRepository(_ path: String) -> Bool {
    guard let directory = try? Directory(path: path) else { return false }
    return directory.isEmpty || directory.isRepository
  }

  /// Weights of a directory that were not read, by their path in it: other formats and variants,
  /// and whole models as single files.
  public var otherWeights: [String] { unreadWeights.map(\.path) }
}
