import CLinux
import Glibc

/// Writes a new file so that its path holds either the whole of it or what was there before.
///
/// Bytes go to a file without a name, which ``commit()`` flushes to the disk and links to its path,
/// so that not even a killed process leaves anything; on file systems that know no such files, to a
/// hidden file in the same directory, which is renamed, and removed by a writer that is let go of.
/// A source that is mapped from the same path stays readable throughout: a rename leaves the old
/// file to its readers.
public final class FileWriter {
  public let path: String
  /// Bytes written so far.
  public private(set) var position = 0

  /// Bytes moved at a time: few enough to stay in a core's cache on their way to the system's,
  /// which a copy of many megabytes at once does not and takes twice as long for.
  package static let pieceSize = 512 << 10
  private let temporaryPath: String
  /// Whether the file has no name yet; then there is nothing at `temporaryPath`.
  private let isUnnamed: Bool
  private let overwrite: Bool
  private var descriptor: Int32
  private var slot: Int?
  private var buffer: [UInt8] = []
  private var state = State.writing

  private enum State {
    case writing
    /// Flushed and closed, still under its temporary name.
    case prepared
    /// At its path, where it was new, but not to stay alone.
    case published
    /// At its path for good, or removed.
    case done
  }

  /// Creates the temporary file.
  ///
  /// - Parameter overwrite: whether a file already at `path` may be replaced.
  /// - Throws: ``FormatError`` with code `cannotCreate`.
  public init(path: String, overwrite: Bool = false) throws(FormatError) {
    try FileWriter.checkTarget(path, overwrite: overwrite)
    self.path = path
    self.overwrite = overwrite
    (temporaryPath, descriptor, isUnnamed) = try FileWriter.createTemporary(beside: path)
    if !isUnnamed { slot = UnfinishedFiles.shared.add(temporaryPath) }
    buffer.reserveCapacity(FileWriter.pieceSize)
  }

  deinit { withdraw() }

  /// Removes the temporary files of all writers that have not committed: for a handler of a
  /// signal that ends the program, which it does not do itself.
  ///
  /// Calls only `unlink` and `rmdir`. A program that installs such a handler calls this once
  /// before, so that the table exists.
  public static func removeUnfinished() {
    UnfinishedFiles.shared.unlinkAll()
  }

  /// Appends `bytes`.
  ///
  /// - Throws: ``FormatError`` with code `inputOutput`, after which the writer cannot commit.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    if bytes.count >= FileWriter.pieceSize {
      try flush()
      try unsafe writeAll(bytes)
    } else {
      if buffer.count + bytes.count > FileWriter.pieceSize { try flush() }
      unsafe buffer.append(contentsOf: bytes)
    }
    position += bytes.count
  }

  /// Appends `bytes`.
  public func write(_ bytes: [UInt8]) throws(FormatError) {
    try unsafe bytes.withUnsafeBytesTyped { (bytes: UnsafeRawBufferPointer) throws(FormatError) in
      try unsafe write(bytes)
    }
  }

  /// Appends bytes of another file inside the system, where it can do that, which saves a copy.
  ///
  /// - Throws: ``FormatError`` with code `inputOutput`, or `truncated` where the file became shorter.
  public func copy(_ range: Range<Int>, of file: MappedFile) throws(FormatError) {
    precondition(range.lowerBound >= 0 && range.upperBound <= file.count, "range outside the file")
    // Small pieces are gathered in the buffer, which is cheaper than a call for each.
    guard range.count >= FileWriter.pieceSize else {
      return try unsafe file.withBytes(in: range) { (bytes) throws(FormatError) in
        try unsafe write(bytes)
      }
    }
    try flush()
    var source = Int64(range.lowerBound)
    while source < range.upperBound {
      let count = unsafe sdk_copy_file_range(
        file.descriptor, &source, descriptor, UInt(range.upperBound - Int(source)))
      if count > 0 {
        position += count
      } else if count == 0 {
        throw FormatError(
          .truncated, "the file became shorter while it was copied", file: file.path,
          offset: Int(source))
      } else if errno != EINTR {
        // Other file systems, old kernels: what is left goes through memory.
        guard [EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EPERM].contains(errno) else {
          throw failure("writing")
        }
        let rest = Int(source)..<range.upperBound
        return try unsafe file.withBytes(in: rest) { (bytes) throws(FormatError) in
          try unsafe write(bytes)
        }
      }
    }
  }

  /// Appends `byte` until the position is a multiple of `alignment`.
  public func pad(toMultipleOf alignment: Int, with byte: UInt8 = 0) throws(FormatError) {
    precondition(alignment > 0, "an alignment is positive")
    let excess = position % alignment
    if excess > 0 { try write([UInt8](repeating: byte, count: alignment - excess)) }
  }

  /// Replaces bytes that were written before, all of them ahead of ``position``.
  public func replace(_ bytes: [UInt8], at offset: Int) throws(FormatError) {
    precondition(offset >= 0 && offset + bytes.count <= position, "range not written yet")
    try flush()
    var done = 0
    while done < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { (bytes: UnsafeRawBufferPointer) in
        unsafe pwrite(
          descriptor, bytes.baseAddress.map { unsafe $0 + done }, bytes.count - done,
          off_t(offset + done))
      }
      if count < 0 {
        guard errno == EINTR else { throw failure("writing") }
      } else {
        done += count
      }
    }
  }

  /// Checks that the disk has room for a file of `byteCount`, so that a full disk shows before
  /// the work is done.
  public func checkSpace(for byteCount: Int) throws(FormatError) {
    do throws(FormatError) {
      try FileWriter.checkSpace(for: byteCount, beside: path)
    } catch {
      discard()
      throw error
    }
  }

  /// Checks that the disk of `path` has room for files of `byteCount` in all.
  ///
  /// - Throws: ``FormatError`` with code `inputOutput`.
  public static func checkSpace(for byteCount: Int, beside path: String) throws(FormatError) {
    var status = statvfs()
    guard unsafe statvfs(directory(of: path), &status) == 0 else { return }
    let (free, overflow) = UInt64(status.f_bavail)
      .multipliedReportingOverflow(by: UInt64(status.f_frsize))
    guard !overflow, UInt64(max(0, byteCount)) > free else { return }
    let reason = unsafe String(cString: strerror(ENOSPC))
    throw FormatError(
      .inputOutput, "\(reason): the output takes \(byteCount) bytes where \(free) are free",
      file: path,
      hint: "free some space, or write to another disk")
  }

  /// Flushes everything to the disk and moves the file to its path.
  ///
  /// - Throws: ``FormatError`` with code `inputOutput`, or `cannotCreate` where the path came to
  ///   exist meanwhile; the temporary file is removed then.
  public func commit() throws(FormatError) {
    try FileWriter.commit([self])
  }

  /// Flushes all files to the disk and then moves them to their paths, in this order, so that the
  /// long part of the work leaves none of them there.
  ///
  /// A failure removes all of them, and so does ``removeUnfinished()`` until the last is in place.
  /// Files that replaced others by then cannot be undone: each path holds the whole of the old or
  /// of the new file, but some may be new beside old ones.
  ///
  /// - Throws: as ``commit()``.
  public static func commit(_ writers: [FileWriter]) throws(FormatError) {
    do throws(FormatError) {
      for writer in writers { try writer.prepare() }
      for writer in writers { try writer.publish() }
    } catch {
      for writer in writers { writer.withdraw() }
      throw error
    }
    for writer in writers { writer.settle() }
    for writer in writers { writer.synchronizeDirectory() }
  }

  /// Flushes everything to the disk; what is left is to ``publish()``.
  package func prepare() throws(FormatError) {
    try flush()
    guard fsync(descriptor) == 0 else { throw failure("flushing to the disk") }
    // Closed, a file without a name would be gone.
    if isUnnamed {
      state = .prepared
      return
    }
    let status = close(descriptor)
    descriptor = -1
    guard status == 0 else { throw failure("closing") }
    state = .prepared
  }

  /// Moves the file to its path. One that is new there is still an unfinished file.
  package func publish() throws(FormatError) {
    precondition(state == .prepared, "a file is prepared before it is published")
    let temporarySlot = slot
    guard let isNew = renameIntoPlace() else {
      let error =
        errno == EEXIST
        ? FileWriter.existing(path) : FileWriter.cannotCreate(path, reason: errno)
      discard()
      throw error
    }
    state = isNew ? .published : .done
    if !isNew { slot = nil }
    UnfinishedFiles.shared.remove(temporarySlot)
  }

  /// Lets a published file stay.
  private func settle() {
    UnfinishedFiles.shared.remove(slot)
    slot = nil
    state = .done
  }

  /// Removes the file wherever it is by now; one that replaced another stays.
  package func withdraw() {
    switch state {
    case .writing, .prepared: discard()
    case .published:
      unsafe unlink(path)
      settle()
    case .done: break
    }
  }

  /// Renames, without replacing a file that came to exist meanwhile unless told to. Gives whether
  /// the path was free, and then puts it in the table; nil where the rename failed.
  private func renameIntoPlace() -> Bool? {
    if isUnnamed { return linkIntoPlace() }
    if unsafe link(temporaryPath, path) == 0 {
      // Only now: a path in the table is removed on an interruption, whoever made the file.
      slot = UnfinishedFiles.shared.add(path)
      unsafe unlink(temporaryPath)
      return true
    }
    // File systems without hard links: the check at the start must do for them.
    let hasNoLinks = [EPERM, EOPNOTSUPP, ENOSYS, EMLINK].contains(errno)
    guard hasNoLinks || overwrite && errno == EEXIST else { return nil }
    let isNew = unsafe access(path, F_OK) != 0
    guard unsafe rename(temporaryPath, path) == 0 else { return nil }
    if isNew { slot = UnfinishedFiles.shared.add(path) }
    return isNew
  }

  /// The same for a file without a name.
  private func linkIntoPlace() -> Bool? {
    if unsafe sdk_link_unnamed(descriptor, path) == 0 {
      slot = UnfinishedFiles.shared.add(path)
      close(descriptor)
      descriptor = -1
      return true
    }
    guard overwrite, errno == EEXIST else { return nil }
    // Linking replaces nothing: the file gets the hidden name first.
    slot = UnfinishedFiles.shared.add(temporaryPath)
    unsafe unlink(temporaryPath)
    guard unsafe sdk_link_unnamed(descriptor, temporaryPath) == 0 else { return nil }
    guard unsafe rename(temporaryPath, path) == 0 else {
      let reason = errno
      unsafe unlink(temporaryPath)
      errno = reason
      return nil
    }
    UnfinishedFiles.shared.remove(slot)
    slot = nil
    close(descriptor)
    descriptor = -1
    return false
  }

  /// Makes the rename itself durable; a directory that cannot be synchronised is no failure.
  private func synchronizeDirectory() {
    let directory = unsafe open(FileWriter.directory(of: path), O_RDONLY | O_CLOEXEC)
    guard directory >= 0 else { return }
    fsync(directory)
    close(directory)
  }

  private func flush() throws(FormatError) {
    guard descriptor >= 0 else {
      throw FormatError(.inputOutput, "an earlier write to this file failed", file: path)
    }
    guard !buffer.isEmpty else { return }
    try unsafe buffer.withUnsafeBytesTyped { (bytes: UnsafeRawBufferPointer) throws(FormatError) in
      try unsafe writeAll(bytes)
    }
    buffer.removeAll(keepingCapacity: true)
  }

  private func writeAll(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    var done = 0
    while done < bytes.count {
      let piece = min(FileWriter.pieceSize, bytes.count - done)
      let count = unsafe Glibc.write(
        descriptor, bytes.baseAddress.map { unsafe $0 + done }, piece)
      if count < 0 {
        guard errno == EINTR else { throw failure("writing") }
      } else {
        done += count
      }
    }
  }

  /// The error for the call that just failed; removes the temporary file.
  private func failure(_ action: String) -> FormatError {
    let reason = errno
    discard()
    let text = unsafe String(cString: strerror(reason))
    return FormatError(
      .inputOutput, "\(action) failed at byte \(position): \(text)", file: path,
      hint: reason == ENOSPC || reason == EDQUOT
        ? "free some space, or write to another disk" : "check the disk")
  }

  private func discard() {
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
    state = .done
    if !isUnnamed { unsafe unlink(temporaryPath) }
    UnfinishedFiles.shared.remove(slot)
    slot = nil
  }
}
