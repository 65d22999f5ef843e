/// Converts a prompt to token chunks for the text encoder: with weights, chunks and textual
/// inversions as in the AUTOMATIC1111 web UI, or as plain text as in diffusers.
package struct PromptReader: Sendable {
  private let tokenizer: Tokenizer
  private let embeddings: [TextualInversion]
  /// The id of each embedding's first vector.
  private let firstIDs: [Int]
  /// The ids of each embedding's trigger word; longer ones are matched first.
  private let patterns: [(index: Int, ids: [Int])]
  private let comma: Int?
  /// The tokens of a chunk without start and end: 75.
  private let capacity: Int

  /// If a chunk is full, the text after a comma among its last tokens moves to the next chunk.
  private static let commaRange = 20

  /// - Parameters:
  ///   - length: the text encoder's positions, 77 for Stable Diffusion; at least 3.
  ///   - vocabularySize: the text encoder's number of tokens; ids of embedding vectors start there.
  package init(
    _ tokenizer: Tokenizer, embeddings: [TextualInversion] = [], length: Int = 77,
    vocabularySize: Int = 49_408
  ) {
    precondition(
      length >= 3 && embeddings.allSatisfy { $0.count <= length - 2 },
      "there must be room for a token, or an embedding's, between start and end")
    self.tokenizer = tokenizer
    self.embeddings = embeddings
    capacity = length - 2
    comma = tokenizer.id(of: ",</w>")
    var next = vocabularySize
    firstIDs = embeddings.map { embedding in
      defer { next += embedding.count }
      return next
    }
    patterns = embeddings.enumerated().map { index, embedding in
      (index, tokenizer.tokens(of: embedding.token).map(\.id))
    }.sorted { $0.1.count > $1.1.count }
  }

  /// Encodes a prompt without prompt editing, or with its edits already applied.
  ///
  /// - Throws: ``GenerationError`` `request` if the prompt uses unsupported syntax.
  package func read(
    _ prompt: String, _ style: PromptStyle = PromptStyle()
  ) throws(GenerationError) -> PromptEncoding {
    var warnings: [String] = []
    var chunks = Chunks(capacity: capacity, comma: comma)
    var used: Set<String> = []
    let isLiteral = style.isLiteral
    var text = prompt
    if !isLiteral {
      text = Self.removingNetworks(from: prompt, &warnings)
      if Self.hasWord("AND", in: text) {
        warnings.append("AND is read as a word; prompts are not combined")
      }
    }
    for embedding in embeddings where embedding.token.first == "<" {
      // Otherwise the bracket and a comma after it would become one token.
      text = Self.spacing(embedding.token, in: text)
    }
    let parts = isLiteral ? [.text(text, weight: 1)] : try PromptPart.parse(text)
    for part in parts {
      guard case .text(let text, let weight) = part else {
        chunks.close()
        continue
      }
      var tokens = tokenizer.tokens(of: text)[...]
      while let token = tokens.first {
        let match = patterns.first { pattern in
          !pattern.ids.isEmpty && tokens.lazy.map(\.id).starts(with: pattern.ids)
        }
        if let match {
          let embedding = embeddings[match.index]
          let ids = firstIDs[match.index]..<(firstIDs[match.index] + embedding.count)
          chunks.append(
            ids.map { PromptEncoding.Token(id: $0, text: embedding.token, weight: weight) })
          used.insert(embedding.token)
          tokens = tokens.dropFirst(match.ids.count)
        } else {
          chunks.append(PromptEncoding.Token(id: token.id, text: token.text, weight: weight))
          tokens = tokens.dropFirst()
        }
      }
    }
    let filled = chunks.finished()
    var dropped: [PromptEncoding.Token] = []
    if style.isPlain {
      // Plain text is cut where the first chunk is full, regardless of commas.
      let all = filled.flatMap { $0 }
      dropped = Array(all.dropFirst(capacity))
      return encoding(
        [Array(all.prefix(capacity))], style, dropped: dropped, text, warnings, used)
    }
    return encoding(filled, style, dropped: [], text, warnings, used)
  }

  /// A chunk without tokens, for the shorter of two prompts.
  package var emptyChunk: PromptEncoding.Chunk { chunk([], weighs: false) }

  private func encoding(
    _ chunks: [[PromptEncoding.Token]], _ style: PromptStyle, dropped: [PromptEncoding.Token],
    _ text: String, _ warnings: [String], _ used: Set<String>
  ) -> PromptEncoding {
    let weighs = style.emphasis != .ignore
    let kept = chunks.first?.count ?? 0
    return PromptEncoding(
      chunks: chunks.map { chunk($0, weighs: weighs) }, droppedTokenCount: dropped.count,
      droppedText: dropped.isEmpty ? "" : tokenizer.text(of: text, after: kept), warnings: warnings,
      embeddings: used)
  }

  private func chunk(_ tokens: [PromptEncoding.Token], weighs: Bool) -> PromptEncoding.Chunk {
    let rest = capacity - tokens.count
    return PromptEncoding.Chunk(
      tokens: tokens,
      ids: [tokenizer.startID] + tokens.map(\.id) + [tokenizer.endID]
        + [Int](repeating: tokenizer.paddingID, count: rest),
      weights: [1] + tokens.map { weighs ? $0.weight : 1 } + [Float](repeating: 1, count: rest + 1))
  }

  /// Distributes tokens over chunks.
  private struct Chunks {
    let capacity: Int
    let comma: Int?
    private var full: [[PromptEncoding.Token]] = []
    private var current: [PromptEncoding.Token] = []
    /// The position of the chunk's last comma.
    private var lastComma: Int?

    init(capacity: Int, comma: Int?) {
      self.capacity = capacity
      self.comma = comma
    }

    mutating func close() {
      full.append(current)
      current = []
      lastComma = nil
    }

    mutating func append(_ token: PromptEncoding.Token) {
      makeRoom(before: token)
      current.append(token)
    }

    /// The vectors of one embedding, which stay together.
    mutating func append(_ vectors: [PromptEncoding.Token]) {
      makeRoom(before: vectors[0])
      if current.count + vectors.count > capacity { close() }
      current += vectors
    }

    private mutating func makeRoom(before token: PromptEncoding.Token) {
      if token.id == comma {
        lastComma = current.count
      } else if current.count == capacity, let lastComma,
        current.count - lastComma <= PromptReader.commaRange
      {
        let moved = current[(lastComma + 1)...]
        current.removeLast(moved.count)
        close()
        current = Array(moved)
      }
      if current.count == capacity { close() }
    }

    func finished() -> [[PromptEncoding.Token]] {
      current.isEmpty && !full.isEmpty ? full : full + [current]
    }
  }
}

extension PromptReader {
  /// Removes `<lora:name:1>` and similar tags, with a warning.
  private static func removingNetworks(from prompt: String, _ warnings: inout [String]) -> String {
    var result = ""
    var rest = prompt[...]
    // Linear time, regardless of the number of brackets.
    guard let last = prompt.lastIndex(of: ">") else { return prompt }
    while let open = rest.firstIndex(of: "<"), open < last {
      result += rest[..<open]
      let inside = rest[rest.index(after: open)...]
      let colon = inside.prefix { $0.isLetter || $0.isNumber || $0 == "_" }.endIndex
      guard colon > inside.startIndex, inside[colon] == ":",
        let close = inside[colon...].firstIndex(of: ">"), inside.index(after: colon) < close
      else {
        result += "<"
        rest = inside
        continue
      }
      warnings.append(
        "\(rest[open...close]) is left out; networks are given as options, not in the prompt")
      rest = inside[inside.index(after: close)...]
    }
    return result + rest
  }

  private static func hasWord(_ word: String, in text: String) -> Bool {
    text.split { !($0.isLetter || $0.isNumber || $0 == "_") }.contains { $0 == word }
  }

  /// Adds white space around each occurrence of `token`.
  private static func spacing(_ token: String, in text: String) -> String {
    var result = ""
    var rest = text[...]
    while let found = rest.firstRange(of: token) {
      result += rest[..<found.lowerBound] + " " + token + " "
      rest = rest[found.upperBound...]
    }
    return result + rest
  }
}
