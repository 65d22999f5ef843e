import ModelFormats

/// The RNGs for noise, by the values of `--rng`.
public enum RandomSourceName: String, Sendable, CaseIterable {
  /// torch's on a CPU: the Mersenne Twister, and Box-Muller.
  case torch
  /// torch's on a GPU, which web UIs use: Philox.
  case cuda
  /// NumPy's `RandomState`.
  case numpy

  /// The highest seed that the RNG accepts.
  package var highestSeed: UInt64 { self == .numpy ? UInt64(UInt32.max) : .max }

  /// A new RNG with this seed.
  ///
  /// - Throws: ``GenerationError`` `request` for a seed beyond ``highestSeed``.
  package func source(seed: UInt64) throws(GenerationError) -> any RandomSource {
    switch self {
    case .torch: return TorchRandom(seed: seed)
    case .cuda: return PhiloxRandom(seed: seed)
    case .numpy:
      guard let seed = UInt32(exactly: seed) else {
        throw GenerationError(
          .request, "a seed for numpy's RNG must be 0 to \(UInt32.max) (got \(seed))",
          hint: "use a smaller seed or another RNG")
      }
      return NumPyRandom(seed: seed)
    }
  }
}
