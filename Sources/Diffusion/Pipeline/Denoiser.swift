import Engine
import Synchronization

/// Asks the UNet for its predictions for one picture, guidance applied.
///
/// Around the UNet are ControlNets, which add to its inner values, and two approximations: guidance
/// in a part of the evaluations only, and deep features kept from one evaluation to the next.
struct Denoiser {
  private let unet: any Network
  private let additions: AdditionalNetworks
  private var states: Value
  private let guidanceScale: Float
  private let settings: NetworkSettings
  /// What goes into the model beside the latents: of an inpainting UNet, mask and masked picture.
  private let condition: Latents?
  /// How many evaluations there will be.
  private let evaluations: Int
  /// A new number tells the networks that these states are not those of an earlier picture.
  private var generation = Self.generations.add(1, ordering: .relaxed).newValue
  private let observer: ((String, StepTiming) -> Void)?
  /// The controls' pictures as their networks take them, by the samples of a run.
  private var pictures: [Int: [Value]] = [:]
  private var cache: Cache?

  private static let generations = Atomic<Int>(0)

  /// What an evaluation of the whole UNet left.
  private struct Cache {
    let features: Value
    let residuals: [String: Value]
    /// Evaluations that have used it.
    var uses = 0
  }

  init(
    _ model: DiffusionModel, _ request: GenerationRequest, _ conditioning: Conditioning,
    condition: Latents? = nil, evaluations: Int, observer: ((String, StepTiming) -> Void)?
  ) throws(GenerationError) {
    unet = model.unet
    additions = model.additions
    states = conditioning.states
    guidanceScale = request.guidanceScale
    settings = request.networks
    self.condition = condition
    self.evaluations = evaluations
    self.observer = observer
    guard settings.controls.count == additions.controlNets.count else {
      throw GenerationError(
        .request,
        "there are \(additions.controlNets.count) ControlNets and \(settings.controls.count)"
          + " pictures for them",
        hint: "give each ControlNet one picture, in the same order")
    }
    guard settings.cacheInterval == 1 || additions.shallowUNet != nil else {
      throw GenerationError(
        .request, "the model was not loaded to keep deep features from step to step")
    }
  }

  /// Goes on with other prompts, where they change from step to step.
  mutating func change(to conditioning: Conditioning) {
    states = conditioning.states
    generation = Self.generations.add(1, ordering: .relaxed).newValue
    cache = nil
  }

  /// The prediction for latents in the form that the scheduler gives to the model.
  ///
  /// - Parameter progress: the share of the evaluations that is done, 0 to below 1.
  mutating func predict(
    _ latents: Latents, timestep: Float, progress: Double
  ) throws -> [Float] {
    let interval = settings.guidanceInterval
    let isGuided =
      states.shape[0] == 2 && progress >= interval.lowerBound
      && (progress < interval.upperBound || interval.upperBound == 1)
    let count = isGuided ? 2 : 1
    let one = latents.values + (condition?.values ?? [])
    let sample = Value(
      Array(repeatElement(one, count: count).joined()),
      shape: [count, latents.channels + (condition?.channels ?? 0)] + latents.shape.dropFirst(2))
    let inputs = [
      "sample": sample, "timestep": Value([timestep], shape: [1]),
      // The prompt's own states come last.
      "encoder_hidden_states": states.shape[0] == count ? states : states.last,
    ]
    let values = try evaluate(inputs, progress: progress).reals
    guard isGuided else { return values }
    let half = values.count / 2
    let scale = guidanceScale
    return elementwise(Array(values[..<half]), Array(values[half...])) { negative, positive in
      negative + scale * (positive - negative)
    }
  }

  /// `out_sample` of the UNet, whole or from kept features.
  private mutating func evaluate(_ inputs: [String: Value], progress: Double) throws -> Value {
    let generations = ["encoder_hidden_states": generation]
    let count = inputs["sample"]?.shape[0] ?? 1
    if let shallow = additions.shallowUNet, var kept = cache,
      kept.uses < settings.cacheInterval, kept.features.shape[0] == count
    {
      kept.uses += 1
      cache = kept
      // Of the residuals it takes those of the layers that it has.
      let all = inputs.merging(kept.residuals) { first, _ in first }
        .merging([AdditionalNetworks.deepFeatures: kept.features]) { first, _ in first }
      return try shallow.run(all, generations: generations, observer: named("unet"))
        .require("out_sample")
    }
    let residuals = try residuals(for: inputs, progress: progress)
    let outputs = try unet.run(
      inputs.merging(residuals) { first, _ in first }, generations: generations,
      observer: named("unet"))
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
    if let condition {
      own["sample"] = sample.droppingChannels(condition.channels)
    }
    for index in active {
      own["controlnet_cond"] = pictures[index]
      let values = try additions.controlNets[index].residuals(
        for: own, scale: settings.controls[index].scale, generation: generation,
        observer: named("controlnet"))
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

  private func named(_ network: String) -> ((StepTiming) -> Void)? {
    observer.map { observer in { observer(network, $0) } }
  }

}

extension AdditionalNetworks {
  /// The whole UNet's second output and the shallow one's input.
  package static let deepFeatures = "deep_features"
}

extension Value {
  /// The last sample of a batch, as a batch of one.
  fileprivate var last: Value {
    let count = shape.dropFirst().reduce(1, *)
    return Value(Array(reals.suffix(count)), shape: [1] + shape.dropFirst())
  }

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
