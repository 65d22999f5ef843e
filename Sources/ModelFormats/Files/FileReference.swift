import Glibc

/// A file named in another file: a shard in an index, the external data of an ONNX model.
///
/// The name is untrusted, so it must not leave the directory of the file that contains it, either
/// as spelled or through a symbolic link. A link is allowed if the containing file is itself a link
/// into the same directory, as in the Hugging Face Hub cache.
struct FileReference {
  /// The allowed spelling of a name.
  enum Spelling {
    /// The plain name of a file in the same directory.
    case name
    /// A relative path that stays below the directory.
    case relativePath
  }

  let path: String

  /// Why a name is rejected, as the end of a sentence; nil if it is accepted.
  static func refusal(of name: String, as spelling: Spelling) -> String? {
    // Compare bytes, as the system does: a combining mark merges with a slash into one character,
    // but the path is the same.
    let bytes = name.utf8
    let parts = bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    func holds(_ part: String) -> Bool { parts.contains { $0.elementsEqual(part.utf8) } }
    let isDrive =
      bytes.dropFirst().first == UInt8(ascii: ":")
      && bytes.first.map { 0x41...0x5A ~= $0 & 0xDF } ?? false
    if name.isEmpty { return "is empty" }
    if bytes.contains(0) { return "holds a NUL byte" }
    if bytes.contains(where: { $0 < 0x20 || $0 == 0x7F }) { return "contains a control character" }
    if bytes.count >= Int(PATH_MAX) { return "is too long for a path" }
    if bytes.firstRange(of: "://".utf8) != nil { return "is a URL" }
    if bytes.starts(with: #"\\"#.utf8) { return "is a network path" }
    if isDrive { return "names a drive" }
    if bytes.contains(UInt8(ascii: "\\")) { return "holds a backslash" }
    if bytes.first == UInt8(ascii: "/") { return "is an absolute path" }
    if holds("..") { return "leaves the directory with \"..\"" }
    if holds("") { return "contains an empty component" }
    guard spelling == .name else { return nil }
    if bytes.contains(UInt8(ascii: ":")) { return "holds a colon" }
    if holds(".") { return "contains the component \".\"" }
    if parts.count > 1 { return "names a file in another directory" }
    return nil
  }

  /// The file with this name next to `owner`; the name has passed ``refusal(of:as:)``.
  init(_ name: String, beside owner: String) {
    path = FileReference.directory(of: owner) + name
  }

  var exists: Bool { unsafe access(path, F_OK) == 0 }

  /// Whether the file, with all links resolved, is below the directory of `owner`, or below that of
  /// the link target of `owner`.
  func isContained(beside owner: String) -> Bool {
    guard let target = FileReference.resolved(path) else { return false }
    let directory = FileReference.resolved(FileReference.directory(of: owner) + ".")
    let linked = FileReference.resolved(owner).map(FileReference.directory(of:))
    return [directory.map { $0.hasSuffix("/") ? $0 : $0 + "/" }, linked].contains {
      $0.map { target.utf8.starts(with: $0.utf8) } ?? false
    }
  }

  /// The directory with its final slash; empty for a plain name.
  private static func directory(of path: String) -> String {
    path.utf8.lastIndex(of: UInt8(ascii: "/"))
      .map { String(decoding: path.utf8[...$0], as: UTF8.self) } ?? ""
  }

  private static func resolved(_ path: String) -> String? {
    guard let result = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(result) }
    return unsafe FileName.text(result)
  }
}
