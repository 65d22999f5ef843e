import Checkpoint
import Engine
import Pictures
import Threads

/// A loaded model that generates images on a thread of its own, one request after another.
///
/// ```swift
/// let generator = try await ImageGenerator(ModelCheckpoint.open("sd15.sdflat"))
/// for try await step in generator.draw(GenerationRequest(prompt: "a lighthouse at dusk")) {
///   if let result = step.result { try PNG.write(result.image, to: "lighthouse.png") }
/// }
/// ```
///
/// Requests wait for one another in the order in which their first steps are asked for; whoever waits
/// can be cancelled. Loading, encoding, evaluating and decoding run on the generator's thread, so they
/// never block Swift's cooperative pool. Use one generator for all that share a model: two compete for
/// the same cores.
public actor ImageGenerator {
  /// The model.
  public nonisolated let model: DiffusionModel

  private nonisolated let thread: ThreadExecutor
  /// The iteration whose turn it is, and its steps once they have begun.
  private var turn: Int?
  private var steps: GroupedSteps?
  /// Those that wait, the next one first.
  private var waiting: [(id: Int, continuation: CheckedContinuation<Void, any Error>)] = []

  /// The generator's thread.
  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    thread.asUnownedSerialExecutor()
  }

  /// Loads a model on the generator's thread.
  ///
  /// - Parameter load: makes the model, with settings and progress of its own.
  /// - Throws: what `load` throws; ``EngineError`` `memory` if there can be no more threads.
  public init(_ load: @escaping @Sendable () throws -> DiffusionModel) async throws {
    guard let thread = ThreadExecutor() else {
      throw EngineError(.memory, "the system has no more threads", context: "ImageGenerator")
    }
    self.thread = thread
    model = try await thread.run(load)
  }

  /// Loads a checkpoint's model on the generator's thread.
  ///
  /// - Parameters:
  ///   - options: threads and precision.
  ///   - engine: what computes the networks.
  ///   - additions: what is loaded besides the model's own networks.
  /// - Throws: as ``DiffusionModel/init(_:options:engine:width:height:isGuided:batch:embeddings:additions:progress:)``;
  ///   ``EngineError`` `memory` if there can be no more threads.
  public init(
    _ checkpoint: ModelCheckpoint, options: EngineOptions = EngineOptions(),
    engine: NetworkEngine = .native, additions: ModelAdditions = ModelAdditions()
  ) async throws {
    try await self.init {
      try DiffusionModel(checkpoint, options: options, engine: engine, additions: additions)
    }
  }

  /// The steps that generate an image. Nothing is computed before the first is asked for.
  public nonisolated func draw(_ request: GenerationRequest) -> GenerationSequence {
    draw([request])
  }

  /// The steps that generate images together, with one evaluation of the UNet for all of them at each
  /// timestep. They may differ only in seed and noise.
  public nonisolated func draw(_ requests: [GenerationRequest]) -> GenerationSequence {
    GenerationSequence(self, [requests])
  }

  /// The steps that generate the images of a job: ``DrawingJob/batchSize`` of them together.
  ///
  /// - Parameter defaultGuidance: the guidance scale if the job does not give one.
  /// - Throws: as ``DrawingJob/requests(defaultGuidance:)``.
  public nonisolated func draw(
    _ job: DrawingJob, defaultGuidance: Double = 7.5
  ) throws(JobError) -> GenerationSequence {
    let requests = try job.requests(defaultGuidance: defaultGuidance)
    let size = max(1, job.batchSize ?? 1)
    return GenerationSequence(
      self,
      stride(from: 0, to: requests.count, by: size).map {
        Array(requests[$0..<min($0 + size, requests.count)])
      })
  }

  /// The image so far: the image that the model predicted at a step, or before the first evaluation
  /// its noise. The tiny autoencoder decodes it if one is loaded, else the VAE, which takes as long as
  /// for a finished image. ``LatentProjection`` is a rough way that costs nothing. The safety checker
  /// sees finished images only.
  ///
  /// - Throws: as ``decode(_:)``.
  public func preview(of step: GenerationStep) throws -> Image {
    try step.result?.image ?? model.decodePreview(step.prediction?.picture ?? step.latents)
  }

  /// The image of some latents.
  ///
  /// - Throws: ``EngineError``; ``GenerationError`` `notFinite` if the image is not finite.
  public func decode(_ latents: Latents) throws -> Image {
    try model.decode(latents)
  }
}

// Turns: one iteration at a time has steps computed, and the others wait.
extension ImageGenerator {
  /// The next step of an iteration, which waits for its turn before the first; nil after the last.
  ///
  /// - Throws: `CancellationError` if the task is cancelled; as ``GenerationLoop``. After an error, as
  ///   after the last step, it is the next one's turn.
  func step(of id: Int, _ groups: [[GenerationRequest]]) async throws -> GenerationStep? {
    if steps == nil || turn != id {
      try await waitForTurn(id)
      // It may have been cancelled after its turn had come, and another's turn have begun.
      guard turn == id else { throw CancellationError() }
      steps = GroupedSteps(groups: groups[...])
    }
    do {
      try Task.checkCancellation()
      if let step = try steps?.next(model) { return step }
    } catch {
      leave(id)
      throw error
    }
    leave(id)
    return nil
  }

  private func waitForTurn(_ id: Int) async throws {
    guard turn != nil else {
      turn = id
      return
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation {
        (continuation: CheckedContinuation<Void, any Error>) in
        if Task.isCancelled {
          continuation.resume(throwing: CancellationError())
        } else {
          waiting.append((id, continuation))
        }
      }
    } onCancel: {
      // Runs after what is above, which it may interrupt.
      Task { await self.leave(id) }
    }
  }

  /// How many iterations wait for their turn.
  public var waitingCount: Int { waiting.count }

  /// Ends an iteration, or takes it out of those that wait. Does nothing the second time.
  func leave(_ id: Int) {
    if let index = waiting.firstIndex(where: { $0.id == id }) {
      waiting.remove(at: index).continuation.resume(throwing: CancellationError())
    }
    guard turn == id else { return }
    (turn, steps) = (nil, nil)
    guard !waiting.isEmpty else { return }
    let next = waiting.removeFirst()
    turn = next.id
    next.continuation.resume()
  }
}

/// The steps of groups of images, one group after another.
private struct GroupedSteps {
  var groups: ArraySlice<[GenerationRequest]>
  /// The group that has begun.
  var loop: GenerationLoop?
  /// The index of its first image.
  var offset = 0

  mutating func next(_ model: DiffusionModel) throws -> GenerationStep? {
    while let group = groups.first {
      if var step = try loop?.next() {
        step.imageIndex += offset
        return step
      }
      if loop != nil {
        offset += group.count
        groups.removeFirst()
        loop = nil
      } else {
        loop = try GenerationLoop(model, group)
      }
    }
    return nil
  }
}
