import Glibc
import ModelFormats

/// Files and directories that come to be together: either all of them, or none that was not there.
///
/// That holds for a failure and, through the table of unfinished files, for a program that a
/// signal ends. Only files that replace others are an exception: once the first of them is in
/// place it stays, as ``FileWriter/commit(_:)`` says.
package final class OutputFiles {
  private let overwrite: Bool
  private var writers: [FileWriter] = []
  /// Directories that were made, with their places in the table of unfinished files.
  private var directories: [(path: String, slot: Int?)] = []
  private var isComplete = false

  package init(overwrite: Bool) {
    self.overwrite = overwrite
  }

  deinit {
    guard !isComplete else { return }
    // Not left to their own end, which may come later than that of their directories.
    for writer in writers { writer.withdraw() }
    for directory in directories.reversed() {
      rmdir(directory.path)
      UnfinishedFiles.shared.remove(directory.slot)
    }
  }

  /// Makes the directory and those above it, where they are missing.
  ///
  /// - Parameter isOurs: whether the program chose the name, rather than the user. Such a directory must
  ///   not be a symbolic link: it may have come with a stranger's repository, to have files written
  ///   elsewhere.
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

  /// A writer whose file appears with all others.
  package func file(_ path: String) throws(FormatError) -> FileWriter {
    let writer = try FileWriter(path: path, overwrite: overwrite)
    writers.append(writer)
    return writer
  }

  /// A small file; one that is there already with the same contents is left alone.
  package func file(_ path: String, _ contents: [UInt8]) throws(FormatError) {
    if access(path, F_OK) == 0, let present = try? MappedFile(path: path, isInput: false),
      present.withBytes(in: 0..<present.count, { $0.elementsEqual(contents) })
    {
      return
    }
    try file(path).write(contents)
  }

  /// Moves all files into place, in the order in which they were asked for; gives their paths.
  package func commit() throws(FormatError) -> [String] {
    try FileWriter.commit(writers)
    for directory in directories { UnfinishedFiles.shared.remove(directory.slot) }
    isComplete = true
    return writers.map(\.path)
  }
}
