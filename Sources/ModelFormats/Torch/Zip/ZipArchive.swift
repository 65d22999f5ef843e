import OrderedJSON

/// A zip archive: records, and at the end a central directory with their locations.
///
///     record             local header, name, extra field, data, perhaps a data descriptor
///     central directory  for each record: sizes, CRC-32, method, name, offset of its header
///     zip64 end record   the directory's place in 64 bits, and a locator of this record;
///                        both optional
///     end record         the directory's place in 32 bits, and a comment that ends the file
///
/// Sizes come only from the central directory, because a streaming writer such as PyTorch leaves
/// them out of the local headers; the start of a record's data comes from its local header, whose
/// name and extra field have their own lengths.
///
/// Anything that two readers could see differently is rejected: contradictory headers, overlapping
/// records, duplicate names or names that differ only in case, bytes after the archive.
///
/// Source: PKWARE's APPNOTE 6.3.
struct ZipArchive {
  enum Method: Hashable {
    case stored
    case deflated
    case other(UInt16)
  }

  struct Entry {
    let name: String
    let method: Method
    let compressedSize: Int
    let size: Int
    let checksum: UInt32
    /// The offset of the local header in the file.
    let headerOffset: Int
    /// The offset of the entry in the central directory.
    let entryOffset: Int
    /// The offset of the data in the file.
    fileprivate(set) var dataOffset = 0

    var dataEnd: Int { dataOffset + compressedSize }
  }

  let file: MappedFile
  /// In the central directory's order.
  let entries: [Entry]
  private let index: [ExactName: Int]

  subscript(name: String) -> Entry? { index[ExactName(name)].map { entries[$0] } }

  /// Reads the central directory and every local header.
  ///
  /// - Throws: ``FormatError`` with the offset in the file and the record's name as context.
  init(_ file: MappedFile) throws(FormatError) {
    let directory = try Directory(locatedIn: file)
    var entries = try ZipArchive.parse(directory, in: file)
    try file.withScatteredReads(at: entries.map(\.headerOffset)) { () throws(FormatError) in
      for position in entries.indices {
        do throws(FormatError) {
          entries[position].dataOffset = try ZipArchive.dataOffset(
            of: entries[position], in: file, before: directory.offset)
        } catch {
          throw error.inRecord(entries[position].name)
        }
      }
    }
    var index: [ExactName: Int] = [:]
    var folded: [ExactName: Int] = [:]
    index.reserveCapacity(entries.count)
    folded.reserveCapacity(entries.count)
    for (position, entry) in entries.enumerated() {
      guard index.updateValue(position, forKey: ExactName(entry.name)) == nil else {
        throw FormatError(
          .malformed, "duplicate record name", offset: entry.headerOffset,
          context: entry.name)
      }
      // PyTorch's reader, miniz, ignores ASCII case.
      let letters = entry.name.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
      let known = folded.updateValue(
        position, forKey: ExactName(String(decoding: letters, as: UTF8.self)))
      if let known {
        throw FormatError(
          .malformed,
          "the name differs from \"\(entries[known].name)\" in capitals only, which PyTorch's reader "
            + "takes for one", offset: entry.headerOffset, context: entry.name)
      }
    }
    try ZipArchive.checkOverlap(entries)
    self.file = file
    self.entries = entries
    self.index = index
  }

  private static func checkOverlap(_ entries: [Entry]) throws(FormatError) {
    let sorted = entries.sorted { $0.headerOffset < $1.headerOffset }
    for (entry, next) in zip(sorted, sorted.dropFirst()) where entry.dataEnd > next.headerOffset {
      throw FormatError(
        .malformed, "the record overlaps \"\(entry.name)\", which ends at \(entry.dataEnd)",
        offset: next.headerOffset, context: next.name)
    }
  }

  /// A record's contents, inflated if necessary and checked by CRC-32.
  ///
  /// - Parameter limit: the maximum size of this record.
  func contents(of entry: Entry, limit: Int) throws(FormatError) -> [UInt8] {
    guard entry.size <= limit else {
      throw FormatError(
        .unsupported, "the record has \(entry.size.of("byte")); \(limit) is the limit",
        offset: entry.headerOffset, context: entry.name)
    }
    do throws(FormatError) {
      let bytes = try unsafe file.withBytes(in: entry.dataOffset..<entry.dataEnd) {
        (data) throws(FormatError) -> [UInt8] in
        switch entry.method {
        case .stored: return unsafe [UInt8](data)
        case .deflated:
          guard Inflate.mayHold(entry.size, in: data.count) else {
            throw FormatError(
              .malformed, "\(data.count) deflated bytes cannot contain the declared \(entry.size)")
          }
          return try unsafe Inflate.bytes(data, size: entry.size)
        case .other(let method):
          throw FormatError(.unsupported, "the record is compressed by method \(method)")
        }
      }
      guard unsafe bytes.withUnsafeBytes({ unsafe Inflate.checksum($0) }) == entry.checksum else {
        throw FormatError(
          .malformed, "the record's CRC-32 does not match",
          hint: "the file is damaged; download it again")
      }
      return bytes
    } catch {
      var error = error.inRecord(entry.name)
      error.offset = error.offset ?? entry.dataOffset
      throw error
    }
  }
}

extension ZipArchive {
  /// Checks an entry's local header, and that the record is before the directory.
  private static func dataOffset(
    of entry: Entry, in file: MappedFile, before limit: Int
  ) throws(FormatError) -> Int {
    guard entry.headerOffset <= limit else {
      throw FormatError(
        .malformed,
        "the central directory gives the offset \(entry.headerOffset), which is outside the archive",
        offset: entry.entryOffset)
    }
    let name = Array(entry.name.utf8)
    let header = try file.read(
      min(30 + name.count, limit - entry.headerOffset), at: entry.headerOffset)
    var reader = unsafe ByteReader(
      header.span.bytes, base: entry.headerOffset, what: "the record's header")
    func contradiction(_ what: String) -> FormatError {
      FormatError(
        .malformed, "the \(what) differs between the local header and the central directory",
        offset: entry.headerOffset)
    }
    guard try reader.integer(UInt32.self) == 0x0403_4B50 else {
      throw FormatError(
        .malformed, "no record at the offset given by the central directory",
        offset: entry.headerOffset,
        hint: "bytes are missing or added, perhaps by a text-mode transfer; download it again")
    }
    try reader.skip(2)  // version
    let flags = try reader.integer(UInt16.self)
    try checkFlags(flags, at: entry.headerOffset)
    guard Method(try reader.integer()) == entry.method else { throw contradiction("method") }
    try reader.skip(4)  // time and date
    let checksum = try reader.integer(UInt32.self)
    let compressedSize = try reader.integer(UInt32.self)
    let size = try reader.integer(UInt32.self)
    let nameLength = Int(try reader.integer(UInt16.self))
    let extraLength = Int(try reader.integer(UInt16.self))
    guard nameLength == name.count, try reader.array(nameLength) == name else {
      throw contradiction("name")
    }
    // Bit 3: sizes and CRC follow the data. Sizes of all ones are in the extra field.
    if flags & 0x08 == 0 {
      guard checksum == entry.checksum else { throw contradiction("CRC-32") }
      guard compressedSize == .max || Int(compressedSize) == entry.compressedSize,
        size == .max || Int(size) == entry.size
      else { throw contradiction("size") }
    }
    let dataOffset = reader.offset + extraLength
    guard dataOffset <= limit, entry.compressedSize <= limit - dataOffset else {
      throw FormatError(
        .malformed,
        "the record's \(entry.compressedSize.of("byte does", "bytes do")) not fit before the directory",
        offset: entry.entryOffset)
    }
    return dataOffset
  }
}

extension FormatError {
  /// A copy with the record's name, unless it already has a context.
  func inRecord(_ name: String) -> FormatError {
    var error = self
    error.context = error.context ?? name
    return error
  }
}
