import ModelFormats

/// The Hugging Face Hub cache: `models--ORG--NAME` with `blobs`, `refs` and `snapshots`, whose
/// files are links into `blobs`.
///
/// Source: the documentation of huggingface_hub, "Understand caching".
enum HubCache {
  /// The directory to open for `directory`: for a model's cache directory or its `snapshots`, the
  /// snapshot in `refs/main`, or the only one; any other directory itself.
  ///
  /// - Throws: ``FormatError`` `notFound` if there is no snapshot, or several and no ref selects
  ///   one.
  static func snapshot(of directory: Directory) throws(FormatError) -> Directory {
    let root: String
    if isModel(directory) {
      root = directory.path
    } else if directory.name == "snapshots", !directory.directories.isEmpty,
      !directory.isRepository, !directory.contains("config.json"),
      let parent = try? Directory(path: parent(of: directory.path)), isModel(parent)
    {
      root = parent.path
    } else {
      return directory
    }
    let snapshots = try? Directory(path: "\(root)/snapshots")
    let names = snapshots?.directories ?? []
    let shown = names.prefix(6).map { "\(root)/snapshots/\($0)" }.joined(separator: ", ")
    let found = names.isEmpty ? "it has no snapshots" : "its snapshots: \(shown)"
    if let main = main(of: root) {
      if names.contains(main), let snapshot = try Directory(path: "\(root)/snapshots/\(main)") {
        return snapshot
      }
      throw FormatError(
        .notFound, "refs/main names the snapshot \(main), which does not exist; \(found)",
        file: root, hint: unfinishedHint(root) ?? DanglingLink.hint)
    }
    guard let only = names.first else {
      throw FormatError(
        .notFound, "this folder of the Hugging Face cache has no snapshots", file: root,
        hint: unfinishedHint(root) ?? DanglingLink.hint)
    }
    guard names.count == 1, let snapshot = try Directory(path: "\(root)/snapshots/\(only)") else {
      throw FormatError(
        .notFound,
        "this folder of the Hugging Face cache has \(names.count) snapshots and no refs/main that "
          + "says which to use", file: root, hint: "pass one of \(shown)")
    }
    return snapshot
  }

  /// Whether a directory is a snapshot, whose name does not describe its contents.
  static func isSnapshot(_ directory: Directory) -> Bool {
    let place = parent(of: directory.path)
    return place == "snapshots" || place.hasSuffix("/snapshots")
  }

  /// Unfinished downloads for a path inside the cache, as paths relative to the model's directory.
  static func unfinishedDownloads(around path: String) -> [String] {
    // Parents of other directories are not searched.
    guard
      path.split(separator: "/").contains(where: { $0 == "snapshots" || $0.hasPrefix("models--") })
    else { return [] }
    var place = path
    // A snapshot, or a component's directory in one.
    for _ in 0..<4 {
      if let directory = try? Directory(path: place), isModel(directory) {
        return DanglingLink.unfinished(in: "\(place)/blobs").map { "blobs/\($0)" }
      }
      place = parent(of: place)
    }
    return []
  }

  /// The warning about unfinished downloads.
  static func warning(around path: String) -> [String] {
    let names = unfinishedDownloads(around: path)
    guard let first = names.first else { return [] }
    return [
      names.count == 1
        ? "the cache holds an unfinished download: \(first)"
        : "the cache holds \(names.count) unfinished downloads: "
          + names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", …" : "")
    ]
  }

  private static func unfinishedHint(_ root: String) -> Remedy? {
    warning(around: root).first.map { "\(DanglingLink.hint); \($0)" }
  }

  private static func isModel(_ directory: Directory) -> Bool {
    directory.directories.contains("snapshots")
      && (directory.name.hasPrefix("models--") || directory.directories.contains("refs")
        || directory.directories.contains("blobs"))
      && !directory.isRepository && !directory.contains("config.json")
  }

  /// The snapshot in `refs/main`; nil if there is none.
  private static func main(of root: String) -> String? {
    guard let file = try? AuxiliaryFile(path: "refs/main", at: "\(root)/refs/main"),
      (1...128).contains(file.byteCount)
    else { return nil }
    let name = String(decoding: file.bytes, as: UTF8.self)
      .split(whereSeparator: \.isWhitespace).first.map(String.init)
    // A name may not lead elsewhere.
    return name.flatMap { ComponentName(rawValue: $0).isValid ? $0 : nil }
  }

  private static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return path == "." ? ".." : "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
