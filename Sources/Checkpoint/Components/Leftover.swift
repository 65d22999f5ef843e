import ModelFormats
import OrderedJSON

/// Tensors of a checkpoint that no network uses, by kind.
public struct Leftover: Sendable, Hashable {
  /// What unused tensors are.
  public enum Kind: String, Sendable, CaseIterable {
    case noiseSchedule = "noise schedule"
    case averageCounters = "counters of averages"
    case positionIDs = "position ids"
    case weightScales = "scales of 8-bit weights"
    case optimizerState = "optimizer state"
    case gradients
    case trainingLoss = "training loss"
    /// Steps, epochs and other state for resuming training.
    case trainingState = "training state"
    /// EMA weights of a network other than the UNet.
    case averages = "averaged weights"
    /// Empty tensors whose names give the prediction type.
    case predictionMarks = "marks of the prediction type"
    /// Tensors stored under a second name.
    case duplicates = "duplicates under another name"
    case embeddings = "embeddings of training"
    /// Layers of OpenCLIP's text encoder after the last one that Stable Diffusion 2 uses.
    case unusedLayers = "layers that are not used"
    case contrastive = "projection and scale of CLIP's training"
    /// Shapes, scales and small tables read by nodes of an ONNX model.
    case graphConstants = "constants of the graph"
    /// Unknown tensors.
    case unknown
  }

  /// What they are.
  public let kind: Kind
  /// Their names.
  public let names: [String]
  /// The bytes of all of them.
  public let bytes: Int

  /// The names for one line: the first few, and how many more.
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

  /// The maximum number of names in JSON; counts include all.
  static let nameLimit = 20

  /// Whether an initializer of an ONNX model that is not a parameter is a graph constant; weights
  /// renamed by other exporters are larger.
  static func isGraphConstant(_ tensor: Tensor) -> Bool {
    kind(of: tensor.name) == .unknown && tensor.byteCount <= 4_096
  }

  /// The tensors of the checkpoint's components besides their networks' parameters.
  static func of(_ checkpoint: ModelCheckpoint) -> [Leftover] {
    var groups: [Kind: [Tensor]] = [:]
    for component in checkpoint.components {
      let buffers = component.manifest?.buffers ?? []
      let rest =
        component.manifest?.unexpected
        ?? (component.name == .other
          ? component.tensors : component.tensors.filter { isOfOptimizer($0.name) })
      for tensor in component.manifest?.unused ?? [] {
        groups[unusedKind(of: tensor.name), default: []].append(tensor)
      }
      groups[.duplicates, default: []] += (component.manifest?.duplicates ?? []).map(\.tensor)
      for tensor in buffers + rest {
        var kind = kind(of: tensor.name)
        if component.scales.isPart(tensor.name) { kind = .weightScales }
        if component.format == .onnx, isGraphConstant(tensor) { kind = .graphConstants }
        groups[kind, default: []].append(tensor)
      }
    }
    return Kind.allCases.compactMap { kind in
      guard let tensors = groups[kind], !tensors.isEmpty else { return nil }
      return Leftover(
        kind: kind, names: tensors.map(\.name),
        bytes: tensors.reduce(0) { $0 + $1.byteCount })
    }
  }

  /// Tensors of OpenCLIP's text encoder outside its layers, after the prefix.
  static let contrastive: Set<String> = ["text_projection", "logit_scale"]

  /// The kind of an unused tensor in a manifest.
  static func unusedKind(of name: String) -> Kind {
    contrastive.contains(String(name.split(separator: ".").last ?? ""))
      ? .contrastive : .unusedLayers
  }

  /// Whether a tensor projects a CLIP model's output for training, which generation does not need.
  static func isProjection(_ name: some StringProtocol) -> Bool {
    name.hasSuffix("text_projection.weight") || name.hasSuffix("text_projection")
  }

  /// The kind by name only, in any dictionary.
  static func kind(of name: String) -> Kind {
    for dictionary in [""] + BareNames.dictionaries(of: name) {
      let kind = kind(ofBare: name.dropFirst(dictionary.count))
      if kind != .unknown { return kind }
    }
    return .unknown
  }

  /// Whether only training needs it: next to a single network in a file, it does not belong to that
  /// network.
  static func isOfTraining(_ name: String) -> Bool {
    switch kind(of: name) {
    case .noiseSchedule, .averageCounters, .optimizerState, .gradients, .trainingLoss,
      .trainingState,
      .averages, .predictionMarks, .embeddings:
      true
    case .positionIDs, .weightScales, .duplicates, .unusedLayers, .contrastive, .graphConstants,
      .unknown:
      false
    }
  }

  private static func kind(ofBare name: Substring) -> Kind {
    if name.hasSuffix("position_ids") { return .positionIDs }
    let whole = String(name)
    if let kind = wholeNames[whole] { return kind }
    if SingleFileLayout.buffers.contains(whole) { return .noiseSchedule }
    if stateEndings.contains(where: name.hasSuffix) || isNumberedState(name) {
      return .optimizerState
    }
    if name.hasSuffix(".grad") { return .gradients }
    if isProjection(name) { return .contrastive }
    return beginnings.first { name.hasPrefix($0.text) }?.kind ?? .unknown
  }

  /// Optimizer state per parameter: Adam and variants, momentum, Adafactor.
  private static let stateEndings = [
    ".exp_avg", ".exp_avg_sq", ".max_exp_avg_sq", ".exp_avg_sq_row", ".exp_avg_sq_col",
    ".momentum_buffer", ".square_avg",
  ]

  /// `state.12.step`, as saved by `torch.optim`.
  private static func isNumberedState(_ name: Substring) -> Bool {
    guard name.hasPrefix("state."), !name.hasSuffix(".weight"), !name.hasSuffix(".bias")
    else { return false }
    let number = name.dropFirst("state.".count).prefix { $0 != "." }
    return !number.isEmpty && number.allSatisfy(\.isNumber)
  }

  /// Whether a tensor is training state, not a parameter of a model.
  static func isOfOptimizer(_ name: String) -> Bool {
    [.optimizerState, .gradients].contains(kind(of: name))
  }

  /// Words of which such tensor names contain at least one.
  static let optimizerWords = [
    "optim", "exp_avg", "momentum_buffer", "square_avg", "lr_scheduler", "scaler.", "state.",
    "param_groups.", ".grad", "grads.", "gradients.",
  ]

  private static let wholeNames: [String: Kind] = [
    "model_ema.decay": .averageCounters, "model_ema.num_updates": .averageCounters,
    "denoiser.sigmas": .noiseSchedule, "denoiser.log_sigmas": .noiseSchedule,
    "logvar": .trainingLoss, "global_step": .trainingState, "epoch": .trainingState,
    "step": .trainingState, "iteration": .trainingState, "iterations": .trainingState,
    "current_epoch": .trainingState, "rng_state": .trainingState,
    "v_pred": .predictionMarks, "ztsnr": .predictionMarks,
    "edm_vpred.sigma_max": .predictionMarks, "edm_vpred.sigma_min": .predictionMarks,
    "edm_mean": .predictionMarks, "edm_std": .predictionMarks,
    // CLIP's own scalars, outside its two models.
    "scaled_fp8": .weightScales, "logit_scale": .contrastive, "logit_bias": .contrastive,
  ]

  private static let beginnings: [(text: String, kind: Kind)] = [
    ("model_lvlb_weights", .noiseSchedule), ("lvlb_weights", .noiseSchedule),
    ("optimizer_states.", .optimizerState), ("optimizer.", .optimizerState),
    ("optimizers.", .optimizerState), ("optimizer_state_dict.", .optimizerState),
    ("optimizer_state.", .optimizerState), ("optim.", .optimizerState),
    ("exp_avg.", .optimizerState), ("exp_avg_sq.", .optimizerState),
    ("param_groups.", .optimizerState), ("grads.", .gradients), ("gradients.", .gradients),
    ("lr_scheduler.", .optimizerState), ("lr_schedulers.", .optimizerState),
    ("grad_scaler.", .optimizerState), ("scaler.", .optimizerState),
    ("loss.", .trainingLoss), ("loss_fn.", .trainingLoss), ("discriminator.", .trainingLoss),
    ("perceptual_loss.", .trainingLoss), ("lpips.", .trainingLoss),
    ("callbacks.", .trainingState), ("loops.", .trainingState),
    ("model_ema.", .averages), ("embedding_manager.", .embeddings),
  ]
}
