/// The members of a tar archive as found by Python's `tarfile`, as far as its headers can be
/// followed.
struct TarSurvey {
  private(set) var members: [(name: String, range: Range<Int>)] = []
  /// Why members are missing or differ from Python's; nil if all were found.
  private(set) var doubt: String?
  /// Whether separate headers give members the names that PyTorch looks for.
  private(set) var hasOtherNames = false
  /// The end of the members.
  private(set) var end: Int

  init(_ file: MappedFile, _ range: Range<Int>, limit: Int) {
    var position = range.lowerBound
    end = position
    while position + 512 <= range.upperBound {
      let header = unsafe file.withBytes(in: position..<(position + 512)) { unsafe [UInt8]($0) }
      guard TarSurvey.isHeader(header) else {
        // Python treats an empty block as the end, and also an invalid one after the first member.
        return
      }
      guard members.count < limit else {
        doubt = "the archive has too many members, not all were searched"
        return
      }
      let start = position + 512
      guard let size = TarSurvey.number(header[124..<136]), size >= 0 else {
        doubt =
          "the size of the member at byte \(position) cannot be read; what follows it was not "
          + "looked into"
        return
      }
      let rest = range.upperBound - start
      let nameBytes = header[0..<100].prefix { $0 != 0 }
      let name = String(decoding: nameBytes, as: UTF8.self)
      let type = header[156]
      if [UInt8]("LxgXS".utf8).contains(type) {
        note(type, file, start..<(start + min(size, rest)))
      }
      // Links, devices and directories have no contents, whatever their size field; old directories
      // are recognized by name.
      let isEmpty =
        (UInt8(ascii: "1")...UInt8(ascii: "6")).contains(type)
        || type == 0 && nameBytes.last == UInt8(ascii: "/")
      members.append(
        (
          nameBytes.starts(with: "./".utf8)
            ? String(decoding: nameBytes.dropFirst(2), as: UTF8.self) : name,
          start..<(start + (isEmpty ? 0 : min(size, rest)))
        ))
      if isEmpty {
        position = start
      } else {
        guard size <= rest else {
          end = range.upperBound
          return
        }
        position = start + (size + 511) / 512 * 512
      }
      end = min(position, range.upperBound)
    }
  }

  /// Handles headers with properties of the next member.
  private mutating func note(_ type: UInt8, _ file: MappedFile, _ range: Range<Int>) {
    if type == UInt8(ascii: "S") {
      doubt = "sparse members were not searched as Python unpacks them"
    }
    let text = unsafe file.withBytes(in: range.prefix(1 << 20)) {
      unsafe String(decoding: $0, as: UTF8.self)
    }
    if text.contains("storages") || text.contains("tensors") { hasOtherNames = true }
    guard type != UInt8(ascii: "L") else { return }
    if range.count > 1 << 20 || text.contains("size=") || text.contains("GNU.sparse") {
      doubt =
        "members whose size stands in a header of its own were not searched as Python "
        + "unpacks them"
    }
  }

  /// Whether 512 bytes are a header: Python checks the checksum, with signed or unsigned bytes.
  static func isHeader(_ block: [UInt8]) -> Bool {
    guard block.count >= 512, block.contains(where: { $0 != 0 }),
      let checksum = number(block[148..<156])
    else { return false }
    var (unsigned, signed) = (8 * 0x20, 8 * 0x20)
    for index in 0..<512 where !(148..<156).contains(index) {
      unsigned += Int(block[index])
      signed += Int(Int8(bitPattern: block[index]))
    }
    return checksum == unsigned || checksum == signed
  }

  /// A number as read by Python: octal digits, with whitespace around them, up to a NUL; or a
  /// binary number after 0x80 or 0xFF. Nil if invalid or beyond `Int`.
  static func number(_ field: ArraySlice<UInt8>) -> Int? {
    guard let first = field.first else { return nil }
    if first == 0x80 || first == 0xFF {
      var value = 0
      for byte in field.dropFirst() {
        guard value < 1 << 54 else { return nil }
        value = value << 8 | Int(byte)
      }
      // After 0xFF it is negative, which is not a valid size.
      return first == 0x80 ? value : -1
    }
    let text = String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
    var digits = text.unicodeScalars[...]
    func isSpace(_ scalar: Unicode.Scalar) -> Bool {
      scalar == " " || (0x09...0x0D).contains(scalar.value) || (0x1C...0x1F).contains(scalar.value)
    }
    digits = digits.drop(while: isSpace)
    while let last = digits.last, isSpace(last) { digits.removeLast() }
    if digits.first == "+" { digits.removeFirst() }
    let rest = String(digits)
    let octal = rest.hasPrefix("0o") || rest.hasPrefix("0O") ? String(rest.dropFirst(2)) : rest
    if octal.isEmpty { return rest.isEmpty ? 0 : nil }
    return Int(octal.filter { $0 != "_" }, radix: 8)
  }
}
