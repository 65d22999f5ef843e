import OrderedJSON

/// A GGUF metadata value for display: long values are shown by their size.
enum GGUFValue: CustomStringConvertible {
  enum Kind: UInt32 {
    case uint8 = 0
    case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// Bytes per value; nil for types without a fixed size.
    var byteCount: Int? {
      switch self {
      case .uint8, .int8, .bool: 1
      case .uint16, .int16: 2
      case .uint32, .int32, .float32: 4
      case .uint64, .int64, .float64: 8
      case .string, .array: nil
      }
    }
  }

  /// The maximum length of texts and arrays that are shown in full.
  static let textLimit = 1 << 16
  private static let elementLimit = 16

  case number(Kind, String)
  case text(String)
  case longText(Int)
  case array([String])
  case longArray(Kind, Int)

  var description: String {
    switch self {
    case .number(_, let text), .text(let text): text
    case .longText(let count): "(\(count.of("byte")))"
    case .array(let elements): "[\(elements.joined(separator: ", "))]"
    case .longArray(let kind, let count): "(\(count.of("value")) of type \(kind))"
    }
  }

  /// Reads a value's type and the value.
  ///
  /// - Parameter textLimit: the maximum length of texts that are read in full.
  init(
    from reader: inout ByteReader, textLimit: Int = GGUFValue.textLimit
  ) throws(FormatError) {
    let kind = try GGUFValue.kind(from: &reader)
    switch kind {
    case .array: self = try GGUFValue.array(from: &reader)
    case .string: self = try GGUFValue.text(from: &reader, limit: textLimit)
    default: self = .number(kind, try GGUFValue.number(kind, from: &reader))
    }
  }

  private static func kind(from reader: inout ByteReader) throws(FormatError) -> Kind {
    let start = reader.offset
    let number = try reader.integer(UInt32.self)
    guard let kind = Kind(rawValue: number) else {
      throw FormatError(
        .malformed, "unknown value type \(number)", offset: start)
    }
    return kind
  }

  private static func text(
    from reader: inout ByteReader, limit: Int = textLimit
  ) throws(FormatError) -> GGUFValue {
    let start = reader.offset
    let length = try reader.integer(UInt64.self)
    guard length <= UInt64(reader.remaining) else {
      throw FormatError(
        .malformed, "a string is \(length.of("byte")) long, but only \(reader.remaining) remain",
        offset: start)
    }
    guard length <= UInt64(limit) else {
      try reader.skip(Int(length))
      return .longText(Int(length))
    }
    return .text(String(decoding: try reader.array(Int(length)), as: UTF8.self))
  }

  private static func array(from reader: inout ByteReader) throws(FormatError) -> GGUFValue {
    let start = reader.offset
    let kind = try kind(from: &reader)
    let count = try reader.integer(UInt64.self)
    guard kind != .array else {
      throw FormatError(.unsupported, "an array contains arrays", offset: start)
    }
    // A string has at least a length field.
    let size = kind.byteCount ?? 8
    guard count <= UInt64(reader.remaining / size) else {
      throw FormatError(
        .malformed,
        "an array of \(count.of("value")) does not fit the \(reader.remaining.of("byte that follows", "bytes that follow"))",
        offset: start)
    }
    if count <= UInt64(elementLimit) {
      var elements: [String] = []
      for _ in 0..<count {
        elements.append(
          kind == .string
            ? try text(from: &reader).description : try number(kind, from: &reader))
      }
      return .array(elements)
    }
    if let size = kind.byteCount {
      try reader.skip(Int(count) * size)
    } else {
      for _ in 0..<count {
        let length = try reader.integer(UInt64.self)
        guard length <= UInt64(reader.remaining) else {
          throw FormatError(
            .malformed,
            "a string is \(length.of("byte")) long, but only \(reader.remaining) remain",
            offset: reader.offset - 8)
        }
        try reader.skip(Int(length))
      }
    }
    return .longArray(kind, Int(count))
  }

  private static func number(
    _ kind: Kind, from reader: inout ByteReader
  ) throws(FormatError) -> String {
    switch kind {
    case .uint8: "\(try reader.integer(UInt8.self))"
    case .int8: "\(try reader.integer(Int8.self))"
    case .uint16: "\(try reader.integer(UInt16.self))"
    case .int16: "\(try reader.integer(Int16.self))"
    case .uint32: "\(try reader.integer(UInt32.self))"
    case .int32: "\(try reader.integer(Int32.self))"
    case .uint64: "\(try reader.integer(UInt64.self))"
    case .int64: "\(try reader.integer(Int64.self))"
    case .float32: "\(Float(bitPattern: try reader.integer()))"
    case .float64: "\(Double(bitPattern: try reader.integer()))"
    case .bool: try reader.integer(UInt8.self) == 0 ? "false" : "true"
    case .string, .array: ""
    }
  }
}
