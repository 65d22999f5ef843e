/// The size in pixels, multiples of 8, that a seed's noise is for: the web UI's "resize seed from".
public struct SeedSize: Sendable, Hashable {
  /// The width in pixels, a multiple of 8.
  public var width: Int
  /// The height in pixels, a multiple of 8.
  public var height: Int

  /// A size in pixels.
  public init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }

  /// Noise with the middle of other noise in its middle.
  ///
  /// Source: `ImageRNG.first` in `modules/rng.py` of the AUTOMATIC1111 web UI.
  package static func centered(_ inner: Latents, in outer: Latents) -> Latents {
    /// The first place in the outer and in the inner noise, and how many places are copied.
    func span(_ outer: Int, _ inner: Int) -> (to: Int, from: Int, count: Int) {
      // Rounded down, below 0 too.
      let offset = (outer - inner) >> 1
      return offset < 0 ? (0, -offset, inner + 2 * offset) : (offset, 0, inner)
    }
    let rows = span(outer.height, inner.height)
    let columns = span(outer.width, inner.width)
    var values = outer.values
    for channel in 0..<outer.channels {
      for row in 0..<rows.count {
        let to = (channel * outer.height + rows.to + row) * outer.width + columns.to
        let from = (channel * inner.height + rows.from + row) * inner.width + columns.from
        for column in 0..<columns.count { values[to + column] = inner.values[from + column] }
      }
    }
    return outer.with(values)
  }
}
