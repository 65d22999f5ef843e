import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Tokenizers and embeddings as the programs read them, in all their forms.
@Suite(.serialized) struct TokenizerCommandTests {
  /// A repository whose tokenizer is as transformers 5 saves it, with `changes` to the
  /// configuration.
  static func model(in folder: String, _ settings: JSONObject = [:]) throws -> String {
    let model = folder + "/model"
    let source = Fixtures.path("shapes-v2")
    let files = FileManager.default
    try files.createDirectory(atPath: model + "/tokenizer", withIntermediateDirectories: true)
    for name in ["text_encoder", "unet", "vae", "scheduler", "model_index.json"] {
      try files.createSymbolicLink(
        atPath: "\(model)/\(name)", withDestinationPath: "\(source)/\(name)")
    }
    let merges = try Fixtures.text("shapes-v2/tokenizer/merges.txt").split(separator: "\n")
    let tokenizer: JSON = [
      "added_tokens": .array(
        [("<|startoftext|>", 49_406), ("<|endoftext|>", 49_407)].map {
          ["id": .integer($0.1), "content": .string($0.0), "normalized": false, "special": true]
        }),
      "model": [
        "type": "BPE", "vocab": try JSON(parsing: Fixtures.text("shapes-v2/tokenizer/vocab.json")),
        "merges": .array(merges.dropFirst().map { .string(String($0)) }),
      ],
    ]
    try Data(tokenizer.text(.compact).utf8)
      .write(to: URL(filePath: model + "/tokenizer/tokenizer.json"))
    try Data(JSON.object(settings).text().utf8)
      .write(to: URL(filePath: model + "/tokenizer/tokenizer_config.json"))
    return model
  }

  static func ids(_ arguments: [String]) throws -> [Int] {
    let result = try Tool.run("sdgen", ["tokens"] + arguments + ["--json"])
    #expect(result.status == 0, "\(result.errors)")
    let report = try JSON(parsing: result.output)
    let chunk = report["stretches"]?.array?.first?["chunks"]?.array?.first
    return chunk?["ids"]?.array?.compactMap(\.int) ?? []
  }

  /// The same image from `tokenizer.json` alone as from vocabulary and merges; and the padding of
  /// the configuration, from a repository and from the .sdflat file made of it.
  @Test func aTokenizerFileIsEnough() throws {
    try withTemporaryFolder { folder in
      let model = try Self.model(in: folder, ["pad_token": "!", "model_max_length": 77])
      func picture(_ model: String, _ name: String) throws -> Data {
        let path = "\(folder)/\(name).png"
        let result = try Tool.run(
          "sdgen",
          [
            "a red circle", "--model", model, "--seed", "1", "--steps", "2", "--guidance", "4",
            "-o",
            path, "--no-metadata",
          ])
        #expect(result.status == 0 && !result.errors.contains("warning"), "\(result.errors)")
        return try Data(contentsOf: URL(filePath: path))
      }
      let padded = try Self.ids(["a", "--model", model])
      #expect(padded == [49_406, 320, 49_407] + [Int](repeating: 0, count: 74))
      let flat = folder + "/model.sdflat"
      let made = try Tool.run("sdinspect", ["convert", model, flat, "--to", "sdflat"])
      #expect(made.status == 0 && !made.errors.contains("CLIP"), "\(made.errors)")
      #expect(try Self.ids(["a", "--model", flat]) == padded)
      let plain = folder + "/plain"
      try FileManager.default.createDirectory(atPath: plain, withIntermediateDirectories: true)
      let own = try Self.model(in: plain)
      #expect(try picture(own, "a") == picture(Fixtures.path("shapes-v2"), "b"))
    }
  }

  /// Added tokens need rows in the text encoder's table.
  @Test func tokensWithoutEmbeddingsAreNamed() throws {
    try withTemporaryFolder { folder in
      let model = try Self.model(in: folder, ["extra_special_tokens": ["<cat-toy>"]])
      let result = try Tool.run("sdgen", ["tokens", "a <cat-toy>", "--model", model])
      #expect(result.status == 65, "\(result.errors)")
      #expect(result.errors.contains("the token \"<cat-toy>\" has the id 49408"))
      let verified = try Tool.run("sdinspect", ["verify", model])
      #expect(verified.status == 1 && verified.output.contains("<cat-toy>"), "\(verified.output)")
    }
  }

  @Test func chunksAreAsShortAsTheTokenizerSays() throws {
    try withTemporaryFolder { folder in
      let model = try Self.model(in: folder, ["model_max_length": 20])
      #expect(try Self.ids(["a cat", "--model", model]).count == 20)
      let result = try Tool.run(
        "sdgen",
        [
          String(repeating: "cat ", count: 30), "--model", model, "--steps", "1", "--scheduler",
          "ddim", "-o", folder + "/a.png",
        ])
      #expect(result.status == 0, "\(result.errors)")
    }
  }

  @Test func anotherKindIsRefusedByName() throws {
    try withTemporaryFolder { folder in
      let model = try Self.model(in: folder, ["tokenizer_class": "T5Tokenizer"])
      let result = try Tool.run("sdgen", ["tokens", "a", "--model", model])
      #expect(result.status == 65 && result.errors.contains("a T5Tokenizer"), "\(result.errors)")
    }
  }

  // MARK: Embeddings

  /// The word is the file's name without its extension, as in web UIs.
  @Test func wordsHaveDots() throws {
    try withTemporaryFolder { folder in
      for name in ["bad_v1.3", "1.5neg"] {
        try FileManager.default.copyItem(
          atPath: Fixtures.path("diffusion/embedding.safetensors"),
          toPath: "\(folder)/\(name).safetensors")
      }
      let bad = try Self.ids(["bad_v1.3", "--embedding", folder + "/bad_v1.3.safetensors"])
      #expect(bad.prefix(5) == [49_406, 49_408, 49_409, 49_410, 49_407])
      let other = try Self.ids(["1girl", "--embedding", folder + "/1.5neg.safetensors"])
      #expect(other == (try Self.ids(["1girl"])))
    }
  }

  @Test func severalTokensAreSeveralWords() throws {
    let file = Fixtures.path("diffusion/embeddings/two_tokens.bin")
    let both = try Self.ids(["<b> a <a>", "--embedding", file])
    #expect(both.prefix(6) == [49_406, 49_410, 320, 49_408, 49_409, 49_407])
    let one = try Self.ids(["<b> a", "--embedding", file + ":<b>"])
    #expect(one.prefix(4) == [49_406, 49_408, 320, 49_407])
    let none = try Tool.run("sdgen", ["tokens", "a", "--embedding", file + ":<c>"])
    #expect(none.status == 65 && none.errors.contains("<a>, <b>"), "\(none.errors)")
  }

  @Test func othersAreRefusedByTheirModel() throws {
    try withTemporaryFolder { folder in
      let large = try Tool.run(
        "sdgen", ["tokens", "a", "--embedding", Fixtures.path("diffusion/embeddings/sdxl.pt")])
      #expect(large.status == 65, "\(large.errors)")
      #expect(
        large.errors.contains(
          "for Stable Diffusion XL (2 vectors, clip_l 768 and clip_g 1280 wide)"))
      let wide = folder + "/wide.safetensors"
      try Safetensors.write(
        [
          Tensor(
            name: "emb_params", dtype: .float32, shape: [1, 1024],
            storage: .memory([UInt8](repeating: 0, count: 4096)))
        ], to: wide)
      let drawn = try Tool.run("sdgen", ["a", "--embedding", wide, "-o", folder + "/a.png"])
      #expect(
        drawn.status == 65 && drawn.errors.contains("Stable Diffusion 2.x"), "\(drawn.errors)")
      let image = folder + "/style.png"
      try FileManager.default.copyItem(atPath: Fixtures.path("pictures/grey.png"), toPath: image)
      let result = try Tool.run("sdgen", ["tokens", "a", "--embedding", image])
      #expect(
        result.status == 65 && result.errors.contains("in an image (PNG)"), "\(result.errors)")
    }
  }

  /// `--to pytorch` is a layout of its own.
  @Test func embeddingsAreConverted() throws {
    try withTemporaryFolder { folder in
      let source = Fixtures.path("diffusion/embeddings/a1111.pt")
      let made = try Tool.run(
        "sdinspect",
        ["convert", source, folder + "/a.safetensors", "--to", "safetensors", "--json"])
      #expect(made.status == 0, "\(made.errors)")
      let report = try JSON(parsing: made.output)
      #expect(report["layout"] == "safetensors")
      #expect(report["dropped"]?.array?.contains { $0["name"] == "step" } == true)
      let back = try Tool.run(
        "sdinspect", ["convert", folder + "/a.safetensors", folder + "/b.pt", "--to", "pytorch"])
      #expect(back.status == 0 && back.errors.contains("string_to_param"), "\(back.errors)")
      let summary = try Tool.run("sdinspect", ["summary", folder + "/b.pt"])
      #expect(summary.output.contains("textual inversion embedding"), "\(summary.output)")
    }
  }
}
