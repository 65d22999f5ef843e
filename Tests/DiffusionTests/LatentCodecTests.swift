import Checkpoint
import Diffusion
import ModelFormats
import Pictures
import TestSupport
import Testing

/// The bundled model's VAE alone, against the reference's numbers in shapes-v2/golden/vae.
@Suite struct LatentCodecTests {
  private static func codec(tiling: VAETiling = .automatic) throws -> LatentCodec {
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
    return try LatentCodec(checkpoint, width: 128, height: 128, tiling: tiling)
  }

  @Test func decodedAsTheReference() throws {
    let codec = try Self.codec()
    let golden = try TestTensors(path: Fixtures.path("shapes-v2/golden/vae.safetensors"))
    let latents = Latents(golden["latent"].floats, shape: golden["latent"].shape)
    let image = try codec.decode(codec.scale.applied(to: latents))
    let expected = Image(decoded: golden["image"].floats, width: 128, height: 128)
    let largest = zip(image.pixels, expected.pixels).map { abs(Int($0) - Int($1)) }.max()
    #expect((largest ?? 255) <= 1)
  }

  /// The picture's 8-bit levels round the reference's, so the moments differ a little.
  @Test func encodedAsTheReference() throws {
    let codec = try Self.codec()
    let golden = try TestTensors(path: Fixtures.path("shapes-v2/golden/vae.safetensors"))
    let image = Image(decoded: golden["picture"].floats, width: 128, height: 128)
    let posterior = try codec.posterior(of: image)
    let moments = golden["moments"].floats
    let half = moments.count / 2
    #expect(Difference.relative(posterior.mean.values, Array(moments[..<half])) < 0.01)
    // A sample is the mean plus the deviation times the seed's noise.
    var random: any RandomSource = TorchRandom(seed: 5)
    let sample = posterior.sample(&random)
    random = TorchRandom(seed: 5)
    let noise = random.normal(count: half)
    for index in [0, half / 2, half - 1] {
      let expected = posterior.mean.values[index] + posterior.deviations[index] * noise[index]
      #expect(abs(sample.values[index] - expected) < 1e-6)
    }
    #expect(posterior.deviations.allSatisfy { $0 > 0 })
  }

  @Test func scales() {
    let latents = Latents([1, 2, 3, 4], shape: [1, 4, 1, 1])
    let scale = LatentScale(factor: 0.5, shift: 1)
    #expect(scale.applied(to: latents).values == [0, 0.5, 1, 1.5])
    #expect(scale.removed(from: scale.applied(to: latents)) == latents)
  }

  @Test func withoutAnEncoder() throws {
    let codec = try Self.codec()
    let decoder = LatentCodec(decoder: codec.decoder, scale: codec.scale)
    let image = Image(width: 8, height: 8, pixels: [UInt8](repeating: 0, count: 192))
    let error = #expect(throws: GenerationError.self) { try decoder.posterior(of: image) }
    #expect(error?.code == .request)
  }
}
