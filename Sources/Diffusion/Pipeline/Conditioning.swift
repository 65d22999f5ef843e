import Engine

/// What the text encoder made of a request's prompts.
struct Conditioning {
  /// `[prompts, tokens, width]`: of the negative prompt and the prompt where guided, or of the
  /// prompt alone.
  let states: Value
  let prompt: Tokenizer.Encoding
  let negativePrompt: Tokenizer.Encoding?
}

extension DiffusionModel {
  /// Reads the prompts of a request.
  ///
  /// - Throws: ``EngineError``.
  func conditioning(
    for request: GenerationRequest, observer: ((StepTiming) -> Void)?
  ) throws -> Conditioning {
    let prompts = (request.isGuided ? [request.negativePrompt] : []) + [request.prompt]
    let encodings = prompts.map { tokenizer.encode($0, length: tokenLimit) }
    return Conditioning(
      states: try hiddenStates(of: encodings, observer: observer),
      prompt: encodings[encodings.count - 1],
      negativePrompt: request.isGuided ? encodings[0] : nil)
  }

  /// `[prompts, tokens, width]`
  private func hiddenStates(
    of prompts: [Tokenizer.Encoding], observer: ((StepTiming) -> Void)?
  ) throws -> Value {
    let ids = prompts.flatMap { $0.ids.map { Int32($0) } }
    let outputs = try textEncoder.run(
      ["input_ids": Value(ids: ids, shape: [prompts.count, tokenLimit])], generations: [:],
      observer: observer)
    return try outputs.require("last_hidden_state")
  }
}
