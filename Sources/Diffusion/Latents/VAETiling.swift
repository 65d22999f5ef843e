/// How to decode images that are too large to process at once.
public enum VAETiling: Sendable, Hashable {
  /// Tiles of at most 768 pixels for images with a larger side.
  case automatic
  case off
  /// Tiles of at most this many pixels for images with a larger side; a multiple of 8, at least
  /// 256.
  case tiles(Int)

  /// The maximum side of a tile, in latents.
  var limit: Int? {
    switch self {
    case .automatic: 96
    case .off: nil
    case .tiles(let pixels): max(32, pixels / 8)
    }
  }

  /// The length of the tiles of a side; the side itself if it is not split.
  func tileLength(_ side: Int) -> Int {
    guard let limit, side > limit else { return side }
    return TileLine(side, limit: limit).length
  }
}

/// One side of an image, split into overlapping tiles of equal length, in latents.
package struct TileLine {
  /// The minimum overlap of neighbors, in latents.
  package static let overlap = 16

  package let length: Int
  package let starts: [Int]

  package init(_ side: Int, limit: Int) {
    guard side > limit else {
      (length, starts) = (side, [0])
      return
    }
    let overlap = min(Self.overlap, limit / 2)
    let count = (side - overlap + limit - overlap - 1) / (limit - overlap)
    // The minimum length for this number of tiles.
    let length = (side + (count - 1) * overlap + count - 1) / count
    self.length = length
    starts = (0..<count).map { index in
      // Evenly spaced, the last one at the end.
      (index * (side - length) + (count - 1) / 2) / (count - 1)
    }
  }

  /// The weight of each pixel of the tile: it decreases towards inner edges and is 0 at them, where
  /// the network does not see what is beyond.
  package func weights(_ index: Int, scale: Int) -> [Float] {
    let isFirst = index == 0
    let isLast = index == starts.count - 1
    let before = isFirst ? 0 : (starts[index - 1] + length - starts[index]) * scale
    let after = isLast ? 0 : (starts[index] + length - starts[index + 1]) * scale
    let count = length * scale
    func ramp(_ distance: Int, _ shared: Int) -> Float {
      guard shared > 0 else { return 1 }
      // A quarter of the overlap is discarded, then the weight grows from 0 to 1.
      let margin = Float(shared) / 4
      let value = (Float(distance) + 0.5 - margin) / (Float(shared) - 2 * margin)
      return min(1, max(1e-6, value))
    }
    return (0..<count).map { min(ramp($0, before), ramp(count - 1 - $0, after)) }
  }
}

/// A rectangle of an image, in latents.
struct Tile {
  let top: Int
  let left: Int
  let height: Int
  let width: Int
}

extension LatentCodec {
  /// Computes overlapping tiles of equal size and blends them.
  ///
  /// - Parameters:
  ///   - height: the full height in latents; likewise `width`.
  ///   - scale: the output values per latent, on each side.
  ///   - compute: the values of a tile, `[channels, scale * height, scale * width]`.
  /// - Returns: `[channels, scale * height, scale * width]`
  static func tiled(
    height: Int, width: Int, limit: Int, scale: Int, channels: Int,
    compute: (Tile) throws -> [Float]
  ) throws -> [Float] {
    let rows = TileLine(height, limit: limit)
    let columns = TileLine(width, limit: limit)
    let plane = height * width * scale * scale
    var sums = [Float](repeating: 0, count: channels * plane)
    var totals = [Float](repeating: 0, count: plane)
    let (tileHeight, tileWidth) = (rows.length * scale, columns.length * scale)
    for (row, top) in rows.starts.enumerated() {
      let vertical = rows.weights(row, scale: scale)
      for (column, left) in columns.starts.enumerated() {
        let horizontal = columns.weights(column, scale: scale)
        let tile = try compute(
          Tile(top: top, left: left, height: rows.length, width: columns.length))
        for y in 0..<tileHeight {
          let target = (top * scale + y) * width * scale + left * scale
          for x in 0..<tileWidth {
            let weight = vertical[y] * horizontal[x]
            totals[target + x] += weight
            for channel in 0..<channels {
              sums[channel * plane + target + x] +=
                weight * tile[(channel * tileHeight + y) * tileWidth + x]
            }
          }
        }
      }
    }
    for channel in 0..<channels {
      for place in 0..<plane { sums[channel * plane + place] /= totals[place] }
    }
    return sums
  }
}
