import Checkpoint
import Diffusion
import Engine
import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// Weights, chunks and breaks as the web UI reads them.
@Suite struct PromptWeightsTests {
  struct Example: Sendable, CustomTestStringConvertible {
    let prompt: String
    let parts: [PromptPart]
    var testDescription: String { prompt.debugDescription }
  }

  static func text(_ text: String, _ weight: Float = 1) -> PromptPart {
    .text(text, weight: weight)
  }

  /// The first eight are the examples of the web UI's own parser.
  @Test(arguments: [
    Example(prompt: "normal text", parts: [text("normal text")]),
    Example(
      prompt: "an (important) word", parts: [text("an "), text("important", 1.1), text(" word")]),
    Example(prompt: "(unbalanced", parts: [text("unbalanced", 1.1)]),
    Example(prompt: #"\(literal\]"#, parts: [text("(literal]")]),
    Example(prompt: "(unnecessary)(parens)", parts: [text("unnecessaryparens", 1.1)]),
    Example(
      prompt: "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
      parts: [
        text("a "), text("house", 1.573), text(" ", 1.1), text("on"), text(" a ", 1.1),
        text("hill", 0.55), text(", sun, ", 1.1), text("sky", 1.4641), text(".", 1.1),
      ]),
    Example(prompt: "", parts: [text("")]),
    Example(prompt: "a) b]", parts: [text("a) b]")]),
    Example(prompt: "[a]", parts: [text("a", 1 / 1.1)]),
    Example(prompt: "[[a] b", parts: [text("a", 1 / 1.21), text(" b", 1 / 1.1)]),
    Example(prompt: "(a:-0.5)", parts: [text("a", -0.5)]),
    Example(prompt: "(a: 1.5 ) b", parts: [text("a", 1.5), text(" b")]),
    Example(prompt: "a:1.2) b", parts: [text("a:1.2) b")]),
    Example(prompt: "(a:b)", parts: [text("a:b", 1.1)]),
    Example(prompt: "(ratio 16:9)", parts: [text("ratio 16", 9)]),
    Example(prompt: #"a \\ b \c"#, parts: [text(#"a \ b c"#)]),
    Example(prompt: #"\(a:1.2\)"#, parts: [text("(a:1.2)")]),
    Example(prompt: "a BREAK b", parts: [text("a"), .chunkBreak, text("b")]),
    Example(
      prompt: "(a BREAK b:1.2)", parts: [text("a", 1.2), .chunkBreak, text("b", 1.2)]),
    Example(prompt: "BREAKFAST aBREAK break", parts: [text("BREAKFAST aBREAK break")]),
    Example(prompt: "BREAK", parts: [.chunkBreak]),
    Example(prompt: "[a:b]", parts: [text("a:b", 1 / 1.1)]),
  ])
  func parts(_ example: Example) throws {
    let parts = try PromptPart.parse(example.prompt)
    #expect(parts.count == example.parts.count, "\(parts)")
    for (part, expected) in zip(parts, example.parts) {
      switch (part, expected) {
      case (.text(let text, let weight), .text(let expectedText, let expectedWeight)):
        #expect(text == expectedText)
        #expect(abs(weight - expectedWeight) < 1e-6)
      default: #expect(part == expected)
      }
    }
  }

  @Test(arguments: [
    ("(cat:1.2.3)", "no weight"), ("(cat:.)", "no weight"), ("(cat:1e)", nil), ("[a (b|c)]", nil),
    (#"\[a|b\]"#, nil), ("[a:1.2", nil), ("(a:99999999)", "no weight"),
  ])
  func refused(prompt: String, says: String?) throws {
    guard let says else {
      #expect(throws: Never.self) { try PromptPart.parse(prompt) }
      return
    }
    let error = #expect(throws: GenerationError.self) { try PromptPart.parse(prompt) }
    #expect(error?.code == .request)
    #expect(error?.message.contains(says) == true, "\(error?.message ?? "")")
  }

  /// A hundred thousand brackets.
  @Test(.timeLimit(.minutes(1))) func manyBrackets() throws {
    let deep = String(repeating: "(", count: 2000) + "a" + String(repeating: ")", count: 2000)
    #expect(throws: Never.self) { try PromptPart.parse(deep) }
    let many = String(repeating: "(a:1.1)", count: 20_000)
    #expect(try PromptPart.parse(many).count == 1)
  }
}

@Suite struct PromptReaderTests {
  static func reader(_ embeddings: [TextualInversion] = []) throws -> PromptReader {
    PromptReader(try TokenizerTests.tokenizer.get(), embeddings: embeddings)
  }

  /// A short prompt without special characters is encoded as by diffusers.
  @Test(arguments: ReferencePrompt.table("shapes-v2/golden/tokens.json"))
  func plain(_ reference: ReferencePrompt) throws {
    var style = PromptStyle()
    style.isPlain = true
    #expect(try Self.reader().read(reference.prompt, style).chunks.map(\.ids) == [reference.ids])
    let tokens = try TokenizerTests.tokenizer.get().tokens(of: reference.prompt)
    guard tokens.count <= 75, !reference.prompt.contains(where: { "()[]:\\".contains($0) }) else {
      return
    }
    let encoding = try Self.reader().read(reference.prompt)
    #expect(encoding.chunks.map(\.ids) == [reference.ids])
    #expect(encoding.chunks[0].weights.allSatisfy { $0 == 1 } && encoding.warnings.isEmpty)
  }

  /// Chunks of 75 tokens; if one is full, what follows a comma among the last 20 moves to the next.
  @Test(
    arguments: [
      (String(repeating: "cat ", count: 75), [75]),
      (String(repeating: "cat ", count: 76), [75, 1]),
      (String(repeating: "cat ", count: 200), [75, 75, 50]),
      (
        String(repeating: "cat ", count: 60) + ", " + String(repeating: "dog ", count: 20),
        [61, 20]
      ),
      (
        String(repeating: "cat ", count: 54) + ", " + String(repeating: "dog ", count: 21), [75, 1]
      ),
      (
        String(repeating: "cat ", count: 55) + ", " + String(repeating: "dog ", count: 20),
        [56, 20]
      ),
      (String(repeating: "cat ", count: 75) + ", dog", [75, 2]),
      (String(repeating: "cat, ", count: 38), [75, 1]), ("a BREAK b c", [1, 2]),
      ("BREAK", [0]), ("a BREAK BREAK b", [1, 0, 1]), ("", [0]), ("a BREAK", [1]),
    ] as [(String, [Int])])
  func chunks(prompt: String, counts: [Int]) throws {
    let encoding = try Self.reader().read(prompt)
    #expect(encoding.chunks.map(\.tokens.count) == counts)
    #expect(encoding.tokenCount == counts.reduce(0, +))
    for chunk in encoding.chunks {
      #expect(chunk.ids.count == 77 && chunk.weights.count == 77)
      #expect(chunk.ids.first == 49406 && chunk.ids.last == 49407)
      #expect(Array(chunk.ids[1..<(1 + chunk.tokens.count)]) == chunk.tokens.map(\.id))
    }
  }

  @Test func weightsAndStyles() throws {
    let reader = try Self.reader()
    let prompt = "a (red:1.5) circle"
    let encoding = try reader.read(prompt)
    #expect(encoding.chunks[0].tokens.map(\.text) == ["a", "red", "circle"])
    #expect(Array(encoding.chunks[0].weights.prefix(5)) == [1, 1, 1.5, 1, 1])
    var style = PromptStyle()
    style.emphasis = .ignore
    let ignored = try reader.read(prompt, style)
    #expect(ignored.chunks[0].ids == encoding.chunks[0].ids)
    #expect(ignored.chunks[0].weights.allSatisfy { $0 == 1 })
    style.emphasis = .none
    let literal = try reader.read(prompt + " BREAK [x|y]", style)
    #expect(literal.chunks.count == 1 && literal.chunks[0].tokens.contains { $0.text == "BREAK" })
    style.isPlain = true
    let plain = try reader.read(String(repeating: "cat ", count: 80), style)
    #expect((plain.tokenCount, plain.droppedTokenCount) == (75, 5))
    #expect(plain.droppedText == "cat cat cat cat cat ")
  }

  /// Any text is read, or rejected for a weight; every chunk is full.
  @Test(.timeLimit(.minutes(1)), arguments: 1...4) func anyPromptIsRead(seed: UInt64) throws {
    let reader = try Self.reader([
      TextualInversion(Fixtures.path("diffusion/embedding.pt"), token: "<a>")
    ])
    let pieces = [
      "(", ")", "[", "]", ":", "|", "\\", "<", ">", "<a>", ",", " ", ".", "1", "-", "a", "BREAK",
      "AND", "cat ", ":1.2)", "é", "語", "\u{301}", "\n", "lora:x:1",
    ]
    var state = seed
    for _ in 0..<1500 {
      var prompt = ""
      // Knuth's multiplier; the upper bits are the better ones.
      for _ in 0..<Int(state >> 59) * 8 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        prompt += pieces[Int(state >> 33) % pieces.count]
      }
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      var style = PromptStyle()
      style.emphasis = PromptStyle.Emphasis.allCases[Int(state >> 40) % 4]
      style.isPlain = state >> 62 == 0
      for stretch in reader.schedule(of: prompt, style, steps: 3) {
        do {
          let encoding = try reader.read(stretch.prompt, style)
          #expect(!encoding.chunks.isEmpty && (!style.isPlain || encoding.chunks.count == 1))
          for chunk in encoding.chunks where chunk.ids.count != 77 || chunk.weights.count != 77 {
            Issue.record("a chunk of \(chunk.ids.count) for \(prompt.debugDescription)")
          }
        } catch {
          #expect(error.code == .request && error.message.contains("no weight"))
        }
      }
    }
  }

  @Test func oddPartsAreSaid() throws {
    let encoding = try Self.reader().read("a <lora:foo_v1.0:0.8>cat AND a dog <b>x</b> <:a>")
    #expect(encoding.warnings.count == 2)
    #expect(encoding.warnings[0].contains("<lora:foo_v1.0:0.8>"))
    #expect(encoding.warnings[1].contains("AND"))
    #expect(!encoding.chunks[0].tokens.contains { $0.text.contains("lora") })
    #expect(encoding.chunks[0].tokens.contains { $0.text == "b" })
    #expect(try Self.reader().read("a HAND and SAND").warnings.isEmpty)
    #expect(try Self.reader().read("<lora:a> <lora:> <:b> <l<b:c>").warnings.count == 2)
  }

  /// Endless brackets, which once took quadratic time.
  @Test(
    .timeLimit(.minutes(1)),
    arguments: ["<", "<a", "<a:", "<a:>"].flatMap { [($0, ""), ($0, ">")] })
  func manyOpenBrackets(piece: String, end: String) throws {
    let reader = PromptReader(try TokenizerTests.tokenizer.get())
    let prompt = String(repeating: piece, count: 20_000) + end
    let warnings = try reader.read(prompt).warnings
    #expect(warnings.count == (piece == "<a:" && end == ">" ? 1 : 0))
  }
}

/// A case of Fixtures/diffusion/prompts.json, which prompts.py there makes with transformers.
struct PromptCase: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let prompt: String
  let style: PromptStyle
  let hasEmbedding: Bool

  static let all: [PromptCase] = {
    guard
      let text = try? String(
        contentsOfFile: Fixtures.path("diffusion/prompts.json"), encoding: .utf8),
      let rows = try? JSON(parsing: text).array
    else { return [] }
    return rows.map { row in
      var style = PromptStyle()
      style.clipSkip = row["clip_skip"]?.int ?? 1
      style.emphasis =
        row["emphasis"]?.string.flatMap(PromptStyle.Emphasis.init(rawValue:)) ?? .original
      return PromptCase(
        testDescription: row["name"]?.string ?? "", prompt: row["prompt"]?.string ?? "",
        style: style, hasEmbedding: row["embedding"]?.bool ?? false)
    }
  }()
}

/// The text encoder's output for prompts.
@Suite(.serialized) struct HiddenStateTests {
  static let golden = try? TestTensors(path: Fixtures.path("diffusion/prompts.safetensors"))
  static let embedding = Result {
    try TextualInversion(Fixtures.path("diffusion/embedding.safetensors"), token: "<star>")
  }
  static let model = Result {
    try DiffusionModel(
      ModelCheckpoint.open(Fixtures.path("shapes-v2")), width: 64, height: 64,
      embeddings: [embedding.get()])
  }

  @Test(arguments: PromptCase.all)
  func states(_ example: PromptCase) throws {
    let expected = try #require(Self.golden)[example.testDescription].floats
    var request = GenerationRequest(prompt: example.prompt)
    request.guidanceScale = 1
    request.promptStyle = example.style
    let model = try example.hasEmbedding ? Self.model.get() : GenerationTests.model.get()
    let states = try model.conditioning(for: request, observer: nil).states
    let values = stride(from: 0, to: states.reals.count, by: 61).map { states.reals[$0] }
    #expect(states.shape[0] == 1 && states.shape[1] % 77 == 0)
    #expect(Difference.relative(values, expected) < 3e-5)
  }

  @Test func casesAreThere() {
    #expect(PromptCase.all.count == 11)
  }

  /// Three chunks against an empty prompt, through the whole pipeline.
  @Test func longPromptIsDrawn() throws {
    let example = try #require(PromptCase.all.first { $0.testDescription == "long" })
    var request = GenerationRequest(prompt: example.prompt)
    request.scheduler = .ddim
    request.steps = 4
    request.guidanceScale = 4
    request.seed = 3
    request.width = 64
    request.height = 64
    let generation = try Self.model.get().draw(request)
    let expected = try #require(Self.golden)["long/latents"].floats
    #expect(Difference.relative(generation.latents.values, expected) < 1e-4)
    #expect(generation.prompt.chunks.count == 3)
    #expect(generation.negativePrompt?.chunks.count == 1)
  }

  /// A prompt that changes after half of four steps, and one that is its second half throughout.
  @Test func changingPromptIsDrawn() throws {
    var request = GenerationRequest(prompt: "a [red circle:large blue square:0.5]")
    request.scheduler = .ddim
    request.steps = 4
    request.guidanceScale = 4
    request.seed = 3
    request.width = 64
    request.height = 64
    let model = try Self.model.get()
    let generation = try model.draw(request)
    let expected = try #require(Self.golden)["edited/latents"].floats
    #expect(Difference.relative(generation.latents.values, expected) < 1e-4)
    // Heun's two evaluations of a step have the same prompt.
    request.scheduler = .heun
    request.prompt = "a large blue square"
    let plain = try model.draw(request)
    request.prompt = "[a red circle:a large blue square:0]"
    #expect(try model.draw(request).image == plain.image)
    request.prompt = "[a large blue square:a red circle:1.0]"
    #expect(try model.draw(request).image == plain.image)
    request.prompt = "[a red circle|a large blue square]"
    #expect(try model.draw(request).image != plain.image)
  }

  /// The second pass of hires fix goes on where the first one ended: with the second prompt.
  @Test func changingPromptGoesOnInTheSecondPass() throws {
    var request = GenerationRequest(prompt: "a large blue square")
    request.scheduler = .ddim
    (request.steps, request.guidanceScale, request.seed) = (4, 4, 3)
    (request.width, request.height) = (64, 64)
    request.hiresPass = HiresPass(scale: 1.5, strength: 0.5, steps: 8)
    let model = try Self.model.get()
    let plain = try model.draw(request)
    func image(_ prompt: String) throws -> Image {
      request.prompt = prompt
      return try model.draw(request).image
    }
    // In all of the first pass the prompt is the second.
    #expect(try image("a [red circle:large blue square:0]") == plain.image)
    // In all of both the first.
    #expect(try image("a [large blue square:red circle:2.0]") == plain.image)
    // Four of the second pass's eight steps are taken; its fractions are of these four.
    let late = try image("a [large blue square:red circle:1.5]")
    #expect(late != plain.image)
    #expect(try image("a [large blue square:red circle:6]") == late)
    #expect(try image("a [large blue square:red circle:8]") == plain.image)
  }

  /// Two alternating prompts take the memory of two, whatever the number of steps.
  @Test func alternatingPromptsShareTheirStates() throws {
    var request = GenerationRequest(prompt: "[a red circle|a blue square]")
    request.steps = 12
    let conditioning = try Self.model.get().conditioning(for: request, observer: nil)
    let states = [conditioning.states] + conditioning.later.map(\.conditioning.states)
    #expect(states.count == 12)
    let places = states.map { $0.reals.withUnsafeBufferPointer { $0.baseAddress } }
    #expect(Set(places).count == 2)
    #expect(states[0] == states[2] && states[0] != states[1])
  }

  @Test(arguments: [0, 5, 13])
  func clipSkipHasARange(_ clipSkip: Int) throws {
    var request = GenerationRequest(prompt: "a")
    request.promptStyle.clipSkip = clipSkip
    let model = try Self.model.get()
    let error = #expect(throws: GenerationError.self) { try model.draw(request) }
    #expect(error?.code == .request)
    #expect(error?.message.contains("to 4") == true)
  }

  /// The same vectors from each kind of file, and the names that they get.
  @Test(
    arguments: [
      ("embedding.safetensors", nil, "embedding"), ("embedding.pt", nil, "embedding"),
      ("embedding.bin", nil, "<star>"), ("embedding.pt", "moon", "moon"),
    ] as [(String, String?, String)])
  func files(name: String, token: String?, expected: String) throws {
    let embedding = try TextualInversion(Fixtures.path("diffusion/\(name)"), token: token)
    #expect(embedding.token == expected)
    #expect((embedding.count, embedding.width) == (3, 64))
    #expect(embedding.vectors == (try Self.embedding.get()).vectors)
  }

  /// Files that contain no embedding, or one for another model.
  @Test(arguments: [
    "diffusion/prompts.safetensors", "shapes-v2/vae/diffusion_pytorch_model.safetensors",
  ])
  func refusedFiles(path: String) throws {
    let error = #expect(throws: FormatError.self) { try TextualInversion(Fixtures.path(path)) }
    #expect(error?.code == .mismatch)
    #expect(error?.file == Fixtures.path(path))
  }

  @Test func embeddingsMustFit() throws {
    let folder = FileManager.default.temporaryDirectory.path + "/embedding-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    func file(_ name: String, _ shape: [Int], _ value: Float = 0.5) throws -> TextualInversion {
      let bytes = (0..<shape.reduce(1, *)).flatMap { _ in
        withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
      }
      let path = "\(folder)/\(name).safetensors"
      try Safetensors.write(
        [Tensor(name: "emb_params", dtype: .float32, shape: Shape(shape), storage: .memory(bytes))],
        to: path)
      return try TextualInversion(path)
    }
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
    for (name, shape) in [("wide", [2, 768]), ("long", [76, 64])] {
      let embedding = try file(name, shape)
      #expect(embedding.token == name)
      let error = #expect(throws: FormatError.self) {
        try DiffusionModel(checkpoint, embeddings: [embedding])
      }
      #expect(error?.code == .mismatch)
    }
    #expect(throws: FormatError.self) { try file("infinite", [1, 64], .infinity) }
    #expect(try file("single", [64]).count == 1)
  }

  /// An embedding's word in the prompt is replaced by its vectors; longer words first.
  @Test func wordsOfEmbeddings() throws {
    let path = Fixtures.path("diffusion/embedding.safetensors")
    let reader = try PromptReaderTests.reader([
      TextualInversion(path, token: "red"), TextualInversion(path, token: "red circle"),
      TextualInversion(path, token: "<star>"),
    ])
    let encoding = try reader.read("a red circle, RED (<STAR>:1.2) <star>, x")
    let tokens = encoding.chunks[0].tokens
    #expect(
      tokens.map(\.text) == [
        "a", "red circle", "red circle", "red circle", ",", "red", "red", "red", "<star>", "<star>",
        "<star>", "<star>", "<star>", "<star>", ",", "x",
      ])
    #expect(tokens[1].id == 49408 + 3 && tokens[5].id == 49408 && tokens[8].id == 49408 + 6)
    #expect(tokens[8].weight == 1.2 && tokens[11].weight == 1)
    #expect(encoding.embeddings == ["red", "red circle", "<star>"])
    // An embedding's vectors are not split.
    let long = try reader.read(String(repeating: "cat ", count: 73) + "red cat")
    #expect(long.chunks.map(\.tokens.count) == [73, 4])
  }
}
