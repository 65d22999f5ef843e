import Engine
import ModelGraph

/// What the text encoder made of a request's prompts.
package struct Conditioning {
  /// `[prompts, tokens, width]`: of the negative prompt and the prompt where guided, or of the
  /// prompt alone.
  package let states: Value
  package let prompt: PromptEncoding
  package let negativePrompt: PromptEncoding?
}

extension DiffusionModel {
  /// What makes tokens of a prompt for this model.
  public var promptReader: PromptReader {
    PromptReader(
      tokenizer, embeddings: embeddings, length: tokenLimit, vocabularySize: vocabularySize)
  }

  /// Reads the prompts of a request.
  ///
  /// - Throws: ``GenerationError`` `request` where a prompt asks for what is not supported;
  ///   ``EngineError``.
  package func conditioning(
    for request: GenerationRequest, observer: ((StepTiming) -> Void)?
  ) throws -> Conditioning {
    guard (1...textLayers).contains(request.promptStyle.clipSkip) else {
      throw GenerationError(
        .request,
        "a clip skip of \(request.promptStyle.clipSkip) leaves no layer of the text encoder",
        hint: "give 1 (the last layer) to \(textLayers)")
    }
    let reader = promptReader
    let prompts = (request.isGuided ? [request.negativePrompt] : []) + [request.prompt]
    let encodings = try prompts.map { try reader.read($0, request.promptStyle) }
    return Conditioning(
      states: try hiddenStates(
        of: encodings, reader.emptyChunk, request.promptStyle, observer: observer),
      prompt: encodings[encodings.count - 1],
      negativePrompt: request.isGuided ? encodings[0] : nil)
  }

  /// `[prompts, tokens, width]`; a prompt of fewer chunks than another gets empty ones.
  private func hiddenStates(
    of prompts: [PromptEncoding], _ empty: PromptEncoding.Chunk, _ style: PromptStyle,
    observer: ((StepTiming) -> Void)?
  ) throws -> Value {
    let count = prompts.reduce(1) { max($0, $1.chunks.count) }
    let chunks = prompts.flatMap { prompt in
      prompt.chunks + [PromptEncoding.Chunk](repeating: empty, count: count - prompt.chunks.count)
    }
    var states: [Float] = []
    var width = 0
    // As many at a time as there are prompts: what short prompts take, whatever their length.
    for start in stride(from: 0, to: chunks.count, by: prompts.count) {
      let some = chunks[start..<(start + prompts.count)]
      let ids = some.flatMap { $0.ids.map { Int32($0) } }
      let outputs = try textEncoder.run(
        ["input_ids": Value(ids: ids, shape: [some.count, tokenLimit])], generations: [:],
        observer: observer)
      let output = try outputs.require(CLIPText.hiddenState(fromLast: style.clipSkip))
      width = output.shape[2]
      var values = output.reals
      let size = tokenLimit * width
      for (index, chunk) in some.enumerated() where chunk.weights.contains(where: { $0 != 1 }) {
        weigh(
          &values, in: (index * size)..<((index + 1) * size), chunk.weights,
          restoresMean: style.emphasis == .original)
      }
      states += values
    }
    return Value(states, shape: [prompts.count, count * tokenLimit, width])
  }

  /// Multiplies each token's states by its weight.
  ///
  /// - Parameter restoresMean: whether all are then multiplied once more, so that their mean is
  ///   what it was.
  private func weigh(
    _ values: inout [Float], in range: Range<Int>, _ weights: [Float], restoresMean: Bool
  ) {
    let width = range.count / weights.count
    func sum() -> Double { values[range].reduce(0.0) { $0 + Double($1) } }
    let before = sum()
    for (token, weight) in weights.enumerated() where weight != 1 {
      let start = range.lowerBound + token * width
      for index in start..<(start + width) { values[index] *= weight }
    }
    guard restoresMean else { return }
    let after = sum()
    // Where the mean has become 0 nothing restores it.
    guard after != 0 else { return }
    let factor = Float(before / after)
    for index in range { values[index] *= factor }
  }
}
