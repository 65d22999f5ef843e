import Checkpoint
import Diffusion
import Engine
import Pictures
import Synchronization
import TestSupport
import Testing

/// Images of a batch equal those generated one by one, bit for bit.
@Suite(.serialized) struct SeveralPicturesTests {
  private static func model(_ precision: Precision, threads: Int? = nil) throws -> DiffusionModel {
    try DiffusionModel(
      ModelCheckpoint.open(Fixtures.path("shapes-v2")),
      options: EngineOptions(threads: threads, precision: precision))
  }

  private static let precisions: [Precision] = Precision.isBF16Native ? [.f32, .bf16] : [.f32]

  private static func requests(
    _ count: Int, _ change: (inout GenerationRequest) -> Void = { _ in }
  ) -> [GenerationRequest] {
    (0..<count).map { index in
      var request = GenerationTests.request(.ddim)
      request.steps = 5
      request.seed += UInt64(index)
      change(&request)
      return request
    }
  }

  private static func expectSame(
    _ together: [Generation], _ requests: [GenerationRequest], _ model: DiffusionModel
  ) throws {
    #expect(together.count == requests.count)
    for (generation, request) in zip(together, requests) {
      let alone = try model.draw(request)
      #expect(generation.noise == alone.noise)
      #expect(generation.latents == alone.latents)
      #expect(generation.image == alone.image)
      #expect(generation.timings.unet.count == alone.timings.unet.count)
    }
  }

  @Test(arguments: precisions, [2, 3])
  func sameAsOneByOne(precision: Precision, count: Int) throws {
    let model = try Self.model(precision)
    for scheduler: SchedulerDescriptor in [.pndm, .eulerAncestral, .heun, .dpmppMultistep] {
      let requests = Self.requests(count) { $0.scheduler = scheduler }
      try Self.expectSame(model.draw(requests), requests, model)
    }
  }

  /// Layers that several threads share.
  @Test(arguments: precisions)
  func sameOnTwoThreads(precision: Precision) throws {
    let model = try Self.model(precision, threads: 2)
    let requests = Self.requests(3) { ($0.width, $0.height) = (136, 104) }
    try Self.expectSame(model.draw(requests), requests, model)
  }

  /// Without guidance, at odd sizes, with guidance in a part of the steps, with prompts that change.
  @Test(arguments: precisions)
  func sameInOtherForms(precision: Precision) throws {
    let model = try Self.model(precision)
    let picture = try model.draw(Self.requests(1)[0]).image
    let changes: [(inout GenerationRequest) -> Void] = [
      { $0.guidanceScale = 1 }, { ($0.width, $0.height) = (104, 72) },
      { $0.networks.guidanceInterval = 0.2...0.6 },
      { $0.prompt = "a [red:green:0.5] circle" },
      { $0.initial = InitialPicture(picture, strength: 0.6) },
      {
        let mask = Mask(
          width: 128, height: 128, isRepainted: (0..<128 * 128).map { $0 < 64 * 128 })
        $0.initial = InitialPicture(picture, strength: 0.8, mask: mask)
      },
    ]
    for change in changes {
      let requests = Self.requests(2, change)
      try Self.expectSame(model.draw(requests), requests, model)
    }
  }

  @Test func sameInTwoPasses() throws {
    let model = try Self.model(.f32)
    let requests = Self.requests(2) { $0.hiresPass = HiresPass(scale: 1.5, steps: 4) }
    try Self.expectSame(model.draw(requests), requests, model)
  }

  /// Each image is delivered before the next is decoded, and a stop keeps the earlier ones.
  @Test(arguments: [nil, HiresPass(scale: 1.5, steps: 4)])
  func handedOverOneByOne(hiresPass: HiresPass?) throws {
    let model = try Self.model(.f32)
    let requests = Self.requests(3) { $0.hiresPass = hiresPass }
    var loop = try GenerationLoop(model, requests)
    var kept: [Image] = []
    while let step = try loop.next() {
      if let result = step.result {
        #expect(step.imageIndex == kept.count)
        kept.append(result.image)
      }
      if step.stage == .decoding, step.imageIndex == 2, step.pass == (hiresPass == nil ? 1 : 2) {
        break
      }
    }
    #expect(try kept == requests.prefix(2).map { try model.draw($0).image })
  }

  /// One UNet run for all; steps are reported for each image in turn.
  @Test func oneRunForAll() throws {
    let model = try Self.model(.f32)
    let counting = CountingNetwork(model.unet)
    let counted = DiffusionModel(
      tokenizer: model.tokenizer, textEncoder: model.textEncoder, unet: counting,
      codec: model.codec, scheduler: model.scheduler, sampleSize: model.sampleSize)
    let (steps, _) = try counted.steps(Self.requests(3))
    let told = steps.filter { $0.prediction != nil }.map(\.imageIndex)
    #expect(counting.batches.withLock { $0 } == [6, 6, 6, 6, 6])
    #expect(told == (0..<5).flatMap { _ in [0, 1, 2] })
  }

  /// Released networks are loaded again for the next image, with the same results.
  @Test func sameWithNetworksReleased() throws {
    let model = try Self.model(.f32)
    var additions = ModelAdditions()
    additions.releasesNetworks = true
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
    let releasing = try DiffusionModel(checkpoint, additions: additions)
    for request in Self.requests(2) {
      let generation = try releasing.draw(request)
      let expected = try model.draw(request)
      #expect(generation.latents == expected.latents)
      #expect(generation.image == expected.image)
      for network in [releasing.textEncoder, releasing.unet] {
        #expect((network as? LazyNetwork)?.isLoaded == false)
      }
    }
  }

  /// A network is kept from its first run to its release, and loaded again later.
  @Test func networksComeAndGo() throws {
    let loads = Mutex(0)
    let sound = try Self.model(.f32).codec.decoder
    let network = LazyNetwork {
      loads.withLock { $0 += 1 }
      return sound
    }
    let latents = ["latent_sample": Value([Float](repeating: 0, count: 64), shape: [1, 4, 4, 4])]
    for (isReleased, expected) in [(false, 1), (false, 1), (true, 2), (false, 2)] {
      if isReleased { network.release() }
      let isHeld = loads.withLock { $0 } > 0 && !isReleased
      #expect(network.isLoaded == isHeld)
      _ = try network.run(latents, inputVersions: [:], observer: nil)
      #expect(network.isLoaded)
      let count = loads.withLock { $0 }
      #expect(count == expected)
    }
  }

  @Test func onlySeedsMayDiffer() throws {
    let model = try Self.model(.f32)
    var requests = Self.requests(2)
    requests[1].steps = 6
    #expect(throws: GenerationError.self) { try model.draw(requests) }
    #expect(try model.draw([]).isEmpty)
  }
}
