import OrderedJSON

/// The current PyTorch format: a zip archive with a pickle and the storages it refers to.
///
///     <root>/data.pkl            the object; storages stand in it as persistent identifiers
///     <root>/data/<key>          a storage's bytes, stored, each at a multiple of 64 bytes
///     <root>/version             the archive's version, a number as text
///     <root>/byteorder           `little` or `big`; little where it is absent
///     <root>/.format_version, .storage_alignment, .data/serialization_id: not needed
///
/// The root directory may have any name. TorchScript archives contain the same next to their code.
/// Stored storages are used in place; deflated ones are inflated into memory, and those with the
/// other byte order are swapped into memory.
///
/// Source: PyTorch's `torch/serialization.py` and `caffe2/serialize/inline_container.cc`.
package enum TorchCheckpoint {
  /// The newest known archive version.
  private static let versionLimit = 10
  private static let pickleLimit = 256 << 20
  /// The maximum size of an inflated pickle: real ones compress to a fifth.
  private static func inflatedLimit(of entry: ZipArchive.Entry) -> Int {
    min(pickleLimit, (8 << 20) + 16 * entry.compressedSize)
  }

  /// Reads the object's tensors; values that can be used in place are not accessed.
  ///
  /// - Throws: ``FormatError``; `unrecognized` if the archive is not a checkpoint.
  package static func read(_ file: MappedFile) throws(FormatError) -> TensorFile {
    do throws(FormatError) {
      return try readChecked(file)
    } catch {
      throw error.inFile(file.path)
    }
  }

  private static func readChecked(_ file: MappedFile) throws(FormatError) -> TensorFile {
    let archive = try ZipArchive(file)
    let entry = try pickleEntry(of: archive)
    let root = String(entry.name.dropLast("data.pkl".utf8.count))
    try checkVersion(in: archive, root: root)
    let source = ZipStorages(
      archive: archive, root: root, isBigEndian: try isBigEndian(archive, root: root))
    let limit =
      entry.method == .stored ? pickleLimit : TorchCheckpoint.inflatedLimit(of: entry)
    let bytes = try archive.contents(of: entry, limit: limit)
    do throws(FormatError) {
      let pickle = try unsafe PickleMachine.run(bytes.span.bytes, base: entry.dataOffset)
      let object = try TorchObject(pickle, source: source)
      return TensorFile(object, of: file, warnings: source.constants.map { [$0] } ?? [])
    } catch {
      var error = error
      error.context = error.context ?? entry.name
      // Offsets in a deflated pickle are not file offsets.
      if entry.method != .stored { error.offset = entry.dataOffset }
      throw error
    }
  }

  /// The single record `data.pkl`, in a top-level directory or at the top level.
  private static func pickleEntry(of archive: ZipArchive) throws(FormatError) -> ZipArchive.Entry {
    let candidates = archive.entries.filter {
      let parts = $0.name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
      return parts.count <= 2 && parts.last?.elementsEqual("data.pkl".utf8) == true
    }
    guard let entry = candidates.first else {
      let names = archive.entries.map(\.name)
      if !names.isEmpty, names.allSatisfy({ $0.hasSuffix(".npy") }) {
        throw FormatError(
          .unsupported,
          "this is a NumPy archive (.npz) of \(names.count.of("array")), which is not supported: "
            + listing(of: archive),
          hint: "save its arrays as safetensors: "
            + "safetensors.numpy.save_file(dict(numpy.load(FILE)), OUT)")
      }
      if names.contains("model.weights.h5") {
        throw FormatError(
          .unsupported, "this is a Keras model, which is not supported",
          hint: "save its weights as safetensors; they have other names and shapes")
      }
      throw FormatError(
        .unrecognized,
        "this is a zip archive without data.pkl, so it is not a PyTorch checkpoint; it contains "
          + listing(of: archive),
        hint: "unpack it and use the checkpoint or the repository directory inside")
    }
    guard candidates.count == 1 else {
      throw FormatError(
        .malformed, "the archive holds more than one data.pkl", offset: candidates[1].headerOffset,
        context: candidates[1].name)
    }
    return entry
  }

  /// The first names in an archive with other contents.
  private static func listing(of archive: ZipArchive) -> String {
    let names = archive.entries.prefix(3).map { entry in
      entry.name.count > 60 ? entry.name.prefix(60) + "…" : entry.name[...]
    }
    guard !names.isEmpty else { return "nothing" }
    let rest = archive.entries.count - names.count
    return names.joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
  }

  private static func text(
    _ name: String, in archive: ZipArchive
  ) throws(FormatError) -> (text: String, entry: ZipArchive.Entry)? {
    guard let entry = archive[name] else { return nil }
    return (String(decoding: try archive.contents(of: entry, limit: 64), as: UTF8.self), entry)
  }

  private static func checkVersion(
    in archive: ZipArchive, root: String
  ) throws(FormatError) {
    guard let (text, entry) = try text(root + "version", in: archive) else { return }
    let digits = text.prefix { $0 != "\n" && $0 != "\r\n" }
    guard let version = Int(digits), version > 0 else {
      throw FormatError(
        .malformed, "the archive's version is not a number", offset: entry.dataOffset,
        context: entry.name)
    }
    guard version <= versionLimit else {
      throw FormatError(
        .unsupported, "unsupported archive version \(version) (maximum \(versionLimit))",
        offset: entry.dataOffset, context: entry.name)
    }
  }

  private static func isBigEndian(
    _ archive: ZipArchive, root: String
  ) throws(FormatError) -> Bool {
    guard let (text, entry) = try text(root + "byteorder", in: archive) else { return false }
    switch text {
    case "little": return false
    case "big": return true
    default:
      throw FormatError(
        .malformed, "the byte order is neither little nor big", offset: entry.dataOffset,
        context: entry.name)
    }
  }
}

/// The storages of a zip archive.
struct ZipStorages: TorchStorageSource {
  private struct SwappedKey: Hashable {
    let offset: Int
    let width: Int
  }

  /// The memory limit for all inflated and swapped storages. Weights hardly compress; data that
  /// compresses to a thousandth was made to exhaust memory.
  private var memoryLimit: Int { (16 << 20) + 4 * byteCount }

  private let archive: ZipArchive
  private let root: String
  private let isBigEndian: Bool
  /// By the offsets of the records.
  private var inflated: [Int: [UInt8]] = [:]
  private var swapped: [SwappedKey: [UInt8]] = [:]
  private var memoryCount = 0

  init(archive: ZipArchive, root: String, isBigEndian: Bool) {
    self.archive = archive
    self.root = root
    self.isBigEndian = isBigEndian
  }

  var byteCount: Int { archive.file.count }

  var storages: [(key: String, name: String, byteCount: Int)] {
    entries(below: "data/").map { (key: $0.key, name: $0.entry.name, byteCount: $0.entry.size) }
  }

  /// A note about tensor constants in TorchScript code, which are not weights; nil if there are
  /// none.
  var constants: String? {
    let entries = entries(below: "constants/")
    guard !entries.isEmpty else { return nil }
    return "\(entries.count.of("constant")) of TorchScript code "
      + "(\((entries.reduce(0) { $0 + $1.entry.size }).of("byte"))) not read: they are not weights"
  }

  /// The nonempty records of a directory, by name.
  private func entries(below folder: String) -> [(key: String, entry: ZipArchive.Entry)] {
    let prefix = Array((root + folder).utf8)
    return archive.entries.compactMap { entry in
      guard entry.size > 0, entry.name.utf8.starts(with: prefix) else { return nil }
      return (String(decoding: entry.name.utf8.dropFirst(prefix.count), as: UTF8.self), entry)
    }
  }

  mutating func storage(
    _ reference: TorchStorageReference, swapWidth: Int
  ) throws(FormatError) -> TorchStorage {
    let name = "\(root)data/\(reference.key)"
    guard let entry = archive[name] else {
      throw FormatError(.malformed, "its storage is missing: there is no record \(name)")
    }
    guard entry.size == reference.byteCount else {
      throw FormatError(
        .malformed,
        "its storage \(name) has \(entry.size.of("byte")), not the declared \(reference.byteCount)",
        offset: entry.dataOffset)
    }
    var storage = try contents(of: entry)
    if isBigEndian, swapWidth > 1 {
      storage = .memory(try swap(storage, entry: entry, width: swapWidth))
    }
    return storage
  }

  private mutating func contents(
    of entry: ZipArchive.Entry
  ) throws(FormatError) -> TorchStorage {
    if entry.method == .stored {
      return .mapped(archive.file, offset: entry.dataOffset, byteCount: entry.size)
    }
    if let bytes = inflated[entry.headerOffset] { return .memory(bytes) }
    try takeMemory(entry)
    let bytes = try archive.contents(of: entry, limit: memoryLimit)
    inflated[entry.headerOffset] = bytes
    return .memory(bytes)
  }

  private mutating func takeMemory(_ entry: ZipArchive.Entry) throws(FormatError) {
    guard entry.size <= memoryLimit - memoryCount else {
      throw FormatError(
        .unsupported,
        "the storages that are compressed or big-endian take more than \(memoryLimit) bytes",
        offset: entry.headerOffset, hint: "save the file again with torch.save")
    }
    memoryCount += entry.size
  }

  private mutating func swap(
    _ storage: TorchStorage, entry: ZipArchive.Entry, width: Int
  ) throws(FormatError) -> [UInt8] {
    let key = SwappedKey(offset: entry.headerOffset, width: width)
    if let bytes = swapped[key] { return bytes }
    try takeMemory(entry)
    var bytes: [UInt8]
    switch storage {
    case .memory(let contents): bytes = contents
    case .mapped(let file, let offset, let byteCount):
      bytes = unsafe file.withBytes(in: offset..<(offset + byteCount)) { unsafe [UInt8]($0) }
    }
    guard bytes.count.isMultiple(of: width) else {
      throw FormatError(
        .malformed, "its storage is not a whole number of \(width)-byte numbers",
        offset: entry.dataOffset)
    }
    for start in stride(from: 0, to: bytes.count, by: width) {
      bytes[start..<(start + width)].reverse()
    }
    swapped[key] = bytes
    return bytes
  }
}

extension FormatDescriptor {
  /// A zip archive; PyTorch's of today and TorchScript's are such.
  public static let zip: FormatDescriptor = {
    let beginnings = ["PK\u{3}\u{4}", "PK\u{5}\u{6}"].map { Array($0.utf8) }
    var kind = FormatDescriptor("zip", .beginnings(beginnings))
    kind.format = .pytorch
    kind.read = TorchCheckpoint.read
    kind.endings = [".bin", ".ckpt", ".pt", ".pth"]
    kind.listedEndings = 3
    kind.isWeights = true
    kind.mayRunCode = true
    kind.scanName = { $0.hasCheckpoint ? TensorFile.Format.pytorch.rawValue : nil }
    kind.fuzzTarget = "torch-zip"
    kind.writing = .pytorch
    kind.rows = [
      Row(
        title: "PyTorch zip (`.bin`, `.ckpt`, `.pt`, `.pth`)",
        reads: "any age and root folder, both byte orders, stored or deflated; all types but "
          + "quantised, sparse and nested tensors, which are left out with a warning",
        writes: "as `torch.save` writes it; `torch.load(weights_only=True)` reads it"),
      Row(
        title: "TorchScript", reads: "parameters, buffers and other tensors of modules",
        writes: "no"),
    ]
    return kind
  }()
}

extension TensorFile.Format {
  /// PyTorch's, of any age.
  public static let pytorch = TensorFile.Format(rawValue: "pytorch")
}
