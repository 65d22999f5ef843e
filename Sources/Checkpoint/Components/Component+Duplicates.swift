import ModelFormats
import ModelGraph

extension Component {
  /// Whether a tensor stored under two names has the same values in both, whatever their types.
  ///
  /// - Throws: ``FormatError`` if reading fails.
  func isSame(_ duplicate: Manifest.Duplicate) throws(FormatError) -> Bool {
    var pairs: [(Tensor, Tensor)] = []
    for (parameter, third) in duplicate.parameters {
      let rows = duplicate.tensor.shape.dimensions.first ?? 0
      if third != nil, rows == 0 || rows % 3 != 0 { return false }
      let copy = third.map { duplicate.tensor.third($0) } ?? duplicate.tensor
      let original =
        duplicate.original.elementCount == copy.elementCount
        ? duplicate.original : try? tensor(for: parameter)
      guard let original, original.elementCount == copy.elementCount else { return false }
      pairs.append((original, copy))
    }
    return try TensorComparison.of(pairs).allSatisfy { $0.isCompared && $0.differing == 0 }
  }
}
