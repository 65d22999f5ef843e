import Glibc

extension MappedFile {
  /// Reads the bytes at `offset` into the whole of `buffer`.
  ///
  /// Reading through the page cache into one small buffer, again and again, is a fifth faster than
  /// touching the mapping once, and keeps the process as small as the buffer.
  ///
  /// - Throws: ``FormatError`` `inputOutput`, also where the file was truncated meanwhile.
  package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FormatError)
  {
    // Our own memory, as opposed to a file's.
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

/// Memory that one thread reads into, block after block.
@safe
package final class BlockBuffer {
  private var memory: UnsafeMutableRawBufferPointer

  package init() {
    unsafe memory = .allocate(byteCount: 0, alignment: 64)
  }

  deinit {
    unsafe memory.deallocate()
  }

  /// The first `count` bytes, whose content is whatever it was.
  package func bytes(_ count: Int) -> UnsafeMutableRawBufferPointer {
    if unsafe memory.count < count {
      unsafe memory.deallocate()
      unsafe memory = .allocate(byteCount: count, alignment: 64)
    }
    return unsafe UnsafeMutableRawBufferPointer(rebasing: memory[0..<count])
  }
}
