/// Builds valid and invalid zip archives: every field can be set to something false.
package struct ZipBuilder {
  package struct Record {
    package var name: String
    package var data: [UInt8]
    /// The uncompressed size where the data is deflated.
    package var size: Int?
    package var method: UInt16 = 0
    package var flags: UInt16 = 0
    package var checksum: UInt32?
    package var localName: String?
    package var localMethod: UInt16?
    package var localSize: Int?
    package var centralCompressedSize: Int?
    package var headerOffset: Int?
    package var disk: UInt16 = 0
    /// Bytes of the local extra field, as PyTorch pads with.
    package var padding = 0
    package var writesWideSizes = false
    package var signature: [UInt8] = Array("PK\u{3}\u{4}".utf8)

    package init(_ name: String, _ data: [UInt8]) {
      self.name = name
      self.data = data
    }

    /// A record deflated as one stored block.
    package static func deflated(_ name: String, _ data: [UInt8]) -> Record {
      var record = Record(name, ZipBuilder.deflate(data))
      record.method = 8
      record.size = data.count
      record.checksum = ZipBuilder.checksum(data)
      return record
    }

    package func with(_ change: (inout Record) -> Void) -> Record {
      var record = self
      change(&record)
      return record
    }
  }

  package var records: [Record]
  package var hasWideEnd = false
  package var endDisk: UInt16 = 0
  package var count: Int?
  package var directoryOffset: Int?
  package var directorySize: Int?
  package var wideCount: Int?
  package var wideRecordOffset: Int?
  package var comment: [UInt8] = []
  package var afterDirectory: [UInt8] = []

  package init(_ records: [Record]) {
    self.records = records
  }

  package func with(_ change: (inout ZipBuilder) -> Void) -> ZipBuilder {
    var builder = self
    change(&builder)
    return builder
  }

  package var bytes: [UInt8] {
    var output: [UInt8] = []
    var central: [UInt8] = []
    for record in records {
      let offset = record.headerOffset ?? output.count
      let checksum = record.checksum ?? ZipBuilder.checksum(record.data)
      let size = record.size ?? record.data.count
      let isStreamed = record.flags & 8 != 0
      let localName = Array((record.localName ?? record.name).utf8)
      output += record.signature + littleEndian(UInt16(20)) + littleEndian(record.flags)
      output += littleEndian(record.localMethod ?? record.method) + littleEndian(UInt32(0))
      output += littleEndian(isStreamed ? 0 : checksum)
      output += littleEndian(UInt32(isStreamed ? 0 : record.localSize ?? record.data.count))
      output += littleEndian(UInt32(isStreamed ? 0 : size))
      output += littleEndian(UInt16(localName.count))
      output += littleEndian(UInt16(record.padding))
      output += localName + [UInt8](repeating: UInt8(ascii: "Z"), count: record.padding)
      output += record.data
      if isStreamed {
        output += Array("PK\u{7}\u{8}".utf8) + littleEndian(checksum)
        output += littleEndian(UInt32(record.data.count))
        output += littleEndian(UInt32(truncatingIfNeeded: size))
      }
      let compressedSize = record.centralCompressedSize ?? record.data.count
      let extra =
        record.writesWideSizes
        ? littleEndian(UInt16(1)) + littleEndian(UInt16(24)) + littleEndian(UInt64(size))
          + littleEndian(UInt64(compressedSize)) + littleEndian(UInt64(offset)) : []
      central += Array("PK\u{1}\u{2}".utf8) + littleEndian(UInt32(20)) + littleEndian(record.flags)
      central += littleEndian(record.method) + littleEndian(UInt32(0)) + littleEndian(checksum)
      central += littleEndian(record.writesWideSizes ? .max : UInt32(compressedSize))
      central += littleEndian(record.writesWideSizes ? .max : UInt32(size))
      central += littleEndian(UInt16(record.name.utf8.count)) + littleEndian(UInt16(extra.count))
      central +=
        littleEndian(UInt16(0)) + littleEndian(record.disk) + [UInt8](repeating: 0, count: 6)
      central += littleEndian(record.writesWideSizes ? .max : UInt32(offset))
      central += Array(record.name.utf8) + extra
    }
    let start = output.count
    output += central + afterDirectory
    let count = count ?? records.count
    let offset = directoryOffset ?? start
    let size = directorySize ?? central.count
    if hasWideEnd {
      let recordOffset = wideRecordOffset ?? output.count
      output += Array("PK\u{6}\u{6}".utf8) + littleEndian(UInt64(44)) + littleEndian(UInt32(45))
      output += littleEndian(UInt64(0)) + littleEndian(UInt64(wideCount ?? count))
      output += littleEndian(UInt64(wideCount ?? count)) + littleEndian(UInt64(size))
      output += littleEndian(UInt64(offset))
      output += Array("PK\u{6}\u{7}".utf8) + littleEndian(UInt32(0))
      output += littleEndian(UInt64(recordOffset)) + littleEndian(UInt32(1))
    }
    output += Array("PK\u{5}\u{6}".utf8) + littleEndian(endDisk) + littleEndian(endDisk)
    output += littleEndian(UInt16(clamping: count)) + littleEndian(UInt16(clamping: count))
    output += littleEndian(UInt32(size)) + littleEndian(UInt32(offset))
    return output + littleEndian(UInt16(comment.count)) + comment
  }

  /// CRC-32 as zip defines it, bit by bit.
  package static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var value = UInt32.max
    for byte in bytes {
      value ^= UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 0 ? value >> 1 : value >> 1 ^ 0xEDB8_8320 }
    }
    return ~value
  }

  /// A deflate stream of one stored block (RFC 1951, 3.2.4).
  package static func deflate(_ bytes: [UInt8]) -> [UInt8] {
    let count = UInt16(bytes.count)
    return [1] + littleEndian(count) + littleEndian(~count) + bytes
  }

  /// A deflate stream of `count` bytes that are all the same: a literal, then matches of 258 bytes
  /// at distance 1, in fixed Huffman codes (RFC 1951, 3.2.6).
  package static func deflatedRun(of byte: UInt8, count: Int) -> [UInt8] {
    precondition(byte < 144 && count > 0, "the byte's code has 9 bits")
    var output: [UInt8] = []
    var bits = 0
    var bitCount = 0
    func append(_ value: Int, _ width: Int) {
      // Huffman codes are stored with their first bit lowest.
      for bit in stride(from: width - 1, through: 0, by: -1) {
        bits |= (value >> bit & 1) << bitCount
        bitCount += 1
        if bitCount == 8 {
          output.append(UInt8(bits))
          (bits, bitCount) = (0, 0)
        }
      }
    }
    append(0b110, 3)  // the last block, in fixed codes
    append(0x30 + Int(byte), 8)
    let (matches, rest) = (count - 1).quotientAndRemainder(dividingBy: 258)
    for _ in 0..<matches {
      append(0b1100_0101, 8)  // length 258
      append(0, 5)  // distance 1
    }
    for _ in 0..<rest { append(0x30 + Int(byte), 8) }
    append(0, 7)
    append(0, (8 - bitCount) % 8)
    return output
  }
}
