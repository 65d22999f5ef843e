import Diffusion
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// A prompt of a table of reference ids.
struct ReferencePrompt: Sendable, CustomTestStringConvertible {
  let prompt: String
  let ids: [Int]

  var testDescription: String { prompt.debugDescription }

  static func table(_ name: String) -> [ReferencePrompt] {
    guard let text = try? String(contentsOfFile: Fixtures.path(name), encoding: .utf8),
      let rows = try? JSON(parsing: text).array
    else { return [] }
    return rows.map {
      ReferencePrompt(
        prompt: $0["prompt"]?.string ?? "", ids: ($0["ids"]?.array ?? []).compactMap(\.int))
    }
  }
}

@Suite struct TokenizerTests {
  static func text(_ name: String) throws -> String {
    try String(contentsOfFile: Fixtures.path("shapes-v2/tokenizer/\(name)"), encoding: .utf8)
  }

  static let tokenizer = Result {
    try Tokenizer(
      vocabulary: JSON(parsing: text("vocab.json")), merges: text("merges.txt"),
      configuration: JSON(parsing: text("tokenizer_config.json")),
      specialTokens: JSON(parsing: text("special_tokens_map.json")))
  }

  /// Cut and padded to 77, as the reference pipeline feeds them to the text encoder.
  @Test(arguments: ReferencePrompt.table("shapes-v2/golden/tokens.json"))
  func paddedIdentifiers(_ reference: ReferencePrompt) throws {
    #expect(try Self.tokenizer.get().encode(reference.prompt).ids == reference.ids)
  }

  /// The table that Fixtures/diffusion/tokens.py makes with transformers.
  @Test(arguments: ReferencePrompt.table("diffusion/tokens.json"))
  func identifiers(_ reference: ReferencePrompt) throws {
    let tokens = try Self.tokenizer.get().tokens(of: reference.prompt)
    #expect([49406] + tokens.map(\.id) + [49407] == reference.ids)
  }

  @Test func tablesAreThere() {
    #expect(ReferencePrompt.table("shapes-v2/golden/tokens.json").count == 6)
    #expect(ReferencePrompt.table("diffusion/tokens.json").count > 80)
  }

  @Test func droppedTextIsSaid() throws {
    let tokenizer = try Self.tokenizer.get()
    let words = String(repeating: "cat ", count: 73)
    let whole = tokenizer.encode(words + "A Dog")
    #expect((whole.tokenCount, whole.droppedTokenCount) == (75, 0))
    #expect(whole.droppedText.isEmpty)
    let cut = tokenizer.encode(words + "A Dog,  Café &Co")
    #expect(cut.tokenCount == 75)
    #expect(cut.droppedTokenCount == 4)
    #expect(cut.droppedText == ",  Café &Co")
    #expect(cut.ids.count == 77 && cut.ids.last == 49407)
    // Two tokens, of which one fits: the character is dropped whole.
    let character = tokenizer.encode("a 語", length: 4)
    #expect((character.tokenCount, character.droppedTokenCount) == (2, 1))
    #expect(character.droppedText == "語")
  }

  @Test func tokensCarryTheirText() throws {
    let tokens = try Self.tokenizer.get().tokens(of: "A  Café's <|endoftext|>")
    #expect(tokens.map(\.text) == ["A", "Café", "'s", "<|endoftext|>"])
  }

  /// Stable Diffusion 2 pads with "!", whose id is 0.
  @Test func paddingComesFromTheSpecialTokens() throws {
    let tokenizer = try Tokenizer(
      vocabulary: JSON(parsing: Self.text("vocab.json")), merges: Self.text("merges.txt"),
      configuration: JSON(parsing: Self.text("tokenizer_config.json")),
      specialTokens: ["pad_token": "!"])
    #expect(tokenizer.encode("cat", length: 6).ids == [49406, 2368, 49407, 0, 0, 0])
  }

  /// A word of 200,000 bytes must not take quadratic time.
  @Test(.timeLimit(.minutes(1))) func longWord() throws {
    let word = String(repeating: "ab", count: 100_000)
    let encoding = try Self.tokenizer.get().encode(word)
    #expect(encoding.tokenCount == 75)
    #expect(encoding.droppedText.utf8.count > 190_000)
  }

  struct Broken: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let vocabulary: JSON
    let merges: String
    var configuration: JSON = [:]
    let code: FormatError.Code
  }

  static let small: JSON = [
    "<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "b</w>": 3, "ab</w>": 4,
  ]

  @Test(arguments: [
    Broken(testDescription: "no object", vocabulary: [], merges: "", code: .malformed),
    Broken(testDescription: "a negative id", vocabulary: ["a": -1], merges: "", code: .malformed),
    Broken(
      testDescription: "no start token", vocabulary: ["<|endoftext|>": 0], merges: "",
      code: .malformed),
    Broken(testDescription: "a lone token", vocabulary: small, merges: "ab\n", code: .malformed),
    Broken(testDescription: "three tokens", vocabulary: small, merges: "a b c", code: .malformed),
    Broken(
      testDescription: "an unknown token", vocabulary: small, merges: "#version: 0.2\na c</w>\n",
      code: .malformed),
    Broken(
      testDescription: "case kept", vocabulary: small, merges: "",
      configuration: ["do_lower_case": false], code: .unsupported),
  ])
  func brokenFiles(_ broken: Broken) {
    let error = #expect(throws: FormatError.self) {
      try Tokenizer(
        vocabulary: broken.vocabulary, merges: broken.merges, configuration: broken.configuration)
    }
    #expect(error?.code == broken.code)
  }

  @Test func smallVocabulary() throws {
    let tokenizer = try Tokenizer(vocabulary: Self.small, merges: "#version: 0.2\r\na b</w>\r\n")
    #expect(tokenizer.encode("AB b", length: 6).ids == [0, 4, 3, 1, 1, 1])
    // Bytes outside the vocabulary are unknown tokens.
    #expect(tokenizer.encode("z", length: 4).ids == [0, 1, 1, 1])
  }
}
