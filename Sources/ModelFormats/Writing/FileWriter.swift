import CLinux
import Glibc

/// Writes a new file so that its path holds either the whole of it or what was there before.
///
/// Bytes go to a file without a name, which ``commit()`` flushes to the disk and links to its path,
/// so that not even a killed process leaves anything; on file systems that know no such files, to a
/// hidden file in the same directory, which is renamed, and removed by a writer that is let go of.
/// A source that is mapped from the same path stays readable throughout: a rename leaves the old
/// file to its readers.
@safe
public final class FileWriter {
  /// Where the file will appear.
  public let path: String
  /// Bytes written so far.
  public var position: Int { written + held }

  /// Bytes moved at a time, to a multiple of as many: few enough to stay in a core's cache on their
  /// way to the system's, and for that to take pages for; from 512 KiB on it takes five times as
  /// long to find large ones.
  package static let pieceSize = 128 << 10
  /// Bytes after which the system is told to begin with the disk, which so has little left to do
  /// when all is flushed.
  private static let stretch = 16 << 20
  private let temporaryPath: String
  /// Whether the file has no name yet; then there is nothing at `temporaryPath`.
  private let isUnnamed: Bool
  private let overwrite: Bool
  private var descriptor: Int32
  private var slot: Int?
  /// A piece on its way, the bytes of it that are held, and those that the file has.
  private let buffer: UnsafeMutableRawBufferPointer
  private var held = 0
  private var written = 0
  /// Where the disk has not begun yet.
  private var stretchStart = 0
  /// The size that the file was given ahead.
  private var reserved = 0
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
    try InputFiles.shared.requireNoInput(at: path)
    try FileWriter.checkTarget(path, overwrite: overwrite)
    self.path = path
    self.overwrite = overwrite
    (temporaryPath, descriptor, isUnnamed) = try FileWriter.createTemporary(beside: path)
    if !isUnnamed { slot = UnfinishedFiles.shared.add(temporaryPath) }
    unsafe buffer = .allocate(byteCount: FileWriter.pieceSize, alignment: 4096)
  }

  deinit {
    withdraw()
    unsafe buffer.deallocate()
  }

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
    try requireOpen()
    var done = 0
    while done < bytes.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
      if held == 0, written.isMultiple(of: FileWriter.pieceSize), rest.count >= room {
        try unsafe append(UnsafeRawBufferPointer(rebasing: rest[..<room]))
        done += FileWriter.pieceSize
        continue
      }
      let count = min(rest.count, room)
      unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[held..<(held + count)])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
      done += count
      try hold(count)
    }
  }

  /// Appends `bytes`.
  public func write(_ bytes: [UInt8]) throws(FormatError) {
    try unsafe bytes.withUnsafeBytesTyped { (bytes: UnsafeRawBufferPointer) throws(FormatError) in
      try unsafe write(bytes)
    }
  }

  /// Appends bytes of another file.
  ///
  /// - Parameter seeing: called with each piece as it passes, while a core's cache has it.
  /// - Throws: ``FormatError`` with code `inputOutput`, also where the file was truncated meanwhile.
  public func copy(
    _ range: Range<Int>, of file: MappedFile, seeing: (UnsafeRawBufferPointer) -> Void = { _ in }
  ) throws(FormatError) {
    precondition(range.lowerBound >= 0 && range.upperBound <= file.count, "range outside the file")
    try requireOpen()
    var source = range.lowerBound
    while source < range.upperBound {
      let count = min(range.upperBound - source, room)
      let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[held..<(held + count)])
      try unsafe file.read(into: piece, at: source)
      unsafe seeing(UnsafeRawBufferPointer(piece))
      source += count
      try hold(count)
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
    try unsafe bytes.withUnsafeBytesTyped { (bytes: UnsafeRawBufferPointer) throws(FormatError) in
      try unsafe writeAll(bytes, at: offset)
    }
  }

  /// Checks that the disk has room for a file of `byteCount`, so that a full disk shows before
  /// the work is done, and takes that room.
  public func checkSpace(for byteCount: Int) throws(FormatError) {
    do throws(FormatError) {
      try FileWriter.checkSpace(for: byteCount, beside: path)
    } catch {
      discard()
      throw error
    }
    // File systems that cannot do this tell of a full disk later.
    if byteCount > FileWriter.stretch, sdk_reserve(descriptor, Int64(byteCount)) == 0 {
      reserved = byteCount
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
    InputFiles.shared.noteOutput()
    for writer in writers { writer.synchronizeDirectory() }
  }

  /// Flushes everything to the disk; what is left is to ``publish()``.
  package func prepare() throws(FormatError) {
    // What was computed from a file that changed meanwhile does not come to be.
    try InputFiles.shared.requireUnchanged()
    try flush()
    if reserved > written, ftruncate(descriptor, off_t(written)) != 0 {
      throw failure("cutting the file to its size")
    }
    guard fsync(descriptor) == 0 else { throw failure("flushing to the disk") }
    // Closed, a file without a name would be gone, and one with a name be taken for one that was left.
    state = .prepared
  }

  /// Moves the file to its path. One that is new there is still an unfinished file.
  package func publish() throws(FormatError) {
    precondition(state == .prepared, "a file is prepared before it is published")
    // Files may have been read, and links made, since the writer began.
    do throws(FormatError) {
      try InputFiles.shared.requireNoInput(at: path)
    } catch {
      discard()
      throw error
    }
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
      close(descriptor)
      descriptor = -1
      return true
    }
    // File systems without hard links: the check at the start must do for them.
    let hasNoLinks = [EPERM, EOPNOTSUPP, ENOSYS, EMLINK].contains(errno)
    guard hasNoLinks || overwrite && errno == EEXIST else { return nil }
    let isNew = unsafe access(path, F_OK) != 0
    guard unsafe rename(temporaryPath, path) == 0 else { return nil }
    close(descriptor)
    descriptor = -1
    if isNew { slot = UnfinishedFiles.shared.add(path) }
    return isNew
  }

  /// The same for a file without a name.
  private func linkIntoPlace() -> Bool? {
    if unsafe sdk_link_unnamed(descriptor, FileName.bytes(path)) == 0 {
      slot = UnfinishedFiles.shared.add(path)
      close(descriptor)
      descriptor = -1
      return true
    }
    guard overwrite, errno == EEXIST else { return nil }
    // Linking replaces nothing: the file gets the hidden name first.
    slot = UnfinishedFiles.shared.add(temporaryPath)
    unsafe unlink(temporaryPath)
    guard unsafe sdk_link_unnamed(descriptor, FileName.bytes(temporaryPath)) == 0 else {
      return nil
    }
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

  private func requireOpen() throws(FormatError) {
    guard descriptor >= 0 else {
      throw FormatError(.inputOutput, "an earlier write to this file failed", file: path)
    }
  }

  /// What fits into the buffer until the file reaches the next multiple of a piece.
  private var room: Int { FileWriter.pieceSize - position % FileWriter.pieceSize }

  /// Takes bytes that were put into the buffer behind those that it holds.
  private func hold(_ count: Int) throws(FormatError) {
    held += count
    if position.isMultiple(of: FileWriter.pieceSize) { try flush() }
  }

  /// Writes what the buffer holds.
  private func flush() throws(FormatError) {
    try requireOpen()
    guard held > 0 else { return }
    try unsafe append(UnsafeRawBufferPointer(rebasing: buffer[..<held]))
    held = 0
  }

  private func append(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    try unsafe writeAll(bytes, at: written)
    written += bytes.count
    if written - stretchStart >= FileWriter.stretch {
      sdk_start_writing_back(descriptor, Int64(stretchStart), Int64(written - stretchStart))
      stretchStart = written
    }
  }

  private func writeAll(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FormatError) {
    var done = 0
    while done < bytes.count {
      let count = unsafe pwrite(
        descriptor, bytes.baseAddress.map { unsafe $0 + done }, bytes.count - done,
        off_t(offset + done))
      if count < 0 {
        guard errno == EINTR else {
          // The kernel cannot read what it is to write where a mapped file has no bytes any more.
          if errno == EFAULT { try InputFiles.shared.requireUnchanged() }
          throw failure("writing")
        }
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
