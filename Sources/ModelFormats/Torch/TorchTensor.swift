import OrderedJSON

/// A tensor as pickled by PyTorch: a view of a storage.
struct TorchTensor {
  let storage: TorchStorageReference
  let dtype: DType
  /// The offset of the first element, in elements of the storage.
  let offset: Int
  let sizes: [Int]
  /// In elements.
  let strides: [Int]

  /// A tensor may be larger than its storage (a stride of zero repeats elements), but within a
  /// limit, because readers expand all values.
  private static let expansionLimit = 64 << 20

  /// The tensor over the bytes of its storage.
  ///
  /// - Throws: ``FormatError`` with code `malformed` if it exceeds its storage, or `unsupported` if
  ///   it is expanded beyond the limit.
  func tensor(named name: String, in bytes: TorchStorage) throws(FormatError) -> Tensor {
    func malformed(_ message: String) -> FormatError {
      FormatError(.malformed, message, context: name)
    }
    guard sizes.count == strides.count else {
      throw malformed("it has \(sizes.count) sizes and \(strides.count) strides")
    }
    guard offset >= 0, sizes.allSatisfy({ $0 >= 0 }), strides.allSatisfy({ $0 >= 0 }) else {
      throw malformed("an offset, size or stride is negative: \(offset), \(sizes), \(strides)")
    }
    let shape = Shape(sizes)
    guard let elementCount = shape.elementCount, let byteCount = shape.byteCount(of: dtype) else {
      throw malformed("the shape \(shape) has too many elements")
    }
    guard elementCount > 0 else {
      return Tensor(name: name, dtype: dtype, shape: shape, storage: .memory([]))
    }
    let extent = storage.view ?? 0..<storage.byteCount
    guard extent.lowerBound >= 0, extent.upperBound <= bytes.byteCount else {
      throw malformed("its view exceeds the storage \(storage.key)")
    }
    let width = dtype.bitWidth / 8
    guard let end = endOffset, end <= extent.count / width else {
      throw malformed(
        "it exceeds its storage \(storage.key) of \((extent.count / width).of("element")): "
          + "offset \(offset), sizes \(sizes), strides \(strides)")
    }
    guard byteCount <= max(bytes.byteCount, TorchTensor.expansionLimit) else {
      throw FormatError(
        .unsupported, "it repeats \(bytes.byteCount.of("byte")) until they are \(byteCount)",
        context: name)
    }
    return Tensor(
      name: name, dtype: dtype, shape: shape,
      storage: place(in: bytes, at: extent.lowerBound + offset * width, byteCount: byteCount))
  }

  /// One past the largest element index of the tensor; nil if it overflows `Int`.
  private var endOffset: Int? {
    var last = offset
    for (size, stride) in zip(sizes, strides) {
      let (step, stepOverflow) = (size - 1).multipliedReportingOverflow(by: stride)
      let (sum, overflow) = last.addingReportingOverflow(step)
      guard !stepOverflow, !overflow else { return nil }
      last = sum
    }
    let (end, overflow) = last.addingReportingOverflow(1)
    return overflow ? nil : end
  }

  private func place(
    in bytes: TorchStorage, at position: Int, byteCount: Int
  ) -> Tensor.Storage {
    // The stride of an axis of size 1 is unused and may be anything.
    let contiguous = Shape(sizes).contiguousStrides
    let isContiguous = zip(sizes, zip(strides, contiguous)).allSatisfy { $0 == 1 || $1.0 == $1.1 }
    let used = zip(sizes, zip(strides, contiguous)).map { $0 == 1 ? $1.1 : $1.0 }
    switch bytes {
    case .mapped(let file, let start, _):
      return isContiguous
        ? .mapped(file, offset: start + position)
        : .strided(file, offset: start + position, strides: used)
    case .memory(let bytes):
      return isContiguous && byteCount == bytes.count
        ? .memory(bytes) : .stridedMemory(bytes, offset: position, strides: used)
    }
  }
}
