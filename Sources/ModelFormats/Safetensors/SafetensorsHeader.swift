import OrderedJSON

/// The contents of a safetensors header, in order.
struct SafetensorsHeader {
  struct Entry {
    let name: String
    let dtype: DType
    let shape: Shape
    /// The offset from the start of the values.
    let begin: Int
    let end: Int
    /// The offset of the entry's name in the file.
    let offset: Int
  }

  private(set) var entries: [Entry] = []
  private(set) var metadata: [(key: String, value: String)] = []
  private(set) var warnings: [String] = []

  /// The maximum number of tensors; the largest published models have a few thousand per file.
  static let tensorLimit = 65536
  fileprivate static let metadataLimit = 65536
  fileprivate static let fieldLimit = 64

  /// Parses the JSON of a header whose first byte is at `base` in the file.
  init(parsing bytes: RawSpan, base: Int) throws(FormatError) {
    var parser = try LocatedJSON(bytes, base: base, what: "the header")
    var names: Set<ExactName> = []
    var unknown = UnknownFields()
    try parser.enterObject()
    var isFirst = true
    while let (name, offset) = try parser.nextKey(&isFirst) {
      guard names.insert(ExactName(name)).inserted else {
        throw FormatError(
          .malformed, "duplicate tensor name in the header", offset: offset, context: name)
      }
      parser.context = name
      if name == "__metadata__" {
        metadata = try parser.safetensorsMetadata()
      } else {
        guard entries.count < SafetensorsHeader.tensorLimit else {
          throw FormatError(
            .unsupported, "the header describes more than \(SafetensorsHeader.tensorLimit) tensors",
            offset: offset)
        }
        entries.append(
          try parser.safetensorsEntry(name: name, offset: offset, unknown: &unknown))
      }
      parser.context = nil
    }
    try parser.end()
    if let first = unknown.first {
      let rest = unknown.count > 1 ? ", as were \(unknown.count - 1) more" : ""
      warnings.append(
        "\(first.name): the header's field \"\(first.field)\" is not known and was ignored\(rest)")
    }
  }

  /// Checks that the tensors' ranges fit their types and shapes, and fill the rest of the file
  /// without gap or overlap.
  func checkRanges(dataStart: Int, in file: MappedFile) throws(FormatError) {
    let fileSize = file.count
    for entry in entries { try entry.checkSize() }
    let sorted = entries.sorted { ($0.begin, $0.end) < ($1.begin, $1.end) }
    var position = 0
    for entry in sorted {
      guard entry.begin == position else {
        throw FormatError(
          .malformed,
          entry.begin < position
            ? "its values begin at \(entry.begin), inside those of another tensor, which end at "
              + "\(position)"
            : "its values begin at \(entry.begin), which leaves a gap after \(position)",
          offset: entry.offset, context: entry.name)
      }
      position = entry.end
    }
    let present = fileSize - dataStart
    if position > present {
      let missing = position - present
      let cut = sorted.first { $0.end > present }
      if let reason = NewlineDamage.explanation(of: file, missing: missing) {
        throw FormatError(
          .malformed, reason, offset: fileSize, context: cut?.name, hint: NewlineDamage.hint)
      }
      throw FormatError(
        .truncated,
        "the file is truncated: its header describes \(position.of("byte")) of values, \(present) are "
          + "there, so \(missing) are missing"
          + FormatError.share(fileSize, of: position.addingReportingOverflow(dataStart)),
        offset: fileSize, context: cut?.name, hint: Safetensors.downloadAgain)
    }
    if position < present,
      let reason = NewlineDamage.explanation(of: file, missing: position - present)
    {
      throw FormatError(
        .malformed, reason, offset: dataStart + position, hint: NewlineDamage.hint)
    }
    guard position == present else {
      throw FormatError(
        .malformed,
        "\((present - position).of("byte follows", "bytes follow")) the last tensor's values",
        offset: dataStart + position,
        hint: "the file is damaged, or its header was edited; download the file again")
    }
  }
}

extension SafetensorsHeader.Entry {
  fileprivate func checkSize() throws(FormatError) {
    func failure(_ message: String) -> FormatError {
      FormatError(.malformed, message, offset: offset, context: name)
    }
    guard end >= begin else {
      throw failure("its values end at \(end), before they begin at \(begin)")
    }
    let (bits, overflow) = (shape.elementCount ?? .max)
      .multipliedReportingOverflow(by: dtype.bitWidth)
    guard !overflow else {
      throw failure("the shape \(shape) has too many elements")
    }
    guard bits % 8 == 0 else {
      throw failure("\(shape) elements of \(dtype.rawValue) do not fill whole bytes")
    }
    guard bits / 8 == end - begin else {
      throw failure(
        "\(shape) elements of \(dtype.rawValue) take \((bits / 8).of("byte")); "
          + "data_offsets give \(end - begin)")
    }
  }
}

/// Unknown fields, one of which is named.
private struct UnknownFields {
  private(set) var first: (field: String, name: String)?
  private(set) var count = 0

  mutating func add(_ field: String, of name: String) {
    if first == nil { first = (field, name) }
    count += 1
  }
}

extension LocatedJSON {
  @_lifetime(self: copy self)
  fileprivate mutating func safetensorsMetadata() throws(FormatError) -> [(
    key: String, value: String
  )] {
    guard try value(begins: UInt8(ascii: "{")) else {
      // The reference treats null as no metadata.
      let start = offset
      if try value(begins: UInt8(ascii: "n")), try value().0.isNull { return [] }
      throw malformed("__metadata__ is not an object", at: start)
    }
    try enterObject()
    var pairs: [(key: String, value: String)] = []
    var keys: Set<ExactName> = []
    var isFirst = true
    while let (key, keyOffset) = try nextKey(&isFirst) {
      guard keys.insert(ExactName(key)).inserted else {
        throw malformed("the key \"\(key)\" is duplicated", at: keyOffset)
      }
      guard keys.count <= SafetensorsHeader.metadataLimit else {
        throw malformed(
          "__metadata__ holds more than \(SafetensorsHeader.metadataLimit) pairs", at: keyOffset)
      }
      let (value, start) = try value()
      guard case .string(let text) = value else {
        throw malformed("the value of \"\(key)\" is not a string", at: start)
      }
      pairs.append((key, text))
    }
    return pairs
  }

  @_lifetime(self: copy self)
  fileprivate mutating func safetensorsEntry(
    name: String, offset: Int, unknown: inout UnknownFields
  ) throws(FormatError) -> SafetensorsHeader.Entry {
    var dtype: DType?
    var shape: [Int]?
    var range: [Int]?
    var fields: Set<ExactName> = []
    guard try value(begins: UInt8(ascii: "{")) else {
      throw malformed("the tensor's entry is not an object", at: self.offset)
    }
    try enterObject()
    var isFirst = true
    while let (field, fieldOffset) = try nextKey(&isFirst) {
      guard fields.insert(ExactName(field)).inserted else {
        throw malformed("the field \"\(field)\" is duplicated", at: fieldOffset)
      }
      guard fields.count <= SafetensorsHeader.fieldLimit else {
        throw malformed(
          "the entry has more than \(SafetensorsHeader.fieldLimit) fields", at: fieldOffset)
      }
      switch field {
      case "dtype": dtype = try self.dtype()
      case "shape": shape = try integers(field)
      case "data_offsets": range = try integers(field)
      default:
        _ = try value()
        unknown.add(field, of: name)
      }
    }
    guard let dtype else { throw malformed("the field \"dtype\" is missing", at: offset) }
    guard let shape else { throw malformed("the field \"shape\" is missing", at: offset) }
    guard let range else { throw malformed("the field \"data_offsets\" is missing", at: offset) }
    guard range.count == 2 else {
      throw malformed("data_offsets holds \(range.count.of("number")) instead of 2", at: offset)
    }
    return SafetensorsHeader.Entry(
      name: name, dtype: dtype, shape: Shape(shape), begin: range[0], end: range[1],
      offset: offset)
  }

  @_lifetime(self: copy self)
  private mutating func dtype() throws(FormatError) -> DType {
    let (value, start) = try value()
    guard case .string(let spelling) = value else {
      throw malformed("dtype is not a string", at: start)
    }
    guard let dtype = DType(rawValue: spelling), dtype.isSafetensors else {
      throw malformed("the dtype \"\(spelling)\" is none of the format's", at: start)
    }
    return dtype
  }

  /// An array of non-negative integers without fraction or exponent.
  @_lifetime(self: copy self)
  private mutating func integers(_ field: String) throws(FormatError) -> [Int] {
    guard try value(begins: UInt8(ascii: "[")) else {
      throw malformed("\(field) is not an array", at: offset)
    }
    try enterArray()
    var numbers: [Int] = []
    var isFirst = true
    while try nextElement(&isFirst) {
      let (value, start) = try value()
      guard case .integer(let number) = value, number >= 0 else {
        throw malformed("\(field) holds something that is no size", at: start)
      }
      numbers.append(number)
    }
    return numbers
  }
}
