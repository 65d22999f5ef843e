import Checkpoint
import Diffusion
import Engine
import TestSupport
import Testing

@Suite struct MemoryForecastTests {
  static func forecast(
    _ width: Int, isGuided: Bool = true, encodes: Bool = false
  ) throws -> MemoryForecast {
    MemoryForecast(
      try ModelCheckpoint.open(Fixtures.path("shapes-v2")), precision: .f32, width: width,
      height: width, isGuided: isGuided, encodes: encodes)
  }

  /// Ten million parameters, and working memory that grows with the image.
  @Test func growsWithWhatIsAsked() throws {
    let small = try Self.forecast(128)
    #expect(small.parts.map(\.name) == ["text_encoder", "unet", "vae_decoder"])
    #expect((38_000_000..<42_000_000).contains(small.weights))
    #expect(try Self.forecast(256).activations > 3 * small.activations)
    #expect(try Self.forecast(256).weights == small.weights)
    #expect(try Self.forecast(128, isGuided: false).activations < small.activations)
    #expect(try Self.forecast(128, encodes: true).parts.count == 4)
    #expect(small.bytes > small.weights + small.activations)
  }

  /// The shallow UNet has its own weights, a few of the whole UNet's; absent networks have none.
  @Test func additionsCount() throws {
    var additions = ModelAdditions()
    additions.reusesDeepFeatures = true
    additions.controlNets = ["/nowhere"]
    let forecast = MemoryForecast(
      try ModelCheckpoint.open(Fixtures.path("shapes-v2")), precision: .f32, width: 128,
      height: 128, isGuided: true, encodes: false, additions: additions)
    #expect(
      forecast.parts.map(\.name) == ["text_encoder", "unet", "vae_decoder", "shallow unet"])
    #expect(forecast.parts[3].weights > 0 && forecast.parts[3].activations > 0)
    #expect(forecast.parts[3].weights < forecast.parts[1].weights / 2)
    #expect(try forecast.bytes > Self.forecast(128).bytes)
  }

  @Test func theSystemSaysWhatThereIs() throws {
    let supply = try #require(MemorySupply.current)
    #expect(supply.available > 0 && supply.available <= supply.total)
  }
}
