/// Builds Protocol Buffers messages, field by field.
enum ProtobufBuilder {
  static func varint(_ value: UInt64) -> [UInt8] {
    var rest = value
    var bytes: [UInt8] = []
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  static func tag(_ number: Int, _ type: Int) -> [UInt8] { varint(UInt64(number << 3 | type)) }

  static func integer(_ number: Int, _ value: Int) -> [UInt8] {
    tag(number, 0) + varint(UInt64(bitPattern: Int64(value)))
  }

  static func bytes(_ number: Int, _ parts: [UInt8]...) -> [UInt8] {
    let all = parts.flatMap { $0 }
    return tag(number, 2) + varint(UInt64(all.count)) + all
  }

  static func text(_ number: Int, _ text: String) -> [UInt8] { bytes(number, Array(text.utf8)) }

  static func pair(_ number: Int, _ key: String, _ value: String) -> [UInt8] {
    bytes(number, text(1, key), text(2, value))
  }

  /// A `TensorProto` as an initializer.
  static func tensor(
    _ name: String = "w", type: Int? = 2, dims: [Int] = [2], _ more: [UInt8] = bytes(9, [1, 2])
  ) -> [UInt8] {
    bytes(
      5, dims.flatMap { integer(1, $0) }, type.map { integer(2, $0) } ?? [], text(8, name), more)
  }

  /// The initializer `w` of two U8 values.
  static func tensor(_ first: [UInt8], _ more: [UInt8]...) -> [UInt8] {
    tensor("w", first + more.flatMap { $0 })
  }

  /// A `ModelProto` of a graph.
  static func model(_ graph: [UInt8]...) -> [UInt8] {
    integer(1, 8) + bytes(7, graph.flatMap { $0 })
  }
}
