import Checkpoint
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// A tokenizer is preserved in every layout, whatever its form.
@Suite struct TokenizerConversionTests {
  /// How a tokenizer encodes prompts on which tokenizers differ.
  struct Settings: Equatable {
    let tokens: Int
    let added: [String]
    let roles: [String]
    let limit: Int

    init(_ path: String, companions: [AuxiliaryFile] = []) throws {
      let opened = try ModelCheckpoint.open(path)
      let checkpoint =
        opened.layout == .repository ? opened : opened.completed(with: companions)
      let definition = try TokenizerDefinition(of: checkpoint)
      tokens = definition.tokenCount
      added = definition.addedTokens.map { "\($0.id) \($0.token)" }
      roles = [definition.start, definition.end, definition.padding].map { "\($0.id) \($0.text)" }
      // The text encoder has 77 positions.
      limit = min(77, definition.maximumLength ?? 77)
    }
  }

  /// The tokenizer that transformers 5 saves: `tokenizer.json` with the model's vocabulary and merges.
  static func tokenizerFile(added: [JSON]) throws -> String {
    let vocabulary = try JSON(parsing: Fixtures.text("shapes-v2/tokenizer/vocab.json"))
    let merges = try Fixtures.text("shapes-v2/tokenizer/merges.txt").split(separator: "\n")
    let special: [JSON] = [("<|startoftext|>", 49_406), ("<|endoftext|>", 49_407)].map {
      ["id": .integer($0.1), "content": .string($0.0), "normalized": false, "special": true]
    }
    let json: JSON = [
      "version": "1.0", "added_tokens": .array(special + added),
      "model": [
        "type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocabulary,
        "merges": .array(
          merges.dropFirst().map { .array($0.split(separator: " ").map { .string(String($0)) }) }),
      ],
    ]
    return json.text(.compact)
  }

  static let cat: JSON = ["id": 49_408, "content": "<cat-toy>", "rstrip": true]

  /// A repository with another tokenizer, and enough rows in the text encoder's table for it.
  static func repository(
    _ scratch: Scratch, _ files: [String: String], rows: Int, keeping: [String] = []
  ) throws -> String {
    let model = try scratch.linkedRepository()
    let directory = "model/tokenizer"
    for name in try FileManager.default.contentsOfDirectory(atPath: scratch.path(directory))
    where !keeping.contains(name) {
      try scratch.remove("\(directory)/\(name)")
    }
    for (name, text) in files { try scratch.write(text, as: "\(directory)/\(name)") }
    guard rows > 49_408 else { return model }
    let weights = "model/text_encoder/pytorch_model.bin"
    let tensors = try TensorFile.open(scratch.path(weights)).tensors.map { tensor in
      guard tensor.name.hasSuffix("token_embedding.weight") else { return tensor }
      let more = [UInt8](
        repeating: 0, count: (rows - 49_408) * (tensor.byteCount / tensor.shape[0]))
      return Tensor(
        name: tensor.name, dtype: tensor.dtype, shape: [rows, tensor.shape[1]],
        storage: .memory(tensor.contiguousBytes() + more))
    }
    try scratch.remove(weights)
    try Safetensors.write(tensors, to: scratch.path("model/text_encoder/model.safetensors"))
    let path = "model/text_encoder/config.json"
    var configuration = try #require(
      try JSON(parsing: String(contentsOfFile: scratch.path(path), encoding: .utf8)).object)
    configuration["vocab_size"] = .integer(rows)
    try scratch.write(JSON.object(configuration).text(), as: path)
    return model
  }

  struct Form: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let files: @Sendable () throws -> [String: String]
    let rows: Int
    var keeping: [String] = []
    /// Whether a single file needs its vocabulary.
    let isOwn: Bool
  }

  static let forms = [
    Form(
      testDescription: "tokenizer.json alone",
      files: { ["tokenizer.json": try tokenizerFile(added: [])] }, rows: 49_408, isOwn: false),
    Form(
      testDescription: "with a pad token",
      files: {
        [
          "tokenizer.json": try tokenizerFile(added: []),
          "tokenizer_config.json": #"{"pad_token": "!", "model_max_length": 77}"#,
        ]
      }, rows: 49_408, isOwn: false),
    Form(
      testDescription: "with an added token",
      files: { ["tokenizer.json": try tokenizerFile(added: [cat])] }, rows: 49_409, isOwn: true),
    Form(
      testDescription: "added_tokens.json",
      files: { ["added_tokens.json": #"{"<cat-toy>": 49408}"#] },
      rows: 49_409, keeping: ["vocab.json", "merges.txt", "tokenizer_config.json"], isOwn: false),
    Form(
      testDescription: "another vocabulary",
      files: {
        [
          "tokenizer.json": """
          {"model": {"type": "BPE", "vocab": {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, \
          "b": 3, "ba</w>": 4}, "merges": ["b a</w>"]}}
          """
        ]
      }, rows: 49_408, isOwn: true),
  ]

  /// To every layout, and back to a repository.
  @Test(arguments: forms)
  func everyLayoutKeepsIt(_ form: Form) throws {
    let scratch = try Scratch()
    let model = try Self.repository(
      scratch, try form.files(), rows: form.rows, keeping: form.keeping)
    let expected = try Settings(model)
    let clip = try ModelCheckpoint.open(Fixtures.path("shapes-v2")).files
    var options = Conversion.Options()
    options.companions = clip
    for (target, name) in [
      (Conversion.Target.sdflat, "a.sdflat"), (.diffusers, "b"), (.safetensors, "c"),
      (.ldm, "d.safetensors"), (.gguf, "e.gguf"),
    ] {
      let plan = try Conversion(
        of: ModelCheckpoint.open(model), to: target, at: scratch.path(name), options: options)
      #expect(!plan.notes.contains { $0.contains("CLIP's") }, "\(name): \(plan.notes)")
      #expect(plan.warnings == [], "\(name)")
      try plan.execute()
      #expect(try Settings(scratch.path(name), companions: clip) == expected, "\(name)")
      let isWhole = ![.ldm, .gguf].contains(target)
      if isWhole {
        for file in try ModelCheckpoint.open(model).tokenizerFiles.files {
          #expect(
            try ModelCheckpoint.open(scratch.path(name)).file(named: file.path)?.bytes
              == file.bytes, "\(name) \(file.path)")
        }
      } else {
        let held = try ModelCheckpoint.open(scratch.path(name)).tokenizerFiles
        #expect(held.hasVocabulary == form.isOwn, "\(name)")
      }
      let back = try Conversion(
        of: ModelCheckpoint.open(scratch.path(name)), to: .diffusers,
        at: scratch.path("\(name)-back"),
        options: options)
      try back.execute()
      #expect(try Settings(scratch.path("\(name)-back")) == expected, "\(name) and back")
      let isCLIPs = back.notes.contains { $0.contains("CLIP's: the source has") }
      #expect(isCLIPs == !(isWhole || form.isOwn), "\(name): \(back.notes)")
      #expect(try Verification(of: ModelCheckpoint.open(scratch.path("\(name)-back"))).isSound)
    }
  }

  /// PyTorch files cannot store it, which is reported if it matters.
  @Test(arguments: [("with an added token", true), ("tokenizer.json alone", false)])
  func aPyTorchFileLosesIt(name: String, isLost: Bool) throws {
    let scratch = try Scratch()
    let form = try #require(Self.forms.first { $0.testDescription == name })
    let model = try Self.repository(scratch, try form.files(), rows: form.rows)
    let plan = try Conversion(
      of: ModelCheckpoint.open(model), to: .ldm, at: scratch.path("a.ckpt"))
    #expect(plan.warnings.contains { $0.contains("the tokenizer is not written") } == isLost)
  }

  /// Tokens without a row in the text encoder's table, and rows without a token.
  @Test func verifyNamesWhatDoesNotFit() throws {
    let scratch = try Scratch()
    let files = ["tokenizer.json": try Self.tokenizerFile(added: [Self.cat])]
    let model = try Self.repository(scratch, files, rows: 49_408)
    let short = try Verification(of: ModelCheckpoint.open(model))
    #expect(
      short.problems.count == 1 && short.problems[0].contains("\"<cat-toy>\" has the id 49408"))
    let plan = try Conversion(
      of: ModelCheckpoint.open(model), to: .sdflat, at: scratch.path("a.sdflat"))
    #expect(plan.warnings.contains { $0.contains("\"<cat-toy>\" has the id 49408") })
    let other = try Scratch()
    let long = try Verification(
      of: ModelCheckpoint.open(try Self.repository(other, files, rows: 49_411)))
    #expect(long.isSound)
    #expect(long.checked.contains("49408 tokens and 48894 merges (1 more are added)"))
    #expect(long.notes.contains { $0.contains("2 have no token") }, "\(long.notes)")
  }

  /// A tokenizer of another kind is copied unchanged, not read.
  @Test func anotherKindIsNamed() throws {
    let scratch = try Scratch()
    let model = try Self.repository(
      scratch, ["spiece.model": "\u{1}\u{2}", "tokenizer_config.json": "{}"], rows: 49_408)
    let result = try Verification(of: ModelCheckpoint.open(model))
    #expect(result.unchecked.contains { $0.contains("SentencePiece") }, "\(result.unchecked)")
    let plan = try Conversion(
      of: ModelCheckpoint.open(model), to: .diffusers, at: scratch.path("out"))
    #expect(plan.files.contains { $0.path == "tokenizer/spiece.model" })
    #expect(!plan.notes.contains { $0.contains("CLIP") })
  }
}
