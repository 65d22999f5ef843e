import OrderedJSON

extension FormatDescriptor {
  /// Every kind of file that is known: those that are read, then those that are refused by name. Add
  /// a format by adding its line.
  ///
  /// The tests of content run in this order, so that one that others' files may pass comes later.
  public static let all: [FormatDescriptor] = [
    .tar,
    .safetensors,
    .zip,
    .pytorchLegacy,
    .gguf,
    .mangledPyTorchLegacy,
    .windowsProgram,
    .webp,
    .pickle,
    .openVINO,
    .xml,
    .html,
    .shardIndex,
    .json,
    .text,
    .onnx,
    .sdflat,
    .zeros,
    .hdf5,
    .numpy,
    .ggml,
    .tensorRT,
    .gzip,
    .bzip2,
    .xz,
    .zstandard,
    .sevenZip,
    .rar,
    .png,
    .jpeg,
    .gif,
    .pdf,
    .elf,
    .lfsPointer,
    .tfLite,
    .mindSpore,
    .coreML,
    .flax,
    .sentencePiece,
    .empty,
    .directory,
    .unknown,
  ]

  /// The kind that the file is, by its first bytes; a file's name plays no part.
  static func of(_ file: MappedFile) -> FormatDescriptor {
    let head = FileHead(file)
    if head.bytes.isEmpty { return .empty }
    return beginning(head.bytes)
      ?? tests.first { _, matches in matches(head) }?.kind
      ?? .unknown
  }

  /// The kind that has these first bytes as its magic number; nil if none has.
  static func beginning(_ head: [UInt8]) -> FormatDescriptor? {
    beginnings.first { head.starts(with: $0.bytes) }?.kind
  }

  private static let beginnings: [(bytes: [UInt8], kind: FormatDescriptor)] =
    all.flatMap { kind -> [(bytes: [UInt8], kind: FormatDescriptor)] in
      guard case .beginnings(let beginnings) = kind.mark else { return [] }
      return beginnings.map { (bytes: $0, kind: kind) }
    }

  private static let tests: [(kind: FormatDescriptor, matches: @Sendable (FileHead) -> Bool)] =
    all.compactMap { kind in
      guard case .test(let matches) = kind.mark else { return nil }
      return (kind: kind, matches: matches)
    }

  /// The kinds whose tensors are read.
  package static let read: [FormatDescriptor] = all.filter { $0.format != nil }

  /// What is read, for the hint of a refusal.
  static let readable: String = {
    let endings = read.flatMap { $0.endings.prefix($0.listedEndings) }
    return "give a \(endings.dropLast().joined(separator: ", ")) or \(endings.last ?? "") file, "
      + "or a shard index"
  }()

  /// The endings of the names of weights files that are read.
  public static let weightsEndings: [String] = read.filter(\.isWeights).flatMap(\.endings)

  /// The lines of the table in `docs/formats.md`, without its head.
  package static var table: [String] { all.flatMap(\.lines) }
}
