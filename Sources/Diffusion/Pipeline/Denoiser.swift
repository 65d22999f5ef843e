import Engine
import Synchronization

/// Asks the UNet for its predictions for one picture, guidance applied.
struct Denoiser {
  private let unet: any Network
  private let states: Value
  private let guidanceScale: Float
  /// A new number tells the network that these states are not those of an earlier picture.
  private let generation = Self.generations.add(1, ordering: .relaxed).newValue
  private let observer: ((StepTiming) -> Void)?

  private static let generations = Atomic<Int>(0)

  init(
    _ unet: any Network, _ request: GenerationRequest, _ conditioning: Conditioning,
    observer: ((StepTiming) -> Void)?
  ) {
    self.unet = unet
    states = conditioning.states
    guidanceScale = request.guidanceScale
    self.observer = observer
  }

  /// The prediction for latents in the form that the scheduler gives to the model.
  ///
  /// - Parameter progress: the share of the evaluations that is done, 0 to below 1.
  mutating func predict(
    _ latents: Latents, timestep: Float, progress: Double
  ) throws -> [Float] {
    let count = states.shape[0]
    let sample = Value(
      Array(repeatElement(latents.values, count: count).joined()),
      shape: [count] + latents.shape.dropFirst())
    let outputs = try unet.run(
      [
        "sample": sample, "timestep": Value([timestep], shape: [1]),
        "encoder_hidden_states": states,
      ], generations: ["encoder_hidden_states": generation], observer: observer)
    let values = try outputs.require("out_sample").reals
    guard count == 2 else { return values }
    let half = values.count / 2
    let scale = guidanceScale
    return elementwise(Array(values[..<half]), Array(values[half...])) { negative, positive in
      negative + scale * (positive - negative)
    }
  }
}
