import ModelFormats
import OrderedJSON

/// The scales of a component's 8-bit floating-point weights.
///
/// A weight `P.weight` has its scale in `P.scale_weight` (ComfyUI) or `P.weight_scale` (later
/// ComfyUI, compressed-tensors, torchao): one number, or one per output, or one for each of equal
/// parts of an output's row; or in `P.weight_scale_inv`, one per block of 128 by 128 values, which
/// is also multiplied. There are also scales of inputs, which weights do not need, and for the
/// whole file the mark `scaled_fp8`.
///
/// Source: ComfyUI's `comfy/ops.py` and `comfy/quant_ops.py`; compressed-tensors'
/// `naive_quantized.py`; the configuration of `FineGrainedFP8` in transformers.
public struct WeightScales: Sendable {
  private static let block = 128

  /// By the weights' names.
  private let scales: [ExactName: Tensor]
  /// The tensors that are scales, of weights or of inputs, or marks.
  private let parts: Set<ExactName>

  init(_ tensors: [Tensor]) {
    var scales: [ExactName: Tensor] = [:]
    var parts: Set<ExactName> = []
    let eightBit = tensors.filter { $0.dtype.isEightBitFloat && $0.elementCount > 0 }
    var index: [ExactName: Tensor] = [:]
    if !eightBit.isEmpty {
      for tensor in tensors { index[ExactName(tensor.name)] = tensor }
    }
    for weight in eightBit {
      let stem = weight.name.hasSuffix("weight") ? String(weight.name.dropLast(6)) : nil
      let names =
        (stem.map { [$0 + "scale_weight"] } ?? [])
        + ["_scale", "_scale_inv"].map { weight.name + $0 }
      if let scale = names.compactMap({ index[ExactName($0)] }).first {
        scales[ExactName(weight.name)] = scale
        parts.insert(ExactName(scale.name))
      }
      for name in ["scale_input", "input_scale", "comfy_quant"] {
        guard let stem, index[ExactName(stem + name)] != nil else { continue }
        parts.insert(ExactName(stem + name))
      }
    }
    for tensor in tensors where WeightScales.isMark(tensor.name) {
      parts.insert(ExactName(tensor.name))
    }
    self.scales = scales
    self.parts = parts
  }

  /// Whether a tensor with this name marks a file with scaled weights.
  static func isMark(_ name: String) -> Bool {
    name == "scaled_fp8" || name.hasSuffix(".scaled_fp8")
  }

  /// Whether no weight has a scale.
  public var isEmpty: Bool { scales.isEmpty }

  /// The weights with a scale, in alphabetical order.
  public var weights: [String] { scales.keys.map(\.text).sorted() }

  /// Whether the tensor with this name is a scale or a mark.
  public func isPart(_ name: String) -> Bool { parts.contains(ExactName(name)) }

  /// Whether the weight with this name has a scale.
  public func hasScale(_ name: String) -> Bool { scales[ExactName(name)] != nil }

  /// A tensor of 8-bit floating-point values as F32, multiplied by its scale; other tensors
  /// unchanged.
  ///
  /// - Throws: ``FormatError`` `unsupported` if the scales do not fit the weight.
  public func decoded(_ tensor: Tensor) throws(FormatError) -> Tensor {
    guard tensor.dtype.isEightBitFloat, let scale = scales[ExactName(tensor.name)] else {
      return tensor.decoded()
    }
    let values = try values(of: scale)
    switch fit(scale, tensor) {
    case .blocks(let width):
      let rows = tensor.shape.dimensions.first ?? 1
      return tensor.decoded(
        scales: (0..<rows).flatMap { row in
          let first = row / WeightScales.block * width
          return values[first..<(first + width)]
        })
    case .runs: return tensor.decoded(scales: values)
    case nil:
      throw FormatError(
        .unsupported, WeightScales.misfit(scale, tensor), file: tensor.file?.path,
        context: tensor.name)
    }
  }

  /// How a scale is applied.
  private enum Fit {
    /// One number for equal runs of the weight.
    case runs
    /// One number per block of 128 by 128 values, with this many blocks per row.
    case blocks(width: Int)
  }

  /// - Returns: nil if the scale does not fit the weight.
  private func fit(_ scale: Tensor, _ tensor: Tensor) -> Fit? {
    let shape = scale.shape
    let count = scale.elementCount
    guard count > 0, WeightScales.isNumbers(scale) else { return nil }
    let rows = tensor.shape.dimensions.first ?? 1
    let columns = tensor.elementCount / max(1, rows)
    func rounded(_ count: Int) -> Int { (count + WeightScales.block - 1) / WeightScales.block }
    if scale.name.hasSuffix("_scale_inv"), columns.isMultiple(of: WeightScales.block),
      shape.dimensions == [rounded(rows), columns / WeightScales.block]
    {
      return .blocks(width: columns / WeightScales.block)
    }
    // If there are as many numbers as outputs, they are per output only if the shape says so.
    if count == 1 || count == rows && (shape.rank < 2 || shape[0] == rows) { return .runs }
    if shape.rank == 2, shape[0] == rows, shape[1] > 0, columns.isMultiple(of: shape[1]) {
      return .runs
    }
    return nil
  }

  private static func misfit(_ scale: Tensor, _ tensor: Tensor) -> String {
    "its scale \(scale.name) \(scale.dtype.rawValue) \(scale.shape) does not fit its shape "
      + "\(tensor.shape): one number, one for each output or for equal parts of a row can be "
      + "multiplied in"
  }

  /// Whether a scale has a known layout that is not supported: exponents stored as bytes (MXFP8),
  /// or incomplete last blocks.
  private func isForeign(_ scale: Tensor, _ tensor: Tensor) -> Bool {
    if !WeightScales.isNumbers(scale) { return scale.elementCount > 0 }
    let rows = tensor.shape.dimensions.first ?? 1
    let columns = tensor.elementCount / max(1, rows)
    let block = WeightScales.block
    return scale.name.hasSuffix("_scale_inv")
      && scale.shape.dimensions
        == [(rows + block - 1) / block, (columns + block - 1) / block]
  }

  /// The names of weights whose scales have an unsupported layout.
  func foreign(_ tensors: [Tensor]) -> [String] {
    tensors.compactMap { tensor in
      guard let scale = scales[ExactName(tensor.name)], fit(scale, tensor) == nil,
        isForeign(scale, tensor)
      else { return nil }
      return tensor.displayName
    }
  }

  /// The weights whose scales do not fit, one sentence each.
  func problems(_ tensors: [Tensor]) -> [String] {
    guard !scales.isEmpty else { return [] }
    return tensors.compactMap { tensor in
      guard let scale = scales[ExactName(tensor.name)], fit(scale, tensor) == nil,
        !isForeign(scale, tensor)
      else { return nil }
      return "\(tensor.displayName): " + WeightScales.misfit(scale, tensor)
    }
  }

  private static func isNumbers(_ scale: Tensor) -> Bool {
    scale.dtype == .float8E8M0 || Cast.sources.contains(scale.dtype)
  }

  /// A scale's numbers in float32.
  private func values(of scale: Tensor) throws(FormatError) -> [Float] {
    if scale.dtype == .float8E8M0 {
      return scale.contiguousBytes().map { Float(scale.dtype.number(of: $0)) }
    }
    guard WeightScales.isNumbers(scale), scale.elementCount > 0 else {
      throw FormatError(
        .unsupported,
        "the scale holds \(scale.elementCount.of("value")) of \(scale.dtype.rawValue)",
        file: scale.file?.path, context: scale.name)
    }
    return try scale.singlePrecision()
  }
}
