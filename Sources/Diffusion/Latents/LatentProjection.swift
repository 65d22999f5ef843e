import Pictures

/// An image from latents by a linear map, at an eighth of the width and height: a preview at no
/// cost.
public struct LatentProjection: Sendable, Hashable {
  /// For each latent channel its contribution to red, green and blue, from -1 to 1; then the
  /// offset.
  private let weights: [[Float]]

  /// The map of Stable Diffusion 1's autoencoder, for latents in the UNet's scale.
  ///
  /// Source: a fit published with stable-diffusion.cpp's previews.
  public static let stableDiffusion = LatentProjection(weights: [
    [0.337366, 0.216344, 0.257386], [0.165636, 0.386828, 0.046994],
    [-0.267803, 0.237036, 0.223517], [-0.178022, -0.200862, -0.678514],
    [-0.017478, -0.055834, -0.105825],
  ])

  /// The published map of a VAE, told by its scale; nil if there is none.
  package static func known(for codec: LatentCodec) -> LatentProjection? {
    codec.latentChannels == 4 && codec.scale == LatentScale(factor: 0.18215)
      ? .stableDiffusion : nil
  }

  private init(weights: [[Float]]) {
    self.weights = weights
  }

  /// The least-squares fit of the map to a decoded image of some latents.
  ///
  /// - Parameter image: their image, eight times as wide and high.
  public init(fitting latents: Latents, to image: Image) {
    let side = image.width / latents.width
    let plane = latents.width * latents.height
    let count = latents.channels + 1
    var squares = [[Double]](repeating: [Double](repeating: 0, count: count), count: count)
    var products = [[Double]](repeating: [0, 0, 0], count: count)
    for place in 0..<plane {
      let (row, column) = (place / latents.width, place % latents.width)
      let inputs =
        (0..<latents.channels).map { Double(latents.values[$0 * plane + place]) } + [1]
      var colour = [0.0, 0.0, 0.0]
      for y in row * side..<(row + 1) * side {
        for x in column * side..<(column + 1) * side {
          for channel in 0..<3 {
            colour[channel] += Double(image.pixels[3 * (y * image.width + x) + channel])
          }
        }
      }
      let target = colour.map { $0 / Double(side * side) / 127.5 - 1 }
      for first in 0..<count {
        for second in 0..<count { squares[first][second] += inputs[first] * inputs[second] }
        for channel in 0..<3 { products[first][channel] += inputs[first] * target[channel] }
      }
    }
    // A small ridge term, for single-color latents, which leave the map underdetermined.
    for index in 0..<count { squares[index][index] += 1e-3 * Double(plane) }
    weights = Self.solved(squares, products).map { $0.map { Float($0) } }
  }

  /// Gaussian elimination; the matrix is symmetric and positive definite, so no pivot is 0.
  private static func solved(_ matrix: [[Double]], _ right: [[Double]]) -> [[Double]] {
    var (matrix, right) = (matrix, right)
    let count = matrix.count
    for pivot in 0..<count {
      for row in 0..<count where row != pivot {
        let factor = matrix[row][pivot] / matrix[pivot][pivot]
        for column in pivot..<count { matrix[row][column] -= factor * matrix[pivot][column] }
        for column in right[row].indices { right[row][column] -= factor * right[pivot][column] }
      }
    }
    return (0..<count).map { row in right[row].map { $0 / matrix[row][row] } }
  }

  /// The image, one pixel per latent.
  public func image(of latents: Latents) -> Image {
    let plane = latents.width * latents.height
    var pixels: [UInt8] = []
    pixels.reserveCapacity(3 * plane)
    for place in 0..<plane {
      for channel in 0..<3 {
        var value = weights[weights.count - 1][channel]
        for index in 0..<min(latents.channels, weights.count - 1) {
          value += weights[index][channel] * latents.values[index * plane + place]
        }
        let level = value * 127.5 + 127.5
        pixels.append(UInt8(level > 0 ? min(level, 255).rounded() : 0))
      }
    }
    return Image(width: latents.width, height: latents.height, pixels: pixels)
  }
}
