import Glibc
import ModelFormats

/// Files and directories that appear together: either all of them, or none that is new.
///
/// This applies to failures and, through the table of unfinished files, to programs ended by a
/// signal. Only files that replace others are an exception: once in place, they stay; see
/// ``FileWriter/commit(_:)``.
package final class OutputFiles {
  private let overwrite: Bool
  private var writers: [FileWriter] = []
  /// Created directories, with their slots in the table of unfinished files.
  private var directories: [(path: String, slot: Int?)] = []
  private var isComplete = false

  package init(overwrite: Bool) {
    self.overwrite = overwrite
  }

  deinit {
    guard !isComplete else { return }
    // Withdraw them explicitly: they may be released later than their directories.
    for writer in writers { writer.withdraw() }
    for directory in directories.reversed() {
      rmdir(directory.path)
      UnfinishedFiles.shared.remove(directory.slot)
    }
  }

  /// Creates the directory and missing parents.
  ///
  /// - Parameter isOurs: whether the program, not the user, chose the name. Such a directory must
  ///   not be a symbolic link: an untrusted repository could redirect the output with it.
  /// - Throws: ``FormatError`` with code `cannotCreate`.
  package func makeDirectory(_ path: String, isOurs: Bool = false) throws(FormatError) {
    var status = stat()
    if isOurs, lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK {
      throw FormatError(
        .cannotCreate, "the output directory is a symbolic link, which is not followed", file: path,
        hint: "remove the link, or choose another output directory")
    }
    if stat(path, &status) == 0 {
      guard status.st_mode & S_IFMT == S_IFDIR else {
        throw FormatError(
          .cannotCreate, "a file exists where the output directory should be", file: path,
          hint: "name another output directory")
      }
      return
    }
    if let slash = path.dropLast().lastIndex(of: "/"), slash != path.startIndex {
      try makeDirectory(String(path[..<slash]))
    }
    guard mkdir(path, 0o777) == 0 else {
      throw FormatError(
        .cannotCreate, "cannot create the directory: \(String(cString: strerror(errno)))",
        file: path, hint: "choose an output directory that you can write to")
    }
    directories.append((path, UnfinishedFiles.shared.add(path)))
  }

  /// A writer whose file appears together with all others.
  package func file(_ path: String) throws(FormatError) -> FileWriter {
    let writer = try FileWriter(path: path, overwrite: overwrite)
    writers.append(writer)
    return writer
  }

  /// A small file; an existing one with the same contents is not touched.
  package func file(_ path: String, _ contents: [UInt8]) throws(FormatError) {
    if access(path, F_OK) == 0, let present = try? MappedFile(path: path, isInput: false),
      present.withBytes(in: 0..<present.count, { $0.elementsEqual(contents) })
    {
      return
    }
    try file(path).write(contents)
  }

  /// Moves all files into place, in the order of their creation; returns their paths.
  package func commit() throws(FormatError) -> [String] {
    try FileWriter.commit(writers)
    for directory in directories { UnfinishedFiles.shared.remove(directory.slot) }
    isComplete = true
    return writers.map(\.path)
  }
}
