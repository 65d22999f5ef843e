import ModelFormats

/// The elementwise product of two low-rank ones: `factor * (w1_a w1_b) * (w2_a w2_b)`.
///
/// Source: Hyeon-Woo et al. 2021 (FedPara); LyCORIS's LoHa. With `t1`, `t2` each is of Tucker's form,
/// and `w1_a`, `w2_a` are `[rank, outputs]`.
struct HadamardUpdate: WeightChange {
  /// A low-rank product.
  private struct Product {
    let left: Tensor
    let right: Tensor
    let middle: Tensor?
    let rank: Int

    /// - Parameter shape: the shape of the weight.
    init(
      _ left: Tensor, _ right: Tensor, _ middle: Tensor?, shape: [Int]
    ) throws(FormatError) {
      try Factors.check(left, right, middle)
      (self.left, self.right, self.middle) = (left, right, middle)
      rank = right.shape.dimensions.first ?? 0
      let (outputs, width) = (shape.first ?? 0, shape.dropFirst().reduce(1, *))
      let fits: Bool
      if let middle {
        fits =
          shape.count > 2 && middle.shape.dimensions == [rank, rank] + shape.dropFirst(2)
          && left.shape.dimensions == [rank, outputs] && right.shape.dimensions == [rank, shape[1]]
      } else {
        fits =
          left.shape.dimensions.prefix(2) == [outputs, rank]
          && left.elementCount == Factors.count(outputs, rank)
          && right.elementCount == Factors.count(rank, width)
      }
      guard rank > 0, fits else { throw Factors.misfit([left, right], shape) }
    }

    /// `[outputs, rank]` and `[rank, width]`.
    func factors() throws(FormatError) -> (left: [Float], right: [Float]) {
      let (left, right) = (try left.singlePrecision(), try right.singlePrecision())
      guard let middle = try middle?.singlePrecision() else { return (left, right) }
      return (
        Factors.transposed(left, rows: rank),
        Factors.tucker(middle: middle, right: right, rank: rank)
      )
    }
  }

  private let first: Product
  private let second: Product
  private let factor: Float

  init(_ layer: AdapterLayer, factor: Float, shape: [Int]) throws(FormatError) {
    guard (layer[.hadaT1] == nil) == (layer[.hadaT2] == nil) else {
      throw FormatError(.mismatch, "missing one of hada_t1 and hada_t2", context: layer.name)
    }
    first = try Product(
      layer.require(.hada1A), layer.require(.hada1B), layer[.hadaT1], shape: shape)
    second = try Product(
      layer.require(.hada2A), layer.require(.hada2B), layer[.hadaT2], shape: shape)
    self.factor = factor
  }

  func apply(to weight: inout WeightValues) throws(FormatError) {
    let (one, other) = (try first.factors(), try second.factors())
    // 4 MiB of each product at a time.
    let block = max(1, (1 << 20) / max(1, weight.width))
    for row in stride(from: 0, to: weight.outputs, by: block) {
      let count = min(block, weight.outputs - row)
      func product(_ factors: (left: [Float], right: [Float]), _ rank: Int) -> [Float] {
        Factors.product(
          Array(factors.left[row * rank..<(row + count) * rank]), factors.right, inner: rank)
      }
      let (a, b) = (product(one, first.rank), product(other, second.rank))
      let start = row * weight.width
      for index in a.indices { weight.values[start + index] += factor * (a[index] * b[index]) }
    }
  }
}

/// A Kronecker product: `factor * kron(w1, w2)`, where each factor is a full matrix or a product.
///
/// Source: Edalati et al. 2022 (KronA); LyCORIS's LoKr. `w1` is `[a, c]`, `w2` `[b, d]` or `[b, d,
/// kernel, kernel]` of a weight `[a b, c d]` or `[a b, c d, kernel, kernel]`.
struct KroneckerUpdate: WeightChange {
  private let layer: AdapterLayer
  private let factor: Float
  /// a, c
  private let coarse: (rows: Int, columns: Int)
  /// b, and d times the kernel positions
  private let fine: (rows: Int, columns: Int)

  init(_ layer: AdapterLayer, factor: Float, shape: [Int]) throws(FormatError) {
    let parts = [
      layer[.kron1] ?? layer[.kron1A], layer[.kron1] == nil ? layer[.kron1B] : nil,
      layer[.kron2] ?? layer[.kron2A], layer[.kron2] == nil ? layer[.kron2B] : nil,
    ].compactMap { $0 }
    for tensor in parts { try Factors.check(tensor) }
    try Factors.check(layer[.kronT2])
    let outputs = shape.first ?? 0
    let inputs = shape.count > 1 ? shape[1] : 1
    let kernel = Array(shape.dropFirst(2))
    let places = kernel.reduce(1, *)
    func dimensions(_ part: AdapterPart) throws(FormatError) -> [Int] {
      try layer.require(part).shape.dimensions
    }
    // The sizes of each factor; products must have two dimensions and equal inner sizes.
    func sizes(
      _ whole: AdapterPart, _ left: AdapterPart, _ right: AdapterPart
    ) throws(FormatError) -> [Int]? {
      if layer[whole] != nil { return try dimensions(whole) }
      let (a, b) = (try dimensions(left), try dimensions(right))
      guard a.count == 2, b.count == 2, a[1] == b[0], b[0] > 0 else { return nil }
      return [a[0], b[1]]
    }
    let first = try sizes(.kron1, .kron1A, .kron1B)
    var second: [Int]?
    if layer[.kron2] == nil, let middle = layer[.kronT2] {
      let (a, b) = (try dimensions(.kron2A), try dimensions(.kron2B))
      if a.count == 2, b.count == 2, a[0] == b[0], b[0] > 0,
        middle.shape.dimensions == [b[0], b[0]] + kernel
      {
        second = [a[1], b[1]] + kernel
      }
    } else {
      second = try sizes(.kron2, .kron2A, .kron2B)
    }
    guard let first, first.count == 2, first[0] > 0, first[1] > 0, let second, second.count >= 2,
      second[0] > 0, let columns = Shape(Array(second.dropFirst())).elementCount, columns > 0,
      Factors.count(first[0], second[0]) == outputs,
      Factors.count(first[1], columns) == Factors.count(inputs, places), inputs % first[1] == 0,
      second.count == 2 || second[1] == inputs / first[1]
    else { throw Factors.misfit(parts, shape) }
    self.layer = layer
    self.factor = factor
    coarse = (first[0], first[1])
    fine = (second[0], columns)
  }

  private func matrix(
    _ whole: AdapterPart, _ left: AdapterPart, _ right: AdapterPart
  ) throws(FormatError) -> [Float] {
    if let whole = layer[whole] { return try whole.singlePrecision() }
    let right = try layer.require(right)
    let rank = right.shape[0]
    var (a, b) = (try layer.require(left).singlePrecision(), try right.singlePrecision())
    if whole == .kron2, let middle = try layer[.kronT2]?.singlePrecision() {
      a = Factors.transposed(a, rows: rank)
      b = Factors.tucker(middle: middle, right: b, rank: rank)
    }
    return Factors.product(a, b, inner: rank)
  }

  func apply(to weight: inout WeightValues) throws(FormatError) {
    let first = try matrix(.kron1, .kron1A, .kron1B)
    let second = try matrix(.kron2, .kron2A, .kron2B)
    let width = weight.width
    weight.values.withUnsafeMutableBufferPointer { values in
      for a in 0..<coarse.rows {
        for b in 0..<fine.rows {
          let row = (a * fine.rows + b) * width
          for c in 0..<coarse.columns {
            let share = factor * first[a * coarse.columns + c]
            for place in 0..<fine.columns {
              values[row + c * fine.columns + place] += share * second[b * fine.columns + place]
            }
          }
        }
      }
    }
  }
}

/// A low-rank change that depends on the weight, and one that does not:
/// `factor * (W a1 a2 + b1 b2)`.
///
/// Source: Chavan et al. 2023; LyCORIS's GLoRA, whose first versions had the factors in reverse
/// order: `factor * (W a2 a1 + b2 b1)`.
struct GeneralizedUpdate: WeightChange {
  private let factor: Float
  private let rank: Int
  /// `[inputs, rank]`, `[rank, inputs]`
  private let inner: (left: Tensor, right: Tensor)
  /// `[outputs, rank]`, `[rank, width]`
  private let outer: (left: Tensor, right: Tensor)
  private let middle: Tensor?

  /// Whether the factors have the order of the first versions.
  static func isOlder(_ a1: Tensor, _ a2: Tensor, _ b1: Tensor?) -> Bool {
    // [rank, inputs] and [inputs, rank]; b1 is [rank, inputs], now [outputs, rank].
    let (a1, a2, b1) = (a1.shape.dimensions, a2.shape.dimensions, b1?.shape.dimensions ?? [])
    guard a1.count > 1, a2.count > 1, b1.count > 1 else { return false }
    let isNewer = b1[1] == a1[1] && a2[0] == a1[1]
    return !isNewer && b1[0] == a1[0] && a2[1] == a1[0]
  }

  init(_ layer: AdapterLayer, factor: Float, shape: [Int]) throws(FormatError) {
    let (a1, a2) = (try layer.require(.a1), try layer.require(.a2))
    let (b1, b2) = (try layer.require(.b1), try layer.require(.b2))
    middle = layer[.bm]
    try Factors.check(a1, a2, b1, b2, middle)
    let isOlder = Self.isOlder(a1, a2, b1)
    inner = isOlder ? (a2, a1) : (a1, a2)
    outer = isOlder ? (b2, b1) : (b1, b2)
    rank = inner.right.shape.dimensions.first ?? 0
    let (outputs, width) = (shape.first ?? 0, shape.dropFirst().reduce(1, *))
    let inputs = shape.count > 1 ? shape[1] : 0
    let fitsMiddle: Bool
    if let middle {
      fitsMiddle =
        middle.shape.dimensions == [rank, rank] + shape.dropFirst(2)
        && outer.right.elementCount == Factors.count(rank, inputs)
    } else {
      fitsMiddle = outer.right.elementCount == Factors.count(rank, width)
    }
    guard rank > 0, fitsMiddle, inner.left.shape.dimensions.prefix(2) == [inputs, rank],
      inner.left.elementCount == Factors.count(inputs, rank),
      inner.right.elementCount == Factors.count(rank, inputs),
      outer.left.shape.dimensions.prefix(2) == [outputs, rank],
      outer.left.elementCount == Factors.count(outputs, rank),
      outer.right.shape.dimensions.first == rank
    else { throw Factors.misfit([a1, a2, b1, b2], shape) }
    self.factor = factor
  }

  func apply(to weight: inout WeightValues) throws(FormatError) {
    let (left, right) = (try inner.left.singlePrecision(), try inner.right.singlePrecision())
    var beside = try outer.right.singlePrecision()
    if let middle = try middle?.singlePrecision() {
      beside = Factors.tucker(middle: middle, right: beside, rank: rank)
    }
    let (inputs, kernel) = (weight.inputs, weight.kernel)
    // W a1, as [outputs, rank, kernel].
    var product = [Float](repeating: 0, count: weight.outputs * rank * kernel)
    for output in 0..<weight.outputs {
      for input in 0..<inputs {
        for index in 0..<rank {
          let share = left[input * rank + index]
          for place in 0..<kernel {
            product[(output * rank + index) * kernel + place] +=
              weight.values[(output * inputs + input) * kernel + place] * share
          }
        }
      }
    }
    weight.add(
      count: weight.outputs, try outer.left.singlePrecision(), beside, rank: rank, factor: factor)
    guard kernel > 1 else {
      return weight.add(count: weight.outputs, product, right, rank: rank, factor: factor)
    }
    for output in 0..<weight.outputs {
      for index in 0..<rank {
        for input in 0..<inputs {
          let share = factor * right[index * inputs + input]
          for place in 0..<kernel {
            weight.values[(output * inputs + input) * kernel + place] +=
              product[(output * rank + index) * kernel + place] * share
          }
        }
      }
    }
  }
}
