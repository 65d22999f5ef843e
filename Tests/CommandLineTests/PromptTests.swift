import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Prompts, as `sdgen` reads and shows them.
@Suite(.serialized) struct PromptTests {
  @Test func tokensAreShown() throws {
    let result = try Tool.run("sdgen", ["tokens", "a (red:1.25) circle BREAK on [blue]"])
    #expect(result.status == 0, "\(result.errors)")
    let rows = result.output.split(separator: "\n").map {
      $0.split(separator: " ").map(String.init)
    }
    #expect(rows.contains(["1", "2", "736", "1.250", "red"]))
    #expect(rows.contains(["2", "2", "1746", "0.909", "blue"]))
    #expect(result.output.contains("5 tokens in 2 chunks of 75"))
    #expect(result.errors.isEmpty)
  }

  @Test func tokensAsJSON() throws {
    let prompt = "a (red:1.25) circle, <lora:x:1>" + String(repeating: " cat", count: 80)
    let result = try Tool.run("sdgen", ["tokens", prompt, "--json"])
    #expect(result.status == 0, "\(result.errors)")
    let report = try JSON(parsing: result.output)
    #expect(report["version"] == 1)
    #expect(report["capacity"] == 75)
    let stretch = try #require(report["stretches"]?.array?.first)
    #expect(report["steps"] == 25)
    #expect(stretch["from_step"] == 1)
    #expect(stretch["to_step"] == 25)
    #expect(stretch["prompt"]?.string == prompt)
    #expect(stretch["tokens"] == 84)
    #expect(stretch["chunks"]?.array?.count == 2)
    let chunk = try #require(stretch["chunks"]?.array?.first)
    #expect(chunk["ids"]?.array?.count == 77)
    let token = try #require(chunk["tokens"]?.array?.dropFirst().first)
    #expect(token["id"] == 736)
    #expect(token["text"] == "red")
    #expect(token["weight"]?.double == 1.25)
    #expect(stretch["dropped_tokens"] == 0)
    #expect(report["warnings"]?.array?.first?.string?.contains("<lora:x:1>") == true)

    let plain = try Tool.run("sdgen", ["tokens", prompt, "--json", "--plain-prompt"])
    let cutReport = try JSON(parsing: plain.output)
    let cut = try #require(cutReport["stretches"]?.array?.first)
    #expect(cut["chunks"]?.array?.count == 1)
    #expect((cut["dropped_tokens"]?.int ?? 0) > 10)
    #expect(cut["dropped_text"]?.string?.hasSuffix(" cat") == true)
    #expect(cutReport["warnings"]?.array?.count == 1)
  }

  @Test func promptsThatChange() throws {
    let arguments = ["tokens", "a [red:blue:0.5] circle", "--steps", "10"]
    let result = try Tool.run("sdgen", arguments)
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("steps 1 to 5: a red circle"))
    #expect(result.output.contains("steps 6 to 10: a blue circle"))
    let report = try JSON(parsing: Tool.run("sdgen", arguments + ["--json"]).output)
    #expect(report["stretches"]?.array?.map { $0["to_step"]?.int } == [5, 10])
    let wrong = try Tool.run("sdgen", ["tokens", "a", "--steps", "0"])
    #expect(wrong.status == 64)
    #expect(wrong.errors.contains("1 to 1000"))
  }

  @Test func tokensOfAnEmbedding() throws {
    let file = Fixtures.path("diffusion/embedding.pt")
    let result = try Tool.run(
      "sdgen", ["tokens", "a <star>, red", "--embedding", file + ":<star>", "--json"])
    #expect(result.status == 0, "\(result.errors)")
    let tokens = try #require(
      try JSON(parsing: result.output)["stretches"]?.array?.first?["chunks"]?.array?.first?[
        "tokens"]?
        .array)
    #expect(
      tokens.map { $0["text"]?.string } == ["a", "<star>", "<star>", "<star>", ",", "red"])
    #expect(tokens[1]["id"] == 49408)
  }

  @Test(arguments: [("a (cat:1..2)", "no weight")])
  func whatCannotBeReadIsRefused(prompt: String, says: String) throws {
    try withTemporaryFolder { folder in
      for arguments in [["tokens", prompt], [prompt, "-o", folder + "/a.png"]] {
        let result = try Tool.run("sdgen", arguments)
        #expect(result.status == 64, "\(result.errors)")
        #expect(result.errors.contains(says), "\(result.errors)")
        #expect(result.errors.contains("hint: "))
      }
      // As text it reaches the image.
      let result = try Tool.run(
        "sdgen",
        [prompt, "--plain-prompt", "--steps", "1", "--scheduler", "ddim", "-o", folder + "/a.png"])
      #expect(result.status == 0, "\(result.errors)")
    }
  }

  /// Options for reading prompts affect the image.
  @Test func stylesAreDrawn() throws {
    try withTemporaryFolder { folder in
      func latents(_ prompt: String, _ options: [String] = []) throws -> [Float] {
        let file = folder + "/a.safetensors"
        let result = try Tool.run(
          "sdgen",
          [
            prompt, "--steps", "2", "--scheduler", "ddim", "--seed", "5", "--force", "-o",
            folder + "/a.png", "--save-latents", file,
          ] + options)
        #expect(result.status == 0, "\(result.errors)")
        return GenerateTests.floats(try #require(try TensorFile.open(file)["latents"]))
      }
      let plain = try latents("a red circle")
      let weighed = try latents("a (red:1.5) circle")
      #expect(weighed != plain)
      #expect(try latents("a (red:1.5) circle", ["--emphasis", "ignore"]) == plain)
      #expect(try latents("a (red:1.5) circle", ["--emphasis", "no-norm"]) != weighed)
      let literal = try latents("a (red:1.5) circle", ["--emphasis", "none"])
      #expect(literal != plain && literal != weighed)
      #expect(try latents("a (red:1.5) circle", ["--plain-prompt"]) == literal)
      #expect(try latents("a red circle", ["--clip-skip", "1"]) == plain)
      #expect(try latents("a red circle", ["--clip-skip", "2"]) != plain)
      #expect(try latents("[a blue star:a red circle:0]") == plain)
    }
  }

  @Test func embeddingsAreDrawnAndMissed() throws {
    try withTemporaryFolder { folder in
      let file = Fixtures.path("diffusion/embedding.bin")
      func draw(_ prompt: String, _ name: String) throws -> (Tool.Result, Data) {
        let path = "\(folder)/\(name).png"
        let result = try Tool.run(
          "sdgen",
          [
            prompt, "--embedding", file, "--steps", "2", "--scheduler", "ddim", "--seed", "1", "-o",
            path,
          ])
        #expect(result.status == 0, "\(result.errors)")
        return (result, try Data(contentsOf: URL(filePath: path)))
      }
      let (with, picture) = try draw("a red circle <star>", "a")
      #expect(!with.errors.contains("warning"))
      let (without, other) = try draw("a red circle", "b")
      #expect(without.errors.contains("embedding <star> is not used in the prompt"))
      #expect(picture != other)
      let twice = try Tool.run(
        "sdgen", ["a", "--embedding", file, "--embedding", file, "-o", folder + "/c.png"])
      #expect(twice.status == 64)
      let missing = try Tool.run(
        "sdgen", ["a", "--embedding", folder + "/no.pt", "-o", folder + "/c.png"])
      #expect(missing.status == 66, "\(missing.errors)")
    }
  }

  @Test func promptsFromAFile() throws {
    try withTemporaryFolder { folder in
      let file = folder + "/prompts.txt"
      try Data("# two\na red circle\n\n  \r\na blue square\r\n#a\n".utf8)
        .write(to: URL(filePath: file))
      let options = ["--steps", "2", "--scheduler", "ddim", "--seed", "5", "--json"]
      func latents(_ name: String) throws -> [Float] {
        let file = try TensorFile.open("\(folder)/\(name).safetensors")
        return GenerateTests.floats(try #require(file["latents"]))
      }
      func saving(_ name: String) -> [String] {
        ["-o", "\(folder)/\(name).png", "--save-latents", "\(folder)/\(name).safetensors"] + options
      }
      let result = try Tool.run(
        "sdgen", ["--prompts-from", file, "--count", "2"] + saving("a"))
      #expect(result.status == 0, "\(result.errors)")
      let pictures = try #require(try JSON(parsing: result.output)["pictures"]?.array)
      #expect(pictures.map { $0["seed"]?.int } == [5, 6, 5, 6])
      #expect(
        pictures.map { $0["file"]?.string } == (1...4).map { "\(folder)/a-\($0).png" })
      let alone = try Tool.run("sdgen", ["a blue square"] + saving("b"))
      #expect(alone.status == 0, "\(alone.errors)")
      let (all, one) = (try latents("a"), try latents("b"))
      #expect(all.count == 4 * one.count)
      #expect(Array(all[2 * one.count..<3 * one.count]) == one)

      let piped = try Tool.launch(
        "/bin/bash",
        [
          "-c", "echo 'a blue square' | \"$0\" --prompts-from - \"${@:1}\"", "\(Tool.folder)/sdgen",
        ] + saving("c"))
      #expect(piped.status == 0, "\(piped.errors)")
      #expect(try latents("c") == one)
    }
  }

  @Test func filesOfPromptsThatAreNone() throws {
    try withTemporaryFolder { folder in
      let file = folder + "/prompts.txt"
      let cases: [(Data?, Int32)] = [
        (nil, 66), (Data(), 65), (Data("# nothing\n\n".utf8), 65), (Data([0x61, 0xFF, 0x0A]), 65),
      ]
      for (data, status) in cases {
        if let data { try data.write(to: URL(filePath: file)) }
        let result = try Tool.run("sdgen", ["--prompts-from", file, "-o", folder + "/a.png"])
        #expect(result.status == status, "\(result.errors)")
      }
      let both = try Tool.run("sdgen", ["a", "--prompts-from", file])
      #expect(both.status == 64)
      let neither = try Tool.run("sdgen", ["--steps", "3"])
      #expect(neither.status == 64)
      #expect(neither.errors.contains("--prompts-from"))
    }
  }
}
