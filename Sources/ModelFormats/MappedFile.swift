import Glibc

/// A regular file mapped read-only, unmapped when the last user lets go of it.
///
/// The mapping is private: bytes that another process changes later may or may not show.
@safe
public final class MappedFile: Sendable {
  public let path: String
  public let count: Int
  private nonisolated(unsafe) let base: UnsafeRawPointer?

  /// Maps the whole file.
  ///
  /// - Throws: ``FormatError`` with code `notFound`, `unrecognized` (not a regular file) or
  ///   `inputOutput`.
  public init(path: String) throws(FormatError) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      let reason = errno
      throw FormatError(
        .notFound, "the file cannot be opened: \(unsafe String(cString: strerror(reason)))",
        file: path, hint: "check the path and that you may read it")
    }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      throw FormatError(.inputOutput, "the file's size cannot be read", file: path)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FormatError(
        .unrecognized, "this is not a regular file", file: path,
        hint: "give a checkpoint file or a repository directory")
    }
    self.path = path
    count = Int(status.st_size)
    guard count > 0 else {
      unsafe base = nil
      return
    }
    guard
      let mapping = unsafe mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0),
      unsafe mapping != UnsafeMutableRawPointer(bitPattern: -1)
    else {
      throw FormatError(.inputOutput, "the file cannot be mapped into memory", file: path)
    }
    unsafe base = UnsafeRawPointer(mapping)
  }

  deinit {
    if let base = unsafe base {
      unsafe munmap(UnsafeMutableRawPointer(mutating: base), count)
    }
  }

  /// The whole file.
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    borrowing get {
      let buffer = unsafe UnsafeRawBufferPointer(start: base, count: count)
      return unsafe _overrideLifetime(RawSpan(_unsafeBytes: buffer), borrowing: self)
    }
  }

  /// Calls `body` with the bytes of `range`, which must lie inside the file.
  public func withBytes<R, E: Error>(
    in range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "range outside the file")
    let whole = unsafe UnsafeRawBufferPointer(start: base, count: count)
    return try unsafe body(UnsafeRawBufferPointer(rebasing: whole[range]))
  }
}
