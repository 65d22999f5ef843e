import Checkpoint
import Diffusion
import Engine
import Foundation
import OrderedJSON
import Pictures
import Synchronization
import TestSupport
import Testing

/// The actor that holds a model: steps, turns, stopping, and the thread that all of it runs on.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ImageGeneratorTests {
  /// Notes the threads that networks run on, and how often the UNet runs; waits if it is told to.
  final class Watched: Network {
    let network: any Network
    let threads = Mutex<Set<UInt>>([])
    let runs = Mutex(0)
    let gate: DispatchSemaphore?

    init(_ network: any Network, gate: DispatchSemaphore? = nil) {
      self.network = network
      self.gate = gate
    }

    func run(
      _ inputs: [String: Value], inputVersions: [String: Int], observer: ((StepTiming) -> Void)?
    ) throws -> [String: Value] {
      threads.withLock { _ = $0.insert(pthread_self()) }
      runs.withLock { $0 += 1 }
      gate?.wait()
      return try network.run(inputs, inputVersions: inputVersions, observer: observer)
    }
  }

  /// The seeds whose steps came, in their order.
  final class Order: Sendable {
    let seeds = Mutex<[UInt64]>([])
  }

  static func generator(
    _ watch: Watched? = nil, vae: Watched? = nil
  ) async throws -> ImageGenerator {
    let model = try GenerationTests.model.get()
    return try await ImageGenerator {
      DiffusionModel(
        tokenizer: model.tokenizer, textEncoder: model.textEncoder, unet: watch ?? model.unet,
        codec: model.codec.decoding(with: vae ?? model.codec.decoder), scheduler: model.scheduler,
        sampleSize: model.sampleSize)
    }
  }

  static func watched(_ gate: DispatchSemaphore? = nil) throws -> Watched {
    Watched(try GenerationTests.model.get().unet, gate: gate)
  }

  static func request(steps: Int = 2, seed: UInt64 = 42) -> GenerationRequest {
    var request = GenerationTests.small
    (request.steps, request.seed) = (steps, seed)
    return request
  }

  /// The steps are those of the loop, and so is the image.
  @Test func sameSteps() async throws {
    let model = try GenerationTests.model.get()
    let expected = try model.steps(Self.request())
    let generator = try await Self.generator()
    var steps: [GenerationStep] = []
    for try await step in generator.draw(Self.request()) { steps.append(step) }
    #expect(steps.map(\.stage) == expected.steps.map(\.stage))
    #expect(steps.map(\.latents) == expected.steps.map(\.latents))
    #expect(steps.last?.result?.image == expected.result.image)
    // A sequence may be gone through again.
    let sequence = generator.draw(Self.request())
    for _ in 0..<2 {
      #expect(try await sequence.results().map(\.image) == [expected.result.image])
    }
  }

  /// A checkpoint is loaded on the generator's thread, and what cannot be loaded says so.
  @Test func loads() async throws {
    let generator = try await ImageGenerator(ModelCheckpoint.open(Fixtures.path("shapes-v2")))
    let results = try await generator.draw(Self.request()).results()
    #expect(try results[0].image == GenerationTests.model.get().draw(Self.request()).image)
    await #expect(throws: CocoaError.self) {
      try await ImageGenerator { throw CocoaError(.fileNoSuchFile) }
    }
  }

  /// Previews are decoded when they are asked for, and not before.
  @Test func previewsOnDemand() async throws {
    let vae = Watched(try GenerationTests.model.get().codec.decoder)
    let generator = try await Self.generator(vae: vae)
    var runs: [Int] = []
    var last: Image?
    for try await step in generator.draw(Self.request(steps: 3)) {
      if step.evaluation == 2, step.stage == .denoising {
        let preview = try await generator.preview(of: step)
        #expect(
          try preview == generator.model.decode(#require(step.prediction).picture))
      }
      if let result = step.result {
        last = try await generator.preview(of: step)
        #expect(last == result.image)
      }
      runs.append(vae.runs.withLock { $0 })
    }
    // One preview, the check of it, and the finished image.
    #expect(runs == [0, 0, 0, 2, 2, 2, 3])
    #expect(last != nil)
  }

  /// A task that is cancelled stops at the next step, and the generator is free.
  @Test func cancellation() async throws {
    let watch = try Self.watched()
    let generator = try await Self.generator(watch)
    let task = Task {
      var seen = 0
      for try await step in generator.draw(Self.request(steps: 50)) {
        seen += 1
        if step.evaluation == 2 { withUnsafeCurrentTask { $0?.cancel() } }
      }
      return seen
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(watch.runs.withLock { $0 } == 2)
    #expect(try await generator.draw(Self.request()).results().count == 1)
    #expect(watch.runs.withLock { $0 } == 4)
  }

  /// Leaving the loop stops the work and frees the generator for who waits.
  @Test func leavingTheLoop() async throws {
    let watch = try Self.watched()
    let generator = try await Self.generator(watch)
    for try await step in generator.draw(Self.request(steps: 50)) where step.evaluation == 3 {
      break
    }
    let results = try await generator.draw(Self.request()).results()
    #expect(results.count == 1)
    #expect(watch.runs.withLock { $0 } == 3 + 2)
  }

  /// One at a time, in the order of their first steps; one that waits can be cancelled.
  @Test func turns() async throws {
    let generator = try await Self.generator()
    var first = generator.draw(Self.request(seed: 1)).makeAsyncIterator()
    _ = try await first.next()
    let order = Order()
    func wait(_ seed: UInt64) -> Task<Int, any Error> {
      Task {
        var count = 0
        for try await step in generator.draw(Self.request(seed: seed)) {
          order.seeds.withLock { if $0.last != seed { $0.append(seed) } }
          if step.result != nil { count += 1 }
        }
        return count
      }
    }
    var tasks: [Task<Int, any Error>] = []
    for seed in 2...4 as ClosedRange<UInt64> {
      tasks.append(wait(seed))
      while await generator.waitingCount < tasks.count { await Task.yield() }
    }
    // The first still has its turn.
    tasks[1].cancel()
    await #expect(throws: CancellationError.self) { try await tasks[1].value }
    #expect(await generator.waitingCount == 2)
    var steps = 1
    while try await first.next() != nil { steps += 1 }
    #expect(steps == 6)
    #expect(try await first.next() == nil)
    #expect(try await tasks[0].value == 1)
    #expect(try await tasks[2].value == 1)
    #expect(order.seeds.withLock { $0 } == [2, 4])
  }

  /// A request that is refused gives its turn away, and its iteration is over.
  @Test func refusals() async throws {
    let generator = try await Self.generator()
    var request = Self.request()
    request.width = 63
    var iterator = generator.draw(request).makeAsyncIterator()
    await #expect(throws: GenerationError.self) { try await iterator.next() }
    #expect(try await iterator.next() == nil)
    #expect(try await generator.draw(Self.request()).results().count == 1)
    #expect(try await generator.draw([]).results().isEmpty)
  }

  /// All networks run on one thread, which no other generator has.
  @Test func oneThread() async throws {
    let model = try GenerationTests.model.get()
    var seen: Set<UInt> = []
    for _ in 0..<2 {
      let (unet, vae) = (Watched(model.unet), Watched(model.codec.decoder))
      let generator = try await Self.generator(unet, vae: vae)
      // From tasks of their own, which Swift's pool runs anywhere.
      for _ in 0..<4 {
        try await Task.detached {
          for try await step in generator.draw(Self.request()) {
            _ = try await generator.preview(of: step)
          }
        }.value
      }
      let threads = unet.threads.withLock { $0 }.union(vae.threads.withLock { $0 })
      #expect(threads.count == 1)
      // Kept until here, so that its thread's number is not given out again.
      seen.formUnion(threads)
      Self.kept.withLock { $0.append(generator) }
    }
    #expect(seen.count == 2)
    Self.kept.withLock { $0 = [] }
  }

  private static let kept = Mutex<[ImageGenerator]>([])

  /// However many generators compute, other tasks of the program go on.
  @Test func poolStaysFree() async throws {
    let gate = DispatchSemaphore(value: 0)
    let count = ProcessInfo.processInfo.activeProcessorCount + 2
    var tasks: [Task<Int, any Error>] = []
    var watches: [Watched] = []
    for _ in 0..<count {
      let watch = try Self.watched(gate)
      watches.append(watch)
      let generator = try await Self.generator(watch)
      tasks.append(
        Task { try await generator.draw(Self.request(steps: 1)).results().count })
    }
    while watches.contains(where: { $0.runs.withLock { $0 } == 0 }) {
      try await Task.sleep(for: .milliseconds(1))
    }
    // All of them are in the UNet; more tasks than the pool has threads go on.
    let sum = await withTaskGroup(of: Int.self) { group in
      for number in 1...100 { group.addTask { number } }
      return await group.reduce(0, +)
    }
    #expect(sum == 5050)
    for _ in 0..<count { gate.signal() }
    for task in tasks { #expect(try await task.value == 1) }
  }

  /// Nothing keeps a generator once nobody has it.
  @Test func isReleased() async throws {
    weak var released: ImageGenerator?
    do {
      let generator = try await Self.generator()
      released = generator
      for try await step in generator.draw(Self.request()) where step.evaluation == 1 { break }
    }
    for _ in 0..<1000 where released != nil { try await Task.sleep(for: .milliseconds(5)) }
    #expect(released == nil)
  }

  /// The images of a job are those of its seeds, in groups of its batch size.
  @Test func jobs() async throws {
    let job = try DrawingJob(
      [
        "prompt": "a red circle", "count": 3, "batch-size": 2, "seed": 5, "steps": 2, "width": 64,
        "height": 64, "scheduler": "DDIM", "guidance": 4,
      ])
    let watch = try Self.watched()
    let generator = try await Self.generator(watch)
    var images: [Image] = []
    for try await step in try generator.draw(job) {
      guard let result = step.result else { continue }
      #expect(step.imageIndex == images.count)
      images.append(result.image)
    }
    #expect(watch.runs.withLock { $0 } == 2 + 2)
    var request = GenerationRequest(prompt: "a red circle")
    (request.steps, request.width, request.height) = (2, 64, 64)
    (request.scheduler, request.guidanceScale) = (.ddim, 4)
    let model = try GenerationTests.model.get()
    for (index, image) in images.enumerated() {
      request.seed = 5 + UInt64(index)
      #expect(try model.draw(request).image == image)
    }
    #expect(images.count == 3)
  }

  /// A job alone reads no files, and says which field names one.
  @Test(
    arguments: [
      ("init", "a.png"), ("latents", "a.safetensors"), ("prompts-from", "a.txt"),
      ("mask", "a.png"), ("control-image", ["a.png"]), ("scheduler", "no-such"), ("steps", 3),
    ] as [(String, JSON)])
  func refusedJobs(name: String, value: JSON) throws {
    var object: JSONObject = [name: value]
    if name != "prompts-from", name != "steps" { object["prompt"] = "a red circle" }
    let job = try DrawingJob(object)
    do throws(JobError) {
      _ = try job.requests()
      Issue.record("not refused")
    } catch {
      #expect(error.field == (name == "steps" ? "prompt" : name))
      #expect(error.reason == .combination)
    }
  }

  /// The random seed of a job leaves room for the images after it, and defaults are the documented ones.
  @Test func jobDefaults() throws {
    let requests = try DrawingJob(["prompt": "a", "count": 3]).requests()
    #expect(requests.map { $0.seed - requests[0].seed } == [0, 1, 2])
    #expect(requests[2].seed <= UInt64(UInt32.max))
    #expect(requests.allSatisfy { $0.guidanceScale == 7.5 && $0.steps == 25 })
    #expect(
      try DrawingJob(["prompt": "a"]).requests(defaultGuidance: 4).map(\.guidanceScale) == [4])
    let last = try DrawingJob(["prompt": "a", "count": 2, "seed": .integer(.max)])
    #expect(throws: JobError.self) { try last.requests() }
  }
}
