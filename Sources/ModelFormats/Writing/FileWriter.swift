import CLinux
import Glibc

/// Writes a file atomically: its path has the complete new file or the old one.
///
/// Bytes go to an unnamed file, which ``commit()`` flushes to disk and links to its path, so even a
/// killed process leaves nothing after. On file systems without unnamed files, they go to a hidden
/// file in the same directory, which is renamed on commit and removed if the writer is released. A
/// source mapped from the same path stays readable: after a rename, its readers keep the old file.
@safe
public final class FileWriter {
  /// Where the file will appear.
  public let path: String
  /// Bytes written so far.
  public var position: Int { written + held }

  /// The size and alignment of writes: small enough to stay in a core's cache on the way to the
  /// kernel, and to avoid large page allocations, which take five times as long from 512 KiB on.
  package static let pieceSize = 128 << 10
  /// Bytes after which write-back is started, so that little is left for the final flush.
  private static let stretch = 16 << 20
  private let temporaryPath: String
  /// Whether the file is still unnamed; then there is nothing at `temporaryPath`.
  private let isUnnamed: Bool
  private let overwrite: Bool
  private var descriptor: Int32
  private var slot: Int?
  /// The write buffer, its used bytes, and the bytes already written.
  private let buffer: UnsafeMutableRawBufferPointer
  private var held = 0
  private var written = 0
  /// The start of data without write-back.
  private var stretchStart = 0
  /// The size reserved in advance.
  private var reserved = 0
  private var state = State.writing

  private enum State {
    case writing
    /// Flushed and closed, still under its temporary name.
    case prepared
    /// At its path, where it is new, but still removable.
    case published
    /// At its path permanently, or removed.
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

  /// Removes the temporary files of all uncommitted writers: for a signal handler that ends the
  /// program; installing one is up to the program.
  ///
  /// Calls only `unlink` and `rmdir`. A program with such a handler must call this once beforehand,
  /// so that the table exists.
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
  /// - Parameter seeing: called with each piece as it is copied, while it is in the cache.
  /// - Throws: ``FormatError`` with code `inputOutput`, also if the file was truncated meanwhile.
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
    precondition(alignment > 0, "the alignment must be positive")
    let excess = position % alignment
    if excess > 0 { try write([UInt8](repeating: byte, count: alignment - excess)) }
  }

  /// Replaces bytes written before, all of them before ``position``.
  public func replace(_ bytes: [UInt8], at offset: Int) throws(FormatError) {
    precondition(offset >= 0 && offset + bytes.count <= position, "range not written yet")
    try flush()
    try unsafe bytes.withUnsafeBytesTyped { (bytes: UnsafeRawBufferPointer) throws(FormatError) in
      try unsafe writeAll(bytes, at: offset)
    }
  }

  /// Checks for and reserves disk space for a file of `byteCount`, so that a full disk is detected
  /// before the work.
  public func checkSpace(for byteCount: Int) throws(FormatError) {
    do throws(FormatError) {
      try FileWriter.checkSpace(for: byteCount, beside: path)
    } catch {
      discard()
      throw error
    }
    // On file systems without reservation, a full disk is detected later.
    if byteCount > FileWriter.stretch, sdk_reserve(descriptor, Int64(byteCount)) == 0 {
      reserved = byteCount
    }
  }

  /// Checks that the disk of `path` has room for `byteCount` in total.
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
      .inputOutput, "\(reason): the output needs \(byteCount) bytes, but only \(free) are free",
      file: path,
      hint: "free some space, or write to another disk")
  }

  /// Flushes everything to the disk and moves the file to its path.
  ///
  /// - Throws: ``FormatError`` with code `inputOutput`, or `cannotCreate` if the path exists by
  ///   now; the temporary file is then removed.
  public func commit() throws(FormatError) {
    try FileWriter.commit([self])
  }

  /// Flushes all files to disk and then moves them to their paths, in this order, so that none is
  /// in place during the long part of the work.
  ///
  /// A failure removes all of them, and so does ``removeUnfinished()`` until the last is in place.
  /// Files that already replaced others cannot be undone: each path has a complete file, but new
  /// files may be next to old ones.
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

  /// Flushes everything to disk; ``publish()`` does the rest.
  package func prepare() throws(FormatError) {
    // Results computed from a changed file are discarded.
    try InputFiles.shared.requireUnchanged()
    try flush()
    if reserved > written, ftruncate(descriptor, off_t(written)) != 0 {
      throw failure("cutting the file to its size")
    }
    guard fsync(descriptor) == 0 else { throw failure("flushing to the disk") }
    // Do not close it: an unnamed file would disappear, and a named one would look like a leftover.
    state = .prepared
  }

  /// Moves the file to its path. A new file there still counts as unfinished.
  package func publish() throws(FormatError) {
    precondition(state == .prepared, "a file is prepared before it is published")
    // Files may have been read, and links created, since the writer started.
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

  /// Makes a published file permanent.
  private func settle() {
    UnfinishedFiles.shared.remove(slot)
    slot = nil
    state = .done
  }

  /// Removes the file wherever it is now; a file that replaced another stays.
  package func withdraw() {
    switch state {
    case .writing, .prepared: discard()
    case .published:
      unsafe unlink(path)
      settle()
    case .done: break
    }
  }

  /// Renames, without replacing a file that exists by now, unless allowed. Returns whether the path
  /// was free, and then adds it to the table; nil if the rename failed.
  private func renameIntoPlace() -> Bool? {
    if isUnnamed { return linkIntoPlace() }
    if unsafe link(temporaryPath, path) == 0 {
      // Add it only now: an interruption removes paths in the table, whoever created the file.
      slot = UnfinishedFiles.shared.add(path)
      unsafe unlink(temporaryPath)
      close(descriptor)
      descriptor = -1
      return true
    }
    // Without hard links, the check at the start must suffice.
    let hasNoLinks = [EPERM, EOPNOTSUPP, ENOSYS, EMLINK].contains(errno)
    guard hasNoLinks || overwrite && errno == EEXIST else { return nil }
    let isNew = unsafe access(path, F_OK) != 0
    guard unsafe rename(temporaryPath, path) == 0 else { return nil }
    close(descriptor)
    descriptor = -1
    if isNew { slot = UnfinishedFiles.shared.add(path) }
    return isNew
  }

  /// Links an unnamed file into place; returns as ``renameIntoPlace()``.
  private func linkIntoPlace() -> Bool? {
    if unsafe sdk_link_unnamed(descriptor, FileName.bytes(path)) == 0 {
      slot = UnfinishedFiles.shared.add(path)
      close(descriptor)
      descriptor = -1
      return true
    }
    guard overwrite, errno == EEXIST else { return nil }
    // Linking does not replace files: use the hidden name first.
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

  /// Makes the rename durable; a directory that cannot be synchronized is not an error.
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

  /// The room in the buffer until the file position is a multiple of the piece size.
  private var room: Int { FileWriter.pieceSize - position % FileWriter.pieceSize }

  /// Accounts for bytes appended to the buffer.
  private func hold(_ count: Int) throws(FormatError) {
    held += count
    if position.isMultiple(of: FileWriter.pieceSize) { try flush() }
  }

  /// Writes the buffer's contents.
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
          // EFAULT: the kernel cannot read from a mapped file that was truncated.
          if errno == EFAULT { try InputFiles.shared.requireUnchanged() }
          throw failure("writing")
        }
      } else {
        done += count
      }
    }
  }

  /// The error for the system call that just failed; removes the temporary file.
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
