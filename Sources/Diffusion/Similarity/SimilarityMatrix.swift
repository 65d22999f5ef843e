import Glibc

/// How similar pictures and texts are to a CLIP.
///
/// Source: CLIP (Radford et al. 2021), and `logits_per_image` of transformers' `CLIPModel`.
public struct SimilarityMatrix: Sendable, Hashable {
  /// A row for each picture, of the projection's width, of Euclidean length 1.
  public let pictures: [[Float]]
  /// A row for each text, of the projection's width, of Euclidean length 1.
  public let texts: [[Float]]
  /// What cosines are multiplied with: the exponential of the model's `logit_scale`.
  public let scale: Float

  /// - Parameters:
  ///   - pictures: rows of length 1, a picture's each.
  ///   - texts: rows of length 1 and of the same width, a text's each.
  ///   - scale: what cosines are multiplied with.
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

  /// The cosine of each picture (row) and each text (column), from -1 to 1.
  public let cosines: [[Float]]

  /// The scaled cosines: `logits_per_image`, a row for each picture.
  public var logits: [[Float]] { cosines.map { $0.map { $0 * scale } } }

  /// For each picture the shares of the texts, which add up to 1: the softmax of its logits. With
  /// labels as texts this is zero-shot classification.
  public var probabilities: [[Float]] {
    logits.map { row in
      let largest = Double(row.max() ?? 0)
      let powers = row.map { exp(Double($0) - largest) }
      let sum = powers.reduce(0, +)
      return powers.map { Float($0 / sum) }
    }
  }

  /// For each picture the column of the text that is most similar; the first of several.
  public var best: [Int] {
    cosines.map { row in row.indices.reduce(0) { row[$1] > row[$0] ? $1 : $0 } }
  }
}
