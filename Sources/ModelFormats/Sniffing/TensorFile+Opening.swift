import OrderedJSON

extension TensorFile {
  /// Opens a checkpoint file in any supported format, detected from its content.
  ///
  /// - Throws:
  ///   ``FormatError``: `notFound`; `unrecognized`, `truncated` or `malformed` with a hint if the
  ///   file cannot be read; `unsupported` for a known but unsupported format.
  public static func open(_ path: String) throws(FormatError) -> TensorFile {
    if isDirectory(path) {
      throw FormatError(
        .unrecognized, "this is a directory, not a file", file: path,
        hint: "name a file inside it")
    }
    let file = try MappedFile(path: path)
    let kind = kind(of: file)
    return kind == .shardIndex ? try ShardIndex.read(file) : try read(file, kind)
  }

  /// Scans any file for what unpickling it would run.
  ///
  /// - Returns: the kind of file, as in ``Kind``, or `pytorch`; and the result.
  /// - Throws: ``FormatError`` as ``MappedFile/init(path:)``.
  public static func scan(
    _ path: String
  ) throws(FormatError) -> (format: String, safety: Safety) {
    scan(try MappedFile(path: path))
  }

  package static func scan(_ file: MappedFile) -> (format: String, safety: Safety) {
    let scan = SafetyScan.scan(file)
    var kind = kind(of: file)
    if [.text, .unknown].contains(kind), scan.hasPickle { kind = .pickle }
    let isTorch = kind == .zip && scan.hasCheckpoint || kind == .pytorchLegacy
    return (isTorch ? Format.pytorch.rawValue : kind.rawValue, scan.safety)
  }

  /// Reads one tensor file like ``open(_:)``, but no shard index.
  package static func read(_ file: MappedFile) throws(FormatError) -> TensorFile {
    try read(file, kind(of: file))
  }

  /// Reads one tensor file, but no shard index.
  static func read(_ file: MappedFile, _ kind: Kind) throws(FormatError) -> TensorFile {
    let scan = SafetyScan.scan(file)
    do throws(FormatError) {
      return try readChecked(file, kind, scan).judged(scan.safety)
    } catch {
      var error = TextDamage.explained(error, file)
      if !scan.safety.names.isEmpty { error.safety = scan.safety }
      throw error
    }
  }

  private static func readChecked(
    _ file: MappedFile, _ kind: Kind, _ scan: SafetyScan
  ) throws(FormatError) -> TensorFile {
    switch kind {
    case .safetensors: return try Safetensors.read(file)
    case .zip: return try TorchCheckpoint.read(file)
    case .pytorchLegacy: return try TorchLegacy.read(file)
    case .gguf: return try GGUF.read(file)
    case .onnx: return try ONNX.read(file)
    case .tar: return try TorchTar.read(file)
    case let kind: throw refusal(of: file, kind, scan).inFile(file.path)
    }
  }

  /// The supported formats, for hints.
  private static let readable =
    "give a .safetensors, .bin, .ckpt, .pt, .gguf, .onnx or .sdflat file, or a shard index"

  /// Why an unsupported kind of file is rejected.
  private static func refusal(
    of file: MappedFile, _ kind: Kind, _ scan: SafetyScan
  ) -> FormatError {
    // Pickles of protocols 0 and 1 have no magic bytes of their own.
    if [.pickle, .text, .unknown].contains(kind),
      let error = pickle(scan.safety, hasPickle: scan.hasPickle, kind)
    {
      return error
    }
    return switch kind {
    case .sdflat:
      FormatError(
        .unsupported, "this is an sdflat package, which adapters and embeddings are not read from",
        hint: "open it as a checkpoint")
    case .lfsPointer: lfsPointer(file)
    case .html:
      FormatError(
        .unrecognized,
        "this is an HTML page (\(title(of: file) ?? beginning(of: file))), saved in place of the "
          + "file",
        hint: "the download needs another address or a login; download the file again")
    case .xml:
      FormatError(
        .unrecognized, "this is XML text (\(beginning(of: file))), not a file of tensors",
        hint: "a server may have sent it to say why there is no file; download the file again")
    case .mangledPyTorchLegacy:
      FormatError(
        .malformed,
        "PyTorch file damaged by a text-mode transfer (every LF became CR LF)",
        offset: 0, hint: NewlineDamage.hint)
    case .png where holdsEmbedding(file):
      FormatError(
        .unsupported,
        "this is a PNG image that contains a textual inversion embedding; embeddings are not read "
          + "from images",
        hint: "save the embedding as .safetensors or .pt with the program that made it")
    case .png, .jpeg, .gif, .webp:
      FormatError(
        .unrecognized, "this is a \(kind.spoken) picture, not a file of tensors",
        hint: "give the file that holds the weights")
    case .pdf:
      FormatError(
        .unrecognized, "this is a PDF document, not a file of tensors",
        hint: "give the file that holds the weights")
    case .elf, .windowsProgram:
      FormatError(
        .unrecognized, "this is a \(kind.spoken), not a file of tensors",
        hint: "do not run it: no checkpoint is a program; download the file from its publisher")
    case .empty:
      FormatError(
        .unrecognized, "the file is empty", hint: "the download failed; download the file again")
    case .zeros:
      FormatError(
        .truncated, "the file begins with nothing but zeros",
        hint: "the download stopped early; download the file again")
    case .shardIndex:
      FormatError(
        .malformed, "expected a shard, found a shard index",
        hint: "download the shard again")
    case .json:
      FormatError(
        .unrecognized, "this is JSON text (\(beginning(of: file))), not a file of tensors",
        hint: "give the file that holds the weights, or the directory of the whole repository")
    case .text:
      FormatError(
        .unrecognized, "this is text (\(beginning(of: file))), not a file of tensors",
        hint: Remedy(readable))
    case .gzip, .bzip2, .xz, .zstandard, .sevenZip, .rar:
      FormatError(
        .unrecognized, "this is \(kind.article) \(kind.spoken) archive, not a file of tensors",
        hint: "unpack it and give the checkpoint inside")
    default:
      foreignRefusal(kind)
        ?? (isOpenVINO(file) ? foreignRefusal(.openVINO) : nil)
        ?? FormatError(
          .unrecognized,
          "unrecognized file format; first bytes: \(hexadecimal(of: file))",
          hint: Remedy(readable))
    }
  }

  /// Whether a PNG file has the text chunk in which the web UI stores an embedding.
  private static func holdsEmbedding(_ file: MappedFile) -> Bool {
    let head = unsafe file.withBytes(in: 0..<min(file.count, 1 << 20)) { unsafe [UInt8]($0) }
    return head.firstRange(of: Array("sd-ti-embedding\0".utf8)) != nil
  }

  /// Describes a pickle that is not a checkpoint; nil if the first bytes do not identify a pickle
  /// and it does not reach STOP.
  private static func pickle(
    _ safety: Safety, hasPickle: Bool, _ kind: Kind
  ) -> FormatError? {
    if let name = safety.dangerous.first {
      return FormatError(
        .unrecognized,
        "this is a pickle that names \(name.name), which \(name.danger ?? ""); nothing was run here",
        offset: name.offset,
        hint: "do not unpickle it unless you trust its source: Python would call this")
    }
    // Text lines may be valid opcodes by chance.
    guard kind == .pickle || hasPickle else { return nil }
    guard hasPickle else {
      return FormatError(
        .unrecognized, "this is part of a pickle: it is cut off or damaged",
        hint: "get the whole file; \(readable)")
    }
    return FormatError(
      .unrecognized, "this is a pickle, but not one that torch.save wrote",
      hint: "save its tensors with torch.save or as safetensors")
  }

  /// Whether this is the weights file of an OpenVINO model, which has no magic number but is next
  /// to its graph.
  private static func isOpenVINO(_ file: MappedFile) -> Bool {
    guard file.path.hasSuffix(".bin"),
      let graph = try? MappedFile(path: file.path.dropLast(4) + ".xml")
    else { return false }
    return kind(of: graph) == .openVINO
  }

  /// Reads the size and hash in a pointer file.
  private static func lfsPointer(_ file: MappedFile) -> FormatError {
    var stated: [String] = []
    let head = unsafe file.withBytes(in: 0..<min(file.count, 1024)) { unsafe [UInt8]($0) }
    let lines = String(decoding: head, as: UTF8.self).split(whereSeparator: \.isNewline)
    for line in lines {
      let words = line.split(separator: " ")
      guard words.count == 2 else { continue }
      if words[0] == "size", let size = Int(words[1]) { stated.append("\(size.of("byte"))") }
      if words[0] == "oid", words[1].hasPrefix("sha256:") {
        stated.insert("SHA-256 \(words[1].dropFirst(7))", at: stated.startIndex)
      }
    }
    stated.reverse()
    let what = stated.isEmpty ? "" : " of \(stated.joined(separator: ", "))"
    return FormatError(
      .unrecognized, "this is a Git LFS pointer to a file\(what), not the file itself",
      hint: "run `git lfs pull` in the repository, or download the file")
  }

  /// The beginning of a text, quoted and shortened.
  private static func beginning(of file: MappedFile) -> String {
    let head = unsafe file.withBytes(in: 0..<min(file.count, 256)) { unsafe [UInt8]($0) }
    let text = String(decoding: head, as: UTF8.self).drop { $0 == "\u{FEFF}" }
    return quoted(String(text)) ?? "nothing but white space"
  }

  /// The title of an HTML page, quoted and shortened.
  private static func title(of file: MappedFile) -> String? {
    let head = unsafe file.withBytes(in: 0..<min(file.count, 4096)) { unsafe [UInt8]($0) }
    let lowered = head.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    guard let open = lowered.firstRange(of: "<title".utf8),
      let start = lowered[open.upperBound...].firstIndex(of: UInt8(ascii: ">")),
      let end = lowered[start...].firstRange(of: "</title".utf8)
    else { return nil }
    let title = String(decoding: head[(start + 1)..<end.lowerBound], as: UTF8.self)
    return quoted(title)
  }

  /// One line of text, quoted and shortened; nil if there is none.
  private static func quoted(_ text: String) -> String? {
    let line = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    guard !line.isEmpty else { return nil }
    return "\"\(line.prefix(40))\(line.count > 40 ? "…" : "")\""
  }

  private static func hexadecimal(of file: MappedFile) -> String {
    let head = unsafe file.withBytes(in: 0..<min(file.count, 8)) { unsafe [UInt8]($0) }
    return head.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  }
}

extension TensorFile.Kind {
  /// The indefinite article of ``spoken``.
  fileprivate var article: String { self == .xz ? "an" : "a" }

  /// The kind's name in a message.
  var spoken: String {
    switch self {
    case .rar: "RAR"
    case .sevenZip: "7z"
    case .zstandard: "Zstandard"
    case .png, .jpeg, .gif: rawValue.uppercased()
    case .webp: "WebP"
    case .elf: "program for Linux"
    case .windowsProgram: "program for Windows"
    default: rawValue
    }
  }
}
