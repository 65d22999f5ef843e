extension TensorFile {
  /// Opens a checkpoint file of any format that is read, told by its content.
  ///
  /// - Throws: ``FormatError``: `notFound`; `unrecognized`, `truncated` or `malformed` with a hint
  ///   where the file is none that can be read; `unsupported` for a format known but not read.
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

  /// Reads one file of tensors, as ``open(_:)`` does; an index is none.
  package static func read(_ file: MappedFile) throws(FormatError) -> TensorFile {
    try read(file, kind(of: file))
  }

  /// Reads one file of tensors; an index is none.
  static func read(_ file: MappedFile, _ kind: Kind) throws(FormatError) -> TensorFile {
    switch kind {
    case .safetensors: return try Safetensors.read(file)
    case .zip: return try TorchCheckpoint.read(file)
    case .pytorchLegacy: return try TorchLegacy.read(file)
    case .gguf: return try GGUF.read(file)
    case .onnx: return try ONNX.read(file)
    case let kind: throw refusal(of: file, kind).inFile(file.path)
    }
  }

  /// Why a file of a kind that is not read is refused.
  private static func refusal(of file: MappedFile, _ kind: Kind) -> FormatError {
    switch kind {
    case .sdflat:
      FormatError(
        .unsupported, "this is an sdflat package of a whole pipeline, not a file of tensors",
        hint: "open it as a checkpoint")
    case .pickle: plainPickle(file)
    case .lfsPointer: lfsPointer(file)
    case .html:
      FormatError(
        .unrecognized,
        "this is an HTML page (\(beginning(of: file))), saved in place of the file",
        hint: "the download needs another address or a login; download the file again")
    case .empty:
      FormatError(
        .unrecognized, "the file is empty", hint: "the download failed; download the file again")
    case .zeros:
      FormatError(
        .truncated, "the file begins with nothing but zeros",
        hint: "the download stopped early; download the file again")
    case .shardIndex:
      FormatError(
        .malformed, "this is an index of shards where a shard must be",
        hint: "download the shard again")
    case .json:
      FormatError(
        .unrecognized, "this is JSON text (\(beginning(of: file))), not a file of tensors",
        hint: "give the file that holds the weights, or the directory of the whole repository")
    case .text:
      FormatError(
        .unrecognized, "this is text (\(beginning(of: file))), not a file of tensors",
        hint: "give a .safetensors, .bin, .ckpt, .pt or .sdflat file")
    case .tar, .gzip, .bzip2, .xz, .zstandard, .sevenZip, .rar:
      FormatError(
        .unrecognized, "this is a \(kind.spoken) archive, not a file of tensors",
        hint: "unpack it and give the checkpoint inside")
    case .hdf5, .numpy:
      FormatError(
        .unsupported, "this is a \(kind.spoken) file, which is not read here",
        hint: "give the checkpoint as .safetensors, .bin, .ckpt or .pt")
    default:
      FormatError(
        .unrecognized,
        "the file is of no format that is read here; it begins with \(hexadecimal(of: file))",
        hint: "give a .safetensors, .bin, .ckpt, .pt or .sdflat file")
    }
  }

  /// Runs the pickle as data, to say whether it was made to do harm.
  private static func plainPickle(_ file: MappedFile) -> FormatError {
    let pickle = try? PickleMachine.run(file.bytes, base: 0)
    let dangers = pickle?.globals.compactMap { mention in
      mention.global.danger.map { "\(mention.global.spoken), which \($0)" }
    }
    guard let danger = dangers?.first else {
      return FormatError(
        .unrecognized, "this is a pickle, but not one that torch.save wrote",
        hint: "save its tensors with torch.save or as safetensors")
    }
    return FormatError(
      .unrecognized, "this is a pickle that names \(danger); nothing was run here",
      hint: "do not unpickle it: it looks like an attack")
  }

  /// Reads the size and hash that a pointer names.
  private static func lfsPointer(_ file: MappedFile) -> FormatError {
    var stated: [String] = []
    let head = unsafe file.withBytes(in: 0..<min(file.count, 1024)) { unsafe [UInt8]($0) }
    let lines = String(decoding: head, as: UTF8.self).split(whereSeparator: \.isNewline)
    for line in lines {
      let words = line.split(separator: " ")
      guard words.count == 2 else { continue }
      if words[0] == "size", let size = Int(words[1]) { stated.append("\(size) bytes") }
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

  /// The first line of a text, quoted and shortened.
  private static func beginning(of file: MappedFile) -> String {
    let head = unsafe file.withBytes(in: 0..<min(file.count, 256)) { unsafe [UInt8]($0) }
    let text = String(decoding: head, as: UTF8.self)
      .drop { $0 == "\u{FEFF}" || $0.isWhitespace }
    let line = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
    return "\"\(line.prefix(40))\(line.count > 40 ? "…" : "")\""
  }

  private static func hexadecimal(of file: MappedFile) -> String {
    let head = unsafe file.withBytes(in: 0..<min(file.count, 8)) { unsafe [UInt8]($0) }
    return head.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  }
}

extension TensorFile.Kind {
  /// The kind's name in a message.
  var spoken: String {
    switch self {
    case .hdf5: "HDF5"
    case .numpy: "NumPy"
    case .sevenZip: "7z"
    case .zstandard: "Zstandard"
    default: rawValue
    }
  }
}
