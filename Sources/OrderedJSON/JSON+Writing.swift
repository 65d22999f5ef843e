extension JSON {
  /// The layout of a value as text.
  public enum Style: Sendable {
    /// One line without whitespace.
    case compact
    /// One member per line, indented by two spaces.
    case indented
  }

  /// The value as JSON text; objects keep their order. Infinite and NaN numbers, which JSON
  /// does not have, become null.
  public func text(_ style: Style = .indented) -> String {
    var output = ""
    write(to: &output, style: style, depth: 0)
    return output
  }

  /// The value's text at a nesting depth; the first line is not indented.
  package func text(depth: Int) -> String {
    var output = ""
    write(to: &output, style: .indented, depth: depth)
    return output
  }

  private func write(to output: inout String, style: Style, depth: Int) {
    switch self {
    case .null: output += "null"
    case .bool(let value): output += value ? "true" : "false"
    case .integer(let value): output += String(value)
    case .number(let value): output += value.isFinite ? "\(value)" : "null"
    case .string(let value): JSON.quote(value, to: &output)
    case .array(let elements):
      JSON.sequence(elements, "[", "]", to: &output, style: style, depth: depth) {
        $0.write(to: &$1, style: style, depth: depth + 1)
      }
    case .object(let object):
      JSON.sequence(object.members, "{", "}", to: &output, style: style, depth: depth) {
        JSON.quote($0.key, to: &$1)
        $1 += style == .indented ? ": " : ":"
        $0.value.write(to: &$1, style: style, depth: depth + 1)
      }
    }
  }

  private static func sequence<Element>(
    _ elements: [Element], _ open: String, _ close: String, to output: inout String, style: Style,
    depth: Int, _ body: (Element, inout String) -> Void
  ) {
    output += open
    for (position, element) in elements.enumerated() {
      if position > 0 { output += "," }
      if style == .indented { output += "\n" + String(repeating: "  ", count: depth + 1) }
      body(element, &output)
    }
    if style == .indented, !elements.isEmpty {
      output += "\n" + String(repeating: "  ", count: depth)
    }
    output += close
  }

  /// Writes a character by its number, so that a terminal does not interpret it.
  private static func escape(_ scalar: Unicode.Scalar, to output: inout String) {
    for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter {
      let digits = String(unit, radix: 16)
      output += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
  }

  private static func quote(_ value: String, to output: inout String) {
    output += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": output += "\\\""
      case "\\": output += "\\\\"
      case "\n": output += "\\n"
      case "\r": output += "\\r"
      case "\t": output += "\\t"
      case "\u{0}"..<"\u{20}", "\u{7F}"..."\u{9F}", "\u{F0000}"...:
        escape(scalar, to: &output)
      case _ where scalar.isInvisible: escape(scalar, to: &output)
      default: output.unicodeScalars.append(scalar)
      }
    }
    output += "\""
  }
}
