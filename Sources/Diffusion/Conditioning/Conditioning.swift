import Engine
import ModelFormats
import ModelGraph

/// The text encoder's output for a request's prompts.
package struct Conditioning: Sendable {
  /// `[prompts, tokens, width]`: of the negative and positive prompt with guidance, otherwise of
  /// the positive prompt only.
  package let states: Value
  /// The encoding for the first step.
  package let prompt: PromptEncoding
  package let negativePrompt: PromptEncoding?
  /// Later conditionings if a prompt changes, each with its first step, counted from 1.
  package let later: [(step: Int, conditioning: Conditioning)]

  /// The conditioning that starts at a step, if it changes there.
  func change(at step: Int) -> Conditioning? {
    later.first { $0.step == step }?.conditioning
  }
}

extension Conditioning {
  /// The maximum number of chunks of all prompts over an image's steps; their states take 230 KiB
  /// each at Stable Diffusion 1's width.
  static let chunkLimit = 512

  /// Rejects prompts that need too much memory: trigger words with many vectors, and prompts that
  /// change from step to step, make few bytes large.
  static func check(chunks count: Int) throws(GenerationError) {
    guard count <= chunkLimit else {
      throw GenerationError(
        .request, "the prompts take more than \(chunkLimit) chunks of tokens",
        hint: "shorten the prompt, or let it change less often")
    }
  }
}

extension DiffusionModel {
  /// What makes tokens of a prompt for this model.
  package var promptReader: PromptReader {
    PromptReader(
      tokenizer, embeddings: embeddings, length: tokenLimit, vocabularySize: vocabularySize)
  }

  /// Reads the prompts of a request.
  ///
  /// - Parameter secondPassSteps: the number of steps that a second pass runs; nil in a first pass.
  /// - Throws: ``GenerationError`` `request` if a prompt uses unsupported syntax; ``EngineError``.
  package func conditioning(
    for request: GenerationRequest, secondPassSteps: Int? = nil,
    observer: ((StepTiming) -> Void)?
  ) throws -> Conditioning {
    try limits.checkPrompts(of: request)
    try limits.checkClipSkip(of: request)
    let style = request.promptStyle
    let reader = promptReader
    let isGuided = isGuided(request)
    let prompts = (isGuided ? [request.negativePrompt] : []) + [request.prompt]
    let schedules = prompts.map {
      reader.schedule(
        of: $0, style, steps: secondPassSteps ?? request.steps,
        firstPassSteps: request.firstPassSteps)
    }
    let starts = Set(schedules.joined().map(\.steps.lowerBound)).sorted()
    // The encodings of each step range with a constant prompt. Repeated prompts share theirs.
    var known: [String: PromptEncoding] = [:]
    var count = 0
    let encodings = try starts.map { start in
      try schedules.map { stretches in
        let prompt = stretches.last { $0.steps.lowerBound <= start }?.prompt ?? ""
        if let encoding = known[prompt] { return encoding }
        let encoding = try reader.read(prompt, style)
        count += encoding.chunks.count
        try Conditioning.check(chunks: count)
        known[prompt] = encoding
        return encoding
      }
    }
    var encoder = ChunkEncoder(self, style, batch: prompts.count, observer: observer)
    let states = try encoder.states(of: encodings, empty: reader.emptyChunk)
    let parts = zip(encodings, states).map { encodings, states in
      Conditioning(
        states: states, prompt: encodings[encodings.count - 1],
        negativePrompt: isGuided ? encodings[0] : nil, later: [])
    }
    return Conditioning(
      states: parts[0].states, prompt: parts[0].prompt, negativePrompt: parts[0].negativePrompt,
      later: zip(starts, parts).dropFirst().map { (step: $0, conditioning: $1) })
  }
}

extension PromptReader {
  /// The prompts of the steps; one where the prompt does not change, or is read as text.
  package func schedule(
    of prompt: String, _ style: PromptStyle, steps: Int, firstPassSteps: Int? = nil
  ) -> [PromptSchedule.Stretch] {
    style.isLiteral
      ? [PromptSchedule.Stretch(steps: 1...max(1, steps), prompt: prompt)]
      : PromptSchedule(prompt, steps: steps, firstPassSteps: firstPassSteps).stretches
  }
}

/// Runs the text encoder on chunks, each once.
private struct ChunkEncoder {
  private let model: DiffusionModel
  private let style: PromptStyle
  /// The chunks per run: enough for short prompts, constant for all lengths.
  private let batch: Int
  private let observer: ((StepTiming) -> Void)?
  private var width = 0

  init(
    _ model: DiffusionModel, _ style: PromptStyle, batch: Int,
    observer: ((StepTiming) -> Void)?
  ) {
    self.model = model
    self.style = style
    self.batch = batch
    self.observer = observer
  }

  /// `[prompts, tokens, width]` of each list of prompts; shorter prompts are padded with empty
  /// chunks.
  mutating func states(
    of lists: [[PromptEncoding]], empty: PromptEncoding.Chunk
  ) throws -> [Value] {
    let filled = lists.map { prompts in
      let count = prompts.reduce(1) { max($0, $1.chunks.count) }
      return prompts.map { prompt in
        prompt.chunks
          + [PromptEncoding.Chunk](repeating: empty, count: count - prompt.chunks.count)
      }
    }
    var known: [PromptEncoding.Chunk: [Float]] = [:]
    var waiting: [PromptEncoding.Chunk] = []
    for chunk in filled.joined().joined() where known[chunk] == nil {
      known[chunk] = []
      waiting.append(chunk)
      guard waiting.count == batch else { continue }
      try encode(waiting, into: &known)
      waiting = []
    }
    if let last = waiting.last {
      waiting += [PromptEncoding.Chunk](repeating: last, count: batch - waiting.count)
      try encode(waiting, into: &known)
    }
    // Repeated prompts, such as alternating ones, share their states.
    var made: [[[PromptEncoding.Chunk]]: Value] = [:]
    return filled.map { prompts in
      if let value = made[prompts] { return value }
      let value = Value(
        prompts.flatMap { $0.flatMap { known[$0] ?? [] } },
        shape: [prompts.count, prompts[0].count * model.tokenLimit, width])
      made[prompts] = value
      return value
    }
  }

  private mutating func encode(
    _ chunks: [PromptEncoding.Chunk], into known: inout [PromptEncoding.Chunk: [Float]]
  ) throws {
    let ids = chunks.flatMap { $0.ids.map { Int32($0) } }
    let outputs = try model.textEncoder.run(
      ["input_ids": Value(ids: ids, shape: [chunks.count, model.tokenLimit])], inputVersions: [:],
      observer: observer)
    let output = try outputs.require(CLIPText.hiddenState(fromLast: style.clipSkip))
    width = output.shape[2]
    let size = model.tokenLimit * width
    for (index, chunk) in chunks.enumerated() {
      var values = Array(output.reals[(index * size)..<((index + 1) * size)])
      if chunk.weights.contains(where: { $0 != 1 }) {
        weigh(&values, chunk.weights, restoresMean: style.emphasis == .original)
      }
      known[chunk] = values
    }
  }

  /// Multiplies each token's states by its weight.
  ///
  /// - Parameter restoresMean: whether to rescale all states afterwards to restore their mean.
  private func weigh(_ values: inout [Float], _ weights: [Float], restoresMean: Bool) {
    let before = values.reduce(0.0) { $0 + Double($1) }
    for (token, weight) in weights.enumerated() where weight != 1 {
      for index in (token * width)..<((token + 1) * width) { values[index] *= weight }
    }
    guard restoresMean else { return }
    let after = values.reduce(0.0) { $0 + Double($1) }
    // A mean of 0 cannot be restored.
    guard after != 0 else { return }
    let factor = Float(before / after)
    for index in values.indices { values[index] *= factor }
  }
}
