import OrderedJSON

/// The members of a tar archive.
///
///     member   a header of 512 bytes, then the data, padded to a multiple of 512
///     header   0 name, 124 size in octal, 148 checksum in octal, 156 type, 257 "ustar"
///     end      two blocks of zeros
///
/// Extended headers (types g and x) are skipped; checkpoints in this format have no long names or
/// sizes beyond 8 GiB.
///
/// Source: POSIX.1-2001, the ustar and pax interchange formats.
struct TarArchive {
  private static let blockSize = 512
  private(set) var members: [ExactName: Range<Int>] = [:]

  subscript(name: String) -> Range<Int>? { members[ExactName(name)] }

  /// - Throws: ``FormatError`` with the offset of the invalid header.
  init(_ file: MappedFile) throws(FormatError) {
    try self.init(file, 0..<file.count)
  }

  /// The archive in a part of a file.
  init(_ file: MappedFile, _ range: Range<Int>) throws(FormatError) {
    let blockSize = TarArchive.blockSize
    var position = range.lowerBound
    while position + blockSize <= range.upperBound {
      let header = unsafe file.withBytes(in: position..<(position + blockSize)) {
        unsafe [UInt8]($0)
      }
      if header.allSatisfy({ $0 == 0 }) { return }
      // The checksum counts its own field as spaces.
      let sum = header.enumerated().reduce(0) {
        $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element))
      }
      guard TarArchive.octal(header[148..<156]) == sum else {
        throw FormatError(
          .malformed, "a tar header's checksum is wrong", offset: position,
          hint: "the file is damaged; download it again")
      }
      let name = String(decoding: header[0..<100].prefix { $0 != 0 }, as: UTF8.self)
      guard let size = TarArchive.octal(header[124..<136]) else {
        throw FormatError(
          .malformed, "a tar member's size is not an octal number", offset: position, context: name)
      }
      let start = position + blockSize
      guard size <= range.upperBound - start else {
        throw FormatError(
          .truncated,
          "the member has \(size.of("byte")) where \(range.upperBound - start) are "
            + "left",
          offset: position, context: name, hint: Safetensors.downloadAgain)
      }
      if [0, UInt8(ascii: "0")].contains(header[156]) {
        let plain =
          name.utf8.starts(with: "./".utf8)
          ? String(decoding: name.utf8.dropFirst(2), as: UTF8.self) : name
        guard members.updateValue(start..<(start + size), forKey: ExactName(plain)) == nil else {
          throw FormatError(
            .malformed, "duplicate member name", offset: position,
            context: plain)
        }
      }
      position = start + (size + blockSize - 1) / blockSize * blockSize
    }
  }

  /// An octal number between spaces, terminated by a space or NUL; nil if invalid.
  private static func octal(_ field: ArraySlice<UInt8>) -> Int? {
    var digits = field.drop { $0 == 32 }
    digits = digits.prefix { $0 != 0 && $0 != 32 }
    guard !digits.isEmpty else { return nil }
    var value = 0
    for digit in digits {
      guard (0x30...0x37).contains(digit) else { return nil }
      value = value << 3 | Int(digit - 0x30)
    }
    return value
  }
}
