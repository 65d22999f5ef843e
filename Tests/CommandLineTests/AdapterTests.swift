import Diffusion
import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// Adapters on the command line: what is applied, named, left out and rejected.
@Suite struct AdapterTests {
  private static func path(_ name: String) -> String {
    Fixtures.path("adapters/\(name).safetensors")
  }

  private static func tensor(_ name: String, _ shape: [Int]) -> Tensor {
    Tensor(
      name: name, dtype: .float32, shape: Shape(shape),
      storage: .memory([UInt8](repeating: 0, count: 4 * shape.reduce(1, *))))
  }

  /// A run with a file, as JSON.
  private static func draw(
    _ lora: String, prompt: String = "a red circle", to file: String, in folder: String,
    _ others: [String] = []
  ) throws -> (status: Int32, json: JSON?, errors: String) {
    let result = try Tool.run(
      "sdgen",
      [prompt, "--lora", lora, "--seed", "1", "--json", "-o", file] + others + BatchTests.flags,
      in: folder)
    return (result.status, try? JSON(parsing: result.output), result.errors)
  }

  @Test func methodsAreReported() throws {
    try withTemporaryFolder { folder in
      for (file, method) in [
        ("loha", "LoHa"), ("lokr-dora", "LoKr with DoRA"), ("boft", "BOFT"),
        ("full", "full differences"),
      ] {
        let drawn = try Self.draw(Self.path(file), to: "\(file).png", in: folder, ["--sidecar"])
        #expect(drawn.status == 0, "\(drawn.errors)")
        let row = try #require(drawn.json?["loras"]?.array?.first)
        #expect(row["methods"]?.array?.first?["name"]?.string == method)
        #expect(row["unused"] == [] && row["unused_methods"] == [])
        let sidecar = try JSON(
          parsing: String(contentsOfFile: "\(folder)/\(file).json", encoding: .utf8))
        #expect(sidecar["loras"]?.array?.first?["file"]?.string == "\(file).safetensors")
      }
      let again = try Tool.run("sdgen", ["again", "loha.png"], in: folder)
      #expect(again.status != 0 || !again.errors.contains("differs from the file"))
    }
  }

  /// The unapplied tensors of a file are reported by method and number.
  @Test func mixedFiles() throws {
    try withTemporaryFolder { folder in
      let query = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
      let key = query.replacing("to_q", with: "to_k")
      try Safetensors.write(
        [
          Self.tensor(query + ".diff", [32, 32]), Self.tensor(key + ".lambda_layer", [1, 4]),
          Self.tensor(key + ".p_layer.weight", [32, 4]),
        ], to: folder + "/mixed.safetensors")
      let drawn = try Self.draw("mixed.safetensors", to: "a.png", in: folder)
      #expect(drawn.status == 0, "\(drawn.errors)")
      let warnings = drawn.json?["warnings"]?.array?.compactMap(\.string) ?? []
      #expect(warnings.count == 1 && warnings[0].contains("2 tensors of T-LoRA not used"))
      let group = drawn.json?["loras"]?.array?.first?["unused_methods"]?.array?.first
      #expect(group?["method"]?.string == "T-LoRA" && group?["tensors"]?.int == 2)
    }
  }

  @Test func otherFilesAreRefused() throws {
    try withTemporaryFolder { folder in
      let block = "transformer.single_transformer_blocks.0.attn.to_q"
      try Safetensors.write(
        [
          Self.tensor(block + ".lora_A.weight", [1, 3072]),
          Self.tensor(block + ".lora_B.weight", [3072, 1]),
        ], to: folder + "/flux.safetensors")
      let layer = "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
      try Safetensors.write(
        [Self.tensor(layer + ".vera_lambda_b", [32]), Self.tensor(layer + ".vera_lambda_d", [4])],
        to: folder + "/vera.safetensors")
      for (file, says) in [
        ("flux", "this LoRA is for FLUX.1"), ("vera", "VeRA is not supported: 2 tensors"),
      ] {
        let drawn = try Self.draw("\(file).safetensors", to: "a.png", in: folder)
        #expect(drawn.status == 65)
        #expect(drawn.errors.contains(says), "\(drawn.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder + "/a.png"))
        let exported = try Tool.run(
          "sdinspect",
          [
            "onnx", Fixtures.path("shapes-v2"), folder + "/onnx", "--component", "unet", "--lora",
            "\(folder)/\(file).safetensors",
          ])
        #expect(exported.status == 65 && exported.errors.contains(says), "\(exported.errors)")
      }
    }
  }

  /// A word in a LoRA file is the same as one given with --embedding.
  @Test func bundledWords() throws {
    try withTemporaryFolder { folder in
      let given = try TestTensors(path: Fixtures.path("diffusion/embedding.safetensors"))
      let entry = try #require(given.entries.values.first)
      let bytes = entry.floats.withUnsafeBytes { Array($0) }
      try Safetensors.write(
        [
          Tensor(
            name: "bundle_emb.<star>.string_to_param.*", dtype: .float32,
            shape: Shape(entry.shape), storage: .memory(bytes))
        ], to: folder + "/word.safetensors")
      let bundled = try Self.draw(
        "word.safetensors", prompt: "a <star>", to: "bundled.png", in: folder)
      #expect(bundled.status == 0, "\(bundled.errors)")
      #expect(bundled.json?["loras"]?.array?.first?["embeddings"] == ["<star>"])
      #expect(bundled.json?["warnings"] == [])
      let told = try Tool.run(
        "sdgen",
        [
          "a <star>", "--embedding", Fixtures.path("diffusion/embedding.safetensors") + ":<star>",
          "--seed", "1", "-o", "told.png",
        ] + BatchTests.flags, in: folder)
      #expect(told.status == 0, "\(told.errors)")
      let image = try PNG.read(folder + "/bundled.png").image
      #expect(try image == PNG.read(folder + "/told.png").image)
      // A prompt need not use it.
      let plain = try Self.draw("word.safetensors", to: "plain.png", in: folder)
      #expect(plain.json?["warnings"] == [])
      #expect(try image != PNG.read(folder + "/plain.png").image)
      let exported = try Tool.run(
        "sdinspect",
        [
          "onnx", Fixtures.path("shapes-v2"), folder + "/onnx", "--component", "text_encoder",
          "--lora", folder + "/word.safetensors",
        ])
      #expect(exported.errors.contains("the textual inversion <star> in it is not exported"))
    }
  }

  @Test func summariesNameTheMethod() throws {
    for (file, title) in [
      ("locon", "LoRA"), ("loha-tucker", "LoHa"), ("glora", "GLoRA"), ("oft", "OFT"),
      ("norm", "differences of norms"),
    ] {
      let json = try JSON(
        parsing: Tool.run("sdinspect", ["summary", Self.path(file), "--json"]).output)
      #expect(json["model"]?["kind"]?.string == "lora")
      #expect(json["model"]?["title"]?.string?.hasPrefix(title) == true)
    }
  }
}
