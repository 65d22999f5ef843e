import OrderedJSON

extension ZipArchive {
  /// The location of the central directory, from the records at the end of the file.
  struct Directory {
    let offset: Int
    let size: Int
    let count: Int

    init(locatedIn file: MappedFile) throws(FormatError) {
      let end = try Directory.endRecord(in: file)
      var reader = ByteReader(
        file.bytes.extracting(end..<file.count), base: end, what: "the end record")
      try reader.skip(4)
      let disks: [UInt16] = [try reader.integer(), try reader.integer()]
      let counts: [UInt16] = [try reader.integer(), try reader.integer()]
      let size = try reader.integer(UInt32.self)
      let offset = try reader.integer(UInt32.self)
      var directoryEnd = end
      if let wide = try Directory.wideRecord(before: end, in: file) {
        guard
          counts[1] == .max || UInt64(counts[1]) == wide.count,
          size == .max || UInt64(size) == wide.size,
          offset == .max || UInt64(offset) == wide.offset
        else {
          throw FormatError(
            .malformed, "the archive's two end records contradict each other", offset: end)
        }
        directoryEnd = wide.recordOffset
        self.offset = Int(clamping: wide.offset)
        self.size = Int(clamping: wide.size)
        count = Int(clamping: wide.count)
      } else {
        guard disks == [0, 0], counts[0] == counts[1] else {
          throw FormatError(
            .unsupported, "the archive is one part of several", offset: end,
            hint: "join the parts first")
        }
        self.offset = Int(offset)
        self.size = Int(size)
        count = Int(counts[1])
      }
      let (sum, overflow) = self.offset.addingReportingOverflow(self.size)
      guard !overflow, sum == directoryEnd else {
        throw Directory.displaced(self.offset, self.size, end: directoryEnd, at: end, in: file)
      }
      guard count <= Directory.entryLimit else {
        throw FormatError(
          .unsupported,
          "the archive holds \(count.of("record")); \(Directory.entryLimit) is the limit",
          offset: end)
      }
      // An entry takes at least 46 bytes.
      guard count <= self.size / 46 else {
        throw FormatError(
          .malformed,
          "\(count.of("entry does", "entries do")) not fit a central directory of \(self.size.of("byte"))",
          offset: end)
      }
    }

    /// A checkpoint archive contains a record per tensor and a few more.
    private static let entryLimit = 131_072

    /// The error if the directory does not end at its end record.
    private static func displaced(
      _ offset: Int, _ size: Int, end: Int, at record: Int, in file: MappedFile
    ) -> FormatError {
      let announced =
        "the end record gives the central directory's offset \(offset) and size \(size.of("byte")), but must end at \(end)"
      let (sum, overflow) = offset.addingReportingOverflow(size)
      if !overflow, let reason = NewlineDamage.explanation(of: file, missing: sum - end) {
        return FormatError(
          .malformed, "\(announced): \(reason)", offset: record, hint: NewlineDamage.hint)
      }
      let isShort = overflow || sum > end
      return FormatError(
        .malformed, announced, offset: record,
        hint: isShort
          ? "bytes are missing, perhaps after a text-mode transfer; download the file again"
          : "do not trust this file (data was prepended); download it again")
    }

    /// The last position in the file that is a valid end record whose comment ends the file.
    private static func endRecord(in file: MappedFile) throws(FormatError) -> Int {
      let tailStart = max(0, file.count - 22 - Int(UInt16.max))
      let tail = unsafe file.withBytes(in: tailStart..<file.count) { unsafe [UInt8]($0) }
      var position = tail.count - 22
      while position >= 0 {
        if tail[position...].starts(with: [0x50, 0x4B, 0x05, 0x06]) {
          let commentLength = Int(tail[position + 20]) | Int(tail[position + 21]) << 8
          if position + 22 + commentLength == tail.count { return tailStart + position }
        }
        position -= 1
      }
      throw noEnd(tail, at: tailStart, in: file)
    }

    private static func noEnd(
      _ tail: [UInt8], at tailStart: Int, in file: MappedFile
    ) -> FormatError {
      // An end record followed by other data.
      var position = tail.count - 23
      while position >= 0 {
        if tail[position...].starts(with: [0x50, 0x4B, 0x05, 0x06]) {
          let length = 22 + (Int(tail[position + 20]) | Int(tail[position + 21]) << 8)
          let end = tailStart + position + length
          if end < file.count {
            return FormatError(
              .malformed,
              "\((file.count - end).of("byte follows", "bytes follow")) the archive's end",
              offset: end,
              hint: "do not trust this file (data was appended); download it again")
          }
        }
        position -= 1
      }
      return FormatError(
        .truncated,
        "the file is truncated: it has \(file.count.of("byte")) and lacks the archive's end, the list of "
          + "its records",
        offset: file.count, hint: Safetensors.downloadAgain)
    }

    /// If the record is directly before its locator after all, that shows what happened.
    private static func noWideRecord(
      at start: Int, before locator: Int, in file: MappedFile
    ) -> FormatError {
      let message = "no zip64 end record at the offset given by the locator"
      let own = locator - 56
      if own >= 0, own != start,
        unsafe file.withBytes(
          in: own..<(own + 4), { unsafe $0.elementsEqual([0x50, 0x4B, 0x06, 0x06]) }),
        let reason = NewlineDamage.explanation(of: file, missing: start - own)
      {
        return FormatError(
          .malformed, "\(message): \(reason)", offset: own, hint: NewlineDamage.hint)
      }
      return FormatError(
        .malformed, message, offset: start,
        hint: "bytes were lost or added; download the file again")
    }

    /// The zip64 end record, if a locator precedes the end record.
    private static func wideRecord(
      before end: Int, in file: MappedFile
    ) throws(FormatError) -> (recordOffset: Int, count: UInt64, size: UInt64, offset: UInt64)? {
      guard end >= 20 else { return nil }
      var locator = ByteReader(
        file.bytes.extracting((end - 20)..<end), base: end - 20, what: "the zip64 locator")
      guard try locator.integer(UInt32.self) == 0x0706_4B50 else { return nil }
      let disk = try locator.integer(UInt32.self)
      let recordOffset = try locator.integer(UInt64.self)
      let diskCount = try locator.integer(UInt32.self)
      guard disk == 0, diskCount <= 1 else {
        throw FormatError(
          .unsupported, "the archive is one part of several", offset: end - 20,
          hint: "join the parts first")
      }
      guard recordOffset <= UInt64(end - 20) else {
        throw FormatError(
          .malformed,
          "the zip64 locator gives the offset \(recordOffset), which is outside the file",
          offset: end - 12)
      }
      let start = Int(recordOffset)
      var reader = ByteReader(
        file.bytes.extracting(start..<(end - 20)), base: start, what: "the zip64 end record")
      guard try reader.integer(UInt32.self) == 0x0606_4B50 else {
        throw noWideRecord(at: start, before: end - 20, in: file)
      }
      let length = try reader.integer(UInt64.self)
      guard length == UInt64(reader.remaining) else {
        throw FormatError(
          .malformed,
          "the zip64 end record is \(length.of("byte")) long, but only \(reader.remaining) remain",
          offset: start)
      }
      try reader.skip(4)  // versions
      let disks: [UInt32] = [try reader.integer(), try reader.integer()]
      let counts: [UInt64] = [try reader.integer(), try reader.integer()]
      guard disks == [0, 0], counts[0] == counts[1] else {
        throw FormatError(
          .unsupported, "the archive is one part of several", offset: start,
          hint: "join the parts first")
      }
      return (start, counts[1], try reader.integer(), try reader.integer())
    }
  }

  static func parse(
    _ directory: Directory, in file: MappedFile
  ) throws(FormatError) -> [Entry] {
    var reader = ByteReader(
      file.bytes.extracting(directory.offset..<(directory.offset + directory.size)),
      base: directory.offset, what: "the central directory")
    var entries: [Entry] = []
    entries.reserveCapacity(directory.count)
    for _ in 0..<directory.count {
      entries.append(try entry(from: &reader))
    }
    guard reader.remaining == 0 else {
      throw FormatError(
        .malformed,
        "the central directory goes on after its \(directory.count.of("entry", "entries"))",
        offset: reader.offset)
    }
    return entries
  }

  private static func entry(from reader: inout ByteReader) throws(FormatError) -> Entry {
    let start = reader.offset
    guard try reader.integer(UInt32.self) == 0x0201_4B50 else {
      throw FormatError(
        .malformed, "missing central directory entry", offset: start)
    }
    try reader.skip(4)  // versions
    let flags = try reader.integer(UInt16.self)
    let method = try reader.integer(UInt16.self)
    try reader.skip(4)  // time and date
    let checksum = try reader.integer(UInt32.self)
    let compressedSize = try reader.integer(UInt32.self)
    let size = try reader.integer(UInt32.self)
    let nameLength = Int(try reader.integer(UInt16.self))
    let extraLength = Int(try reader.integer(UInt16.self))
    let commentLength = Int(try reader.integer(UInt16.self))
    let disk = try reader.integer(UInt16.self)
    try reader.skip(6)  // attributes
    let headerOffset = try reader.integer(UInt32.self)
    let name = try checkedName(try reader.text(nameLength), at: start)
    do throws(FormatError) {
      try checkFlags(flags, at: start)
      let wide = try wideFields(
        from: &reader, length: extraLength,
        saturated: (size == .max, compressedSize == .max, headerOffset == .max))
      try reader.skip(commentLength)
      guard disk == 0 || disk == .max else {
        throw FormatError(
          .unsupported, "the record lies in another part of the archive", offset: start)
      }
      let entry = Entry(
        name: name, method: Method(method),
        compressedSize: wide.compressedSize ?? Int(compressedSize), size: wide.size ?? Int(size),
        checksum: checksum, headerOffset: wide.headerOffset ?? Int(headerOffset), entryOffset: start
      )
      guard entry.method != .stored || entry.size == entry.compressedSize else {
        throw FormatError(
          .malformed,
          "the record is stored, yet has \(entry.size.of("byte")) in \(entry.compressedSize)",
          offset: start)
      }
      return entry
    } catch {
      throw error.inRecord(name)
    }
  }

  static func checkFlags(_ flags: UInt16, at offset: Int) throws(FormatError) {
    // Bits 0, 6 and 13: encrypted, strongly encrypted, directory masked. Bit 5: patch data.
    guard flags & 0x2041 == 0 else {
      throw FormatError(
        .unsupported, "the record is encrypted", offset: offset, hint: "decrypt the archive first")
    }
    guard flags & 0x20 == 0 else {
      throw FormatError(.unsupported, "the record holds patch data", offset: offset)
    }
  }

  /// Rejects names that would leave the archive's directory as paths.
  private static func checkedName(_ name: String?, at offset: Int) throws(FormatError) -> String {
    guard let name else {
      throw FormatError(.malformed, "a record's name is not UTF-8", offset: offset)
    }
    // Compare bytes: a combining mark would hide a slash among the characters.
    let bytes = name.utf8
    let slash = UInt8(ascii: "/")
    let parts = bytes.split(separator: slash, omittingEmptySubsequences: false)
    let isDrive = bytes.dropFirst().first == UInt8(ascii: ":")
    guard
      !name.isEmpty, bytes.first != slash, !isDrive,
      !parts.contains(where: { $0.elementsEqual("..".utf8) }),
      !bytes.contains(where: { $0 < 0x20 || $0 == UInt8(ascii: "\\") })
    else {
      throw FormatError(
        .malformed, "a record's name is not a path inside the archive", offset: offset,
        context: name)
    }
    return name
  }

  /// Reads from the extra field the values that do not fit 32 bits.
  private static func wideFields(
    from reader: inout ByteReader, length: Int,
    saturated: (size: Bool, compressedSize: Bool, headerOffset: Bool)
  ) throws(FormatError) -> (size: Int?, compressedSize: Int?, headerOffset: Int?) {
    var result: (size: Int?, compressedSize: Int?, headerOffset: Int?)
    let end = reader.position + length
    while end - reader.position >= 4 {
      let start = reader.offset
      let identifier = try reader.integer(UInt16.self)
      var rest = Int(try reader.integer(UInt16.self))
      guard rest <= end - reader.position else {
        throw FormatError(.malformed, "an extra field exceeds its record", offset: start)
      }
      if identifier == 1, result == (nil, nil, nil) {
        func next(_ reader: inout ByteReader) throws(FormatError) -> Int {
          let value = try reader.integer(UInt64.self)
          rest -= 8
          guard rest >= 0, value <= UInt64(Int.max) else {
            throw FormatError(.malformed, "the zip64 extra field is invalid", offset: start)
          }
          return Int(value)
        }
        if saturated.size { result.size = try next(&reader) }
        if saturated.compressedSize { result.compressedSize = try next(&reader) }
        if saturated.headerOffset { result.headerOffset = try next(&reader) }
      }
      try reader.skip(rest)
    }
    try reader.skip(end - reader.position)
    return result
  }
}

extension ZipArchive.Method {
  init(_ code: UInt16) {
    self =
      switch code {
      case 0: .stored
      case 8: .deflated
      default: .other(code)
      }
  }
}
