import TestSupport

/// Builds valid and invalid GGUF files: every field can be set to something false.
struct GGUFBuilder {
  struct Entry {
    var name: String
    /// Innermost first.
    var dimensions: [Int64] = [4]
    var type: UInt32 = 24
    var offset: UInt64 = 0
    var rank: UInt32?
  }

  var magic = Array("GGUF".utf8)
  var version: UInt32 = 3
  var tensorCount: Int64?
  var pairCount: Int64?
  /// Keys and the bytes of their types and values.
  var pairs: [(key: String, value: [UInt8])] = []
  var entries: [Entry] = [Entry(name: "w")]
  var alignment = 32
  var values: [UInt8] = [1, 2, 3, 4]

  func with(_ change: (inout GGUFBuilder) -> Void) -> GGUFBuilder {
    var builder = self
    change(&builder)
    return builder
  }

  static func string(_ text: String) -> [UInt8] {
    littleEndian(UInt64(text.utf8.count)) + Array(text.utf8)
  }

  static func text(_ text: String) -> [UInt8] { littleEndian(UInt32(8)) + string(text) }

  static func number(_ value: UInt32) -> [UInt8] { littleEndian(UInt32(4)) + littleEndian(value) }

  static func array(_ type: UInt32, count: UInt64, _ elements: [UInt8]) -> [UInt8] {
    littleEndian(UInt32(9)) + littleEndian(type) + littleEndian(count) + elements
  }

  var header: [UInt8] {
    var bytes = magic + littleEndian(version)
    bytes += littleEndian(tensorCount ?? Int64(entries.count))
    bytes += littleEndian(pairCount ?? Int64(pairs.count))
    for pair in pairs { bytes += GGUFBuilder.string(pair.key) + pair.value }
    for entry in entries {
      bytes += GGUFBuilder.string(entry.name)
      bytes += littleEndian(entry.rank ?? UInt32(entry.dimensions.count))
      for dimension in entry.dimensions { bytes += littleEndian(dimension) }
      bytes += littleEndian(entry.type) + littleEndian(entry.offset)
    }
    return bytes
  }

  var bytes: [UInt8] {
    let header = header
    let padding = (alignment - header.count % alignment) % alignment
    return header + [UInt8](repeating: 0, count: padding) + values
  }
}
