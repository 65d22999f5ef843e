/// Writes a zip archive of stored records whose sizes are known and whose bytes are streamed.
///
/// As in PyTorch, each record's bytes begin at a multiple of 64, padded by an extra field in the
/// local header. The CRC-32 follows in a data descriptor, so nothing is rewritten. 64-bit fields
/// are used only if a size, an offset or a count needs them.
///
/// Source: PKWARE's APPNOTE 6.3; PyTorch's `caffe2/serialize/inline_container.cc` for alignment.
struct ZipWriter {
  private struct Record {
    let name: [UInt8]
    let size: Int
    let headerOffset: Int
    /// Whether the size needs 64 bits.
    let isWide: Bool
    var checksum: UInt32 = 0
    var written = 0
  }

  static let alignment = 64
  /// The first size or offset that does not fit 32 bits; this value is the marker for that.
  static let narrowLimit = Int(UInt32.max)
  /// Bit 3: a data descriptor follows. Bit 11: names are UTF-8.
  private static let flags: UInt16 = 0x0808

  let file: FileWriter
  private let narrowLimit: Int
  private var records: [Record] = []

  /// - Parameter narrowLimit: the first size or offset for which 64-bit fields are used.
  init(_ file: FileWriter, narrowLimit: Int = ZipWriter.narrowLimit) {
    self.file = file
    self.narrowLimit = narrowLimit
  }

  /// Bytes missing from the current record.
  var remaining: Int { records.last.map { $0.size - $0.written } ?? 0 }

  /// Starts a record of `size` bytes; the previous one must be finished.
  mutating func begin(_ name: String, size: Int) throws(FormatError) {
    let record = Record(
      name: Array(name.utf8), size: size, headerOffset: file.position,
      isWide: size >= narrowLimit)
    var extra: [UInt8] = []
    if record.isWide {
      extra.append(little: UInt16(1))
      extra.append(little: UInt16(16))
      extra += [UInt8](repeating: 0, count: 16)
    }
    let start = record.headerOffset + 30 + record.name.count + extra.count + 4
    let padding = (ZipWriter.alignment - start % ZipWriter.alignment) % ZipWriter.alignment
    extra += Array("FB".utf8)
    extra.append(little: UInt16(padding))
    extra += [UInt8](repeating: UInt8(ascii: "Z"), count: padding)
    var header: [UInt8] = []
    header.append(little: UInt32(0x0403_4B50))
    header.append(little: UInt16(record.isWide ? 45 : 20))
    header.append(little: ZipWriter.flags)
    header.append(little: UInt16(0))  // stored
    header.append(little: UInt32(0))  // time and date
    header.append(little: UInt32(0))  // CRC-32, in the descriptor
    let size = record.isWide ? UInt32.max : 0
    header.append(little: size)
    header.append(little: size)
    header.append(little: UInt16(record.name.count))
    header.append(little: UInt16(extra.count))
    try file.write(header + record.name + extra)
    records.append(record)
  }

  /// Appends to the current record, at most ``remaining`` bytes.
  mutating func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
    precondition(bytes.count <= remaining, "more bytes than the record has")
    let last = records.count - 1
    for start in stride(from: 0, to: bytes.count, by: FileWriter.pieceSize) {
      // The data is still in the cache after computing the checksum.
      let end = min(start + FileWriter.pieceSize, bytes.count)
      let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<end])
      records[last].checksum = unsafe Inflate.checksum(piece, continuing: records[last].checksum)
      records[last].written += piece.count
      try unsafe file.write(piece)
    }
  }

  /// Appends bytes of another file to the current record, at most ``remaining``.
  mutating func copy(
    _ range: Range<Int>, of source: MappedFile, seeing: (UnsafeRawBufferPointer) -> Void
  ) throws(FormatError) {
    precondition(range.count <= remaining, "more bytes than the record has")
    let last = records.count - 1
    var checksum = records[last].checksum
    try unsafe file.copy(range, of: source) { piece in
      checksum = unsafe Inflate.checksum(piece, continuing: checksum)
      unsafe seeing(piece)
    }
    records[last].checksum = checksum
    records[last].written += range.count
  }

  /// Finishes the current record, which must be complete.
  mutating func end() throws(FormatError) {
    precondition(remaining == 0, "the record lacks bytes")
    guard let record = records.last else { return }
    var descriptor: [UInt8] = []
    descriptor.append(little: UInt32(0x0807_4B50))
    descriptor.append(little: record.checksum)
    for _ in 0..<2 {
      if record.isWide {
        descriptor.append(little: UInt64(record.size))
      } else {
        descriptor.append(little: UInt32(record.size))
      }
    }
    try file.write(descriptor)
  }

  /// Writes a whole record.
  mutating func write(_ name: String, _ bytes: [UInt8]) throws(FormatError) {
    try begin(name, size: bytes.count)
    let last = records.count - 1
    records[last].checksum = unsafe bytes.withUnsafeBytes { unsafe Inflate.checksum($0) }
    records[last].written = bytes.count
    try file.write(bytes)
    try end()
  }

  /// Writes the central directory.
  func finish() throws(FormatError) {
    let start = file.position
    for record in records { try file.write(entry(record)) }
    let size = file.position - start
    let isWide =
      records.count >= Int(UInt16.max) || size >= narrowLimit || start >= narrowLimit
    var end: [UInt8] = []
    if isWide {
      let wideEnd = file.position
      end.append(little: UInt32(0x0606_4B50))
      end.append(little: UInt64(44))
      end.append(little: UInt16(45))
      end.append(little: UInt16(45))
      end.append(little: UInt32(0))
      end.append(little: UInt32(0))
      for value in [records.count, records.count, size, start] { end.append(little: UInt64(value)) }
      end.append(little: UInt32(0x0706_4B50))
      end.append(little: UInt32(0))
      end.append(little: UInt64(wideEnd))
      end.append(little: UInt32(1))
    }
    end.append(little: UInt32(0x0605_4B50))
    end.append(little: UInt32(0))
    let count = isWide ? UInt16.max : UInt16(records.count)
    end.append(little: count)
    end.append(little: count)
    end.append(little: isWide ? .max : UInt32(size))
    end.append(little: isWide ? .max : UInt32(start))
    end.append(little: UInt16(0))
    try file.write(end)
  }

  /// A record's entry in the central directory.
  private func entry(_ record: Record) -> [UInt8] {
    var extra: [UInt8] = []
    if record.isWide {
      extra.append(little: UInt64(record.size))
      extra.append(little: UInt64(record.size))
    }
    let isFar = record.headerOffset >= narrowLimit
    if isFar { extra.append(little: UInt64(record.headerOffset)) }
    if !extra.isEmpty {
      var head: [UInt8] = []
      head.append(little: UInt16(1))
      head.append(little: UInt16(extra.count))
      extra = head + extra
    }
    var entry: [UInt8] = []
    entry.append(little: UInt32(0x0201_4B50))
    entry.append(little: UInt16(extra.isEmpty ? 20 : 45))  // written by
    entry.append(little: UInt16(extra.isEmpty ? 20 : 45))  // needed
    entry.append(little: ZipWriter.flags)
    entry.append(little: UInt16(0))
    entry.append(little: UInt32(0))
    entry.append(little: record.checksum)
    let size = record.isWide ? UInt32.max : UInt32(record.size)
    entry.append(little: size)
    entry.append(little: size)
    entry.append(little: UInt16(record.name.count))
    entry.append(little: UInt16(extra.count))
    entry += [UInt8](repeating: 0, count: 10)  // comment, disk, attributes
    entry.append(little: isFar ? .max : UInt32(record.headerOffset))
    return entry + record.name + extra
  }
}

extension [UInt8] {
  /// Appends an integer, little-endian.
  mutating func append(little value: some FixedWidthInteger & UnsignedInteger) {
    for shift in stride(from: 0, to: value.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }
}
