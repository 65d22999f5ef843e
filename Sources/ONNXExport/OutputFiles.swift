import Glibc
import ModelFormats

/// Files and directories that come to be together: either all of them, or none that was not there,
/// also where a signal ends the program. A file that replaced another cannot come back.
final class OutputFiles {
  private let overwrite: Bool
  private var writers: [FileWriter] = []
  /// Directories that were made, and files that were committed and are new.
  private var directories: [String] = []
  private var newFiles: [String] = []
  /// Their entries in the table by which a signal's handler finds what to remove.
  private var slots: [Int?] = []
  private var isComplete = false

  init(overwrite: Bool) {
    self.overwrite = overwrite
  }

  deinit {
    defer { for slot in slots { UnfinishedFiles.shared.remove(slot) } }
    guard !isComplete else { return }
    writers = []
    for path in newFiles { unlink(path) }
    for path in directories.reversed() { rmdir(path) }
  }

  /// Makes the directory and those above it, where they are missing.
  ///
  /// - Throws: ``FormatError`` with code `cannotCreate`.
  func makeDirectory(_ path: String) throws(FormatError) {
    var status = stat()
    if stat(path, &status) == 0 {
      guard status.st_mode & S_IFMT == S_IFDIR else {
        throw FormatError(
          .cannotCreate, "a directory is to be made here, but there is a file", file: path,
          hint: "name another output directory")
      }
      return
    }
    if let slash = path.dropLast().lastIndex(of: "/"), slash != path.startIndex {
      try makeDirectory(String(path[..<slash]))
    }
    guard mkdir(path, 0o777) == 0 else {
      throw FormatError(
        .cannotCreate, "the directory cannot be made: \(String(cString: strerror(errno)))",
        file: path, hint: "name an output directory that you may write to")
    }
    directories.append(path)
    slots.append(UnfinishedFiles.shared.add(path))
  }

  /// A writer whose file appears with all others.
  func file(_ path: String) throws(FormatError) -> FileWriter {
    let writer = try FileWriter(path: path, overwrite: overwrite)
    writers.append(writer)
    return writer
  }

  /// A small file; one that is there already with the same contents is left alone.
  func file(_ path: String, _ contents: [UInt8]) throws(FormatError) {
    if access(path, F_OK) == 0, let present = try? MappedFile(path: path),
      present.withBytes(in: 0..<present.count, { $0.elementsEqual(contents) })
    {
      return
    }
    try file(path).write(contents)
  }

  /// Moves all files into place, in the order in which they were asked for; gives their paths.
  func commit() throws(FormatError) -> [String] {
    // Flushing takes long, renaming does not.
    for writer in writers { try writer.prepare() }
    for writer in writers {
      if access(writer.path, F_OK) != 0 {
        newFiles.append(writer.path)
        slots.append(UnfinishedFiles.shared.add(writer.path))
      }
      try writer.commit()
    }
    isComplete = true
    return writers.map(\.path)
  }
}
