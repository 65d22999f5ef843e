/// The EXIF fields needed for generated images.
///
/// Source: Exif 2.32 (CIPA DC-008) over TIFF 6.0: `Orientation`, `UserComment`, `MakerNote`.
package struct EXIF: Sendable, Hashable {
  /// The orientation, 1 (upright) to 8.
  var orientation: Int?
  /// The user comment, where web UIs store the infotext.
  var comment: String?
  /// The maker note, where sdgen stores its own metadata.
  package var makerNote: String?

  package init(comment: String? = nil, makerNote: String? = nil) {
    self.comment = comment
    self.makerNote = makerNote
  }

  private enum Tag {
    static let orientation = 0x0112
    static let exif = 0x8769
    static let makerNote = 0x927C
    static let userComment = 0x9286
  }

  /// The prefix of sdloom's maker note.
  private static let makerPrefix = Array("sdloom\0".utf8)
  /// The prefix of versions that were called sdkit, which is also read.
  private static let formerMakerPrefix = Array("sdkit\0".utf8)
  private static let unicodePrefix = Array("UNICODE\0".utf8)
  private static let asciiPrefix = Array("ASCII\0\0\0".utf8)

  /// The data, big-endian; the comment is UTF-16, as in the web UI.
  package func bytes() -> [UInt8] {
    var entries: [(tag: Int, data: [UInt8])] = []
    if let makerNote {
      entries.append((Tag.makerNote, Self.makerPrefix + Array(makerNote.utf8)))
    }
    if let comment {
      let units = comment.utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
      entries.append((Tag.userComment, Self.unicodePrefix + units))
    }
    func short(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }
    func long(_ value: Int) -> [UInt8] { short(value >> 16) + short(value) }
    let undefined = 7
    let directory = 26
    var offset = directory + 2 + 12 * entries.count + 4
    var body: [UInt8] = []
    var bytes = Array("MM".utf8) + short(42) + long(8)
    bytes += short(1) + short(Tag.exif) + short(4) + long(1) + long(directory) + long(0)
    bytes += short(entries.count)
    for (tag, data) in entries {
      bytes += short(tag) + short(undefined) + long(data.count) + long(offset)
      // Values begin at even offsets.
      let padded = data + (data.count % 2 == 0 ? [] : [0])
      body += padded
      offset += padded.count
    }
    return bytes + long(0) + body
  }

  /// Reads the fields; invalid data is ignored.
  package init(parsing bytes: [UInt8]) {
    guard let reader = TIFFReader(bytes) else { return }
    let root = reader.directory(at: reader.long(at: 4))
    orientation = root[Tag.orientation].flatMap { reader.short($0) }.flatMap {
      (1...8).contains($0) ? $0 : nil
    }
    let exif = root[Tag.exif].map { reader.directory(at: reader.long($0)) } ?? [:]
    if let note = exif[Tag.makerNote].flatMap({ reader.data($0) }),
      let prefix = [Self.makerPrefix, Self.formerMakerPrefix].first(where: { note.starts(with: $0) }
      )
    {
      makerNote = String(validating: note.dropFirst(prefix.count), as: UTF8.self)
    }
    comment = exif[Tag.userComment].flatMap { reader.data($0) }.flatMap {
      Self.comment($0, isBigEndian: reader.isBigEndian)
    }
  }

  /// A comment in the encoding given by its first eight bytes.
  private static func comment(_ bytes: [UInt8], isBigEndian: Bool) -> String? {
    let body = Array(bytes.dropFirst(8))
    if bytes.starts(with: unicodePrefix) {
      // The standard requires the file's byte order, the web UI writes big-endian, others
      // little-endian: in mostly Latin text the positions of zeros decide.
      let zeros = body.indices.reduce(into: (even: 0, odd: 0)) { zeros, index in
        guard body[index] == 0 else { return }
        if index % 2 == 0 { zeros.even += 1 } else { zeros.odd += 1 }
      }
      let isBig = zeros.even == zeros.odd ? isBigEndian : zeros.even > zeros.odd
      let units = stride(from: 0, to: body.count - 1, by: 2).map { index -> UInt16 in
        let first = UInt16(body[index])
        let second = UInt16(body[index + 1])
        return isBig ? first << 8 | second : second << 8 | first
      }
      return String(decoding: units, as: UTF16.self)
    }
    guard bytes.starts(with: asciiPrefix) || bytes.prefix(8).allSatisfy({ $0 == 0 }) else {
      return nil
    }
    return String(validating: body.prefix { $0 != 0 }, as: UTF8.self)
  }
}

/// Reads directories of a TIFF structure; every offset is checked.
private struct TIFFReader {
  /// The location, type and count of a field's entry.
  struct Field {
    let type: Int
    let count: Int
    let valueOffset: Int
  }

  let bytes: [UInt8]
  let isBigEndian: Bool

  init?(_ bytes: [UInt8]) {
    guard bytes.count >= 8 else { return nil }
    switch (bytes[0], bytes[1]) {
    case (0x4D, 0x4D): isBigEndian = true
    case (0x49, 0x49): isBigEndian = false
    default: return nil
    }
    self.bytes = bytes
    guard number(at: 2, size: 2) == 42 else { return nil }
  }

  func long(at offset: Int) -> Int { number(at: offset, size: 4) ?? 0 }

  func short(_ field: Field) -> Int? {
    field.type == 3 ? number(at: field.valueOffset, size: 2) : nil
  }

  func long(_ field: Field) -> Int { long(at: field.valueOffset) }

  /// The bytes of a field of undefined type.
  func data(_ field: Field) -> [UInt8]? {
    guard field.type == 7 || field.type == 2 || field.type == 1 else { return nil }
    let start = field.count <= 4 ? field.valueOffset : long(at: field.valueOffset)
    guard start >= 0, field.count <= bytes.count, start <= bytes.count - field.count else {
      return nil
    }
    return Array(bytes[start..<start + field.count])
  }

  /// The fields of a directory by tag; the first of duplicates counts.
  func directory(at offset: Int) -> [Int: Field] {
    guard offset >= 8, let count = number(at: offset, size: 2) else { return [:] }
    var fields: [Int: Field] = [:]
    for index in 0..<count {
      let entry = offset + 2 + 12 * index
      guard let tag = number(at: entry, size: 2), let type = number(at: entry + 2, size: 2),
        let count = number(at: entry + 4, size: 4), entry + 12 <= bytes.count
      else { break }
      if fields[tag] == nil {
        fields[tag] = Field(type: type, count: count, valueOffset: entry + 8)
      }
    }
    return fields
  }

  private func number(at offset: Int, size: Int) -> Int? {
    guard offset >= 0, offset <= bytes.count - size else { return nil }
    let range = bytes[offset..<offset + size]
    return (isBigEndian ? Array(range) : range.reversed()).reduce(0) { $0 << 8 | Int($1) }
  }
}
