import ModelFormats
import Threads

/// Tensors split into blocks that fit a core's cache, distributed over all cores.
struct ElementBlocks: Sendable {
  /// Some elements of one of the tensors.
  struct Block: Sendable {
    /// The position of the tensor.
    let tensor: Int
    let elements: Range<Int>
  }

  /// Bytes of a block; a multiple of every element's width.
  static let size = 1 << 20

  let blocks: [Block]

  /// - Parameter tensors: each tensor's element count and bits per element.
  init(_ tensors: [(elements: Int, bitWidth: Int)]) {
    var blocks: [Block] = []
    for (position, tensor) in tensors.enumerated() {
      // A multiple of 8 elements, so that packed types are split between bytes.
      let length = ElementBlocks.size * 8 / tensor.bitWidth / 8 * 8
      for start in stride(from: 0, to: tensor.elements, by: length) {
        blocks.append(
          Block(tensor: position, elements: start..<min(start + length, tensor.elements)))
      }
    }
    self.blocks = blocks
  }

  /// Runs `body` once on each core; it gets blocks from `next` until there are none left.
  ///
  /// - Parameters:
  ///   - progress: called occasionally, on the caller's thread, with the fraction of blocks taken.
  ///   - body: its `next` returns the block's position in ``blocks``, in order.
  /// - Throws: the first error of any core; the others stop at their next block.
  func share(
    _ progress: (Double) -> Void = { _ in },
    _ body: @escaping @Sendable (_ next: () -> Int?) throws(FormatError) -> Void
  ) throws(FormatError) {
    let count = blocks.count
    try Cores.share(count, { progress(Double($0) / Double(count)) }, body)
  }
}
