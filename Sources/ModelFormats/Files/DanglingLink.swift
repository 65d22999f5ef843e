import Glibc

/// A symbolic link whose target does not exist, as an unfinished download leaves it in the Hugging
/// Face Hub cache.
package struct DanglingLink: Sendable, Hashable {
  /// The name of the link in its directory.
  package let name: String
  /// The link's target, such as `../../../blobs/abc`.
  package let target: String
  /// Names of unfinished downloads next to the missing target: `abc.incomplete`.
  package let unfinished: [String]

  /// - Returns: nil if `path` is not a link, or its target exists.
  package init?(_ path: String) {
    var status = stat()
    guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return nil }
    guard unsafe stat(path, &status) != 0, errno == ENOENT else { return nil }
    var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = unsafe bytes.withUnsafeMutableBytes { buffer in
      unsafe buffer.baseAddress.map { unsafe readlink(path, $0, buffer.count) } ?? -1
    }
    guard count > 0 else { return nil }
    target = FileName.text(Array(bytes[..<count]))
    let (directory, name) = DanglingLink.split(path)
    self.name = name
    let (folder, stem) = DanglingLink.split(target)
    let place = target.hasPrefix("/") ? folder : directory + folder
    unfinished = DanglingLink.unfinished(in: place.isEmpty ? "." : place, of: stem)
  }

  /// The files of unfinished downloads in a directory.
  ///
  /// - Parameter stem: the name of the complete file; empty for all files.
  package static func unfinished(in directory: String, of stem: String = "") -> [String] {
    guard let stream = unsafe opendir(directory) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe FileWriter.name(of: entry)
      if name.hasSuffix(".incomplete"), name.hasPrefix(stem) { names.append(name) }
    }
    return names.sorted()
  }

  /// The directory with its final slash (empty for a plain name), and the name.
  private static func split(_ path: String) -> (directory: String, name: String) {
    let name = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { path.utf8.index(after: $0) }
    let start = name ?? path.startIndex
    return (String(path[..<start]), String(path[start...]))
  }

  /// The end of a sentence that begins with the link's name.
  package var predicate: String {
    "is a link to \(target), which does not exist: the download is incomplete"
      + (unfinished.isEmpty ? "" : " (found \(unfinished.joined(separator: ", ")))")
  }

  package var sentence: String { "\(name) \(predicate)" }

  package static let hint: Remedy = "download the model again; an interrupted download resumes"
}
