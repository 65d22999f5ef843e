import ModelFormats

/// The layout of `.sdflat`: one file with a complete pipeline.
///
/// All integers are little-endian. `docs/flat-format.md` is the specification.
///
/// | bytes | content |
/// | --- | --- |
/// | 0..<8 | magic, `SDFLAT`, 0, 1 |
/// | 8..<12 | version, 1 |
/// | 12..<16 | zero |
/// | 16..<24 | length `h` of the header in bytes |
/// | 24..<32 | XXH3-64 of the header |
/// | 32..<40 | length of the whole file |
/// | 40..<56 | zero |
/// | 56..<64 | XXH3-64 of bytes 0..<56 |
/// | 64..<64+h | header, JSON |
/// | | zeros to a multiple of 4096: the data start, from which offsets count |
/// | | embedded files, then tensors, each at its aligned offset, zeros between |
enum FlatLayout {
  static let magic: [UInt8] = Array("SDFLAT".utf8) + [0, 1]
  static let version: UInt32 = 1
  static let preludeSize = 64
  /// The maximum header size, for reading and writing.
  static let headerLimit = 16 << 20
  static let pageSize = 4096

  /// The alignment of data of this size: a page if it is worth mapping separately.
  static func alignment(of byteCount: Int) -> Int {
    byteCount >= 64 << 10 ? pageSize : 64
  }

  /// The first multiple of `alignment` at or after `position`; nil if it overflows `Int`.
  static func aligned(_ position: Int, to alignment: Int) -> Int? {
    let (sum, overflow) = position.addingReportingOverflow(alignment - 1)
    return overflow ? nil : sum / alignment * alignment
  }

  /// The start of the data section after a header of this size.
  static func dataStart(headerLength: Int) -> Int {
    (preludeSize + headerLength + pageSize - 1) / pageSize * pageSize
  }

  /// The first 64 bytes of a file.
  static func prelude(header: [UInt8], fileLength: Int) -> [UInt8] {
    var bytes = magic
    append(version, to: &bytes)
    append(UInt32(0), to: &bytes)
    append(UInt64(header.count), to: &bytes)
    append(Checksum.of(header), to: &bytes)
    append(UInt64(fileLength), to: &bytes)
    bytes += [UInt8](repeating: 0, count: 16)
    append(Checksum.of(bytes), to: &bytes)
    return bytes
  }

  private static func append<T: FixedWidthInteger>(_ value: T, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }
}
