import Checkpoint
import Diffusion
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// A tokenizer of Fixtures/diffusion/tokenizer_forms.json, which tokenizer_forms.py there makes with
/// transformers: its files, and the ids of the table's prompts.
struct TokenizerForm: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let model: String
  let json: JSON
  let ids: [[Int]]

  static let table: JSON? = {
    let path = Fixtures.path("diffusion/tokenizer_forms.json")
    return (try? String(contentsOfFile: path, encoding: .utf8)).flatMap { try? JSON(parsing: $0) }
  }()

  static let prompts = (table?["prompts"]?.array ?? []).compactMap(\.string)

  static let all: [TokenizerForm] = {
    let rows = table?["forms"]?.array ?? []
    let first = rows.first?["ids"]?.array ?? []
    return rows.map { row in
      TokenizerForm(
        testDescription: row["name"]?.string ?? "", model: row["model"]?.string ?? "", json: row,
        ids: zip(row["ids"]?.array ?? [], first).map { own, other in
          ((own.isNull ? other : own).array ?? []).compactMap(\.int)
        })
    }
  }()

  /// CLIP's vocabulary and merges.
  private static let clip = Result {
    (
      vocabulary: try TokenizerTests.text("vocab.json"),
      merges: try TokenizerTests.text("merges.txt")
    )
  }

  /// The files of its directory.
  func files() throws -> [AuxiliaryFile] {
    let clip = try Self.clip.get()
    var files: [AuxiliaryFile] = []
    func add(_ name: String, _ text: String) {
      files.append(
        AuxiliaryFile(path: "tokenizer/\(name)", location: name, bytes: Array(text.utf8)))
    }
    for member in json["files"]?.object?.members ?? [] {
      var contents = member.value.object ?? [:]
      if member.key == "tokenizer.json", model != "own" {
        let lines = clip.merges.split(separator: "\n").dropFirst().map(String.init)
        contents["model"] = [
          "type": "BPE", "end_of_word_suffix": "</w>", "vocab": try JSON(parsing: clip.vocabulary),
          "merges": .array(
            lines.map { line in
              model == "strings"
                ? .string(line)
                : .array(line.split(separator: " ").map { .string(String($0)) })
            }),
        ]
      }
      add(member.key, JSON.object(contents).text(.compact))
    }
    if model == "files" || model == "both" {
      add("vocab.json", clip.vocabulary)
      add("merges.txt", clip.merges)
    }
    return files
  }

  func definition() throws -> TokenizerDefinition {
    try TokenizerDefinition(TokenizerFiles(in: files()), of: testDescription)
  }
}

/// Tokenizers in all file forms.
@Suite struct TokenizerFormTests {
  @Test func formsAreThere() {
    #expect(TokenizerForm.all.count == 28 && TokenizerForm.prompts.count > 60)
    #expect(TokenizerForm.all.allSatisfy { $0.ids.count == TokenizerForm.prompts.count })
  }

  @Test(arguments: TokenizerForm.all)
  func identifiers(_ form: TokenizerForm) throws {
    let definition = try form.definition()
    let tokenizer = Tokenizer(definition)
    for (prompt, ids) in zip(TokenizerForm.prompts, form.ids) {
      #expect(tokenizer.tokens(of: prompt).map(\.id) == ids, "\(prompt.debugDescription)")
    }
    let start = form.json["start"]?.int ?? -1
    let end = form.json["end"]?.int ?? -1
    let padding = form.json["pad"]?.int ?? -1
    #expect(tokenizer.encode("", length: 4).ids == [start, end, padding, padding])
    #expect(definition.tokenCount == form.json["tokens"]?.int)
    #expect(definition.maximumLength == form.json["limit"]?.int)
    #expect(tokenizer.length(positions: 77) == min(77, form.json["limit"]?.int ?? 77))
  }

  /// If two files disagree, the result is transformers', with a note.
  @Test(arguments: [
    ("other ids", "has the id 49408, not the 49999 of added_tokens.json"),
    ("decoder", "added tokens of added_tokens.json are not used: \"zebra\""),
    ("decoder before tokenizer.json", "added tokens of tokenizer.json are not used: \"<cat-toy>\""),
  ])
  func disagreementsAreSaid(name: String, note: String) throws {
    let form = try #require(TokenizerForm.all.first { $0.testDescription == name })
    let notes = try form.definition().notes
    #expect(notes.contains { $0.contains(note) }, "\(notes)")
  }

  @Test(arguments: ["bare", "old", "tokenizer.json alone", "both", "trained"])
  func soundFormsHaveNoNotes(name: String) throws {
    let form = try #require(TokenizerForm.all.first { $0.testDescription == name })
    #expect(try form.definition().notes == [])
  }

  @Test func anotherVocabularyBesideIsSaid() throws {
    let form = try #require(TokenizerForm.all.first { $0.testDescription == "trained" })
    let files = try form.files() + TokenizerForm.all[0].files()
    let definition = try TokenizerDefinition(TokenizerFiles(in: files), of: "x")
    #expect(definition.tokenCount == form.json["tokens"]?.int)
    #expect(
      definition.notes.first?.hasPrefix("tokenizer/vocab.json (49408 tokens) is not") == true)
  }

  struct Refused: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let files: [String: String]
    let code: FormatError.Code
  }

  static let model = """
    "model": {"type": "BPE", "vocab": {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, \
    "b": 3, "ba</w>": 4}, "merges": [["b", "a</w>"]]}
    """

  @Test(arguments: [
    Refused(
      testDescription: "a Unigram tokenizer, as T5's",
      files: ["tokenizer.json": #"{"model": {"type": "Unigram", "vocab": [["a", 0.5]]}}"#],
      code: .unsupported),
    Refused(
      testDescription: "WordPiece",
      files: ["tokenizer.json": #"{"model": {"type": "WordPiece", "vocab": {"a": 0}}}"#],
      code: .unsupported),
    Refused(
      testDescription: "as GPT-2's",
      files: [
        "tokenizer.json":
          #"{"model": {"type": "BPE", "vocab": {"a": 0}, "end_of_word_suffix": null, "merges": []}}"#
      ],
      code: .unsupported),
    Refused(testDescription: "SentencePiece", files: ["spiece.model": "\u{1}"], code: .unsupported),
    Refused(
      testDescription: "a WordPiece tokenizer, as BERT's (vocab.txt)",
      files: ["vocab.txt": "[PAD]"], code: .unsupported),
    Refused(
      testDescription: "T5Tokenizer",
      files: [
        "tokenizer.json": "{\(model)}",
        "tokenizer_config.json": #"{"tokenizer_class": "T5Tokenizer"}"#,
      ],
      code: .unsupported),
    Refused(
      testDescription: "padding_side is left",
      files: [
        "tokenizer.json": "{\(model)}", "tokenizer_config.json": #"{"padding_side": "left"}"#,
      ],
      code: .unsupported),
    Refused(
      testDescription: "pad_token is null",
      files: ["tokenizer.json": "{\(model)}", "tokenizer_config.json": #"{"pad_token": null}"#],
      code: .malformed),
    Refused(
      testDescription: "does not contain the bos_token",
      files: ["tokenizer.json": "{\(model)}", "tokenizer_config.json": #"{"bos_token": "<s>"}"#],
      code: .malformed),
    Refused(
      testDescription: "no vocabulary", files: ["tokenizer.json": #"{"model": {"type": "BPE"}}"#],
      code: .malformed),
    Refused(
      testDescription: "not JSON", files: ["tokenizer.json": "{\(model)"], code: .malformed),
    Refused(
      testDescription: "names a token that the vocabulary does not contain",
      files: [
        "tokenizer.json": "{\(model.replacingOccurrences(of: "\"ba</w>\"", with: "\"bb</w>\""))}"
      ],
      code: .malformed),
    Refused(
      testDescription: "not a token id",
      files: ["tokenizer.json": "{\(model.replacingOccurrences(of: "4}", with: "4e9}"))}"],
      code: .malformed),
    Refused(
      testDescription: "an added token is not a token",
      files: ["tokenizer.json": #"{"added_tokens": [{"id": "5", "content": "x"}], "# + model + "}"],
      code: .malformed),
    Refused(
      testDescription: "the id of \"x\" is not a token",
      files: ["tokenizer.json": "{\(model)}", "added_tokens.json": #"{"x": null}"#],
      code: .malformed),
    Refused(
      testDescription: "more than 1024 characters",
      files: [
        "tokenizer.json": "{\(model)}",
        "added_tokens.json": "{\"\(String(repeating: "x", count: 1025))\": 5}",
      ], code: .unsupported),
    Refused(
      testDescription: "no tokenizer/merges.txt", files: ["vocab.json": "{}"], code: .mismatch),
    Refused(testDescription: "has no tokenizer", files: [:], code: .mismatch),
  ])
  func refused(_ example: Refused) {
    let files = example.files.map {
      AuxiliaryFile(path: "tokenizer/\($0.key)", location: $0.key, bytes: Array($0.value.utf8))
    }
    let error = #expect(throws: FormatError.self) {
      try TokenizerDefinition(TokenizerFiles(in: files), of: "model")
    }
    #expect(error?.code == example.code)
    #expect(
      error?.description.contains(example.testDescription) == true, "\(error.debugDescription)")
  }

  /// A token without a row in the text encoder's table is named.
  @Test func identifiersMustHaveEmbeddings() throws {
    let form = try #require(
      TokenizerForm.all.first { $0.testDescription == "added_tokens.json alone" })
    let definition = try form.definition()
    let error = #expect(throws: FormatError.self) {
      try definition.check(embeddings: 49_409, of: "model")
    }
    #expect(error?.message.contains("\"<pad>\" has the id 49409") == true)
    #expect(throws: Never.self) { try definition.check(embeddings: 49_410, of: "model") }
    #expect(definition.note(onEmbeddings: 49_410) == nil)
    #expect(definition.note(onEmbeddings: 49_472)?.contains("62 have no token") == true)
  }

  /// Two thousand added tokens with a common prefix, and a prompt made of such prefixes.
  @Test(.timeLimit(.minutes(1))) func manyAddedTokens() throws {
    var added: JSONObject = [:]
    for index in 0..<2000 {
      added[String(repeating: "<", count: 1 + index % 100) + "\(index)"] = .integer(49_408 + index)
    }
    let files =
      try TokenizerForm.all[0].files() + [
        AuxiliaryFile(
          path: "tokenizer/added_tokens.json", location: "added_tokens.json",
          bytes: Array(JSON.object(added).text().utf8))
      ]
    let tokenizer = Tokenizer(try TokenizerDefinition(TokenizerFiles(in: files), of: "x"))
    let tokens = tokenizer.tokens(of: String(repeating: "<", count: 5000) + "7")
    #expect(tokens.last?.id == 49_408 + 7)
  }
}
