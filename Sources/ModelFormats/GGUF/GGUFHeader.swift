import OrderedJSON

/// The part of a GGUF file before the values.
struct GGUFHeader {
  struct Entry {
    let name: String
    let type: GGUFType
    let shape: Shape
    /// The offset from the start of the values.
    let offset: Int
    let byteCount: Int
  }

  private(set) var metadata: [(key: String, value: String)] = []
  private(set) var entries: [Entry] = []
  /// Original shapes of tensors that are listed with another shape, by name.
  private(set) var originalShapes: [ExactName: Shape] = [:]
  private(set) var alignment = GGUF.defaultAlignment
  /// The offset of the values in the file.
  private(set) var dataStart = 0
  /// Bytes of all values, without the last tensor's padding.
  private(set) var byteCount = 0

  /// The maximum number of tensors and of metadata entries.
  private static let countLimit = 65536

  init(parsing file: MappedFile) throws(FormatError) {
    var reader = ByteReader(file.bytes, base: 0, what: "the header")
    try reader.skip(4)
    try GGUFHeader.checkVersion(try reader.integer())
    let counts: [Int64] = [try reader.integer(), try reader.integer()]
    let room = reader.remaining
    let tensorCount = try GGUFHeader.count(counts[0], of: "tensors", each: 24, in: room, at: 8)
    let pairCount = try GGUFHeader.count(
      counts[1], of: "key-value pairs", each: 13, in: room, at: 16)
    try readPairs(pairCount, from: &reader)
    try readEntries(tensorCount, from: &reader)
    dataStart = (reader.offset + alignment - 1) / alignment * alignment
    // The sizes are untrusted: their sum with the preceding offset may overflow.
    guard let last = entries.last, byteCount > file.count - dataStart else { return }
    let present = max(0, file.count - dataStart)
    let cut = entries.first { $0.offset + $0.byteCount > present } ?? last
    throw FormatError(
      .truncated,
      "the file is truncated: its header describes \(byteCount.of("byte")) of values, \(present) are "
        + "there, so \(byteCount - present) are missing"
        + FormatError.share(file.count, of: byteCount.addingReportingOverflow(dataStart)),
      offset: file.count, context: cut.name, hint: Safetensors.downloadAgain)
  }

  private static func checkVersion(_ version: UInt32) throws(FormatError) {
    switch version {
    case 2, 3: return
    case let version where version != 0 && version & 0xFFFF == 0:
      throw FormatError(
        .unsupported,
        "big-endian GGUF is not supported (version \(version.byteSwapped))",
        offset: 4, hint: "convert it with gguf_convert_endian.py of the gguf package")
    case 1:
      throw FormatError(
        .unsupported, "unsupported GGUF version 1 (supported: 2 and 3)", offset: 4,
        hint: "re-export it with a current tool")
    default:
      throw FormatError(
        .unsupported, "unsupported GGUF version \(version) (supported: 2 and 3)",
        offset: 4)
    }
  }

  /// A count of items with a minimum size each.
  private static func count(
    _ count: Int64, of what: String, each size: Int, in room: Int, at offset: Int
  ) throws(FormatError) -> Int {
    guard count >= 0 else {
      throw FormatError(
        .malformed, "the number of \(what) is negative: \(count)", offset: offset,
        hint: "the file is damaged; download it again")
    }
    guard count <= room / size else {
      throw FormatError(
        .malformed,
        "\(count) \(what) do not fit the \(room.of("byte that follows", "bytes that follow"))",
        offset: offset,
        hint: "the file is damaged, or its download stopped early; download it again")
    }
    guard count <= countLimit else {
      throw FormatError(
        .unsupported, "the file has \(count) \(what); \(countLimit) is the limit", offset: offset)
    }
    return Int(count)
  }

  /// A string's bytes, at most `limit`.
  static func text(
    from reader: inout ByteReader, limit: Int, what: String
  ) throws(FormatError) -> String {
    let start = reader.offset
    let length = try reader.integer(UInt64.self)
    guard length <= UInt64(reader.remaining) else {
      throw FormatError(
        .malformed, "\(what) is \(length.of("byte")) long, but only \(reader.remaining) remain",
        offset: start)
    }
    guard length <= UInt64(limit) else {
      throw FormatError(
        .malformed, "\(what) is \(length.of("byte")) long; \(limit) is the limit", offset: start)
    }
    guard let text = try reader.text(Int(length)) else {
      throw FormatError(.malformed, "\(what) is not UTF-8", offset: start)
    }
    return text
  }
}

extension GGUFHeader {
  private mutating func readPairs(
    _ count: Int, from reader: inout ByteReader
  ) throws(FormatError) {
    var keys: Set<ExactName> = []
    for _ in 0..<count {
      let start = reader.offset
      let key = try GGUFHeader.text(from: &reader, limit: 65_535, what: "a key")
      do throws(FormatError) {
        guard !key.isEmpty else {
          throw FormatError(.malformed, "empty key", offset: start)
        }
        guard keys.insert(ExactName(key)).inserted else {
          throw FormatError(.malformed, "duplicate key", offset: start)
        }
        let valueStart = reader.offset
        // Files embedded by the converter, such as a tokenizer, are read completely.
        let isFile = key.hasPrefix("sdloom:") || key.hasPrefix("sdkit:")
        let limit = isFile ? 16 << 20 : GGUFValue.textLimit
        let value = try GGUFValue(from: &reader, textLimit: limit)
        metadata.append((key, value.description))
        if key == "general.alignment" {
          guard case .number(.uint32, let text) = value, let number = Int(text), number > 0,
            number & (number - 1) == 0
          else {
            throw FormatError(
              .malformed, "the alignment is not a power of 2 that fits in 32 bits: \(value)",
              offset: valueStart)
          }
          alignment = number
        }
        if key.hasPrefix(GGUF.originalShape) {
          let name = ExactName(String(key.dropFirst(GGUF.originalShape.count)))
          originalShapes[name] = try GGUFHeader.shape(value, at: valueStart)
        }
      } catch {
        var error = error
        error.context = error.context ?? key
        throw error
      }
    }
  }

  /// The shape in a value, outermost dimension first.
  private static func shape(
    _ value: GGUFValue, at offset: Int
  ) throws(FormatError) -> Shape {
    guard case .array(let elements) = value, elements.count <= 8 else {
      throw FormatError(.malformed, "not a list of at most 8 sizes: \(value)", offset: offset)
    }
    let sizes = elements.compactMap { Int($0) }
    guard sizes.count == elements.count, sizes.allSatisfy({ $0 >= 0 }) else {
      throw FormatError(.malformed, "not a list of sizes: \(value)", offset: offset)
    }
    return Shape(sizes)
  }

  private mutating func readEntries(
    _ count: Int, from reader: inout ByteReader
  ) throws(FormatError) {
    var names: Set<ExactName> = []
    var expected = 0
    entries.reserveCapacity(count)
    for _ in 0..<count {
      let start = reader.offset
      let name = try GGUFHeader.text(from: &reader, limit: 65_535, what: "a tensor's name")
      do throws(FormatError) {
        guard names.insert(ExactName(name)).inserted else {
          throw FormatError(.malformed, "duplicate tensor name", offset: start)
        }
        let entry = try GGUFHeader.entry(name, from: &reader, at: expected, alignment: alignment)
        byteCount = entry.offset + entry.byteCount
        let (padded, overflow) = byteCount.addingReportingOverflow(alignment - 1)
        guard !overflow else {
          throw FormatError(.malformed, "the tensors' total size exceeds 64 bits", offset: start)
        }
        expected = padded / alignment * alignment
        entries.append(entry)
      } catch {
        var error = error
        error.context = error.context ?? name
        throw error
      }
    }
  }

  /// The rest of a tensor's entry; its values must be at `expected`.
  private static func entry(
    _ name: String, from reader: inout ByteReader, at expected: Int, alignment: Int
  ) throws(FormatError) -> Entry {
    let start = reader.offset
    let rank = try reader.integer(UInt32.self)
    guard rank <= GGUF.rankLimit else {
      throw FormatError(
        .malformed, "the tensor has \(rank.of("dimension")); \(GGUF.rankLimit) is the limit",
        offset: start)
    }
    var dimensions: [Int] = []
    for _ in 0..<rank {
      let dimension = try reader.integer(Int64.self)
      guard dimension >= 0 else {
        throw FormatError(
          .malformed, "negative dimension \(dimension)", offset: reader.offset - 8)
      }
      dimensions.append(Int(dimension))
    }
    let shape = Shape(dimensions.reversed())
    let typeStart = reader.offset
    let number = try reader.integer(UInt32.self)
    guard let type = GGUFType(number: number) else {
      throw FormatError(
        .unsupported, "unknown ggml type \(number)",
        offset: typeStart)
    }
    let block = type.block
    guard let count = shape.elementCount else {
      throw FormatError(
        .malformed, "the shape \(shape) has too many elements", offset: start)
    }
    guard (dimensions.first ?? 1) % block.size == 0 else {
      throw FormatError(
        .malformed,
        "rows of \((dimensions.first ?? 1).of("element")) are not whole blocks of \(block.size) of "
          + type.name, offset: start)
    }
    let (byteCount, overflow) = (count / block.size)
      .multipliedReportingOverflow(by: block.byteCount)
    guard !overflow else {
      throw FormatError(
        .malformed, "the shape \(shape) needs too many bytes", offset: start)
    }
    let offsetStart = reader.offset
    let offset = try reader.integer(UInt64.self)
    guard offset == UInt64(expected) else {
      throw FormatError(
        .malformed, offsetRefusal(offset, expected: expected, alignment: alignment),
        offset: offsetStart)
    }
    let (_, beyond) = expected.addingReportingOverflow(byteCount)
    guard !beyond else {
      throw FormatError(.malformed, "the tensors' total size exceeds 64 bits", offset: start)
    }
    return Entry(name: name, type: type, shape: shape, offset: expected, byteCount: byteCount)
  }

  private static func offsetRefusal(_ offset: UInt64, expected: Int, alignment: Int) -> String {
    if offset % UInt64(alignment) != 0 {
      return "its offset \(offset) is not a multiple of the alignment \(alignment)"
    }
    if offset < UInt64(expected) {
      return "its values begin at \(offset), inside those of another tensor, which end at "
        + "\(expected)"
    }
    return "its data starts at \(offset), leaving a gap after \(expected)"
  }
}
