import CKernels
import ModelFormats

/// What a low-rank adapter adds to one weight: `factor * up * down`.
///
/// Source: Hu et al. 2021; with a middle factor, the Tucker form that LyCORIS has for convolutions:
/// `sum over a, b of up[o, a] * middle[a, b, kernel] * down[b, i]`.
public struct LowRankUpdate: Sendable {
  public let factor: Float
  public let rank: Int
  /// `[outputs, rank]`, perhaps with further dimensions of 1.
  let up: Tensor
  /// `[rank, inputs]`, or of a convolution `[rank, inputs, kernel, kernel]`.
  let down: Tensor
  /// `[rank, rank, kernel, kernel]`.
  let middle: Tensor?
  private let outputs: Int
  /// Values of the weight for one output.
  private let width: Int

  /// - Parameter shape: of the weight, `[outputs, inputs]` or `[outputs, inputs, kernel, kernel]`.
  /// - Throws: ``FormatError`` `mismatch` where the factors do not give that shape, `unsupported`
  ///   where they are not F32, F16 or BF16.
  init(
    factor: Float, up: Tensor, down: Tensor, middle: Tensor?, shape: [Int]
  ) throws(FormatError) {
    for tensor in [up, down] + (middle.map { [$0] } ?? [])
    where !Cast.types.contains(tensor.dtype) {
      throw FormatError(
        .unsupported, "the type is \(tensor.dtype.rawValue), not F32, F16 or BF16",
        context: tensor.name)
    }
    rank = down.shape.dimensions.first ?? 0
    outputs = shape.first ?? 0
    width = shape.dropFirst().reduce(1, *)
    let kernel = shape.dropFirst(2).reduce(1, *)
    let fits: Bool
    if let middle {
      fits =
        middle.shape.dimensions == [rank, rank] + shape.dropFirst(2)
        && down.elementCount == rank * (shape.count > 1 ? shape[1] : 0) && kernel > 1
    } else {
      fits = down.elementCount == rank * width
    }
    guard rank > 0, fits, up.shape.dimensions.prefix(2) == [outputs, rank],
      up.elementCount == outputs * rank
    else {
      throw FormatError(
        .mismatch,
        "the factors \(up.shape) and \(down.shape) do not give a weight of shape \(Shape(shape))",
        context: down.name,
        hint: "check that the LoRA was made for this kind of model: Stable Diffusion 1.x")
    }
    self.factor = factor
    self.up = up
    self.down = down
    self.middle = middle
  }

  /// The factors as `[outputs, rank]` and `[rank, width]` in single precision.
  fileprivate func factors() throws(FormatError) -> (up: [Float], down: [Float]) {
    let up = try up.singlePrecision()
    let down = try down.singlePrecision()
    guard let middle = try middle?.singlePrecision() else { return (up, down) }
    let kernel = middle.count / (rank * rank)
    let inputs = down.count / rank
    var product = [Float](repeating: 0, count: rank * inputs * kernel)
    for a in 0..<rank {
      for b in 0..<rank {
        for input in 0..<inputs {
          let value = down[b * inputs + input]
          for place in 0..<kernel {
            product[(a * inputs + input) * kernel + place] +=
              middle[(a * rank + b) * kernel + place] * value
          }
        }
      }
    }
    return (up, product)
  }
}

extension Tensor {
  /// All values in single precision, of the types that are cast.
  func singlePrecision() throws(FormatError) -> [Float] {
    var values: [Float] = []
    values.reserveCapacity(elementCount)
    try withPieces(as: .float32) { (bytes) throws(FormatError) in
      // The pieces of a mapped file need not be aligned.
      for index in stride(from: 0, to: bytes.count, by: 4) {
        values.append(bytes.loadUnaligned(fromByteOffset: index, as: Float.self))
      }
    }
    return values
  }

  /// As ``withSaturatedPieces(as:_:)`` for the sum of the values and the updates, which is formed
  /// in single precision, some outputs at a time.
  package func withSaturatedPieces(
    as dtype: DType, adding updates: [LowRankUpdate],
    _ body: (UnsafeRawBufferPointer) throws(FormatError) -> Void
  ) throws(FormatError) -> Int {
    guard !updates.isEmpty else { return try withSaturatedPieces(as: dtype, body) }
    guard let widen = Cast(from: self.dtype, to: .float32),
      let narrow = Cast(from: .float32, to: dtype, saturating: true)
    else {
      throw FormatError(
        .unsupported, "\(self.dtype.rawValue) values are not cast to \(dtype.rawValue)",
        file: file?.path, context: name)
    }
    var factors: [(up: [Float], down: [Float], rank: Int, factor: Float)] = []
    for update in updates {
      let (up, down) = try update.factors()
      factors.append((up, down, update.rank, update.factor))
    }
    let outputs = shape.dimensions.first ?? 0
    let width = elementCount / max(1, outputs)
    let size = self.dtype.bitWidth / 8
    return try withContiguousBytes { (bytes) throws(FormatError) in
      var overflows = 0
      // 4 MiB of sums at a time.
      let block = max(1, (1 << 20) / max(1, width))
      var sums = [Float](repeating: 0, count: min(outputs, block) * width)
      for first in stride(from: 0, to: outputs, by: block) {
        let count = min(block, outputs - first)
        let source = UnsafeRawBufferPointer(
          rebasing: bytes[(first * width * size)..<((first + count) * width * size)])
        sums.withUnsafeMutableBytes { sums in
          var position = 0
          _ = widen.apply(to: source) { piece in
            guard let base = sums.baseAddress, let values = piece.baseAddress else { return }
            (base + position).copyMemory(from: values, byteCount: piece.count)
            position += piece.count
          }
        }
        for (up, down, rank, factor) in factors {
          up.withUnsafeBufferPointer { up in
            sdk_add_low_rank(
              &sums, count, width, up.baseAddress.map { $0 + first * rank }, down, rank, factor)
          }
        }
        overflows += try sums.withUnsafeTypedBytes(count * width * 4) {
          (bytes) throws(FormatError) in try narrow.apply(to: bytes, body)
        }
      }
      return overflows
    }
  }
}

extension [Float] {
  /// The first `count` bytes, with a typed error.
  fileprivate func withUnsafeTypedBytes<R, E: Error>(
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
