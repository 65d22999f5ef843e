import CKernels
import ModelFormats

/// The low-rank update of a weight: `factor * up * down`.
///
/// Source: Hu et al. 2021; with a middle factor, LyCORIS's Tucker form for convolutions: `sum over
/// a, b of up[o, a] * middle[a, b, kernel] * down[b, i]`.
struct LowRankUpdate: WeightChange {
  let factor: Float
  let rank: Int
  /// `[outputs, rank]`, perhaps with further dimensions of 1.
  let up: Tensor
  /// `[rank, inputs]`, or for a convolution `[rank, inputs, kernel, kernel]`.
  let down: Tensor
  /// `[rank, rank, kernel, kernel]`.
  let middle: Tensor?
  private let outputs: Int
  /// Weight values per output.
  private let width: Int

  /// - Parameter shape: the weight's shape, `[outputs, inputs]` or
  ///   `[outputs, inputs, kernel, kernel]`.
  /// - Throws: ``FormatError`` `mismatch` if the factors do not produce this shape, `unsupported`
  ///   if they are not F32, F16 or BF16.
  init(
    factor: Float, up: Tensor, down: Tensor, middle: Tensor?, shape: [Int]
  ) throws(FormatError) {
    try Factors.check(up, down, middle)
    rank = down.shape.dimensions.first ?? 0
    outputs = shape.first ?? 0
    width = shape.dropFirst().reduce(1, *)
    let kernel = shape.dropFirst(2).reduce(1, *)
    let fits: Bool
    if let middle {
      fits =
        middle.shape.dimensions == [rank, rank] + shape.dropFirst(2)
        && down.elementCount == Factors.count(rank, shape.count > 1 ? shape[1] : 0) && kernel > 1
    } else {
      fits = down.elementCount == Factors.count(rank, width)
    }
    guard rank > 0, fits, up.shape.dimensions.prefix(2) == [outputs, rank],
      up.elementCount == Factors.count(outputs, rank)
    else {
      throw Factors.misfit([down, up], shape)
    }
    self.factor = factor
    self.up = up
    self.down = down
    self.middle = middle
  }

  func apply(to weight: inout WeightValues) throws(FormatError) {
    let (up, down) = try factors()
    weight.add(count: outputs, up, down, rank: rank, factor: factor)
  }

  /// The factors as `[outputs, rank]` and `[rank, width]` in float32.
  fileprivate func factors() throws(FormatError) -> (up: [Float], down: [Float]) {
    let up = try up.singlePrecision()
    let down = try down.singlePrecision()
    guard let middle = try middle?.singlePrecision() else { return (up, down) }
    return (up, Factors.tucker(middle: middle, right: down, rank: rank))
  }
}

extension Tensor {
  /// Like ``withSaturatedPieces(as:_:)`` for the sum of values and updates, computed in float32 for
  /// a few outputs at a time.
  func withSaturatedPieces(
    as dtype: DType, adding updates: [LowRankUpdate],
    _ body: (UnsafeRawBufferPointer) throws(FormatError) -> Void
  ) throws(FormatError) -> Int {
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
