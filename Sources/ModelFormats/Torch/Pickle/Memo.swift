/// The memo of a pickle, by index. Writers count up from zero, so most of it is an array; skipped
/// indices, which malicious files choose freely, are in a dictionary.
struct Memo {
  private var values: [PickleValue] = []
  private var others: [Int: PickleValue] = [:]

  /// Whether the index is the next in sequence.
  func isNext(_ index: Int) -> Bool { index == values.count && others[index] == nil }

  var count: Int { values.count + others.count }

  subscript(index: Int) -> PickleValue? {
    get { values.indices.contains(index) ? values[index] : others[index] }
    set {
      guard let newValue else { return }
      if values.indices.contains(index) {
        values[index] = newValue
      } else if isNext(index) {
        values.append(newValue)
      } else {
        others[index] = newValue
      }
    }
  }
}
