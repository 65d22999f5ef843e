import OrderedJSON

/// The records of a zip archive as any reader might find them, sound or not: those of the central
/// directory, and those whose own headers stand in the file.
struct ZipSurvey {
  struct Record {
    let name: String
    let method: Int
    let range: Range<Int>
    let isEncrypted: Bool
  }

  private let file: MappedFile
  private let range: Range<Int>
  private(set) var records: [Record] = []
  private(set) var isPartial = false
  private var known: Set<Place> = []
  /// Folders with a `data.pkl`, whose `data/` holds values.
  private var roots: Set<ExactName> = []

  private struct Place: Hashable {
    let offset: Int
    let method: Int
    let name: ExactName
  }

  /// Whether a record is a `data.pkl` where PyTorch has it.
  var hasCheckpoint: Bool { !roots.isEmpty }

  init(_ file: MappedFile, _ range: Range<Int>) {
    self.file = file
    self.range = range
  }

  /// Whether an archive ends there.
  static func hasEnd(_ file: MappedFile, _ range: Range<Int>) -> Bool {
    endRecord(in: file, range) != nil
  }

  private static func endRecord(in file: MappedFile, _ range: Range<Int>) -> Int? {
    let start = max(range.lowerBound, range.upperBound - 22 - Int(UInt16.max))
    let tail = unsafe file.withBytes(in: start..<range.upperBound) { unsafe [UInt8]($0) }
    var position = tail.count - 22
    while position >= 0 {
      if tail[position...].starts(with: [0x50, 0x4B, 5, 6]) { return start + position }
      position -= 1
    }
    return nil
  }

  /// Finds the records, at most `limit` of them.
  mutating func find(limit: Int) {
    readDirectory(limit: limit)
    // Without a directory the records' own headers are all there is.
    if records.isEmpty { readHeaders(limit: limit) }
  }

  /// Notes the folder of a `data.pkl`; PyTorch's reader takes capitals for small letters.
  private mutating func note(root name: String) {
    let name = name.lowercased()
    guard name.hasSuffix("/data.pkl") || name == "data.pkl" else { return }
    roots.insert(ExactName(String(name.dropLast("data.pkl".count))))
  }

  /// Whether a record holds a tensor's values, which nothing unpickles.
  private func isStorage(_ name: String) -> Bool {
    let name = name.lowercased()
    guard let slash = name.lastIndex(of: "/"), name[...slash].hasSuffix("data/") else {
      return false
    }
    let root = String(name[...slash].dropLast("data/".count))
    return roots.contains(ExactName(root)) && !name.hasSuffix(".pkl")
  }

  private mutating func add(_ record: Record, limit: Int) {
    guard records.count < limit else {
      isPartial = true
      return
    }
    let place = Place(
      offset: record.range.lowerBound, method: record.method, name: ExactName(record.name))
    if known.insert(place).inserted { records.append(record) }
  }

  private func integers(_ count: Int, at offset: Int) -> [UInt8]? {
    guard offset >= range.lowerBound, offset <= range.upperBound - count else { return nil }
    return unsafe file.withBytes(in: offset..<(offset + count)) { unsafe [UInt8]($0) }
  }

  /// An entry of the central directory.
  private struct Entry {
    let name: String
    let method: Int
    let flags: Int
    let compressedSize: Int
    let header: Int
  }

  /// The entries of the central directory, where the end record says it is, and where it is if bytes
  /// were put before the archive: readers differ in which they take.
  private mutating func readDirectory(limit: Int) {
    guard let end = ZipSurvey.endRecord(in: file, range), let tail = integers(22, at: end) else {
      return
    }
    var size = tail.little(12, 4)
    var start = tail.little(16, 4)
    var directoryEnd = end
    if let locator = integers(20, at: end - 20), locator.starts(with: [0x50, 0x4B, 6, 7]) {
      let own = range.lowerBound.addingReportingOverflow(locator.little(8, 8)).partialValue
      for place in [own, end - 20 - 56] {
        guard let record = integers(56, at: place), record.starts(with: [0x50, 0x4B, 6, 6]) else {
          continue
        }
        (size, start, directoryEnd) = (record.little(40, 8), record.little(48, 8), place)
        break
      }
    }
    var entries: [Entry] = []
    if start <= range.count {
      readEntries(from: range.lowerBound + start, shift: range.lowerBound, limit, &entries)
    }
    if size <= directoryEnd - range.lowerBound, start <= directoryEnd - size,
      directoryEnd - size != range.lowerBound + start
    {
      let shift = directoryEnd - size - start
      readEntries(from: directoryEnd - size, shift: shift, limit, &entries)
    }
    for entry in entries { note(root: entry.name) }
    for entry in entries where !isStorage(entry.name) { add(entry, limit: limit) }
  }

  private mutating func readEntries(
    from start: Int, shift: Int, _ limit: Int, _ entries: inout [Entry]
  ) {
    var position = start
    while let entry = integers(46, at: position), entry.starts(with: [0x50, 0x4B, 1, 2]) {
      let (nameLength, extraLength) = (entry.little(28, 2), entry.little(30, 2))
      guard let rest = integers(nameLength + extraLength, at: position + 46) else { return }
      guard entries.count < limit else {
        isPartial = true
        return
      }
      var header = entry.little(42, 4)
      var compressed = entry.little(20, 4)
      ZipSurvey.wideFields(
        rest.dropFirst(nameLength), size: entry.little(24, 4), &compressed, &header)
      entries.append(
        Entry(
          name: String(decoding: rest.prefix(nameLength), as: UTF8.self),
          method: entry.little(10, 2), flags: entry.little(8, 2), compressedSize: compressed,
          header: header.addingReportingOverflow(shift).partialValue))
      position += 46 + nameLength + extraLength + entry.little(32, 2)
    }
  }

  /// Takes from a zip64 extra field the compressed size and the header's place, where the entry has
  /// none.
  private static func wideFields(
    _ extra: ArraySlice<UInt8>, size: Int, _ compressed: inout Int, _ header: inout Int
  ) {
    var rest = extra
    while rest.count >= 4 {
      let bytes = Array(rest.prefix(4))
      let length = bytes.little(2, 2)
      var field = Array(rest.dropFirst(4).prefix(length))[...]
      if bytes.little(0, 2) == 1 {
        func next() -> Int? {
          guard field.count >= 8 else { return nil }
          defer { field = field.dropFirst(8) }
          return Array(field.prefix(8)).little(0, 8)
        }
        if size == 0xFFFF_FFFF { _ = next() }
        if compressed == 0xFFFF_FFFF { compressed = next() ?? compressed }
        if header == 0xFFFF_FFFF { header = next() ?? header }
        return
      }
      rest = rest.dropFirst(4 + length)
    }
  }

  private mutating func add(_ entry: Entry, limit: Int) {
    guard let local = integers(30, at: entry.header) else { return }
    let start = entry.header + 30 + local.little(26, 2) + local.little(28, 2)
    guard start <= range.upperBound else { return }
    let end = start + min(entry.compressedSize, range.upperBound - start)
    add(
      Record(
        name: entry.name, method: entry.method, range: start..<end,
        isEncrypted: entry.flags & 0x41 != 0), limit: limit)
  }

  /// Records by their own headers, which follow one another from the beginning on.
  private mutating func readHeaders(limit: Int) {
    var position = range.lowerBound
    while let header = integers(30, at: position), header.starts(with: [0x50, 0x4B, 3, 4]) {
      let (nameLength, extraLength) = (header.little(26, 2), header.little(28, 2))
      guard let rest = integers(nameLength + extraLength, at: position + 30) else { return }
      let start = position + 30 + nameLength + extraLength
      var size = header.little(18, 4)
      var place = 0
      ZipSurvey.wideFields(rest.dropFirst(nameLength), size: header.little(22, 4), &size, &place)
      var end = start + min(size, range.upperBound - start)
      if header.little(6, 2) & 8 != 0, size == 0 || size == 0xFFFF_FFFF {
        // The size follows the data: up to the next header.
        guard let next = nextSignature(from: start) else { return }
        end = next
      }
      let name = String(decoding: rest.prefix(nameLength), as: UTF8.self)
      note(root: name)
      if !isStorage(name) {
        add(
          Record(
            name: name, method: header.little(8, 2), range: start..<end,
            isEncrypted: header.little(6, 2) & 0x41 != 0), limit: limit)
      }
      position = end
      if integers(4, at: position) == [0x50, 0x4B, 7, 8] {
        // 32-bit sizes, or 64-bit ones.
        position += integers(2, at: position + 16) == [0x50, 0x4B] ? 16 : 24
      }
      if isPartial || position <= start { return }
    }
  }

  /// How far the end of a record is looked for whose header does not tell its size; PyTorch writes the
  /// pickle first.
  private static let searchLimit = 64 << 20

  /// Where the next signature of an archive stands, or the end; nil where it is too far.
  private func nextSignature(from start: Int) -> Int? {
    let end = min(range.upperBound, start + ZipSurvey.searchLimit)
    let signatures: [[UInt8]] = [[1, 2], [3, 4], [5, 6], [7, 8]]
    return unsafe file.withBytes(in: start..<end) { bytes in
      var position = 0
      while position + 4 <= bytes.count {
        if unsafe bytes[position] == 0x50 && bytes[position + 1] == 0x4B,
          signatures.contains(unsafe [bytes[position + 2], bytes[position + 3]])
        {
          return start + position
        }
        position += 1
      }
      return end == range.upperBound ? end : nil
    }
  }
}

/// The members of a tar archive as far as its headers can be followed.
enum TarSurvey {
  static func members(
    of file: MappedFile, _ range: Range<Int>, limit: Int
  ) -> [(name: String, range: Range<Int>)] {
    var members: [(name: String, range: Range<Int>)] = []
    var position = range.lowerBound
    while position + 512 <= range.upperBound, members.count < limit {
      let header = unsafe file.withBytes(in: position..<(position + 512)) { unsafe [UInt8]($0) }
      let start = position + 512
      let digits = header[124..<136].filter { (0x30...0x37).contains($0) }
      guard header[0] != 0, let size = Int(String(decoding: digits, as: UTF8.self), radix: 8),
        header[257..<262].elementsEqual("ustar".utf8) || !members.isEmpty
      else { break }
      let end = start + min(size, range.upperBound - start)
      let name = String(decoding: header[0..<100].prefix { $0 != 0 }, as: UTF8.self)
      members.append((name.hasPrefix("./") ? String(name.dropFirst(2)) : name, start..<end))
      guard size <= range.upperBound - start else { break }
      position = start + (size + 511) / 512 * 512
    }
    return members
  }
}

extension [UInt8] {
  /// An integer of that many bytes, lowest first; one beyond `Int` is as large as can be.
  fileprivate func little(_ start: Int, _ count: Int) -> Int {
    var value: UInt64 = 0
    for byte in self[start..<(start + count)].reversed() { value = value << 8 | UInt64(byte) }
    return Int(clamping: value)
  }
}
