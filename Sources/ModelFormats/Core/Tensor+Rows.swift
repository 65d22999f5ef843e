extension Tensor {
  /// A range of the tensor's rows, the slices of its first dimension, as a tensor with the same
  /// name: a view if the storage allows one.
  ///
  /// - Parameter range: existing rows; the type must have whole bytes.
  package func rows(_ range: Range<Int>) -> Tensor {
    precondition(
      shape.rank > 0 && dtype.bitWidth % 8 == 0 && range.lowerBound >= 0
        && range.upperBound <= shape[0], "no such rows")
    let shape = Shape([range.count] + self.shape.dimensions.dropFirst())
    let inner = self.shape.dimensions.dropFirst().reduce(1, *)
    let width = dtype.bitWidth / 8
    func view(_ storage: Storage) -> Tensor {
      Tensor(name: name, dtype: dtype, shape: shape, storage: storage)
    }
    let first = range.lowerBound * inner
    switch storage {
    case .mapped(let file, let offset):
      return view(.mapped(file, offset: offset + first * width))
    case .strided(let file, let offset, let strides):
      let start = offset + range.lowerBound * strides[0] * width
      return view(.strided(file, offset: start, strides: strides))
    case .stridedMemory(let bytes, let offset, let strides):
      let start = offset + range.lowerBound * strides[0] * width
      return view(.stridedMemory(bytes, offset: start, strides: strides))
    case .blocks(let file, let offset, let encoding)
    where first % encoding.blockSize == 0 && range.count * inner % encoding.blockSize == 0:
      let start = offset + first / encoding.blockSize * encoding.blockByteCount
      return view(.blocks(file, offset: start, encoding))
    case .scaled(let values, let scales) where scales.count == 1:
      return view(.scaled(values.rows(range), scales: scales))
    case .scaled(let values, let scales) where scales.count == self.shape[0] && !range.isEmpty:
      return view(.scaled(values.rows(range), scales: Array(scales[range])))
    case .memory, .blocks, .scaled:
      let bytes = contiguousBytes()
      return view(.memory(Array(bytes[first * width..<(first + range.count * inner) * width])))
    }
  }
}
