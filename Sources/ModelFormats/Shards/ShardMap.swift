import OrderedJSON

/// The contents of an index: the shard of each tensor.
struct ShardMap {
  struct Entry {
    let shard: String
    /// The offset of the tensor's name in the index.
    let offset: Int
  }

  private(set) var entries: [ExactName: Entry] = [:]
  /// The shards by name, and the offset where each first appears.
  private(set) var shards: [(name: String, offset: Int)] = []
  private(set) var totalSize: Int?
  /// The offset of the map in the index.
  private(set) var mapOffset = 0

  init(parsing file: MappedFile) throws(FormatError) {
    guard file.count <= ShardIndex.sizeLimit else {
      throw FormatError(
        .unsupported, "the index has \(file.count.of("byte")); \(ShardIndex.sizeLimit) is the limit"
      )
    }
    var parser = try LocatedJSON(file.bytes, base: 0, what: "the index")
    var keys: Set<ExactName> = []
    var isFirst = true
    try parser.enterObject()
    while let (key, offset) = try parser.nextKey(&isFirst) {
      guard keys.insert(ExactName(key)).inserted else {
        throw parser.malformed("\"\(key)\" is duplicated in the index", at: offset)
      }
      switch key {
      case "metadata": try readMetadata(&parser)
      case "weight_map":
        mapOffset = offset
        try readMap(&parser)
      default: _ = try parser.value()
      }
    }
    try parser.end()
    guard keys.contains(ExactName("weight_map")) else {
      throw FormatError(.malformed, "the index has no weight_map", offset: 0)
    }
    guard !entries.isEmpty else {
      throw FormatError(.malformed, "the index lists no tensors", offset: mapOffset)
    }
    shards.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    guard shards.count <= ShardIndex.shardLimit else {
      throw FormatError(
        .unsupported,
        "the index names \(shards.count.of("shard")); \(ShardIndex.shardLimit) is the limit",
        offset: mapOffset)
    }
    try checkSuffixes(of: file.path)
  }

  private mutating func readMetadata(_ parser: inout LocatedJSON) throws(FormatError) {
    guard try parser.value(begins: UInt8(ascii: "{")) else {
      throw parser.malformed("metadata is not an object", at: parser.offset)
    }
    try parser.enterObject()
    var keys: Set<ExactName> = []
    var isFirst = true
    while let (key, offset) = try parser.nextKey(&isFirst) {
      guard keys.insert(ExactName(key)).inserted else {
        throw parser.malformed("\"\(key)\" is duplicated in the metadata", at: offset)
      }
      let (value, start) = try parser.value()
      guard key == "total_size" else { continue }
      let text = parser.text(from: start)
      func refusal(_ reason: String) -> FormatError {
        parser.malformed("total_size \(reason)", at: start)
      }
      switch value {
      case .integer(let size) where size >= 0: totalSize = size
      case .null: throw refusal("is null")
      case .bool: throw refusal("is \(text)")
      case .string: throw refusal("is a string")
      case .array, .object: throw refusal("is not a number")
      case .integer: throw refusal("is negative: \(text)")
      case .number:
        if text.hasPrefix("-") { throw refusal("is negative: \(text)") }
        if text.contains(where: { $0 == "e" || $0 == "E" }) {
          throw refusal("has an exponent: \(text)")
        }
        if text.contains(".") { throw refusal("has a fraction: \(text)") }
        throw refusal("is too large for a size")
      }
    }
  }

  private mutating func readMap(_ parser: inout LocatedJSON) throws(FormatError) {
    guard try parser.value(begins: UInt8(ascii: "{")) else {
      throw parser.malformed("weight_map is not an object", at: parser.offset)
    }
    try parser.enterObject()
    var known: Set<ExactName> = []
    var isFirst = true
    while let (tensor, offset) = try parser.nextKey(&isFirst) {
      parser.context = tensor
      let (value, start) = try parser.value()
      guard case .string(let shard) = value else {
        throw parser.malformed("its shard name is not a string", at: start)
      }
      let entry = Entry(shard: shard, offset: offset)
      guard entries.updateValue(entry, forKey: ExactName(tensor)) == nil else {
        throw parser.malformed("duplicate tensor in weight_map", at: offset)
      }
      if known.insert(ExactName(shard)).inserted {
        if let reason = FileReference.refusal(of: shard, as: .name) {
          throw parser.malformed("its shard name \(reason)", at: start)
        }
        shards.append((shard, start))
      }
      parser.context = nil
    }
  }

  /// Checks that shards have the suffix implied by the index's name, or another weights suffix.
  private func checkSuffixes(of path: String) throws(FormatError) {
    let name = path.utf8.split(separator: UInt8(ascii: "/")).last ?? path.utf8[...]
    let known = [".safetensors", ".bin"]
    let named = known.filter { name.firstRange(of: ($0 + ".").utf8) != nil }
    let allowed = named.isEmpty ? known : named
    func isAllowed(_ shard: String) -> Bool {
      allowed.contains { shard.utf8.suffix($0.utf8.count).elementsEqual($0.utf8) }
    }
    for shard in shards where !isAllowed(shard.name) {
      throw FormatError(
        .malformed, "the shard's name does not end in \(allowed.joined(separator: " or "))",
        offset: shard.offset, context: shard.name)
    }
  }
}
