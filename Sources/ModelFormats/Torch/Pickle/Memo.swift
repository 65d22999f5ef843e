/// What a pickle memorised, by index. Writers count up from zero, so that nearly all of it is an
/// array; the indices that they leave out, which hostile ones choose, are looked up.
struct Memo {
  private var values: [PickleValue] = []
  private var others: [Int: PickleValue] = [:]

  /// Whether the index follows those that were taken in turn.
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
