import Glibc

/// The similarities of images and texts, from their CLIP embeddings.
///
/// Source: CLIP (Radford et al. 2021), and `logits_per_image` of transformers' `CLIPModel`.
public struct SimilarityMatrix: Sendable, Hashable {
  /// The embeddings of the images, each with Euclidean length 1.
  public let pictures: [[Float]]
  /// The embeddings of the texts, each with Euclidean length 1.
  public let texts: [[Float]]
  /// The factor of the cosines: the exponential of the model's `logit_scale`.
  public let scale: Float

  /// - Parameters:
  ///   - pictures: embeddings with Euclidean length 1.
  ///   - texts: embeddings of the same width, with Euclidean length 1.
  ///   - scale: the factor of the cosines.
  public init(pictures: [[Float]], texts: [[Float]], scale: Float) {
    self.pictures = pictures
    self.texts = texts
    self.scale = scale
    cosines = pictures.map { picture in
      texts.map { text in Float(Self.dot(picture[...], text[...])) }
    }
  }

  /// The dot product of two vectors of the same width.
  static func dot(_ left: ArraySlice<Float>, _ right: ArraySlice<Float>) -> Double {
    var sum = 0.0
    for (first, second) in zip(left, right) { sum += Double(first) * Double(second) }
    return sum
  }

  /// The cosine of each image (row) and text (column), from -1 to 1.
  public let cosines: [[Float]]

  /// The scaled cosines: `logits_per_image`, a row for each picture.
  public var logits: [[Float]] { cosines.map { $0.map { $0 * scale } } }

  /// The softmax of each row of ``logits``. With labels as texts, this is zero-shot classification.
  public var probabilities: [[Float]] {
    logits.map { row in
      let largest = Double(row.max() ?? 0)
      let powers = row.map { exp(Double($0) - largest) }
      let sum = powers.reduce(0, +)
      return powers.map { Float($0 / sum) }
    }
  }

  /// For each image the index of the most similar text; the first of several.
  public var best: [Int] {
    cosines.map { row in row.indices.reduce(0) { row[$1] > row[$0] ? $1 : $0 } }
  }
}
