import CLinux
import Glibc
import ModelFormats

/// Writes a directory atomically: its path has the complete new directory or the old one.
///
/// Files are written to a hidden directory next to the target, which ``commit()`` renames; a writer
/// released without a commit removes it.
package final class DirectoryWriter {
  let path: String
  private let temporaryPath: String
  private let overwrite: Bool
  private var isCommitted = false
  /// Open and locked while the writer works, so that others do not treat the temporary directory as
  /// a leftover.
  private let descriptor: Int32
  /// Slots in the table that a signal handler uses for removal.
  private var slots: [Int?] = []

  /// Creates the temporary directory.
  ///
  /// - Parameters:
  ///   - overwrite: whether a repository already at `path` may be replaced.
  ///   - entries: the top-level names of the new directory; an existing directory with other names
  ///     is not replaced.
  ///     replaced.
  ///   - byteCount: bytes to be written, for which the disk must have room.
  /// - Throws: ``FormatError`` `cannotCreate` or `inputOutput`.
  package init(
    path: String, overwrite: Bool, entries: Set<String>, byteCount: Int
  ) throws(FormatError) {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    try DirectoryWriter.check(path, overwrite: overwrite, entries: entries)
    self.path = path
    self.overwrite = overwrite
    DirectoryWriter.removeStale(beside: path)
    (temporaryPath, descriptor) = try DirectoryWriter.createTemporary(beside: path)
    slots.append(UnfinishedFiles.shared.add(temporaryPath))
    try FileWriter.checkSpace(for: byteCount, beside: path)
  }

  deinit {
    if !isCommitted { DirectoryWriter.remove(temporaryPath) }
    for slot in slots { UnfinishedFiles.shared.remove(slot) }
    close(descriptor)
  }

  /// The temporary path of the file at `relativePath` in the directory; creates intermediate
  /// directories.
  package func place(for relativePath: String) throws(FormatError) -> String {
    var directory = temporaryPath
    for name in relativePath.utf8.split(separator: UInt8(ascii: "/")).dropLast() {
      directory += "/\(Substring(name))"
      if mkdir(directory, 0o777) == 0 {
        slots.append(UnfinishedFiles.shared.add(directory))
        continue
      }
      guard errno == EEXIST else {
        throw DirectoryWriter.failure(.cannotCreate, "cannot create the directory", directory)
      }
    }
    let place = "\(temporaryPath)/\(relativePath)"
    slots.append(UnfinishedFiles.shared.add(place))
    return place
  }

  /// An error of writing a file, with its final path.
  func atItsPlace(_ error: FormatError) -> FormatError {
    var error = error
    if let file = error.file, file.hasPrefix(temporaryPath) {
      error.file = path + file.dropFirst(temporaryPath.count)
    }
    return error
  }

  /// Moves the directory to its path.
  ///
  /// - Throws: ``FormatError`` `cannotCreate`; the temporary directory is removed then.
  func commit() throws(FormatError) {
    try commit { sdk_exchange(FileName.bytes($0), FileName.bytes($1)) == 0 }
  }

  /// - Parameter exchange: exchanges two paths atomically; false if the file system cannot.
  package func commit(_ exchange: (String, String) -> Bool) throws(FormatError) {
    if overwrite { try InputFiles.shared.requireNoInput(inDirectory: path) }
    // Fails if something other than an empty directory exists by now.
    if rename(temporaryPath, path) == 0 {
      isCommitted = true
      return
    }
    guard overwrite, errno == ENOTEMPTY || errno == EEXIST else {
      throw DirectoryWriter.failure(.cannotCreate, "the output cannot be moved to its place", path)
    }
    if exchange(temporaryPath, path) {
      isCommitted = true
      DirectoryWriter.remove(temporaryPath)
      return
    }
    // Without an exchange, the old directory is renamed first and restored if the new one cannot
    // take its place. While locked, it is not a leftover of a killed process; if another process
    // has locked it, neither.
    let former = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
    if former >= 0 { sdk_lock(former) }
    defer { if former >= 0 { close(former) } }
    let old = temporaryPath + ".old"
    guard rename(path, old) == 0 else {
      throw DirectoryWriter.failure(.cannotCreate, "the old directory cannot be replaced", path)
    }
    guard rename(temporaryPath, path) == 0 else {
      let error = DirectoryWriter.failure(
        .cannotCreate, "the output cannot be moved to its place", path)
      rename(old, path)
      throw error
    }
    isCommitted = true
    DirectoryWriter.remove(old)
  }

  private static func check(
    _ path: String, overwrite: Bool, entries: Set<String>
  ) throws(FormatError) {
    var status = stat()
    guard stat(path, &status) == 0 else { return }
    guard let directory = try Directory(path: path) else {
      throw FormatError(
        .cannotCreate, "a file exists where the output directory should be", file: path,
        hint: "choose a directory that does not exist yet")
    }
    if directory.isEmpty { return }
    try InputFiles.shared.requireNoInput(inDirectory: path)
    guard overwrite else {
      throw FormatError(
        .cannotCreate, "the output already exists", file: path,
        hint: "pass \(set: .overwrite) to replace it, or choose another directory")
    }
    // Replacing removes the old directory, so it may only contain what is rewritten.
    let others = directory.entries.filter { !entries.contains($0) }
    guard directory.isRepository, others.isEmpty else {
      let names = others.prefix(5).joined(separator: ", ")
      throw FormatError(
        .cannotCreate,
        "the directory contains files that this conversion does not write, and is not replaced: \(names)",
        file: path, hint: "choose a directory that does not exist yet")
    }
  }

  /// The parent directory of `path`, with a slash, and the prefix of hidden directories next to it.
  private static func hidden(beside path: String) -> (parent: String, prefix: String) {
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { path.utf8.index(after: $0) }
    let start = slash ?? path.startIndex
    return (String(path[..<start]), ".\(FileWriter.shortened(path[start...])).")
  }

  /// Removes leftovers of killed processes for the same path.
  private static func removeStale(beside path: String) {
    let (parent, prefix) = hidden(beside: path)
    guard let entries = try? Directory(path: parent.isEmpty ? "." : parent)?.entries else { return }
    for entry in entries where entry.hasPrefix(prefix) {
      let rest = entry.dropFirst(prefix.count)
      let isOld = rest.hasSuffix(".partial.old")
      guard rest.hasSuffix(".partial") || isOld else { continue }
      let descriptor = open(parent + entry, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
      guard descriptor >= 0 else { continue }
      defer { close(descriptor) }
      let process = Int32(rest.prefix { $0 != "-" }) ?? 0
      guard FileWriter.isLeft(descriptor, of: process) else { continue }
      // An old directory is restored if the new one never appeared.
      if isOld, access(path, F_OK) != 0 {
        rename(parent + entry, path)
      } else {
        remove(parent + entry)
      }
    }
  }

  private static func createTemporary(
    beside path: String
  ) throws(FormatError) -> (path: String, descriptor: Int32) {
    let (parent, prefix) = hidden(beside: path)
    for attempt in 0..<100 {
      let temporary = "\(parent)\(prefix)\(getpid())-\(attempt).partial"
      if mkdir(temporary, 0o777) == 0 {
        let descriptor = open(temporary, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
        if descriptor >= 0, FileWriter.isOwn(descriptor) { return (temporary, descriptor) }
        // Another process treated it as a leftover.
        if descriptor >= 0 { close(descriptor) }
        continue
      }
      guard errno == EEXIST else { break }
    }
    throw failure(.cannotCreate, "cannot create the output", path)
  }

  private static func failure(
    _ code: FormatError.Code, _ message: String, _ path: String
  ) -> FormatError {
    FormatError(
      code, "\(message): \(String(cString: strerror(errno)))", file: path,
      hint: "choose a location where you can create directories")
  }

  /// Removes a directory and its contents.
  private static func remove(_ path: String) {
    guard let stream = opendir(path) else { return }
    while let entry = readdir(stream) {
      let name = Directory.name(of: entry)
      if name == "." || name == ".." { continue }
      let child = "\(path)/\(name)"
      // A link to a directory is unlinked, never followed.
      if unlink(child) != 0 { remove(child) }
    }
    closedir(stream)
    rmdir(path)
  }
}
