/// The numbering of a UNet's blocks in single files: `input_blocks.N` for down blocks,
/// `output_blocks.N` for up blocks.
public enum BlockNumbering: String, Sendable, Hashable {
  /// Consecutive, as in the original code.
  case consecutive
  /// Three per level: numbers are skipped if a level has fewer than two layers. The converters of
  /// diffusers and kohya name small UNets this way, and programs that run distilled ones expect it.
  ///
  /// Source: `convert_diffusers_to_original_stable_diffusion.py` of diffusers.
  case threes

  /// The configuration field for the numbering, if it is not the usual one for the layers; like all
  /// fields with this prefix, it does not change the network.
  public static let field = "_block_numbering"

  /// The usual numbering for these layers per level: threes for a distilled network, which has no
  /// middle block and fewer than Stable Diffusion's two layers in some level. With two layers
  /// everywhere both are the same.
  public static func usual(_ layers: [Int], hasMiddle: Bool) -> BlockNumbering {
    !hasMiddle && layers.allSatisfy { $0 <= 2 } && layers.contains { $0 < 2 }
      ? .threes : .consecutive
  }
}

/// The block numbers of a UNet with a number of layers per level.
public struct BlockNumbers: Sendable, Hashable {
  private let numbering: BlockNumbering
  /// Layers of each down level; up levels have one more.
  private let layers: [Int]

  public init(_ numbering: BlockNumbering, layers: [Int]) {
    self.numbering = layers.allSatisfy { $0 <= 2 } ? numbering : .consecutive
    self.layers = layers
  }

  /// The `input_blocks` number of a down layer.
  public func down(_ level: Int, _ layer: Int) -> Int {
    switch numbering {
    case .consecutive: 1 + layers[..<level].reduce(0) { $0 + $1 + 1 } + layer
    case .threes: 1 + 3 * level + layer
    }
  }

  /// The `input_blocks` number of the convolution that ends a level.
  public func downsampler(_ level: Int) -> Int {
    switch numbering {
    case .consecutive: down(level, layers[level])
    case .threes: 3 * (level + 1)
    }
  }

  /// The `output_blocks` number of an up layer.
  ///
  /// - Parameter index: the level, counted from the lowest resolution.
  public func up(_ index: Int, _ layer: Int) -> Int {
    switch numbering {
    case .consecutive: layers.reversed()[..<index].reduce(0) { $0 + $1 + 1 } + layer
    case .threes: 3 * index + layer
    }
  }

  /// The `output_blocks` number of an up level's upsampler, and its place in the block: after the
  /// last layer and its attention. Converters count three layers per level and assume attention in
  /// all levels except the first.
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
