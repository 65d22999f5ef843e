import ModelFormats
import ModelGraph

/// Low-rank adapters on top of the networks of a checkpoint.
public struct AdaptedWeights: Sendable {
  private let adapters: [LoRA]

  public init(_ adapters: [LoRA]) {
    self.adapters = adapters
  }

  /// The parameter of that name with every adapter's update added, in F32 where there is one.
  ///
  /// - Parameter name: the name of today's diffusers.
  /// - Throws: ``FormatError`` as ``Component/tensor(named:)``; where an adapter's file cannot be
  ///   read.
  public func tensor(named name: String, of component: Component) throws(FormatError) -> Tensor {
    let tensor = try component.tensor(named: name)
    let updates = adapters.compactMap { $0.updates[component.name]?[name] }
    guard !updates.isEmpty else { return tensor }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(4 * tensor.elementCount)
    _ = try tensor.withSaturatedPieces(as: .float32, adding: updates) {
      bytes.append(contentsOf: $0)
    }
    return Tensor(
      name: tensor.name, dtype: .float32, shape: tensor.shape, storage: .memory(bytes))
  }
}

extension LoRA {
  /// What of the file changes nothing, in one sentence for each reason.
  public var unusedSummary: [String] {
    var names: [String: [String]] = [:]
    var reasons: [String] = []
    for tensor in unused {
      if names[tensor.reason] == nil { reasons.append(tensor.reason) }
      names[tensor.reason, default: []].append(tensor.name)
    }
    return reasons.map { reason in
      let members = names[reason] ?? []
      return "\(path): \(members.count) of its tensors are not used, since \(reason): "
        + Leftover.shown(members)
    }
  }
}
