import Foundation
import ModelFormats
import OrderedJSON
import Testing

/// Runs a bare pickle.
func runPickle(_ bytes: [UInt8], limits: PickleMachine.Limits = .init()) throws(FormatError)
  -> Pickle
{
  try PickleMachine.run(bytes.span.bytes, base: 0, limits: limits)
}

extension Pickle {
  /// The value as `render` in Fixtures/formats/make_pickles.py writes it.
  var text: String { text(of: root, depth: 0) }

  private func text(of value: PickleValue, depth: Int) -> String {
    guard depth < 20 else { return "…" }
    func list(_ items: [PickleValue]) -> [String] { items.map { text(of: $0, depth: depth + 1) } }
    switch value {
    case .none: return "None"
    case .bool(let value): return value ? "True" : "False"
    case .integer(let value): return String(value)
    case .real(let value): return value.description
    case .string(let value):
      let characters = value.unicodeScalars.map { scalar in
        (" "..."~").contains(scalar) && scalar != "'"
          ? String(scalar) : "<\(String(scalar.value, radix: 16))>"
      }
      return "'\(characters.joined())'"
    case .bytes(let bytes): return "b" + bytes.map { String(format: "%02x", $0) }.joined()
    case .node(let index):
      let node = nodes[index]
      switch node.kind {
      case .tuple: return "(\(list(node.items).joined(separator: ", ")))"
      case .list: return "[\(list(node.items).joined(separator: ", "))]"
      case .set: return "{\(list(node.items).sorted().joined(separator: ", "))}"
      case .dictionary:
        let pairs = stride(from: 0, to: node.pairs.count, by: 2).map {
          list(Array(node.pairs[$0...($0 + 1)])).joined(separator: ": ")
        }
        return "{\(pairs.joined(separator: ", "))}"
      case .bigInteger(let bytes): return decimal(bytes)
      case .complex(let real, let imaginary): return "complex(\(real), \(imaginary))"
      case .global(let module, let name): return "\(module).\(name)"
      case .call(let callable, let arguments), .instance(let callable, let arguments):
        var result = text(of: callable, depth: depth + 1) + text(of: arguments, depth: depth + 1)
        if case .instance = node.kind { result = "new " + result }
        if !node.items.isEmpty { result += "[\(list(node.items).joined(separator: ", "))]" }
        if !node.pairs.isEmpty { result += "{\(list(node.pairs).joined(separator: ", "))}" }
        for state in list(node.states) { result += "<\(state)>" }
        return result
      case .persistent(let identifier):
        return "persistent " + text(of: identifier, depth: depth + 1)
      }
    }
  }

  /// A two's complement number in decimal, by repeated division.
  private func decimal(_ bytes: [UInt8]) -> String {
    var magnitude = Array(bytes.reversed())
    let isNegative = bytes.last.map { $0 & 0x80 != 0 } ?? false
    if isNegative {
      magnitude = magnitude.map { ~$0 }
      for index in magnitude.indices.reversed() {
        magnitude[index] &+= 1
        if magnitude[index] != 0 { break }
      }
    }
    var digits = ""
    while magnitude.contains(where: { $0 != 0 }) {
      var rest = 0
      for index in magnitude.indices {
        rest = rest << 8 | Int(magnitude[index])
        magnitude[index] = UInt8(rest / 10)
        rest %= 10
      }
      digits = String(rest) + digits
    }
    return (isNegative ? "-" : "") + digits
  }
}

/// A pickle, and the text of Python's value.
struct PickleCase: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let bytes: [UInt8]
  let text: String

  static func all(in path: String) -> [PickleCase] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8),
      let entries = try? JSON(parsing: text).array
    else { return [] }
    return entries.compactMap { entry in
      guard let name = entry["name"]?.string, let hexadecimal = entry["hex"]?.string,
        let text = entry["text"]?.string
      else { return nil }
      let digits = Array(hexadecimal)
      let bytes = stride(from: 0, to: digits.count, by: 2).compactMap {
        UInt8(String(digits[$0...($0 + 1)]), radix: 16)
      }
      return PickleCase(testDescription: name, bytes: bytes, text: text)
    }
  }
}
