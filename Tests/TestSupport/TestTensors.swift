import Foundation
import OrderedJSON

/// The F32 and I64 tensors of a safetensors fixture, read without the library under test.
public struct TestTensors: Sendable {
  public struct Entry: Sendable {
    public let shape: [Int]
    public let floats: [Float]
    public let integers: [Int64]
  }

  public let entries: [String: Entry]

  /// Reads the whole file.
  public init(path: String) throws {
    let data = try Data(contentsOf: URL(filePath: path))
    let length = Int(
      data.prefix(8).enumerated().reduce(0) { $0 | UInt64($1.element) << (8 * $1.offset) })
    let header = try JSON(parsing: String(decoding: data[8..<(8 + length)], as: UTF8.self))
    let body = [UInt8](data[(8 + length)...])
    var entries: [String: Entry] = [:]
    for member in header.object?.members ?? [] where member.key != "__metadata__" {
      let shape = (member.value["shape"]?.array ?? []).compactMap(\.int)
      let range = (member.value["data_offsets"]?.array ?? []).compactMap(\.int)
      let bytes = Array(body[range[0]..<range[1]])
      let isFloat = member.value["dtype"]?.string == "F32"
      entries[member.key] = Entry(
        shape: shape, floats: isFloat ? Self.load(bytes) : [],
        integers: isFloat ? [] : Self.load(bytes))
    }
    self.entries = entries
  }

  /// The entry with this name; a missing one is an error of the test.
  public subscript(name: String) -> Entry {
    guard let entry = entries[name] else { fatalError("the fixture has no tensor \(name)") }
    return entry
  }

  private static func load<Value>(_ bytes: [UInt8]) -> [Value] {
    bytes.withUnsafeBytes { buffer in
      (0..<(bytes.count / MemoryLayout<Value>.stride)).map {
        buffer.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Value>.stride, as: Value.self)
      }
    }
  }
}

/// How far `values` are from `reference`.
public enum Difference {
  /// The largest absolute difference; infinite if the counts differ or a value is NaN.
  public static func largest(_ values: [Float], _ reference: [Float]) -> Float {
    guard values.count == reference.count else { return .infinity }
    return zip(values, reference).reduce(0) {
      max($0, ($1.0 - $1.1).isNaN ? .infinity : abs($1.0 - $1.1))
    }
  }

  /// The Euclidean norm of the difference over that of the reference.
  public static func relative(_ values: [Float], _ reference: [Float]) -> Double {
    guard values.count == reference.count else { return .infinity }
    var difference = 0.0
    var norm = 0.0
    for (value, expected) in zip(values, reference) {
      difference += (Double(value) - Double(expected)) * (Double(value) - Double(expected))
      norm += Double(expected) * Double(expected)
    }
    let ratio = (difference / norm).squareRoot()
    return ratio.isNaN ? .infinity : ratio
  }
}
