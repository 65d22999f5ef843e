import ModelFormats
import OrderedJSON

/// Merges in the form of a file: lines of `merges.txt`, or the list of a `tokenizer.json`.
package struct MergeList: Sendable {
  /// One merge.
  package struct Entry {
    /// The two tokens; nil if the entry is invalid.
    package let pair: (left: ArraySlice<UInt8>, right: ArraySlice<UInt8>)?
    /// The byte where the line starts; nil in a list.
    package let offset: Int?
    /// Its location for messages: `line 2`, `merge 1`.
    package let place: String
  }

  private enum Storage: Sendable {
    case text([UInt8])
    case list([JSON])
  }

  private let storage: Storage
  /// The file, for errors.
  let context: String

  /// Lines of two tokens separated by a space; a line `#version…` is skipped.
  package init(text: String) {
    storage = .text(Array(text.utf8))
    context = "merges.txt"
  }

  /// A list of strings with two tokens separated by a space, or of pairs of tokens.
  package init(_ list: [JSON], context: String) {
    storage = .list(list)
    self.context = context
  }

  /// The approximate count.
  var estimatedCount: Int {
    switch storage {
    case .text(let bytes): bytes.count / 10
    case .list(let list): list.count
    }
  }

  /// Calls `body` with each merge in order.
  package func visit<Failure: Error>(
    _ body: (Entry) throws(Failure) -> Void
  ) throws(Failure) {
    switch storage {
    case .text(let bytes): try Self.forEachLine(of: bytes, body)
    case .list(let list):
      for (index, merge) in list.enumerated() {
        try body(Entry(pair: Self.pair(merge), offset: nil, place: "merge \(index + 1)"))
      }
    }
  }

  private static func forEachLine<Failure: Error>(
    of bytes: [UInt8], _ body: (Entry) throws(Failure) -> Void
  ) throws(Failure) {
    var start = 0
    var number = 0
    while start < bytes.count {
      number += 1
      let newline = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
      let end =
        newline > start && bytes[newline - 1] == UInt8(ascii: "\r") ? newline - 1 : newline
      let line = bytes[start..<end]
      if !line.isEmpty, !line.starts(with: "#version".utf8) {
        try body(Entry(pair: pair(line), offset: start, place: "line \(number)"))
      }
      start = newline + 1
    }
  }

  private static func pair(
    _ text: ArraySlice<UInt8>
  ) -> (left: ArraySlice<UInt8>, right: ArraySlice<UInt8>)? {
    guard let space = text.firstIndex(of: UInt8(ascii: " ")),
      !text[(space + 1)...].contains(UInt8(ascii: " "))
    else { return nil }
    return (text[..<space], text[(space + 1)...])
  }

  private static func pair(
    _ merge: JSON
  ) -> (left: ArraySlice<UInt8>, right: ArraySlice<UInt8>)? {
    if let text = merge.string { return pair(Array(text.utf8)[...]) }
    guard let tokens = merge.array, tokens.count == 2, let left = tokens[0].string,
      let right = tokens[1].string
    else { return nil }
    return (Array(left.utf8)[...], Array(right.utf8)[...])
  }
}
