import ModelFormats

/// The generators of noise, by the names that the command line gives them.
public enum RandomSourceName: String, Sendable, CaseIterable {
  /// ``TorchRandom``.
  case torch
  /// ``PhiloxRandom``.
  case cuda
  /// ``NumPyRandom``.
  case numpy

  /// The highest seed that the generator tells from others.
  public var highestSeed: UInt64 { self == .numpy ? UInt64(UInt32.max) : .max }

  /// A generator at the start of a seed's numbers.
  ///
  /// - Throws: ``GenerationError`` `request` for a seed beyond ``highestSeed``.
  func source(seed: UInt64) throws(GenerationError) -> any RandomSource {
    switch self {
    case .torch: return TorchRandom(seed: seed)
    case .cuda: return PhiloxRandom(seed: seed)
    case .numpy:
      guard let seed = UInt32(exactly: seed) else {
        throw GenerationError(
          .request, "numpy's generator takes no seed of \(seed)",
          hint: "give a seed from 0 to \(UInt32.max)")
      }
      return NumPyRandom(seed: seed)
    }
  }
}
