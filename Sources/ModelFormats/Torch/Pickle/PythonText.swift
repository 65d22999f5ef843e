/// Python's text forms of strings and integers in pickles.
enum PythonText {
  /// The bytes of a quoted string with escapes, in the form of a Python 2 `repr`.
  static func quoted(_ line: [UInt8]) -> [UInt8]? {
    guard line.count >= 2, let quote = line.first, line.last == quote,
      quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"")
    else { return nil }
    let text = line[1..<(line.count - 1)]
    var bytes: [UInt8] = []
    var position = text.startIndex
    while position < text.endIndex {
      let byte = text[position]
      position += 1
      guard byte == UInt8(ascii: "\\") else {
        bytes.append(byte)
        continue
      }
      guard position < text.endIndex else { return nil }
      let escape = text[position]
      position += 1
      switch escape {
      case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): bytes.append(escape)
      case UInt8(ascii: "n"): bytes.append(0x0A)
      case UInt8(ascii: "r"): bytes.append(0x0D)
      case UInt8(ascii: "t"): bytes.append(0x09)
      case UInt8(ascii: "a"): bytes.append(0x07)
      case UInt8(ascii: "b"): bytes.append(0x08)
      case UInt8(ascii: "f"): bytes.append(0x0C)
      case UInt8(ascii: "v"): bytes.append(0x0B)
      case UInt8(ascii: "x"):
        guard let value = hexadecimal(text[position...].prefix(2), count: 2) else { return nil }
        bytes.append(UInt8(truncatingIfNeeded: value))
        position += 2
      case UInt8(ascii: "0")...UInt8(ascii: "7"):
        var value = Int(escape - UInt8(ascii: "0"))
        for digit in text[position...].prefix(2) {
          guard (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(digit) else { break }
          value = value * 8 + Int(digit - UInt8(ascii: "0"))
          position += 1
        }
        bytes.append(UInt8(truncatingIfNeeded: value))
      default: bytes += [UInt8(ascii: "\\"), escape]
      }
    }
    return bytes
  }

  /// A decimal integer as read by Python's unpickler: surrounding whitespace, a sign, underscores
  /// between digits, and nothing after a NUL. Nil beyond `Int`.
  static func decimal(_ line: some Sequence<UInt8>) -> Int? {
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
    var text = line.prefix { $0 != 0 }[...]
    text = text.drop(while: isSpace)
    while let last = text.last, isSpace(last) { text.removeLast() }
    var isNegative = false
    if let sign = text.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
      isNegative = sign == UInt8(ascii: "-")
      text.removeFirst()
    }
    var value = 0
    var wasDigit = false
    for byte in text {
      if byte == UInt8(ascii: "_"), wasDigit {
        wasDigit = false
        continue
      }
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
      let (product, isLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, isLarger) = product.addingReportingOverflow(Int(byte - UInt8(ascii: "0")))
      guard !isLarge, !isLarger else { return nil }
      value = sum
      wasDigit = true
    }
    guard wasDigit else { return nil }
    return isNegative ? -value : value
  }

  /// Text in Python's `raw-unicode-escape` encoding: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
  static func rawUnicodeEscape(_ line: [UInt8]) -> String? {
    var scalars = String.UnicodeScalarView()
    var position = 0
    while position < line.count {
      let byte = line[position]
      position += 1
      let digits =
        switch position < line.count ? line[position] : 0 {
        case UInt8(ascii: "u"): 4
        case UInt8(ascii: "U"): 8
        default: 0
        }
      guard byte == UInt8(ascii: "\\"), digits > 0 else {
        scalars.append(Unicode.Scalar(byte))
        // A backslash also consumes the next character: after two of them a `u` is a letter.
        if byte == UInt8(ascii: "\\"), position < line.count {
          scalars.append(Unicode.Scalar(line[position]))
          position += 1
        }
        continue
      }
      position += 1
      guard let value = hexadecimal(line[position...].prefix(digits), count: digits),
        let scalar = Unicode.Scalar(value)
      else { return nil }
      scalars.append(scalar)
      position += digits
    }
    return String(scalars)
  }

  private static func hexadecimal(_ digits: ArraySlice<UInt8>, count: Int) -> UInt32? {
    guard digits.count == count, let first = digits.first, first != UInt8(ascii: "+"),
      first != UInt8(ascii: "-")
    else { return nil }
    return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
  }

  /// The value of a little-endian two's complement integer; nil if it exceeds 64 bits.
  static func integer(_ bytes: [UInt8]) -> Int? {
    guard let last = bytes.last else { return 0 }
    let fill: UInt8 = last & 0x80 == 0 ? 0 : 0xFF
    guard bytes.dropFirst(8).allSatisfy({ $0 == fill }) else { return nil }
    // The eighth byte must have the sign that the rest repeats.
    if bytes.count > 8, bytes[7] & 0x80 != fill & 0x80 { return nil }
    var value = UInt64(0)
    for index in 0..<8 {
      value |= UInt64(index < bytes.count ? bytes[index] : fill) << (index * 8)
    }
    return Int(Int64(bitPattern: value))
  }

  /// Little-endian two's complement of a decimal number of at most 128 digits.
  static func bigInteger(decimal text: ArraySlice<UInt8>) -> [UInt8]? {
    let isNegative = text.first == UInt8(ascii: "-")
    let digits = isNegative ? text.dropFirst() : text
    guard !digits.isEmpty, digits.count <= 128 else { return nil }
    var bytes = [UInt8](repeating: 0, count: 64)
    for digit in digits {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
      var carry = Int(digit - UInt8(ascii: "0"))
      for index in bytes.indices {
        carry += Int(bytes[index]) * 10
        bytes[index] = UInt8(truncatingIfNeeded: carry)
        carry >>= 8
      }
    }
    if isNegative {
      var carry = 1
      for index in bytes.indices {
        carry += Int(~bytes[index])
        bytes[index] = UInt8(truncatingIfNeeded: carry)
        carry >>= 8
      }
    }
    // Bytes that only repeat the sign are dropped.
    let fill: UInt8 = isNegative ? 0xFF : 0
    while bytes.count > 1, bytes[bytes.count - 1] == fill,
      bytes[bytes.count - 2] & 0x80 == fill & 0x80
    {
      bytes.removeLast()
    }
    return bytes
  }
}
