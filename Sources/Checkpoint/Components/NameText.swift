import CLinux

/// The names of a file's tensors as one text, for queries over all of them: prefixes, suffixes and
/// substrings. Searching the text takes microseconds; checking thousands of names one by one takes
/// milliseconds.
struct NameText {
  /// Each name between two zero bytes.
  private let bytes: [UInt8]
  /// The start of each name in ``bytes``.
  private let starts: [Int]

  init(_ names: some Sequence<String>) {
    var bytes: [UInt8] = [0]
    var starts: [Int] = []
    for name in names {
      starts.append(bytes.count)
      bytes.append(contentsOf: name.utf8)
      bytes.append(0)
    }
    self.bytes = bytes
    self.starts = starts
  }

  /// Whether any name contains the text.
  func contains(_ text: String) -> Bool { first(containing: text) != nil }

  /// The position of the first name that contains the text, or begins or ends with it.
  ///
  /// A name with a zero byte, which no program writes, may count as several.
  func first(
    containing text: String, isAtStart: Bool = false, isAtEnd: Bool = false
  ) -> Int? {
    let pattern = (isAtStart ? [0] : []) + Array(text.utf8) + (isAtEnd ? [0] : [])
    guard !pattern.isEmpty else { return starts.isEmpty ? nil : 0 }
    let found = sdk_find(bytes, Int64(bytes.count), pattern, Int64(pattern.count))
    guard found >= 0 else { return nil }
    let offset = Int(found) + (isAtStart ? 1 : 0)
    // The last name starting at or before it.
    var range = 0..<starts.count
    while range.count > 1 {
      let middle = range.lowerBound + range.count / 2
      range = starts[middle] <= offset ? middle..<range.upperBound : range.lowerBound..<middle
    }
    return range.first
  }
}
