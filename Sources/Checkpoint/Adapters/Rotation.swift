import ModelFormats

/// A weight whose outputs are mixed by orthogonal matrices: diagonal blocks (OFT) or butterflies
/// (BOFT).
///
/// Source: Qiu et al. 2023, Liu et al. 2024; LyCORIS and kohya's scripts. A block is
/// `R = (I + Q) (I - Q)^-1`, `Q = A - A^T` with `A` a block of `oft_blocks`, scaled down to the
/// norm `alpha * outputs` if alpha is above 0; `rescale` then multiplies each output.
///
/// For a strength other than 1, OFT interpolates between the weight and the result. BOFT
/// interpolates each stage's blocks from the identity and applies `rescale` fully. These are
/// LyCORIS's rules. ComfyUI multiplies by the strength once more and limits the norm to `alpha`,
/// without the outputs.
struct Rotation: WeightChange {
  private let blocks: Tensor
  private let rescale: Tensor?
  /// The maximum norm of all `Q`; unlimited if 0.
  private let constraint: Double
  private let strength: Float
  /// 1 for OFT.
  private let stages: Int
  private let count: Int
  private let side: Int

  init(_ layer: AdapterLayer, strength: Float, shape: [Int]) throws(FormatError) {
    blocks = try layer.require(.rotation)
    rescale = layer[.rescale]
    try Factors.check(blocks, rescale)
    let dimensions = blocks.shape.dimensions
    let outputs = shape.first ?? 0
    isButterfly = dimensions.count == 4
    stages = isButterfly ? dimensions[0] : 1
    let rest = isButterfly ? Array(dimensions.dropFirst()) : dimensions
    guard rest.count == 3, rest[1] == rest[2], rest[1] > 0, stages > 0, stages < 32,
      Factors.count(rest[0], rest[1]) == outputs,
      rescale.map({ $0.elementCount == outputs }) ?? true
    else { throw Factors.misfit([blocks], shape) }
    (count, side) = (rest[0], rest[1])
    if isButterfly {
      // Each stage mixes outputs that are 2^stage half blocks apart.
      guard side % 2 == 0, outputs % (2 * (side / 2) << (stages - 1)) == 0 else {
        throw Factors.misfit([blocks], shape)
      }
    }
    constraint = Double(try layer.alpha() ?? 0) * Double(outputs)
    self.strength = strength
  }

  private let isButterfly: Bool

  /// `[stages * count, side, side]`
  private func rotations() throws(FormatError) -> [Double] {
    let values = try blocks.singlePrecision()
    var skew = [Double](repeating: 0, count: values.count)
    var square = 0.0
    for block in 0..<stages * count {
      let start = block * side * side
      for row in 0..<side {
        for column in 0..<side {
          let difference =
            Double(values[start + row * side + column])
            - Double(values[start + column * side + row])
          skew[start + row * side + column] = difference
          square += difference * difference
        }
      }
    }
    let norm = square.squareRoot()
    if constraint > 0, norm > constraint {
      let share = constraint / norm
      for index in skew.indices { skew[index] *= share }
    }
    var result = skew
    for block in 0..<stages * count {
      let start = block * side * side
      var solved = Self.cayley(Array(skew[start..<start + side * side]), side)
      if isButterfly, strength != 1 {
        for index in solved.indices {
          let one = index % (side + 1) == 0 ? 1.0 : 0
          solved[index] = one + Double(strength) * (solved[index] - one)
        }
      }
      result.replaceSubrange(start..<start + side * side, with: solved)
    }
    return result
  }

  /// `(I + Q)(I - Q)^-1` of a skew-symmetric matrix, for which `I - Q` is never singular. The two
  /// commute, so it is the solution of `(I - Q) R = I + Q`.
  private static func cayley(_ skew: [Double], _ side: Int) -> [Double] {
    var left = skew.map { -$0 }
    var right = skew
    for index in 0..<side {
      left[index * side + index] += 1
      right[index * side + index] += 1
    }
    for pivot in 0..<side {
      var best = pivot
      for row in pivot..<side
      where abs(left[row * side + pivot]) > abs(left[best * side + pivot]) {
        best = row
      }
      if best != pivot {
        for column in 0..<side {
          left.swapAt(best * side + column, pivot * side + column)
          right.swapAt(best * side + column, pivot * side + column)
        }
      }
      let divisor = left[pivot * side + pivot]
      for row in 0..<side where row != pivot {
        let share = left[row * side + pivot] / divisor
        guard share != 0 else { continue }
        for column in pivot..<side {
          left[row * side + column] -= share * left[pivot * side + column]
        }
        for column in 0..<side {
          right[row * side + column] -= share * right[pivot * side + column]
        }
      }
    }
    for row in 0..<side {
      let divisor = left[row * side + row]
      for column in 0..<side { right[row * side + column] /= divisor }
    }
    return right
  }

  func apply(to weight: inout WeightValues) throws(FormatError) {
    let before = strength == 1 || isButterfly ? [] : weight.values
    let rotations = try rotations()
    let width = weight.width
    for stage in 0..<stages {
      // The position of each output in the stage's order.
      let places = isButterfly ? butterfly(stage, weight.outputs) : Array(0..<weight.outputs)
      var turned = WeightValues(
        [Float](repeating: 0, count: weight.values.count), shape: [weight.outputs, width])
      for block in 0..<count {
        let start = (stage * count + block) * side * side
        var matrix = [Float](repeating: 0, count: side * side)
        for row in 0..<side {
          for column in 0..<side {
            // OFT's blocks are applied transposed, butterfly blocks are not.
            let place = isButterfly ? row * side + column : column * side + row
            matrix[row * side + column] = Float(rotations[start + place])
          }
        }
        let rows = (0..<side).flatMap { row -> ArraySlice<Float> in
          let output = places[block * side + row]
          return weight.values[output * width..<(output + 1) * width]
        }
        turned.add(rows: block * side, count: side, matrix, rows, rank: side, factor: 1)
      }
      for (place, output) in places.enumerated() {
        weight.values.replaceSubrange(
          output * width..<(output + 1) * width,
          with: turned.values[place * width..<(place + 1) * width])
      }
    }
    if let rescale = try rescale?.singlePrecision() {
      for output in 0..<weight.outputs {
        for column in 0..<width { weight.values[output * width + column] *= rescale[output] }
      }
    }
    for index in before.indices {
      weight.values[index] = before[index] + strength * (weight.values[index] - before[index])
    }
  }

  /// The output at each position of a stage's order: for outputs `(c, g, k)`, with `g` of size two
  /// and `k` of size 2^stage half blocks, the positions are `(c, k, g)`.
  private func butterfly(_ stage: Int, _ outputs: Int) -> [Int] {
    let distance = (side / 2) << stage
    var result = [Int](repeating: 0, count: outputs)
    for output in 0..<outputs {
      let (c, rest) = (output / (2 * distance), output % (2 * distance))
      let (g, k) = (rest / distance, rest % distance)
      result[c * 2 * distance + 2 * k + g] = output
    }
    return result
  }
}
