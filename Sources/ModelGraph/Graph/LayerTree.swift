/// Layers as the tree of their names.
public enum LayerTree {
  /// The costs of layers, summed below a depth of the tree: layers whose names share the first
  /// `depth` parts become one, at the position of the first, with the output shape of the last.
  ///
  /// A list index belongs to the part before it: `down_blocks.0.resnets.1` has two parts.
  ///
  /// - Parameter depth: nil keeps every layer.
  public static func summed(_ costs: [LayerCost], depth: Int?) -> [LayerCost] {
    guard let depth else { return costs }
    var positions: [String: Int] = [:]
    var result: [LayerCost] = []
    for cost in costs {
      let parts = self.parts(cost.name)
      let name = self.name(cost.name, depth: depth)
      guard let position = positions[name] else {
        positions[name] = result.count
        result.append(
          LayerCost(
            name: name, kind: parts.count > depth ? "module" : cost.kind,
            outputShape: cost.outputShape, parameters: cost.parameters, macs: cost.macs,
            activationBytes: cost.activationBytes,
            isCausal: parts.count > depth ? nil : cost.isCausal))
        continue
      }
      let sum = result[position] + cost
      result[position] = LayerCost(
        name: name, kind: "module", outputShape: sum.outputShape, parameters: sum.parameters,
        macs: sum.macs, activationBytes: sum.activationBytes)
    }
    return result
  }

  /// The name of the layer or module that `name` belongs to at a depth of the tree.
  ///
  /// - Parameter depth: nil keeps every layer.
  package static func name(_ name: String, depth: Int?) -> String {
    depth.map { parts(name).prefix($0).joined(separator: ".") } ?? name
  }

  /// The maximum number of parts of a name; the rest is one part. A malicious name may consist only
  /// of dots.
  static let partLimit = 64

  /// A name's parts, with each list index joined to the part before it.
  public static func parts(_ name: String) -> [String] {
    var parts: [String] = []
    for part in name.split(separator: ".", maxSplits: partLimit - 1) {
      if let last = parts.last, part.allSatisfy(\.isNumber) {
        parts[parts.count - 1] = last + "." + part
      } else {
        parts.append(String(part))
      }
    }
    return parts
  }
}
