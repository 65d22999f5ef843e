import ModelFormats

/// The merges of a byte-pair model in order, and their application to the symbols of a word.
///
/// Source: Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words with Subword
/// Units" (2016): the pair learned first is merged first, from the left.
package struct BytePairMerges: Sendable {
  /// A symbol of a word: a token, and the number of bytes of the word that it covers.
  package struct Symbol {
    package var id: Int32
    package var length: Int

    package init(id: Int32, length: Int) {
      self.id = id
      self.length = length
    }
  }

  private struct Merge {
    let rank: Int32
    let id: Int32
  }

  private var merges: [UInt64: Merge] = [:]
  /// The number of merges.
  package private(set) var count = 0

  /// - Throws: ``FormatError`` `malformed`, with the invalid merge.
  package init(_ list: MergeList, vocabulary: Vocabulary) throws(FormatError) {
    merges.reserveCapacity(list.estimatedCount)
    var joined: [UInt8] = []
    try list.visit { (merge) throws(FormatError) in
      guard let pair = merge.pair else {
        throw FormatError(
          .malformed, "a merge is not two tokens separated by a space", offset: merge.offset,
          context: list.context)
      }
      joined.removeAll(keepingCapacity: true)
      joined.append(contentsOf: pair.left)
      joined.append(contentsOf: pair.right)
      guard let left = vocabulary.id(of: pair.left), let right = vocabulary.id(of: pair.right),
        let id = vocabulary.id(of: joined)
      else {
        let text =
          "\(String(decoding: pair.left, as: UTF8.self)) "
          + String(decoding: pair.right, as: UTF8.self)
        throw FormatError(
          .malformed,
          "the merge \"\(text)\" names a token that the vocabulary does not contain",
          offset: merge.offset, context: list.context,
          hint: "take the tokenizer's files from the same repository")
      }
      // For a duplicate pair the last position counts, as in the reference.
      merges[Self.key(left, right)] = Merge(rank: Int32(clamping: count), id: id)
      count += 1
    }
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// Merges until no pair of neighbors is in the table, in O(n log n) for n symbols.
  package func apply(to symbols: inout [Symbol]) {
    guard symbols.count > 1 else { return }
    var previous = (0..<symbols.count).map { $0 - 1 }
    var following = (0..<symbols.count).map { $0 + 1 }
    var heap = CandidateHeap()
    func candidate(_ position: Int) -> Candidate? {
      guard position >= 0, following[position] < symbols.count,
        let merge = merges[Self.key(symbols[position].id, symbols[following[position]].id)]
      else { return nil }
      return Candidate(rank: merge.rank, position: Int32(position), id: merge.id)
    }
    for position in 0..<(symbols.count - 1) {
      if let candidate = candidate(position) { heap.push(candidate) }
    }
    while let top = heap.pop() {
      let position = Int(top.position)
      // Stale if one of the two symbols has been merged since.
      guard symbols[position].length > 0, candidate(position)?.id == top.id else { continue }
      let right = following[position]
      symbols[position].id = top.id
      symbols[position].length += symbols[right].length
      symbols[right].length = 0
      following[position] = following[right]
      if following[right] < symbols.count { previous[following[right]] = position }
      if let candidate = candidate(previous[position]) { heap.push(candidate) }
      if let candidate = candidate(position) { heap.push(candidate) }
    }
    symbols.removeAll { $0.length == 0 }
  }
}

/// A pair of neighbors that may be merged.
private struct Candidate {
  let rank: Int32
  let position: Int32
  let id: Int32

  static func < (left: Candidate, right: Candidate) -> Bool {
    (left.rank, left.position) < (right.rank, right.position)
  }
}

/// A binary heap with the first-learned, leftmost candidate on top.
private struct CandidateHeap {
  private var items: [Candidate] = []

  mutating func push(_ candidate: Candidate) {
    items.append(candidate)
    var child = items.count - 1
    while child > 0, items[child] < items[(child - 1) / 2] {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Candidate? {
    guard let top = items.first else { return nil }
    let last = items.removeLast()
    guard !items.isEmpty else { return top }
    items[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < items.count && items[child] < items[least] {
        least = child
      }
      guard least != parent else { return top }
      items.swapAt(parent, least)
      parent = least
    }
  }
}
