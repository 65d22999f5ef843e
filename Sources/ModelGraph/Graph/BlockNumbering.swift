/// How single files count a UNet's blocks: `input_blocks.N` on the way down, `output_blocks.N` on the
/// way up.
public enum BlockNumbering: String, Sendable, Hashable {
  /// One after the other, as the original code builds them.
  case consecutive
  /// Three for each level, whether it has as many or not: numbers are left out where a level has
  /// fewer than two layers. So diffusers' and kohya's converters name small UNets, and so programs
  /// that draw with distilled ones read them.
  ///
  /// Source: `convert_diffusers_to_original_stable_diffusion.py` of diffusers.
  case threes

  /// The field of a configuration that says which, where it is not what goes with the layers; it
  /// changes no network, as all whose names begin so.
  public static let field = "_block_numbering"

  /// What a network of that many layers a level is written with: threes where it is a distilled one,
  /// which has no middle block and in some level fewer than the two layers of Stable Diffusion. Of
  /// two layers everywhere both are the same.
  public static func usual(_ layers: [Int], hasMiddle: Bool) -> BlockNumbering {
    !hasMiddle && layers.allSatisfy { $0 <= 2 } && layers.contains { $0 < 2 }
      ? .threes : .consecutive
  }
}

/// The numbers that the blocks of a UNet of some layers a level have.
public struct BlockNumbers: Sendable, Hashable {
  private let numbering: BlockNumbering
  /// Layers of each level on the way down; the way up has one more.
  private let layers: [Int]

  public init(_ numbering: BlockNumbering, layers: [Int]) {
    self.numbering = layers.allSatisfy { $0 <= 2 } ? numbering : .consecutive
    self.layers = layers
  }

  /// The `input_blocks` of a layer on the way down.
  public func down(_ level: Int, _ layer: Int) -> Int {
    switch numbering {
    case .consecutive: 1 + layers[..<level].reduce(0) { $0 + $1 + 1 } + layer
    case .threes: 1 + 3 * level + layer
    }
  }

  /// The `input_blocks` of the convolution that ends a level.
  public func downsampler(_ level: Int) -> Int {
    switch numbering {
    case .consecutive: down(level, layers[level])
    case .threes: 3 * (level + 1)
    }
  }

  /// The `output_blocks` of a layer on the way up.
  ///
  /// - Parameter index: of the level, counted from the lowest resolution.
  public func up(_ index: Int, _ layer: Int) -> Int {
    switch numbering {
    case .consecutive: layers.reversed()[..<index].reduce(0) { $0 + $1 + 1 } + layer
    case .threes: 3 * index + layer
    }
  }

  /// The `output_blocks` in which a level on the way up is enlarged, and the place in it: behind the
  /// last layer and its attention. Converters count three layers a level, of which the first level's
  /// have no attention and all others' have.
  public func upsampler(_ index: Int, attends: Bool) -> (block: Int, place: Int) {
    let last = layers[layers.count - 1 - index]
    switch numbering {
    case .consecutive: return (up(index, last), attends ? 2 : 1)
    case .threes:
      let isShared = last == 2 && attends
      return (3 * index + 2, index == 0 && !isShared ? 1 : 2)
    }
  }
}
