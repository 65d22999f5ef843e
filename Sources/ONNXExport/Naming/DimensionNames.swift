import ModelGraph

/// Names for the sizes of a network that are known at run time.
///
/// Sizes derived from an input's size are expressions of its name, so equal names mean equal sizes
/// throughout a model.
struct DimensionNames {
  /// The name of an input's dimension, and its size in units of the symbol.
  private struct Base {
    let name: String
    let unit: Int
  }

  private let bases: [Symbol: Base]
  private let multiplies: Bool

  init(_ graph: Graph, _ interface: Interface) {
    var bases: [Symbol: Base] = [:]
    for dimension in graph.inputs.flatMap({ graph[$0].shape }) {
      guard dimension.factors.count == 1, let factor = dimension.factors.first,
        factor.divisor == 1, bases[factor.symbol] == nil
      else { continue }
      bases[factor.symbol] = Base(
        name: interface.symbols[factor.symbol] ?? factor.symbol.rawValue,
        unit: interface.multiplies ? 1 : dimension.constant)
    }
    self.bases = bases
    multiplies = interface.multiplies
  }

  /// The dimension in ONNX's form.
  func extent(_ dimension: Dimension) -> ONNXModel.Extent {
    if let size = dimension.fixed { return .fixed(size) }
    return name(dimension).map(ONNXModel.Extent.named) ?? .unknown
  }

  private func name(_ dimension: Dimension) -> String? {
    if dimension.factors.count == 1 {
      return term(dimension.factors[0], times: dimension.constant)
    }
    let terms = dimension.factors.compactMap { term($0, times: 1) }
    guard terms.count == dimension.factors.count else { return nil }
    let product = terms.map { $0.contains(" ") ? "(\($0))" : $0 }.joined(separator: " * ")
    return dimension.constant == 1 ? product : "\(product) * \(dimension.constant)"
  }

  /// `constant * ceil(symbol / divisor)` in units of the input's dimension.
  private func term(_ factor: Dimension.Factor, times constant: Int) -> String? {
    guard let base = bases[factor.symbol] else { return nil }
    if factor.divisor > 1 {
      guard base.unit == 1 else { return nil }
      let quotient = "ceil(\(base.name) / \(factor.divisor))"
      return constant == 1 ? quotient : "\(quotient) * \(constant)"
    }
    if constant == base.unit { return base.name }
    if multiplies {
      // 77 times 2B is 154B.
      let number = base.name.prefix { $0.isNumber }
      return "\(constant * (Int(number) ?? 1))\(base.name.dropFirst(number.count))"
    }
    if constant % base.unit == 0 { return "\(base.name) * \(constant / base.unit)" }
    return base.unit % constant == 0 ? "\(base.name) / \(base.unit / constant)" : nil
  }
}
