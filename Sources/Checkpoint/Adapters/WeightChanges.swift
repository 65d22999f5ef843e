import ModelFormats

/// A plain difference: `factor * difference`, for a weight or a bias.
struct Difference: WeightChange {
  private let tensor: Tensor
  private let factor: Float

  init(_ tensor: Tensor, factor: Float, shape: [Int]) throws(FormatError) {
    try Factors.check(tensor)
    // A linear layer may be saved as a 1x1 convolution, and vice versa.
    let wanted = shape.filter { $0 != 1 }
    guard tensor.shape.dimensions.filter({ $0 != 1 }) == wanted,
      tensor.elementCount == Shape(shape).elementCount
    else { throw Factors.misfit([tensor], shape) }
    self.tensor = tensor
    self.factor = factor
  }

  func apply(to weight: inout WeightValues) throws(FormatError) {
    let difference = try tensor.singlePrecision()
    for index in difference.indices { weight.values[index] += factor * difference[index] }
  }
}

/// A factor per input or per output, as in (IA)^3.
///
/// Source: Liu et al. 2022. LyCORIS saves the difference from 1 as `weight`, and `on_input`; PEFT
/// saves the factors, `[1, inputs]` or `[outputs, 1]`, the latter also for the bias.
struct Rescaling: WeightChange {
  private let tensor: Tensor
  private let isOfInputs: Bool
  /// Whether the values are factors, not differences from 1.
  private let isWhole: Bool
  private let strength: Float

  init(shares layer: AdapterLayer, factor: Float, shape: [Int]) throws(FormatError) {
    let side = try layer.require(.onInput)
    guard side.elementCount == 1, side.dtype.bitWidth >= 8 else {
      throw FormatError(.malformed, "on_input is not one truth value", context: side.name)
    }
    let isOfInputs = side.contiguousBytes().contains { $0 != 0 }
    try self.init(
      layer.require(.shares), isOfInputs: isOfInputs, isWhole: false, factor, shape: shape)
  }

  /// - Returns: nil for a bias if the factors apply to inputs.
  init?(factors layer: AdapterLayer, strength: Float, shape: [Int]) throws(FormatError) {
    let factors = try layer.require(.factors)
    let dimensions = factors.shape.dimensions
    let (count, isBias) = (factors.elementCount, shape.count < 2)
    let outputs = shape.first ?? 0
    let isOfInputs: Bool
    if let told = layer.isOfInputs {
      isOfInputs = told
    } else if dimensions.count > 2 {
      // Both are [1, count, 1, 1] for convolutions.
      guard isBias || (count == outputs) != (count == shape[1]) else {
        throw FormatError(
          .unsupported, "its shape \(factors.shape) is that of inputs and of outputs",
          context: factors.name, hint: "put adapter_config.json beside adapter_model.safetensors")
      }
      isOfInputs = count != outputs
    } else {
      isOfInputs = dimensions.count > 1 && dimensions[0] == 1 && dimensions[1] != 1
    }
    guard !isOfInputs || !isBias else { return nil }
    try self.init(factors, isOfInputs: isOfInputs, isWhole: true, strength, shape: shape)
  }

  private init(
    _ tensor: Tensor, isOfInputs: Bool, isWhole: Bool, _ strength: Float, shape: [Int]
  ) throws(FormatError) {
    try Factors.check(tensor)
    let wanted = isOfInputs ? (shape.count > 1 ? shape[1] : 0) : shape.first ?? 0
    guard tensor.elementCount == wanted else { throw Factors.misfit([tensor], shape) }
    (self.tensor, self.isOfInputs, self.isWhole) = (tensor, isOfInputs, isWhole)
    self.strength = strength
  }

  func apply(to weight: inout WeightValues) throws(FormatError) {
    let factors = try tensor.singlePrecision().map {
      1 + strength * (isWhole ? $0 - 1 : $0)
    }
    for output in 0..<weight.outputs {
      for column in 0..<weight.width {
        let index = isOfInputs ? column / weight.kernel : output
        weight.values[output * weight.width + column] *= factors[index]
      }
    }
  }
}

/// A changed weight normalized to learned magnitudes: `m * V / |V|`, `V = W + change`.
///
/// Source: Liu et al. 2024 (DoRA). The norms are of rows or, for older trainers, of columns,
/// depending on the shape of `m`: `[outputs, 1]` or `[1, inputs]`.
///
/// At strength 1 this is what LyCORIS and PEFT train. At another strength `s`, programs differ:
///
/// - `dora_scale` (kohya, LyCORIS): `W + s (m V / |V| - W)`, `V = W + alpha / rank * change`, so
///   that 0 leaves the model unchanged. The web UI (`finalize_updown` in its `network.py`), ComfyUI
///   (`weight_decompose`) and LyCORIS's functions (`apply_dora_scale`) do this, and users compare
///   with them. LyCORIS's modules use `V (1 + s (m / |V| - 1))`, which keeps the change at 0.
/// - `lora_magnitude_vector` (PEFT): `m V / |V|`, `V = W + s * alpha / rank * change`, as PEFT
///   merges it. diffusers renames `dora_scale` to this, so it uses PEFT's rule for both.
///
/// After other adapters, `W` is the weight that they changed; only PEFT's norms are those of the
/// model's own weight with the change. diffusers without `fuse_lora` sums each adapter's change of
/// the model's own weight instead.
///
/// The web UI computes the norms of columns, and ComfyUI for `[outputs, 1]` those of `W` instead of
/// `V`: neither matches the training, so neither is done here.
struct Decomposition: WeightChange {
  let change: any WeightChange
  private let magnitude: Tensor
  private let isOfInputs: Bool
  /// Added to each norm: LyCORIS and web UIs add the machine epsilon, PEFT nothing.
  private let least: Float
  private let isPEFT: Bool
  /// The interpolation from `W` to the result: 1 for PEFT, whose scale applies to the change.
  private let strength: Float

  /// - Parameter isPEFT: whether the magnitudes are PEFT's, one per output.
  init(
    _ change: any WeightChange, _ magnitude: Tensor, isPEFT: Bool, strength: Float, shape: [Int]
  ) throws(FormatError) {
    try Factors.check(magnitude)
    let outputs = shape.first ?? 0
    let inputs = shape.count > 1 ? shape[1] : 0
    let dimensions = magnitude.shape.dimensions
    let count = magnitude.elementCount
    isOfInputs =
      !isPEFT && dimensions.count > 1 && dimensions[0] == 1 && dimensions[1] == count
      && count == inputs
    guard isOfInputs || count == outputs, outputs > 0 else {
      throw Factors.misfit([magnitude], shape)
    }
    (self.change, self.magnitude, self.strength) = (change, magnitude, strength)
    least = isPEFT ? 0 : .ulpOfOne
    self.isPEFT = isPEFT
  }

  func apply(to weight: inout WeightValues) throws(FormatError) {
    let before = strength == 1 ? [] : weight.values
    // PEFT computes norms on the model's own weight, whatever was merged before.
    var measured: [Float]?
    if isPEFT, let original = weight.original {
      let merged = weight.values
      weight.values = original
      try change.apply(to: &weight)
      measured = weight.values
      weight.values = merged
    }
    try change.apply(to: &weight)
    let values = measured ?? weight.values
    let magnitude = try magnitude.singlePrecision()
    let (width, kernel) = (weight.width, weight.kernel)
    var squares = [Double](repeating: 0, count: magnitude.count)
    for output in 0..<weight.outputs {
      for column in 0..<width {
        let value = Double(values[output * width + column])
        squares[isOfInputs ? column / kernel : output] += value * value
      }
    }
    let factors = zip(magnitude, squares).map { magnitude, square in
      let length = Float(square.squareRoot()) + least
      return length > 0 ? magnitude / length : 0
    }
    for output in 0..<weight.outputs {
      for column in 0..<width {
        weight.values[output * width + column] *= factors[isOfInputs ? column / kernel : output]
      }
    }
    for index in before.indices {
      weight.values[index] = before[index] + strength * (weight.values[index] - before[index])
    }
  }
}
