import Diffusion
import TestSupport
import Testing

/// Against `torch.randn` (2.15, CPU, float32).
@Suite struct TorchRandomTests {
  /// `torch.randn(*shape, generator=torch.Generator().manual_seed(seed))`, named seed_shape.
  static let golden = try? TestTensors(path: Fixtures.path("shapes-v2/golden/noise.safetensors"))

  @Test(
    arguments: [0, 42, 1 << 32 + 7] as [UInt64], ["1x4x16x16", "3x5", "2x4x5x7", "5", "17"])
  func tensor(seed: UInt64, shape: String) throws {
    let expected = try #require(Self.golden)["\(seed)_\(shape)"]
    var random = TorchRandom(seed: seed)
    let values = random.normal(count: expected.shape.reduce(1, *))
    #expect(Difference.largest(values, expected.floats) < 1e-6)
  }

  /// The first eight of `torch.randn(1, 4, 64, 64)`, and the sum of all.
  @Test(
    arguments: [
      (
        UInt64(0), -124.11269990,
        [
          -1.12583983, -1.15236020, -0.25057858, -0.43387881, 0.84871036, 0.69200915, -0.31601277,
          -2.11521935,
        ]
      ),
      (
        42, 149.76480044,
        [
          1.92691529, 1.48728406, 0.90071720, -2.10552096, 0.67841846, -1.23454487, -0.04306748,
          -1.60466695,
        ]
      ),
    ] as [(UInt64, Double, [Float])])
  func latents(seed: UInt64, sum: Double, start: [Float]) {
    var random = TorchRandom(seed: seed)
    let values = random.normal(count: 4 * 64 * 64)
    #expect(Difference.largest(Array(values.prefix(8)), start) < 1e-6)
    #expect(abs(values.reduce(0) { $0 + Double($1) } - sum) < 1e-3)
  }

  /// The state continues from tensor to tensor, and the short path keeps half a pair across a long
  /// tensor: `g.manual_seed(7); [torch.randn(n, generator=g) for n in (3, 18, 2, 16)]`.
  @Test func stateContinues() {
    var random = TorchRandom(seed: 7)
    let first = random.normal(count: 3)
    let second = random.normal(count: 18)
    let third = random.normal(count: 2)
    let fourth = random.normal(count: 16)
    #expect(Difference.largest(first, [-0.14679509, 0.78614128, 0.94682163]) < 1e-6)
    #expect(Difference.largest([second[0], second[17]], [-0.17643793, 1.29733586]) < 1e-6)
    #expect(Difference.largest(third, [-1.11434400, 0.97320825]) < 1e-6)
    #expect(Difference.largest([fourth[0], fourth[15]], [0.81645650, -0.38218433]) < 1e-6)
  }
}
