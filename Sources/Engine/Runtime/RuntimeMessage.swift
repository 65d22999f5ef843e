/// The texts of ONNX Runtime's errors, which contain places in its source and C++ signatures.
package enum RuntimeMessage {
  /// The first sentence for a person in `text`, without a full stop.
  package static func sentence(_ text: String) -> String {
    var text = Substring(text)
    // A message may quote another: `[ONNXRuntimeError] : 11 : EP_FAIL : …`.
    if let mark = text.ranges(of: "[ONNXRuntimeError]").last {
      let parts = text[mark.upperBound...].split(
        separator: " : ", maxSplits: 2, omittingEmptySubsequences: false)
      if parts.count == 3, let last = parts.last { text = last }
    }
    let lines = text.split(separator: "\n")
    text = lines.first.map { trimmed($0) } ?? ""
    text = withoutPlace(text)
    // A failed check: `condition was false. What is wrong`.
    if let mark = text.firstRange(of: " was false. "), !text[mark.upperBound...].isEmpty {
      text = text[mark.upperBound...]
    }
    while let last = text.last, last == "." || last == " " { text = text.dropLast() }
    return text.isEmpty ? "no reason given" : String(text)
  }

  /// Whether the text is about too little memory.
  package static func isShortage(_ text: String) -> Bool {
    let text = text.lowercased()
    return [
      "bad_alloc", "failed to allocate memory", "out of memory", "out_of_memory",
      "out of device memory", "out_of_device_memory", "out_of_host_memory",
      "cannot allocate memory",
    ].contains { text.contains($0) }
  }

  /// Removes `/place/file.cc:12 result name(parameters) `, wherever it starts.
  private static func withoutPlace(_ text: Substring) -> Substring {
    guard let mark = text.firstRange(of: #/\S*/\S+\.(cc|h|cpp|hpp):\d+ /#) else { return text }
    var depth = 0
    var hasParameters = false
    var index = mark.upperBound
    while index < text.endIndex {
      let next = text.index(after: index)
      switch text[index] {
      case "(", "<", "[": depth += 1
      case ")", ">", "]":
        depth -= 1
        hasParameters = hasParameters || text[index] == ")"
      default: break
      }
      if hasParameters, depth == 0, next < text.endIndex, text[next] == " " {
        var rest = text[text.index(after: next)...]
        for word in ["const ", "[with "] where rest.hasPrefix(word) {
          rest =
            word == "const " ? rest.dropFirst(6) : rest.drop { $0 != "]" }.dropFirst(2)
        }
        return rest.isEmpty ? text[mark.upperBound...] : rest
      }
      index = next
    }
    return text[mark.upperBound...]
  }

  private static func trimmed(_ text: Substring) -> Substring {
    var text = text.drop { $0 == " " }
    while text.last == " " { text = text.dropLast() }
    return text
  }
}
