import ModelFormats
import OrderedJSON

/// Tensors of a checkpoint that no network uses, by what they are.
public struct Leftover: Sendable, Hashable {
  public enum Kind: String, Sendable, CaseIterable {
    case noiseSchedule = "noise schedule"
    case averageCounters = "counters of averages"
    case positionIDs = "position ids"
    case optimizerState = "optimizer state"
    case trainingLoss = "training loss"
    case embeddings = "embeddings of training"
    /// OpenCLIP's text encoder goes on where Stable Diffusion 2 has what it needs.
    case unusedLayers = "layers that are not used"
    case contrastive = "projection and scale of CLIP's training"
    /// Shapes, scales and small tables that the nodes of an ONNX model read.
    case graphConstants = "constants of the graph"
    /// Nothing that is known.
    case unknown
  }

  public let kind: Kind
  public let names: [String]
  public let bytes: Int

  /// The names as a line shows them: the first few, and how many more.
  public var shownNames: String { Leftover.shown(names) }

  static func shown(_ names: [String], limit: Int = 3) -> String {
    let rest = names.count - limit
    return names.prefix(limit).map(Tensor.displayName).joined(separator: ", ")
      + (rest > 0 ? " and \(rest) more" : "")
  }

  var json: JSON {
    [
      "kind": .string(kind.rawValue), "tensors": .integer(names.count), "bytes": .integer(bytes),
      "names": .array(names.prefix(Leftover.nameLimit).map { .string($0) }),
    ]
  }

  /// Names that the JSON lists; the counts are of all.
  static let nameLimit = 20

  /// Whether an initializer of an ONNX model that is no parameter is a constant of the graph; weights
  /// that other exporters renamed are larger.
  static func isGraphConstant(_ tensor: Tensor) -> Bool {
    kind(of: tensor.name) == .unknown && tensor.byteCount <= 4_096
  }

  /// What the checkpoint's components hold beside their networks' parameters.
  static func of(_ checkpoint: ModelCheckpoint) -> [Leftover] {
    var groups: [Kind: [Tensor]] = [:]
    for component in checkpoint.components {
      let buffers = component.manifest?.buffers ?? []
      let rest =
        component.manifest?.unexpected ?? (component.name == .other ? component.tensors : [])
      for tensor in component.manifest?.unused ?? [] {
        groups[unusedKind(of: tensor.name), default: []].append(tensor)
      }
      for tensor in buffers + rest {
        var kind = kind(of: tensor.name)
        if component.format == .onnx, isGraphConstant(tensor) { kind = .graphConstants }
        groups[kind, default: []].append(tensor)
      }
    }
    return Kind.allCases.compactMap { kind in
      groups[kind].map { tensors in
        Leftover(
          kind: kind, names: tensors.map(\.name),
          bytes: tensors.reduce(0) { $0 + $1.byteCount })
      }
    }
  }

  /// What of OpenCLIP's text encoder is no layer, behind the prefix.
  static let contrastive: Set<String> = ["text_projection", "logit_scale"]

  /// The kind of a tensor that a manifest says is unused.
  static func unusedKind(of name: String) -> Kind {
    contrastive.contains(String(name.split(separator: ".").last ?? ""))
      ? .contrastive : .unusedLayers
  }

  /// Whether a tensor projects a CLIP model's output for its training, which images need not.
  static func isProjection(_ name: some StringProtocol) -> Bool {
    name.hasSuffix("text_projection.weight") || name.hasSuffix("text_projection")
  }

  /// Tells by the name alone.
  static func kind(of name: String) -> Kind {
    var name = name[...]
    while name.hasPrefix("state_dict.") { name = name.dropFirst("state_dict.".count) }
    if name.hasSuffix("position_ids") { return .positionIDs }
    if name == "model_ema.decay" || name == "model_ema.num_updates" { return .averageCounters }
    if SingleFileLayout.isBuffer(String(name)) || name == "denoiser.sigmas"
      || name == "denoiser.log_sigmas" || name.hasPrefix("model_lvlb_weights")
      || name.hasPrefix("lvlb_weights")
    {
      return .noiseSchedule
    }
    if name.hasPrefix("optimizer_states.") || name.hasPrefix("optimizer.")
      || name.hasSuffix(".exp_avg") || name.hasSuffix(".exp_avg_sq")
    {
      return .optimizerState
    }
    if name.hasPrefix("loss.") || name.hasPrefix("discriminator.") { return .trainingLoss }
    if name.hasPrefix("embedding_manager.") { return .embeddings }
    // CLIP's own, beside its two models.
    if name == "logit_scale" || name == "logit_bias" || isProjection(name) { return .contrastive }
    // Keys without a use, which say what a UNet predicts.
    if ["v_pred", "ztsnr", "edm_vpred.sigma_max", "edm_mean", "edm_std"].contains(name) {
      return .noiseSchedule
    }
    return .unknown
  }
}
