/// The name of a network's graph, as in `unet` or `vae_decoder`: in JSON, in messages, and the
/// directory of an ONNX model.
///
/// Each network's own file declares the names of its graphs.
public struct GraphName: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
  /// The name as text.
  public let rawValue: String

  /// The name that is spelled so; whether there is such a graph is not checked.
  public init(rawValue: String) {
    self.rawValue = rawValue
  }

  public var description: String { rawValue }
}

/// What programs that run or export a graph must know of it beside its nodes.
public struct GraphTraits: OptionSet, Sendable, Hashable {
  /// One bit for each trait.
  public let rawValue: Int

  /// The traits whose bits are set.
  public init(rawValue: Int) {
    self.rawValue = rawValue
  }

  /// It runs once for each image; other graphs run for the prompt and for the negative prompt.
  public static let runsOncePerImage = GraphTraits(rawValue: 1)
  /// Its values may exceed the largest F16, and its norms have too many values to sum at once.
  public static let needsWideRange = GraphTraits(rawValue: 2)
  /// `sample_size` in its configuration counts pixels, not latents.
  public static let isSizedInPixels = GraphTraits(rawValue: 4)
  /// Its later layers magnify the errors of those that work at the resolution of latents.
  public static let magnifiesEarlyErrors = GraphTraits(rawValue: 8)
}
