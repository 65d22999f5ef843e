import Diffusion
import TestSupport
import Testing

/// The generators besides torch's own on the CPU.
@Suite struct RandomSourceTests {
  /// The web UIs' generator for seed 0 and a 3 x 4 tensor, which they compare with torch on a GPU.
  @Test func philox() {
    var random = PhiloxRandom(seed: 0)
    let expected: [Float] = [
      -0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564, -0.62285122,
      -0.32838709, -1.07454231, -0.36314407, -1.67105067, 2.26550497,
    ]
    #expect(Difference.largest(random.normal(count: 12), expected) < 1e-6)
    // The next tensor continues; a longer one has the same start, since each element has its own
    // stream.
    #expect(random.normal(count: 12) != expected)
    var longer = PhiloxRandom(seed: 0)
    #expect(Difference.largest(Array(longer.normal(count: 4096).prefix(12)), expected) < 1e-6)
  }

  /// The seed's upper half counts, and the numbers are normal.
  @Test func philoxSeeds() {
    var low = PhiloxRandom(seed: 7)
    var high = PhiloxRandom(seed: 7 + 1 << 32)
    let values = low.normal(count: 65536)
    #expect(values != high.normal(count: 65536))
    let mean = values.reduce(0.0) { $0 + Double($1) } / 65536
    let square = values.reduce(0.0) { $0 + Double($1) * Double($1) } / 65536
    #expect(abs(mean) < 0.02 && abs(square - 1) < 0.02)
  }

  /// `numpy.random.RandomState(seed).standard_normal(9).astype(numpy.float32)`, and the sum of
  /// `standard_normal(16384)`.
  @Test(
    arguments: [
      (
        0, -94.22136225,
        [
          1.76405239, 0.40015721, 0.97873801, 2.24089313, 1.86755800, -0.97727787, 0.95008844,
          -0.15135720, -0.10321885,
        ]
      ),
      (
        42, 24.03766701,
        [
          0.49671414, -0.13826430, 0.64768857, 1.52302980, -0.23415338, -0.23413695, 1.57921279,
          0.76743472, -0.46947438,
        ]
      ),
      (
        UInt32.max, 97.16943293,
        [
          0.64840865, 0.66932350, -1.08054376, 0.28450105, 0.11388773, 0.86762190, -0.04402602,
          0.24877162, -0.98823017,
        ]
      ),
    ] as [(UInt32, Double, [Float])])
  func numpy(seed: UInt32, sum: Double, start: [Float]) {
    var random = NumPyRandom(seed: seed)
    #expect(Difference.largest(random.normal(count: 9), start) < 1e-6)
    var whole = NumPyRandom(seed: seed)
    let values = whole.normal(count: 16384)
    #expect(Difference.largest(Array(values.prefix(9)), start) < 1e-6)
    #expect(abs(values.reduce(0.0) { $0 + Double($1) } - sum) < 1e-4)
    // A tensor of odd length leaves half a pair, which the next uses.
    var parts = NumPyRandom(seed: seed)
    #expect(parts.normal(count: 5) + parts.normal(count: 4) == random9(seed))
  }

  private func random9(_ seed: UInt32) -> [Float] {
    var random = NumPyRandom(seed: seed)
    return random.normal(count: 9)
  }
}
