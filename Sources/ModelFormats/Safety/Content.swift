/// What bytes are, as far as it decides how they are looked into.
enum Content: Hashable {
  case zip
  case tar
  case numpy
  /// What begins as pickles of protocol 2 and later do.
  case pickle
  /// What is not looked into, in words.
  case closed(String)
  case other

  private static let closed: [(magic: [UInt8], what: String)] = [
    ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], "a 7z archive"),
    (Array("Rar!".utf8), "a RAR archive"),
    ([0x1F, 0x8B], "gzip data"),
    (Array("BZh".utf8), "bzip2 data"),
    ([0xFD] + Array("7zXZ".utf8), "xz data"),
    ([0x28, 0xB5, 0x2F, 0xFD], "Zstandard data"),
    ([0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A], "HDF5 data (as Keras writes)"),
    ([0x7F] + Array("ELF".utf8), "a program"),
    ([0x04, 0x22, 0x4D, 0x18], "LZ4 data"),
  ]

  init(_ file: MappedFile, _ range: Range<Int>) {
    let head = Content.head(of: file, range, count: 512)
    if head.starts(with: [0x50, 0x4B, 3, 4]) || head.starts(with: [0x50, 0x4B, 5, 6]) {
      self = .zip
    } else if head.starts(with: [0x93] + Array("NUMPY".utf8)) {
      self = .numpy
    } else if TarSurvey.isHeader(head)
      || head.count >= 262 && head[257..<262].elementsEqual("ustar".utf8)
    {
      self = .tar
    } else if head.count >= 2, head[0] == 0x80, head[1] <= 5 {
      self = .pickle
    } else if let closed = Content.closed.first(where: { head.starts(with: $0.magic) }) {
      self = .closed(closed.what)
    } else if let packed = Content.packed(head) {
      self = .closed(packed)
    } else {
      self = .other
    }
  }

  /// Compressed data as joblib writes and reads it, by what must hold of its header: the first bytes of
  /// other files may be the same.
  private static func packed(_ head: [UInt8]) -> String? {
    if head.count > 2, head[0] == 0x78, [0x01, 0x5E, 0x9C, 0xDA].contains(head[1]) {
      let result = unsafe head.dropFirst(2).withUnsafeBytes {
        unsafe Inflate.beginning($0, limit: 16)
      }
      if result.isWhole || !result.bytes.isEmpty { return "zlib data" }
    }
    // Properties, the dictionary's size, and that of the data, which is unknown or less than 2^38.
    if head.count > 13, head[0] == 0x5D, head[13] == 0,
      head[5..<13].allSatisfy({ $0 == 0xFF }) || head[9] < 0x40 && head[10..<13] == [0, 0, 0]
    {
      return "LZMA data"
    }
    if head.starts(with: Array("ZF".utf8)), head.count >= 21,
      head[2..<21].allSatisfy({ "0123456789abcdefABCDEFxX ".utf8.contains($0) })
    {
      return "joblib's compressed data"
    }
    return nil
  }

  static func head(of file: MappedFile, _ range: Range<Int>, count: Int) -> [UInt8] {
    let end = min(range.upperBound, range.lowerBound + count)
    return unsafe file.withBytes(in: range.lowerBound..<end) { unsafe [UInt8]($0) }
  }
}

extension Content {
  /// Whether the header of an array may say that it holds objects: where that is not certain, it does.
  static func mayHoldObjects(_ header: [UInt8]) -> Bool {
    let text = String(decoding: header, as: UTF8.self)
    if ["O", "object", "\\", "#"].contains(where: text.contains) { return true }
    // Python joins strings that stand side by side.
    var quote: UInt8?
    var isSeparated = true
    for byte in header {
      if let open = quote {
        if byte == open { (quote, isSeparated) = (nil, false) }
      } else if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
        guard isSeparated else { return true }
        quote = byte
      } else if "{}[](),:".utf8.contains(byte) {
        isSeparated = true
      }
    }
    return false
  }

  /// Where the header of an array stands, a file of `numpy.save`; nil where it is not whole.
  static func arrayHeader(of file: MappedFile, _ range: Range<Int>) -> Range<Int>? {
    let head = Content.head(of: file, range, count: 12)
    guard head.count == 12 else { return nil }
    let isLong = head[6] >= 2
    let length =
      Int(head[8]) | Int(head[9]) << 8
      | (isLong ? Int(head[10]) << 16 | Int(head[11]) << 24 : 0)
    let start = range.lowerBound + (isLong ? 12 : 10)
    return length <= range.upperBound - start ? start..<(start + length) : nil
  }

  /// Whether it is an array whose values are certainly no pickle.
  static func isPlainArray(_ file: MappedFile, _ range: Range<Int>) -> Bool {
    guard Content(file, range) == .numpy, let header = arrayHeader(of: file, range) else {
      return false
    }
    return !mayHoldObjects(unsafe file.withBytes(in: header) { unsafe [UInt8]($0) })
  }
}
