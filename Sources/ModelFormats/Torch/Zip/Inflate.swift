import CChecksum
import CZlib

/// Raw deflate streams (RFC 1951) and CRC-32, with zlib.
enum Inflate {
  /// Whether a size is plausible: deflate compresses at most 1032 to 1.
  static func mayHold(_ size: Int, in compressedSize: Int) -> Bool {
    compressedSize >= (size - 64) / 1032
  }

  /// Inflates `input`, which must produce exactly `size` bytes and end there.
  ///
  /// - Throws: ``FormatError`` with code `malformed`, without an offset.
  static func bytes(
    _ input: UnsafeRawBufferPointer, size: Int
  ) throws(FormatError) -> [UInt8] {
    var failure: FormatError?
    let output = unsafe [UInt8](unsafeUninitializedCapacity: size) { output, initialized in
      do throws(FormatError) {
        initialized = try unsafe run(input, into: UnsafeMutableRawBufferPointer(output), size: size)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return output
  }

  private static func run(
    _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, size: Int
  ) throws(FormatError) -> Int {
    var stream = unsafe z_stream()
    // Minus 15: no zlib header, the largest window.
    let status = unsafe inflateInit2_(
      &stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    guard status == Z_OK else {
      throw FormatError(.inputOutput, "not enough memory to inflate a record")
    }
    defer { unsafe inflateEnd(&stream) }
    var consumed = 0
    var produced = 0
    // One byte beyond the size, to detect longer streams.
    var excess: UInt8 = 0
    while true {
      let inputPiece = min(input.count - consumed, Int(UInt32.max))
      unsafe stream.next_in = UnsafeMutablePointer(
        mutating: input.baseAddress.map {
          unsafe ($0 + consumed).assumingMemoryBound(to: UInt8.self)
        })
      unsafe stream.avail_in = UInt32(inputPiece)
      let outputPiece = max(1, min(size - produced, Int(UInt32.max)))
      let code = unsafe withUnsafeMutablePointer(to: &excess) { excess in
        unsafe stream.next_out =
          produced < size
          ? output.baseAddress.map {
            unsafe ($0 + produced).assumingMemoryBound(to: UInt8.self)
          } : excess
        unsafe stream.avail_out = UInt32(outputPiece)
        return unsafe inflate(&stream, Z_NO_FLUSH)
      }
      consumed += inputPiece - Int(unsafe stream.avail_in)
      produced += outputPiece - Int(unsafe stream.avail_out)
      guard produced <= size else {
        throw FormatError(.malformed, "the record inflates to more than its \(size) bytes")
      }
      switch code {
      case Z_STREAM_END:
        guard produced == size, consumed == input.count else {
          throw FormatError(
            .malformed,
            "the record's \(consumed) of \(input.count) bytes inflate to \(produced), not \(size)")
        }
        return produced
      case Z_OK:
        continue
      default:
        throw FormatError(
          .malformed, "the record cannot be inflated: its data is damaged after \(produced) bytes")
      }
    }
  }

  /// The first `limit` bytes of a stream, valid or not; whether that is everything; and whether the
  /// rest cannot be read here, although other readers may continue.
  static func beginning(
    _ input: UnsafeRawBufferPointer, limit: Int
  ) -> (bytes: [UInt8], isWhole: Bool, isDamaged: Bool) {
    var stream = unsafe z_stream()
    var bytes: [UInt8] = []
    guard
      unsafe inflateInit2_(&stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { return (bytes, false, true) }
    defer { unsafe inflateEnd(&stream) }
    unsafe stream.next_in = UnsafeMutablePointer(
      mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
    unsafe stream.avail_in = UInt32(min(input.count, Int(UInt32.max)))
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count < limit {
      let room = min(piece.count, limit - bytes.count)
      let code = unsafe piece.withUnsafeMutableBufferPointer { buffer in
        unsafe stream.next_out = buffer.baseAddress
        unsafe stream.avail_out = UInt32(room)
        return unsafe inflate(&stream, Z_NO_FLUSH)
      }
      let count = room - Int(unsafe stream.avail_out)
      bytes += piece[..<count]
      if code == Z_STREAM_END { return (bytes, true, false) }
      guard code == Z_OK, count > 0 else { return (bytes, false, true) }
    }
    return (bytes, false, false)
  }

  /// The CRC-32 of `bytes` appended to data whose CRC-32 is `checksum`.
  static func checksum(
    _ bytes: UnsafeRawBufferPointer, continuing checksum: UInt32 = 0
  ) -> UInt32 {
    unsafe sdk_crc32(checksum, bytes.baseAddress, bytes.count)
  }
}
