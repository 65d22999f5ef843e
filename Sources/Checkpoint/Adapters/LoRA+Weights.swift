import ModelFormats
import ModelGraph
import OrderedJSON

/// Adapters applied to the networks of a checkpoint.
public struct AdaptedWeights: Sendable {
  private let adapters: [LoRA]

  public init(_ adapters: [LoRA]) {
    self.adapters = adapters
  }

  /// The parameter with this name after the updates of all adapters in sequence, in F32 if there
  /// are any.
  ///
  /// - Parameter name: the name in current diffusers.
  /// - Throws: ``FormatError`` as ``Component/tensor(named:)``, or if an adapter's file cannot be
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
  /// Unused tensors with the same reason.
  struct UnusedGroup {
    let method: String?
    let reason: String
    var names: [String]

    /// For example "12 tensors".
    var count: String { "\(names.count.of("tensor"))" }
  }

  /// Unused tensors, by method and reason.
  var unusedGroups: [UnusedGroup] {
    var indices: [[String?]: Int] = [:]
    var groups: [UnusedGroup] = []
    for tensor in unused {
      let key = [tensor.method, tensor.reason]
      if let index = indices[key] {
        groups[index].names.append(tensor.name)
      } else {
        indices[key] = groups.count
        groups.append(
          UnusedGroup(method: tensor.method, reason: tensor.reason, names: [tensor.name]))
      }
    }
    return groups
  }

  /// A summary of unused tensors, one sentence per method and reason.
  public var unusedSummary: [String] {
    unusedGroups.map { group in
      let method = group.method.map { " of \($0)" } ?? ""
      return "\(path): \(group.count)\(method) not used: \(group.reason): "
        + Leftover.shown(group.names)
    }
  }

  /// A summary of the changes, for example "3 layers of the UNet (LoHa)".
  public var changeSummary: String {
    let counts = layers.sorted { $0.key.rawValue < $1.key.rawValue }.map {
      "\($0.value.of("layer")) of the \($0.key.title)"
    }
    guard !counts.isEmpty else { return "no layer" }
    return counts.joined(separator: " and ") + " (" + methods.map(\.name).joined(separator: ", ")
      + ")"
  }

  /// The form that reports print.
  package var json: JSON {
    let counts = layers.sorted { $0.key.rawValue < $1.key.rawValue }.reduce(into: JSONObject()) {
      $0[$1.key.rawValue] = .integer($1.value)
    }
    return [
      "file": .string(path), "scale": .number(scale), "layers": .object(counts),
      "methods": .array(
        methods.map { ["name": .string($0.name), "layers": .integer($0.layers)] }),
      "embeddings": .array(embeddings.map { .string($0.word) }),
      "unused": .array(
        unused.map { ["name": .string($0.name), "reason": .string($0.reason)] }),
      "unused_methods": .array(
        unusedGroups.map {
          [
            "method": $0.method.map { .string($0) } ?? .null, "tensors": .integer($0.names.count),
            "reason": .string($0.reason),
          ]
        }),
    ]
  }
}
