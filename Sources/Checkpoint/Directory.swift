import Glibc
import ModelFormats

/// The names in a directory, sorted.
struct Directory {
  let path: String
  /// Names of regular files (or links to them).
  let files: [String]
  /// Names of directories (or links to them), hidden ones left out.
  let directories: [String]
  /// Names of everything in it, hidden or not, of whatever kind.
  let entries: [String]
  var isEmpty: Bool { entries.isEmpty }

  /// Lists a directory; nil where `path` is something else.
  ///
  /// - Throws: ``FormatError`` `notFound`.
  init?(path: String) throws(FormatError) {
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw FormatError(
        .notFound, "there is no such file or directory", file: path,
        hint: "check the path; it is a file of weights or a repository directory")
    }
    guard status.st_mode & S_IFMT == S_IFDIR else { return nil }
    guard let stream = opendir(path) else {
      throw FormatError(
        .notFound, "the directory cannot be opened: \(String(cString: strerror(errno)))",
        file: path, hint: "check that you may read it")
    }
    defer { closedir(stream) }
    var entries: [String] = []
    var files: [String] = []
    var directories: [String] = []
    while let entry = readdir(stream) {
      let name = Directory.name(of: entry)
      if name == "." || name == ".." { continue }
      entries.append(name)
      guard !name.hasPrefix("."), stat("\(path)/\(name)", &status) == 0 else { continue }
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
  }

  static func name(of entry: UnsafeMutablePointer<dirent>) -> String {
    withUnsafePointer(to: &entry.pointee.d_name) { name in
      name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
  }

  func contains(_ name: String) -> Bool { files.contains(name) }

  /// The last component of the path.
  var name: String { path.split(separator: "/").last.map(String.init) ?? path }

  /// Whether it is laid out as a repository, whole or not.
  var isRepository: Bool {
    contains("model_index.json")
      || ComponentName.required.contains { directories.contains($0.rawValue) }
  }

  /// Files that look like weights, for saying what was found instead.
  var possibleWeights: [String] {
    files.filter { name in
      [".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".index.json"].contains {
        name.hasSuffix($0)
      }
    }
  }
}
