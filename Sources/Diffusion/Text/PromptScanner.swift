// The standard library's own normalization; no public API does it without Foundation.
@_spi(_Unicode) import Swift

/// A prompt as CLIP's tokenizer cleans it (NFC, every run of white space one space, lower case),
/// with the way back to the prompt, and its split into pieces.
struct PromptScanner {
  /// Which alternative of CLIP's pattern a scalar belongs to.
  private enum Class {
    case letter
    case number
    case space
    case other
  }

  private struct Scalar {
    let value: Unicode.Scalar
    let scalarClass: Class
    /// Its index in `source`.
    let origin: Int
  }

  /// A range of bytes that byte-pair merges do not cross.
  struct Piece {
    var bytes: [UInt8] = []
    /// For each byte the index in `source` of the scalar that it comes from.
    var origins: [Int] = []
  }

  /// The prompt in NFC, before white space and case are changed.
  private(set) var source: [Unicode.Scalar] = []
  private var scalars: [Scalar] = []

  /// Cleans a part of a prompt. `origin` is the index of its first scalar in the prompt.
  init(_ text: String, origin: Int) {
    for scalar in text._nfc {
      let index = origin + source.count
      source.append(scalar)
      if scalar.properties.isWhitespace {
        if scalars.last?.scalarClass != .space {
          scalars.append(Scalar(value: " ", scalarClass: .space, origin: index))
        }
      } else {
        // Scalar by scalar: a sigma at the end of a word becomes σ, as in the reference.
        for lower in scalar.properties.lowercaseMapping.unicodeScalars {
          scalars.append(Scalar(value: lower, scalarClass: Self.classify(lower), origin: index))
        }
      }
    }
  }

  private static func classify(_ scalar: Unicode.Scalar) -> Class {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      .letter
    case .decimalNumber, .letterNumber, .otherNumber: .number
    default: scalar.properties.isWhitespace ? .space : .other
    }
  }

  /// The scalars of the cleaned text.
  var values: [Unicode.Scalar] { scalars.map(\.value) }

  /// The part of `source` that a part of the cleaned text, not empty, comes from.
  func sourceRange(of range: Range<Int>) -> Range<Int> {
    scalars[range.lowerBound].origin..<scalars[range.upperBound - 1].origin + 1
  }

  /// Calls `body` with each piece of a part of the cleaned text: a contraction, a run of letters,
  /// one number character, or a run of anything else but white space.
  ///
  /// Source: the pattern of CLIP's tokenizer, `'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`.
  /// Its first alternatives are the special tokens; here they can only have come from capitals
  /// (others are cut out before), and the byte-level step then splits them in three.
  func forEachPiece(in range: Range<Int>, _ body: (Piece) -> Void) {
    var position = range.lowerBound
    while position < range.upperBound {
      let end: Int
      let rest = scalars[position..<range.upperBound]
      if let length = Self.match(Self.specialTokens, at: rest) {
        let inner = position + 2..<position + length - 2
        for range in [position..<inner.lowerBound, inner, inner.upperBound..<position + length] {
          body(piece(range))
        }
        position += length
        continue
      } else if let length = Self.match(Self.contractions, at: rest) {
        end = position + length
      } else {
        switch scalars[position].scalarClass {
        case .space:
          position += 1
          continue
        case .number: end = position + 1
        case let run: end = rest.firstIndex { $0.scalarClass != run } ?? range.upperBound
        }
      }
      body(piece(position..<end))
      position = end
    }
  }

  private static let specialTokens = ["<|startoftext|>", "<|endoftext|>"].map {
    Array($0.unicodeScalars)
  }
  private static let contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map {
    Array($0.unicodeScalars)
  }

  /// The length of the first alternative that `rest`, not empty, begins with.
  private static func match(
    _ alternatives: [[Unicode.Scalar]], at rest: ArraySlice<Scalar>
  ) -> Int? {
    guard rest.first?.value == alternatives[0][0] else { return nil }
    return alternatives.first { alternative in
      rest.prefix(alternative.count).lazy.map(\.value).elementsEqual(alternative)
    }?.count
  }

  private func piece(_ range: Range<Int>) -> Piece {
    var piece = Piece()
    for scalar in scalars[range] {
      for byte in UTF8.encode(scalar.value).map(Array.init) ?? [] {
        piece.bytes.append(byte)
        piece.origins.append(scalar.origin)
      }
    }
    return piece
  }
}
