import Engine
import ModelFormats
import ModelGraph
import Synchronization

/// Asks the UNet for its predictions for pictures that are drawn together, guidance applied.
///
/// Around the UNet are ControlNets, which add to its inner values, and two approximations: guidance
/// in a part of the evaluations only, and deep features kept from one evaluation to the next.
struct Denoiser {
  private let unet: any Network
  private let additions: AdditionalNetworks
  private var states: Value
  /// The states for all pictures, by the samples of a run.
  private var repeatedStates: [Int: Value] = [:]
  private let guidanceScale: Float
  /// `timestep_cond`, where the UNet takes it.
  private let guidance: Value?
  private let settings: NetworkSettings
  /// What goes into the model beside the latents: of an inpainting UNet, mask and masked picture.
  /// One for each picture, or none.
  private let conditions: [Latents]
  /// How many evaluations there will be.
  private let evaluations: Int
  /// A new number tells the networks that these states are not those of an earlier picture.
  private var inputVersion = Self.inputVersions.add(1, ordering: .relaxed).newValue
  private let observer: ((String, StepTiming) -> Void)?
  /// The controls' pictures as their networks take them, by the samples of a run.
  private var pictures: [Int: [Value]] = [:]
  private var cache: Cache?

  private static let inputVersions = Atomic<Int>(0)

  /// What an evaluation of the whole UNet left.
  private struct Cache {
    let features: Value
    let residuals: [String: Value]
    /// Evaluations that have used it.
    var uses = 0
  }

  init(
    _ model: DiffusionModel, _ request: GenerationRequest, _ conditioning: Conditioning,
    conditions: [Latents] = [], evaluations: Int, observer: ((String, StepTiming) -> Void)?
  ) throws(GenerationError) {
    unet = model.unet
    additions = model.additions
    states = conditioning.states
    guidanceScale = request.guidanceScale
    guidance = model.guidanceWidth.map {
      GuidanceEmbedding.value(scale: request.guidanceScale, width: $0)
    }
    settings = request.networks
    self.conditions = conditions
    self.evaluations = evaluations
    self.observer = observer
    guard settings.controls.count == additions.controlNets.count else {
      throw GenerationError(
        .request,
        "each ControlNet needs one control image (got \(settings.controls.count) for"
          + " \(additions.controlNets.count) ControlNets)",
        hint: "list the images in the order of the ControlNets")
    }
    guard settings.cacheInterval == 1 || additions.shallowUNet != nil else {
      throw GenerationError(
        .request, "the model was not loaded to keep deep features from step to step")
    }
  }

  /// Goes on with other prompts, where they change from step to step.
  mutating func change(to conditioning: Conditioning) {
    states = conditioning.states
    repeatedStates = [:]
    inputVersion = Self.inputVersions.add(1, ordering: .relaxed).newValue
    cache = nil
  }

  /// The predictions for latents of one picture each, in the form that the scheduler gives to the
  /// model.
  ///
  /// - Parameter progress: the share of the evaluations that is done, 0 to below 1.
  mutating func predict(
    _ latents: [Latents], timestep: Float, progress: Double
  ) throws -> [[Float]] {
    let interval = settings.guidanceInterval
    let isGuided =
      states.shape[0] == 2 && progress >= interval.lowerBound
      && (progress < interval.upperBound || interval.upperBound == 1)
    // All pictures with the negative prompt, then all with the prompt.
    let count = (isGuided ? 2 : 1) * latents.count
    var samples: [Float] = []
    for sample in 0..<count {
      let index = sample % latents.count
      samples += latents[index].values
      if !conditions.isEmpty { samples += conditions[index].values }
    }
    var inputs = [
      "sample": Value(
        samples,
        shape: [count, latents[0].channels + conditionChannels] + latents[0].shape.dropFirst(2)),
      "timestep": Value([timestep], shape: [1]),
      "encoder_hidden_states": states(isGuided: isGuided, pictures: latents.count),
    ]
    inputs["timestep_cond"] = guidance
    let values = try evaluate(inputs, progress: progress).reals
    let size = values.count / count
    let scale = guidanceScale
    return latents.indices.map { index in
      let first = Array(values[index * size..<(index + 1) * size])
      guard isGuided else { return first }
      let second = (latents.count + index) * size
      return elementwise(first, Array(values[second..<(second + size)])) { negative, positive in
        negative + scale * (positive - negative)
      }
    }
  }

  private var conditionChannels: Int { conditions.first?.channels ?? 0 }

  /// The prompts' states once for each picture.
  private mutating func states(isGuided: Bool, pictures: Int) -> Value {
    let count = (isGuided ? 2 : 1) * pictures
    if states.shape[0] == count, pictures == 1 { return states }
    if let known = repeatedStates[count] { return known }
    let size = states.shape.dropFirst().reduce(1, *)
    // The prompt's own states come last.
    let prompts = isGuided ? [0, 1] : [states.shape[0] - 1]
    let values = prompts.flatMap { prompt in
      repeatElement(states.reals[prompt * size..<(prompt + 1) * size], count: pictures).joined()
    }
    let value = Value(values, shape: [count] + states.shape.dropFirst())
    repeatedStates[count] = value
    return value
  }

  /// `out_sample` of the UNet, whole or from kept features.
  private mutating func evaluate(_ inputs: [String: Value], progress: Double) throws -> Value {
    let inputVersions = ["encoder_hidden_states": inputVersion]
    let count = inputs["sample"]?.shape[0] ?? 1
    if let shallow = additions.shallowUNet, var kept = cache,
      kept.uses < settings.cacheInterval, kept.features.shape[0] == count
    {
      kept.uses += 1
      cache = kept
      // Of the residuals it takes those of the layers that it has.
      let all = inputs.merging(kept.residuals) { first, _ in first }
        .merging([AdditionalNetworks.deepFeatures: kept.features]) { first, _ in first }
      return try shallow.run(all, inputVersions: inputVersions, observer: named(.unet))
        .require("out_sample")
    }
    let residuals = try residuals(for: inputs, progress: progress)
    let outputs = try unet.run(
      inputs.merging(residuals) { first, _ in first }, inputVersions: inputVersions,
      observer: named(.unet))
    if settings.cacheInterval > 1 {
      cache = Cache(
        features: try outputs.require(AdditionalNetworks.deepFeatures), residuals: residuals,
        uses: 1)
    }
    return try outputs.require("out_sample")
  }

  /// The sums of what the ControlNets add that take part at this time.
  private mutating func residuals(
    for inputs: [String: Value], progress: Double
  ) throws -> [String: Value] {
    guard let first = additions.controlNets.first, let sample = inputs["sample"] else { return [:] }
    // As diffusers counts: an evaluation takes part that lies inside from its start to its end.
    let end = progress + 1 / Double(evaluations)
    // Shares of evaluations are rounded, and so are those that were asked for.
    let slack = 1e-9
    let active = settings.controls.indices.filter { index in
      let control = settings.controls[index]
      return progress >= control.start - slack && end <= control.end + slack
    }
    guard !active.isEmpty else { return first.zeros(for: sample.shape) }
    let pictures = pictures(for: sample.shape)
    var sum: [String: Value]?
    // A ControlNet sees the latents alone, whatever an inpainting UNet takes beside them.
    var own = inputs
    if conditionChannels > 0 {
      own["sample"] = sample.droppingChannels(conditionChannels)
    }
    for index in active {
      own["controlnet_cond"] = pictures[index]
      let values = try additions.controlNets[index].residuals(
        for: own, scale: settings.controls[index].scale, inputVersion: inputVersion,
        observer: named(.controlNet))
      sum = sum.map { $0 + values } ?? values
    }
    return sum ?? [:]
  }

  private mutating func pictures(for sample: [Int]) -> [Value] {
    if let known = pictures[sample[0]] { return known }
    let values = settings.controls.map { control in
      control.image.controlValue(
        count: sample[0], width: sample[3] * DiffusionModel.downsampling,
        height: sample[2] * DiffusionModel.downsampling)
    }
    pictures[sample[0]] = values
    return values
  }

  private func named(_ network: GraphName) -> ((StepTiming) -> Void)? {
    observer.map { observer in { observer(network.rawValue, $0) } }
  }

}

extension AdditionalNetworks {
  /// The whole UNet's second output and the shallow one's input.
  package static let deepFeatures = "deep_features"
}

extension Value {
  /// Pictures without their last channels.
  fileprivate func droppingChannels(_ dropped: Int) -> Value {
    let plane = shape[2] * shape[3]
    let size = shape[1] * plane
    let kept = (shape[1] - dropped) * plane
    var values: [Float] = []
    values.reserveCapacity(shape[0] * kept)
    for sample in 0..<shape[0] { values += reals[sample * size..<(sample * size + kept)] }
    return Value(values, shape: [shape[0], shape[1] - dropped] + shape[2...])
  }
}
