import Glibc
import OrderedJSON

extension TensorFile {
  /// Tells what the file at `path` is, by its first bytes; a file's name plays no part.
  ///
  /// - Throws: ``FormatError`` with code `notFound`, or as ``MappedFile/init(path:)``.
  public static func sniff(_ path: String) throws(FormatError) -> FormatDescriptor {
    if isDirectory(path) { return .directory }
    return .of(try MappedFile(path: path))
  }

  private static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

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
    let kind = FormatDescriptor.of(file)
    if let readIndex = kind.readIndex { return try readIndex(file) }
    return try read(file, kind)
  }

  /// Looks a file of any kind through for what unpickling it would run.
  ///
  /// - Returns: what the file is, ``FormatDescriptor/name`` or `pytorch`; and what was found.
  /// - Throws: ``FormatError`` as ``MappedFile/init(path:)``.
  public static func scan(
    _ path: String
  ) throws(FormatError) -> (format: String, safety: Safety) {
    scan(try MappedFile(path: path))
  }

  package static func scan(_ file: MappedFile) -> (format: String, safety: Safety) {
    let scan = SafetyScan.scan(file)
    var kind = FormatDescriptor.of(file)
    if kind.mayBePickle, scan.hasPickle { kind = .pickle }
    return (kind.scanName?(scan) ?? kind.name, scan.safety)
  }

  /// Reads one file of tensors, as ``open(_:)`` does; an index is none.
  package static func read(_ file: MappedFile) throws(FormatError) -> TensorFile {
    try read(file, FormatDescriptor.of(file))
  }

  /// Reads one file of tensors; an index is none.
  static func read(_ file: MappedFile, _ kind: FormatDescriptor) throws(FormatError) -> TensorFile {
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
    _ file: MappedFile, _ kind: FormatDescriptor, _ scan: SafetyScan
  ) throws(FormatError) -> TensorFile {
    guard let read = kind.read else { throw refusal(of: file, kind, scan).inFile(file.path) }
    return try read(file)
  }

  /// Why a file of a kind that is not read is refused.
  private static func refusal(
    of file: MappedFile, _ kind: FormatDescriptor, _ scan: SafetyScan
  ) -> FormatError {
    // Pickles of protocols 0 and 1 have no magic bytes of their own.
    if kind.mayBePickle, let error = pickle(scan.safety, hasPickle: scan.hasPickle, kind) {
      return error
    }
    return kind.refusal?(file)
      ?? (isOpenVINO(file) ? FormatDescriptor.openVINO.refusal?(file) : nil)
      ?? FormatError(
        .unrecognized, "unrecognized file format; first bytes: \(file.firstBytes)",
        hint: Remedy(FormatDescriptor.readable))
  }

  /// Says what a pickle was made for that is no checkpoint; nil where the file is neither told to be a
  /// pickle by its first bytes nor one that runs to its end.
  private static func pickle(
    _ safety: Safety, hasPickle: Bool, _ kind: FormatDescriptor
  ) -> FormatError? {
    if let name = safety.dangerous.first {
      return FormatError(
        .unrecognized,
        "this is a pickle that names \(name.name), which \(name.danger ?? ""); nothing was run here",
        offset: name.offset,
        hint: "do not unpickle it unless you trust its source: Python would call this")
    }
    // Lines of a text may be instructions of a pickle by chance.
    guard kind == .pickle || hasPickle else { return nil }
    guard hasPickle else {
      return FormatError(
        .unrecognized, "this is part of a pickle; it is truncated or damaged",
        hint: "download the complete file; \(FormatDescriptor.readable)")
    }
    return FormatError(
      .unrecognized, "this is a pickle, but not from torch.save",
      hint: "save its tensors with torch.save or as safetensors")
  }

  /// Whether the file of weights of an OpenVINO model, which has no magic number, lies beside its
  /// graph.
  private static func isOpenVINO(_ file: MappedFile) -> Bool {
    guard file.path.hasSuffix(".bin"),
      let graph = try? MappedFile(path: file.path.dropLast(4) + ".xml")
    else { return false }
    return FormatDescriptor.of(graph) == .openVINO
  }
}
