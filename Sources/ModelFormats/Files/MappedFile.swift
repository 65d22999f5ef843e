import Glibc

/// A regular file mapped read-only, unmapped when its last reference is released.
///
/// The mapping is private: later changes by other processes may or may not be visible, and access
/// to a truncated part ends the process, unless
/// ``surviveTruncation()`` was called. ``requireUnchanged()`` detects both. The contents may also
/// be in memory only, for tests and fuzzing.
@safe
public final class MappedFile: Sendable {
  /// The path under which it was opened.
  public let path: String
  /// The size of the file in bytes when it was opened.
  public let count: Int
  private nonisolated(unsafe) let base: UnsafeRawPointer?
  /// The file descriptor; -1 for in-memory contents.
  let descriptor: Int32
  /// The state of the file when it was opened; nil for in-memory contents.
  private let mapping: Mapping?
  /// Its number among the inputs of a program.
  private let input: Int?

  /// Maps the whole file.
  ///
  /// - Parameter isInput: whether the contents are used as input, so that no output may replace the
  ///   file.
  /// - Throws: ``FormatError`` with code `notFound`, `unrecognized` (not a regular file) or
  ///   `inputOutput`.
  public convenience init(path: String) throws(FormatError) {
    try self.init(path: path, isInput: true)
  }

  package init(path: String, isInput: Bool) throws(FormatError) {
    // Without O_NONBLOCK, opening a pipe would block before it can be rejected.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      let reason = errno
      if let link = DanglingLink(path) {
        throw FormatError(
          .notFound, "the file \(link.predicate)", file: path, hint: DanglingLink.hint)
      }
      throw FormatError.cannotOpen("file", path, reason)
    }
    var isOpened = false
    defer { if !isOpened { close(descriptor) } }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      throw FormatError(.inputOutput, "cannot read the file's size", file: path)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FormatError(
        .unrecognized, "this is not a regular file", file: path,
        hint: "use a checkpoint file or a repository directory")
    }
    let count = Int(status.st_size)
    var base: UnsafeMutableRawPointer?
    if count > 0 {
      unsafe base = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
      guard unsafe base != UnsafeMutableRawPointer(bitPattern: -1) else {
        let reason = unsafe String(cString: strerror(errno))
        throw FormatError(
          .inputOutput, "cannot map the file into memory: \(reason)", file: path)
      }
    }
    defer { if !isOpened, let base = unsafe base { unsafe munmap(base, count) } }
    let mapping = try unsafe Mapping(
      path: path, descriptor: descriptor, status: status, base: UnsafeRawPointer(base))
    input = isInput ? InputFiles.shared.add(mapping) : nil
    self.mapping = mapping
    self.path = path
    self.descriptor = descriptor
    self.count = count
    unsafe self.base = UnsafeRawPointer(base)
    isOpened = true
  }

  /// An in-memory copy of `contents` with an exact allocation, so that memory checkers detect reads
  /// past the end.
  package init(contents: [UInt8], path: String) {
    self.path = path
    descriptor = -1
    mapping = nil
    input = nil
    count = contents.count
    guard count > 0 else {
      unsafe base = nil
      return
    }
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
    unsafe copy.copyBytes(from: contents)
    unsafe base = UnsafeRawPointer(copy.baseAddress)
  }

  deinit {
    guard descriptor >= 0 else {
      unsafe base?.deallocate()
      return
    }
    InputFiles.shared.remove(input)
    mapping?.end()
    close(descriptor)
    if let base = unsafe base {
      unsafe munmap(UnsafeMutableRawPointer(mutating: base), count)
    }
  }

  /// - Throws: ``FormatError`` `inputOutput` if the file was truncated or changed since it was
  ///   opened: the data read from it is not reliable.
  public func requireUnchanged() throws(FormatError) {
    if let change = mapping?.change { throw change }
  }

  /// The whole file.
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    borrowing get {
      let buffer = unsafe UnsafeRawBufferPointer(start: base, count: count)
      return unsafe _overrideLifetime(RawSpan(_unsafeBytes: buffer), borrowing: self)
    }
  }

  /// Calls `body` with the bytes of `range`, which must be inside the file.
  public func withBytes<R, E: Error>(
    in range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range outside the file")
    let whole = unsafe UnsafeRawBufferPointer(start: base, count: count)
    return try unsafe body(UnsafeRawBufferPointer(rebasing: whole[range]))
  }

  /// Releases the memory of pages entirely in `range`; they are read again on use.
  public func releasePages(in range: Range<Int>) {
    guard descriptor >= 0 else { return }
    let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))
    let start = (max(0, range.lowerBound) + pageSize - 1) / pageSize * pageSize
    let end = min(count, range.upperBound) / pageSize * pageSize
    guard let base = unsafe base, start < end else { return }
    unsafe madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, MADV_DONTNEED)
  }

  /// Reads bytes without mapping the pages around them; returns fewer at the end of the file.
  ///
  /// - Throws: ``FormatError`` with code `inputOutput`.
  func read(_ count: Int, at offset: Int) throws(FormatError) -> [UInt8] {
    guard descriptor >= 0 else {
      let start = min(max(0, offset), self.count)
      let end = start + max(0, min(count, self.count - start))
      return unsafe withBytes(in: start..<end) { unsafe [UInt8]($0) }
    }
    var bytes = [UInt8](repeating: 0, count: max(0, min(count, self.count - offset)))
    var done = 0
    while done < bytes.count {
      let piece = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe pread(
          descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done,
          off_t(offset + done))
      }
      if piece < 0 {
        guard errno == EINTR else {
          throw FormatError(
            .inputOutput, "reading failed: \(unsafe String(cString: strerror(errno)))", file: path,
            offset: offset + done)
        }
      } else if piece == 0 {
        throw FormatError(
          .inputOutput, "the file was truncated while being read", file: path,
          offset: offset + done)
      } else {
        done += piece
      }
    }
    return bytes
  }

  /// Calls `body`, which reads small, distant pieces at `offsets` with ``read(_:at:)``.
  ///
  /// All pieces are requested from the disk at once, without the pages around them: one wait
  /// instead of hundreds if the file is not cached.
  func withScatteredReads<R, E: Error>(
    at offsets: some Sequence<Int>, _ body: () throws(E) -> R
  ) throws(E) -> R {
    guard descriptor >= 0 else { return try body() }
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM)
    for offset in offsets where offset >= 0 && offset < count {
      posix_fadvise(descriptor, off_t(offset), 4096, POSIX_FADV_WILLNEED)
    }
    defer { posix_fadvise(descriptor, 0, 0, POSIX_FADV_NORMAL) }
    return try body()
  }
}
