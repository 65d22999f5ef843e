import Glibc

extension MappedFile {
  /// Fills `buffer` with the bytes at `offset`.
  ///
  /// Repeated reads into one small buffer are a fifth faster than touching the mapping once, and
  /// keep resident memory as small as the buffer.
  ///
  /// - Throws: ``FormatError`` `inputOutput`, also if the file was truncated meanwhile.
  package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FormatError)
  {
    // In-memory contents, not a file.
    guard descriptor >= 0 else {
      unsafe withBytes(in: offset..<(offset + buffer.count)) {
        unsafe buffer.copyMemory(from: $0)
      }
      return
    }
    var done = 0
    while done < buffer.count {
      let piece = unsafe pread(
        descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done,
        off_t(offset + done))
      if piece > 0 {
        done += piece
      } else if piece == 0 {
        throw FormatError(
          .inputOutput, "the file was truncated while being read", file: path,
          offset: offset + done)
      } else if errno != EINTR {
        throw FormatError(
          .inputOutput, "reading failed: \(unsafe String(cString: strerror(errno)))", file: path,
          offset: offset + done)
      }
    }
  }
}

/// A buffer into which one thread reads block after block.
@safe
package final class BlockBuffer {
  private var memory: UnsafeMutableRawBufferPointer

  package init() {
    unsafe memory = .allocate(byteCount: 0, alignment: 64)
  }

  deinit {
    unsafe memory.deallocate()
  }

  /// The first `count` bytes, with undefined content.
  package func bytes(_ count: Int) -> UnsafeMutableRawBufferPointer {
    if unsafe memory.count < count {
      unsafe memory.deallocate()
      unsafe memory = .allocate(byteCount: count, alignment: 64)
    }
    return unsafe UnsafeMutableRawBufferPointer(rebasing: memory[0..<count])
  }
}
