import CKernels
import ModelFormats

/// The update of one weight or bias by an adapter.
public struct WeightUpdate: Sendable {
  /// For example "LoHa with DoRA".
  public let method: String
  let change: any WeightChange

  /// The factor of a low-rank product; nil for other changes.
  package var factor: Float? { (change as? LowRankUpdate)?.factor }
}

/// A weight in float32 while adapters change it.
struct WeightValues {
  /// Row-major, one row per output.
  var values: [Float]
  let outputs: Int
  /// Values per row.
  let width: Int
  /// The number of inputs; a row has ``kernel`` values per input.
  let inputs: Int
  /// Positions of a convolution's kernel; 1 for others.
  let kernel: Int
  /// The values before all adapters, if several change them.
  let original: [Float]?

  /// - Parameter isFirst: whether only one adapter changes the values.
  init(_ values: [Float], shape: [Int], isFirst: Bool = true) {
    self.values = values
    original = isFirst ? nil : values
    outputs = shape.first ?? 1
    width = shape.dropFirst().reduce(1, *)
    inputs = shape.count > 1 ? shape[1] : 1
    kernel = shape.dropFirst(2).reduce(1, *)
  }

  /// Adds `factor * left * right` to rows from `first` on: `left` is `[count, rank]`, `right`
  /// `[rank, width]`.
  mutating func add(
    rows first: Int = 0, count: Int, _ left: [Float], _ right: [Float], rank: Int, factor: Float
  ) {
    precondition(
      left.count == count * rank && right.count == rank * width
        && (first + count) * width <= values.count)
    values.withUnsafeMutableBufferPointer { values in
      guard let base = values.baseAddress, rank > 0 else { return }
      sdk_add_low_rank(base + first * width, count, width, left, right, rank, factor)
    }
  }
}

/// A way to change a weight.
protocol WeightChange: Sendable {
  /// Changes the values; shapes were checked at initialization.
  func apply(to weight: inout WeightValues) throws(FormatError)
}

/// Factors in float32.
enum Factors {
  /// `left * right`: `[rows, inner]` and `[inner, columns]`.
  static func product(_ left: [Float], _ right: [Float], inner: Int) -> [Float] {
    guard inner > 0 else { return [] }
    let (rows, columns) = (left.count / inner, right.count / inner)
    var weight = WeightValues([Float](repeating: 0, count: rows * columns), shape: [rows, columns])
    weight.add(count: rows, left, right, rank: inner, factor: 1)
    return weight.values
  }

  /// The right factor of Tucker's form, `[rank, inputs * kernel]`:
  /// `sum over b of middle[a, b, place] * right[b, input]`.
  static func tucker(middle: [Float], right: [Float], rank: Int) -> [Float] {
    let kernel = middle.count / (rank * rank)
    let inputs = right.count / rank
    var product = [Float](repeating: 0, count: rank * inputs * kernel)
    for a in 0..<rank {
      for b in 0..<rank {
        for input in 0..<inputs {
          let value = right[b * inputs + input]
          for place in 0..<kernel {
            product[(a * inputs + input) * kernel + place] +=
              middle[(a * rank + b) * kernel + place] * value
          }
        }
      }
    }
    return product
  }

  /// `[columns, rows]` of `[rows, columns]`.
  static func transposed(_ values: [Float], rows: Int) -> [Float] {
    guard rows > 0 else { return [] }
    let columns = values.count / rows
    var result = [Float](repeating: 0, count: values.count)
    for row in 0..<rows {
      for column in 0..<columns { result[column * rows + row] = values[row * columns + column] }
    }
    return result
  }

  /// A product of sizes, which come from files; nil on overflow.
  static func count(_ sizes: Int...) -> Int? {
    Shape(sizes).elementCount
  }

  /// Rejects tensors with unsupported dtypes.
  static func check(_ tensors: Tensor?...) throws(FormatError) {
    for case let tensor? in tensors where !Cast.types.contains(tensor.dtype) {
      throw FormatError(
        .unsupported, "factors of dtype \(tensor.dtype.rawValue) are not applied",
        context: tensor.name,
        hint: "save the adapter in F32, F16, BF16 or 8-bit floats")
    }
  }

  /// The error for tensors that do not fit a weight of this shape.
  static func misfit(_ tensors: [Tensor], _ shape: [Int]) -> FormatError {
    FormatError(
      .mismatch,
      "the \(tensors.count == 1 ? "shape" : "factors") "
        + tensors.map { "\($0.shape)" }.joined(separator: " and ")
        + " \(tensors.count == 1 ? "does" : "do") not give a weight of shape \(Shape(shape))",
      context: tensors.first?.name,
      hint: "check that the LoRA was made for this kind of model: Stable Diffusion 1.x")
  }
}

extension Tensor {
  /// All values in float32, for castable dtypes.
  func singlePrecision() throws(FormatError) -> [Float] {
    var values: [Float] = []
    values.reserveCapacity(elementCount)
    try withPieces(as: .float32) { (bytes) throws(FormatError) in
      // Pieces of a mapped file may be unaligned.
      for index in stride(from: 0, to: bytes.count, by: 4) {
        values.append(bytes.loadUnaligned(fromByteOffset: index, as: Float.self))
      }
    }
    return values
  }

  /// Like ``withSaturatedPieces(as:_:)`` for the values after the updates, computed in float32 one
  /// after another; if all are low-rank, a few outputs at a time.
  package func withSaturatedPieces(
    as dtype: DType, adding updates: [WeightUpdate],
    _ body: (UnsafeRawBufferPointer) throws(FormatError) -> Void
  ) throws(FormatError) -> Int {
    guard !updates.isEmpty else { return try withSaturatedPieces(as: dtype, body) }
    let sums = updates.compactMap { $0.change as? LowRankUpdate }
    if sums.count == updates.count {
      return try withSaturatedPieces(as: dtype, adding: sums, body)
    }
    guard let narrow = Cast(from: .float32, to: dtype, saturating: true),
      Cast.direct.contains(self.dtype)
    else {
      throw FormatError(
        .unsupported, "\(self.dtype.rawValue) values are not cast to \(dtype.rawValue)",
        file: file?.path, context: name)
    }
    var weight = WeightValues(
      try singlePrecision(), shape: shape.dimensions, isFirst: updates.count < 2)
    for update in updates { try update.change.apply(to: &weight) }
    return try weight.values.withUnsafeTypedBytes(weight.values.count * 4) {
      (bytes) throws(FormatError) in try narrow.apply(to: bytes, body)
    }
  }
}

extension [Float] {
  /// The first `count` bytes, with a typed error.
  func withUnsafeTypedBytes<R, E: Error>(
    _ count: Int, _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    let result = withUnsafeBytes { bytes -> Result<R, E> in
      do throws(E) {
        return .success(try body(UnsafeRawBufferPointer(rebasing: bytes[..<count])))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }
}
