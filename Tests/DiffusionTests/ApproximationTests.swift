import Checkpoint
import Diffusion
import Engine
import Foundation
import Synchronization
import TestSupport
import Testing

/// Caching, merging and tiling: exact where they claim to be, otherwise close.
@Suite(.serialized) struct ApproximationTests {
  private static func model(
    _ precision: Precision = .f32, _ change: (inout ModelAdditions) -> Void = { _ in }
  ) throws -> DiffusionModel {
    var additions = ModelAdditions()
    change(&additions)
    return try DiffusionModel(
      ModelCheckpoint.open(Fixtures.path("shapes-v2")),
      options: EngineOptions(precision: precision), additions: additions)
  }

  static let caching = Result { try model { $0.reusesDeepFeatures = true } }

  private static func request() -> GenerationRequest {
    var request = GenerationTests.request(.ddim)
    request.steps = 10
    return request
  }

  /// From the deep features of the same evaluation, the last layer gives the whole UNet's output.
  @Test func shallowIsTheEndOfTheWhole() throws {
    let model = try Self.caching.get()
    let golden = try TestTensors(path: Fixtures.path("shapes-v2/golden/unet.safetensors"))
    func value(_ name: String) -> Value {
      Value(golden[name].floats, shape: golden[name].shape)
    }
    let inputs = [
      "sample": value("sample"), "encoder_hidden_states": value("encoder_hidden_states"),
      "timestep": Value([321], shape: [1]),
    ]
    let whole = try model.unet.run(inputs, inputVersions: [:], observer: nil)
    let name = AdditionalNetworks.deepFeatures
    let shallow = try #require(model.additions.shallowUNet)
    let end = try shallow.run(
      inputs.merging([name: #require(whole[name])]) { first, _ in first }, inputVersions: [:],
      observer: nil)
    let difference = try Difference.relative(
      #require(end["out_sample"]).reals, #require(whole["out_sample"]).reals)
    #expect(difference < 1e-6)
    #expect(
      try Difference.relative(#require(whole["out_sample"]).reals, value("out_321").reals) < 1e-5)
  }

  @Test func wholeEvaluationsAreExact() throws {
    let exact = try Self.model().draw(Self.request())
    let cached = try Self.caching.get()
    #expect(try cached.draw(Self.request()).image == exact.image)
    var request = Self.request()
    request.networks.cacheInterval = 2
    let near = try cached.draw(request)
    #expect(near.image != exact.image)
    #expect(peakSignalToNoise(near.image, exact.image) > 15)
    #expect(throws: GenerationError.self) { try Self.model().draw(request) }
  }

  @Test(arguments: [
    (0.0...1.0, [2, 2, 2, 2, 2, 2, 2, 2, 2, 2]), (0.0...0.5, [2, 2, 2, 2, 2, 1, 1, 1, 1, 1]),
    (0.2...1.0, [1, 1, 2, 2, 2, 2, 2, 2, 2, 2]), (0.2...0.8, [1, 1, 2, 2, 2, 2, 2, 2, 1, 1]),
  ])
  func guidanceWithinAnInterval(interval: ClosedRange<Double>, batches: [Int]) throws {
    let model = try Self.model()
    let counting = CountingNetwork(model.unet)
    let counted = DiffusionModel(
      tokenizer: model.tokenizer, textEncoder: model.textEncoder, unet: counting,
      codec: model.codec, scheduler: model.scheduler, sampleSize: model.sampleSize)
    var request = Self.request()
    request.networks.guidanceInterval = interval
    let generation = try counted.draw(request)
    #expect(counting.batches.withLock { $0 } == batches)
    if interval == 0...1 {
      #expect(try generation.image == model.draw(Self.request()).image)
    }
  }

  // MARK: Merged tokens

  @Test(arguments: [250, 500, 750], Precision.isBF16Native ? [Precision.f32, .bf16] : [.f32])
  func mergedTokens(thousandths: Int, precision: Precision) throws {
    let exact = try Self.model(precision).draw(Self.request())
    let merging = try Self.model(precision) { $0.mergedThousandths = thousandths }
    let near = try merging.draw(Self.request())
    #expect(near.image != exact.image)
    #expect(peakSignalToNoise(near.image, exact.image) > 15)
    // The same on every run, and next to another seed's.
    var other = Self.request()
    other.seed = 1
    let both = try merging.draw([Self.request(), other])
    #expect(both[0].image == near.image)
    #expect(both[0].latents == near.latents)
    #expect(try both[1].image == merging.draw(other).image)
  }

  /// With deep features kept, an image to start from, and guidance in a part of the steps.
  @Test func mergedTokensBesideOthers() throws {
    let merging = try Self.model {
      $0.mergedThousandths = 500
      $0.reusesDeepFeatures = true
    }
    let first = try merging.draw(Self.request())
    for change: (inout GenerationRequest) -> Void in [
      { $0.networks.cacheInterval = 2 }, { $0.networks.guidanceInterval = 0...0.5 },
      { $0.initial = InitialPicture(first.image, strength: 0.5) },
    ] {
      var request = Self.request()
      change(&request)
      let exact = try Self.caching.get().draw(request)
      let near = try merging.draw(request)
      #expect(near.image != exact.image)
      #expect(peakSignalToNoise(near.image, exact.image) > 15)
    }
  }

  // MARK: Tiles

  /// Tiles cover a side, are no longer than requested, and overlap as they should; weights are
  /// never all zero.
  @Test(arguments: [(128, 96), (97, 96), (96, 96), (1024, 96), (200, 32), (33, 32), (65, 64)])
  func tileLines(side: Int, limit: Int) {
    let line = TileLine(side, limit: limit)
    #expect(line.length <= limit)
    #expect(line.starts.first == 0)
    #expect((line.starts.last ?? 0) + line.length == side)
    var totals = [Float](repeating: 0, count: side * 8)
    for (index, start) in line.starts.enumerated() {
      if index > 0 {
        #expect(line.starts[index - 1] + line.length - start >= min(TileLine.overlap, limit / 2))
      }
      for (place, weight) in line.weights(index, scale: 8).enumerated() {
        totals[start * 8 + place] += weight
      }
    }
    #expect(totals.allSatisfy { $0 > 0.9 && $0 < 2.1 })
  }

  /// A tiled image differs by little more than rounding where tiles meet.
  @Test func tiledDecoding() throws {
    var request = Self.request()
    (request.width, request.height) = (384, 320)
    let whole = try Self.model { $0.tiling = .off }
    let generation = try whole.draw(request)
    let tiled = try Self.model { $0.tiling = .tiles(256) }.decode(generation.latents)
    #expect(tiled != generation.image)
    #expect(peakSignalToNoise(tiled, generation.image) > 30)
    // Small images are not cut.
    let automatic = try Self.model().decode(generation.latents)
    #expect(automatic == generation.image)
  }
}
