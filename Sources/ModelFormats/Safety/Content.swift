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

  /// What is told by its first bytes and not looked into.
  private static let closed: [TensorFile.Kind: String] = [
    .sevenZip: "a 7z archive", .rar: "a RAR archive", .gzip: "gzip data", .bzip2: "bzip2 data",
    .xz: "xz data", .zstandard: "Zstandard data", .hdf5: "HDF5 data (as Keras writes)",
    .elf: "a program",
  ]

  init(_ file: MappedFile, _ range: Range<Int>) {
    let head = Content.head(of: file, range, count: 512)
    let kind = TensorFile.kind(ofMagic: head)
    if kind == .zip {
      self = .zip
    } else if kind == .numpy {
      self = .numpy
    } else if TarSurvey.isHeader(head)
      || head.count >= 262 && head[257..<262].elementsEqual("ustar".utf8)
    {
      self = .tar
    } else if head.count >= 2, head[0] == 0x80, head[1] <= 5 {
      self = .pickle
    } else if let kind, let what = Content.closed[kind] {
      self = .closed(what)
    } else if head.starts(with: [0x04, 0x22, 0x4D, 0x18]) {
      self = .closed("LZ4 data")
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
