import Glibc
import ModelFormats

/// The names in a directory, sorted.
struct Directory {
  let path: String
  /// Names of regular files (or links to them).
  let files: [String]
  /// Names of directories (or links to them), without hidden ones.
  let directories: [String]
  /// Names of all entries, hidden or not, of any kind.
  let entries: [String]
  /// Links whose targets do not exist.
  let danglingLinks: [DanglingLink]
  var isEmpty: Bool { entries.isEmpty }

  /// Lists a directory; nil if `path` is something else.
  ///
  /// - Throws: ``FormatError`` `notFound`.
  init?(path: String) throws(FormatError) {
    var status = stat()
    guard stat(path, &status) == 0 else {
      if let link = DanglingLink(path) {
        throw FormatError(.notFound, "this \(link.predicate)", file: path, hint: DanglingLink.hint)
      }
      throw FormatError(
        .notFound, "no such file or directory", file: path,
        hint: "check the path; it is a file of weights or a repository directory")
    }
    guard status.st_mode & S_IFMT == S_IFDIR else { return nil }
    guard let stream = opendir(path) else {
      throw FormatError.cannotOpen("directory", path, errno)
    }
    defer { closedir(stream) }
    var entries: [String] = []
    var files: [String] = []
    var directories: [String] = []
    var danglingLinks: [DanglingLink] = []
    while let entry = readdir(stream) {
      let name = Directory.name(of: entry)
      if name == "." || name == ".." { continue }
      entries.append(name)
      guard !name.hasPrefix(".") else { continue }
      guard stat("\(path)/\(name)", &status) == 0 else {
        if let link = DanglingLink("\(path)/\(name)") { danglingLinks.append(link) }
        continue
      }
      switch status.st_mode & S_IFMT {
      case S_IFREG: files.append(name)
      case S_IFDIR: directories.append(name)
      default: break
      }
    }
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    self.entries = entries.sorted()
    self.files = files.sorted()
    self.directories = directories.sorted()
    self.danglingLinks = danglingLinks.sorted { $0.name < $1.name }
  }

  static func name(of entry: UnsafeMutablePointer<dirent>) -> String {
    FileWriter.name(of: entry)
  }

  func contains(_ name: String) -> Bool { files.contains(name) }

  /// The last component of the path.
  var name: String { path.split(separator: "/").last.map(String.init) ?? path }

  /// Whether it has the layout of a repository, complete or not.
  var isRepository: Bool {
    contains("model_index.json")
      || ComponentName.required.contains { directories.contains($0.rawValue) }
  }

  /// Whether its subdirectories contain networks, as training programs leave them.
  var holdsNetworks: Bool {
    directories.contains { name in
      guard let inner = try? Directory(path: "\(path)/\(name)") else { return false }
      return inner.contains("config.json") && !inner.weights.isEmpty
    }
  }

  /// The error for a file that is a dangling link; nil if it is not.
  func danglingLink(_ name: String) -> FormatError? {
    danglingLinks.first { $0.name == name }.map { link in
      FormatError(
        .notFound, link.sentence, file: "\(path)/\(name)", hint: DanglingLink.hint)
    }
  }

  /// The error for weights that are dangling links; nil if none are.
  var danglingWeights: FormatError? {
    danglingLinks.first { Directory.isPossibleWeights($0.name) }.flatMap { danglingLink($0.name) }
  }

  /// Files that look like weights, for messages.
  var possibleWeights: [String] { files.filter(Directory.isPossibleWeights) }

  /// Its contents besides weights and `files`; directories end in a slash.
  ///
  /// - Parameter prefix: the prefix for names.
  func others(than files: [AuxiliaryFile], below prefix: String) -> [String] {
    let known = Set(files.map(\.path))
    return self.files.map { prefix + $0 }.filter {
      !known.contains($0) && !Directory.isWeights($0)
    } + directories.map { "\(prefix)\($0)/" }
  }

  /// Whether a path belongs to weights or an index of weights, of any program.
  static func isWeights(_ path: String) -> Bool {
    let small = path.lowercased()
    return isPossibleWeights(small) || small.hasSuffix(".gguf")
      || small.contains(".index.") && small.hasSuffix(".json")
  }

  private static func isPossibleWeights(_ name: String) -> Bool {
    WeightsName.isIndex(name) || UnreadWeights.formats.contains { name.hasSuffix($0.ending) }
  }
}
