import OrderedJSON

/// The records of a zip archive that any reader might find, valid or not: those of the central
/// directory, and those with local headers.
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
  /// Whether there is no end record, so that records are found by consecutive local headers.
  private(set) var isCut = false
  /// Whether the directory lists records outside the archive, for one of its readers.
  private(set) var isOutside = false
  private var known: Set<Place> = []
  private var directories: Set<Directory> = []
  private var entryCount = 0
  /// The remaining directory bytes to read; directories may overlap.
  private var directoryBytesLeft: Int
  /// Directories with a `data.pkl`, whose `data/` contains values.
  private var roots: Set<ExactName> = []

  /// The location of a record's bytes, independent of its name.
  private struct Place: Hashable {
    let offset: Int
    let end: Int
    let method: Int
  }

  /// Whether a record is a `data.pkl` in PyTorch's location.
  var hasCheckpoint: Bool { !roots.isEmpty }

  init(_ file: MappedFile, _ range: Range<Int>) {
    self.file = file
    self.range = range
    directoryBytesLeft = (1 << 20) + 4 * range.count
  }

  /// Whether an archive ends at the end of the range.
  static func hasEnd(_ file: MappedFile, _ range: Range<Int>) -> Bool {
    !ends(in: file, range).isEmpty
  }

  /// How far before the end readers look for an end record: for some, a little more than the
  /// longest comment.
  private static let tailLength = 72 << 10

  /// Possible end records: readers differ in which one they use.
  private static func ends(in file: MappedFile, _ range: Range<Int>) -> [Int] {
    let start = max(range.lowerBound, range.upperBound - tailLength)
    let tail = unsafe file.withBytes(in: start..<range.upperBound) { unsafe [UInt8]($0) }
    var ends: [Int] = []
    var position = tail.count - 22
    while position >= 0 {
      if tail[position] == 0x50, tail[position...].starts(with: [0x50, 0x4B, 5, 6]) {
        ends.append(start + position)
      }
      position -= 1
    }
    return ends
  }

  /// Finds the records, at most `limit` of them.
  mutating func find(limit: Int) {
    readDirectories(limit: limit)
    // Without a directory, only the local headers remain.
    if entryCount == 0 { readHeaders(limit: limit) }
  }

  /// Notes the directory of a `data.pkl`; PyTorch's reader ignores case.
  private mutating func note(root name: String) {
    let name = ZipSurvey.small(name)
    guard name.elementsEqual("data.pkl".utf8) || name.ends(with: "/data.pkl".utf8) else { return }
    roots.insert(
      ExactName(String(decoding: name.dropLast("data.pkl".utf8.count), as: UTF8.self)))
  }

  /// Whether PyTorch reads a record as tensor values, which it does not unpickle.
  func isStorage(_ name: String) -> Bool {
    let name = ZipSurvey.small(name)
    guard let slash = name.lastIndex(of: UInt8(ascii: "/")), name[...slash].ends(with: "data/".utf8)
    else { return false }
    let root = String(decoding: name[...slash].dropLast("data/".utf8.count), as: UTF8.self)
    return roots.contains(ExactName(root)) && !name.ends(with: ".pkl".utf8)
  }

  /// A name in ASCII lower case, as PyTorch's reader compares names.
  private static func small(_ name: String) -> [UInt8] {
    name.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
  }

  private mutating func add(_ record: Record, limit: Int) {
    guard records.count < limit else {
      isPartial = true
      return
    }
    let place = Place(
      offset: record.range.lowerBound, end: record.range.upperBound, method: record.method)
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

  /// The possible start of a directory, and the bias of its offsets.
  private struct Directory: Hashable {
    let start: Int
    let shift: Int
  }

  /// Reads every directory that a reader might use: for each end record, by its 32-bit fields and
  /// by both zip64 records (the one it points to and the one before it); each at its declared
  /// offset and at the offset it has if bytes were prepended.
  private mutating func readDirectories(limit: Int) {
    let ends = ZipSurvey.ends(in: file, range)
    isCut = ends.isEmpty
    var entries: [Entry] = []
    for end in ends {
      guard let tail = integers(22, at: end) else { continue }
      readDirectory(start: tail.little(16, 4), size: tail.little(12, 4), [end], limit, &entries)
      guard let locator = integers(20, at: end - 20), locator.starts(with: [0x50, 0x4B, 6, 7])
      else {
        continue
      }
      let own = range.lowerBound.addingReportingOverflow(locator.little(8, 8)).partialValue
      for place in Set([own, end - 20 - 56]) {
        guard let record = integers(56, at: place), record.starts(with: [0x50, 0x4B, 6, 6]) else {
          continue
        }
        readDirectory(
          start: record.little(48, 8), size: record.little(40, 8), [place, end - 20 - 56], limit,
          &entries)
      }
    }
    entryCount = entries.count
    for entry in entries { note(root: entry.name) }
    for entry in entries { add(entry, limit: limit) }
  }

  private mutating func readDirectory(
    start: Int, size: Int, _ directoryEnds: [Int], _ limit: Int, _ entries: inout [Entry]
  ) {
    if start <= range.count {
      readEntries(
        Directory(start: range.lowerBound + start, shift: range.lowerBound), limit, &entries)
    }
    for end in directoryEnds where size <= end - range.lowerBound {
      let place = end - size
      readEntries(
        Directory(start: place, shift: place.subtractingReportingOverflow(start).partialValue),
        limit, &entries)
    }
  }

  private mutating func readEntries(
    _ directory: Directory, _ limit: Int, _ entries: inout [Entry]
  ) {
    guard directories.insert(directory).inserted else { return }
    var position = directory.start
    while let entry = integers(46, at: position), entry.starts(with: [0x50, 0x4B, 1, 2]) {
      let (nameLength, extraLength) = (entry.little(28, 2), entry.little(30, 2))
      guard let rest = integers(nameLength + extraLength, at: position + 46) else { return }
      directoryBytesLeft -= 46 + rest.count
      guard entries.count < limit, directoryBytesLeft >= 0 else {
        isPartial = true
        return
      }
      // With several zip64 fields, PyTorch's reader uses the first, Python's all in sequence.
      var places: Set<[Int]> = []
      for isFirst in [true, false] {
        var header = entry.little(42, 4)
        var compressed = entry.little(20, 4)
        ZipSurvey.wideFields(
          rest.dropFirst(nameLength), size: entry.little(24, 4), &compressed, &header,
          onlyFirst: isFirst)
        guard places.insert([header, compressed]).inserted else { continue }
        entries.append(
          Entry(
            name: String(decoding: rest.prefix(nameLength), as: UTF8.self),
            method: entry.little(10, 2), flags: entry.little(8, 2), compressedSize: compressed,
            header: header.addingReportingOverflow(directory.shift).partialValue))
      }
      position += 46 + nameLength + extraLength + entry.little(32, 2)
    }
  }

  /// Reads the compressed size and the header offset from a zip64 extra field if the entry lacks
  /// them.
  private static func wideFields(
    _ extra: ArraySlice<UInt8>, size: Int, _ compressed: inout Int, _ header: inout Int,
    onlyFirst: Bool = true
  ) {
    var rest = extra
    var size = size
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
        if size == 0xFFFF_FFFF || size == .max { size = next() ?? size }
        if compressed == 0xFFFF_FFFF { compressed = next() ?? compressed }
        if header == 0xFFFF_FFFF { header = next() ?? header }
        if onlyFirst { return }
      }
      rest = rest.dropFirst(4 + length)
    }
  }

  private mutating func add(_ entry: Entry, limit: Int) {
    guard let local = integers(30, at: entry.header) else {
      isOutside = true
      return
    }
    let start = entry.header + 30 + local.little(26, 2) + local.little(28, 2)
    guard start <= range.upperBound else {
      isOutside = true
      return
    }
    let end = start + min(entry.compressedSize, range.upperBound - start)
    add(
      Record(
        name: entry.name, method: entry.method, range: start..<end,
        isEncrypted: entry.flags & 0x41 != 0), limit: limit)
  }

  /// Finds records by consecutive local headers from the beginning.
  private mutating func readHeaders(limit: Int) {
    var position = range.lowerBound
    while let header = integers(30, at: position), header.starts(with: [0x50, 0x4B, 3, 4]) {
      let before = position
      let (nameLength, extraLength) = (header.little(26, 2), header.little(28, 2))
      guard let rest = integers(nameLength + extraLength, at: position + 30) else { return }
      let start = position + 30 + nameLength + extraLength
      var size = header.little(18, 4)
      var place = 0
      ZipSurvey.wideFields(rest.dropFirst(nameLength), size: header.little(22, 4), &size, &place)
      var end = start + min(size, range.upperBound - start)
      if header.little(6, 2) & 8 != 0, size == 0 || size == 0xFFFF_FFFF {
        // The size comes after the data, which ends at the next header.
        guard let next = nextSignature(from: start) else { return }
        end = next
      }
      let name = String(decoding: rest.prefix(nameLength), as: UTF8.self)
      note(root: name)
      add(
        Record(
          name: name, method: header.little(8, 2), range: start..<end,
          isEncrypted: header.little(6, 2) & 0x41 != 0), limit: limit)
      position = end
      if integers(4, at: position) == [0x50, 0x4B, 7, 8] {
        // 32-bit sizes, or 64-bit ones.
        position += integers(2, at: position + 16) == [0x50, 0x4B] ? 16 : 24
      }
      if isPartial || position <= before { return }
    }
  }

  /// The search limit for the end of a record of unknown size; PyTorch writes the pickle first.
  private static let searchLimit = 64 << 20

  /// The offset of the next zip signature, or the end; nil if it is too far.
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

extension BidirectionalCollection<UInt8> {
  /// Whether the range ends with these bytes.
  func ends(with bytes: String.UTF8View) -> Bool {
    count >= bytes.count && suffix(bytes.count).elementsEqual(bytes)
  }
}

extension [UInt8] {
  /// A little-endian integer of this many bytes, clamped to `Int`.
  func little(_ start: Int, _ count: Int) -> Int {
    var value: UInt64 = 0
    for byte in self[start..<(start + count)].reversed() { value = value << 8 | UInt64(byte) }
    return Int(clamping: value)
  }
}
