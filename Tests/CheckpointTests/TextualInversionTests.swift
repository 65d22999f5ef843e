import Checkpoint
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Textual inversions: their descriptions and conversions.
@Suite struct TextualInversionTests {
  struct Example: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let tensors: [(name: String, shape: [Int])]
    let title: String
    /// What `--to safetensors` writes.
    let written: [String]
  }

  @Test(arguments: [
    Example(
      testDescription: "SDXL", tensors: [("clip_g", [4, 1280]), ("clip_l", [4, 768])],
      title: "textual inversion embedding for Stable Diffusion XL: 4 vectors, clip_l 768 and "
        + "clip_g 1280 wide",
      written: ["clip_l [4, 768]", "clip_g [4, 1280]"]),
    Example(
      testDescription: "SDXL by number",
      tensors: [("text_encoders_0", [1, 768]), ("text_encoders_1", [1, 1280])],
      title: "textual inversion embedding for Stable Diffusion XL: 1 vector, clip_l 768 and "
        + "clip_g 1280 wide",
      written: ["clip_l [1, 768]", "clip_g [1, 1280]"]),
    Example(
      testDescription: "SD 3",
      tensors: [("clip_g", [2, 1280]), ("clip_l", [2, 768]), ("t5xxl", [2, 4096])],
      title: "textual inversion embedding for Stable Diffusion 3: 2 vectors, clip_l 768, "
        + "clip_g 1280 and t5xxl 4096 wide",
      written: ["clip_l [2, 768]", "clip_g [2, 1280]", "t5xxl [2, 4096]"]),
    Example(
      testDescription: "FLUX.1", tensors: [("clip_l", [2, 768]), ("t5xxl", [3, 4096])],
      title: "textual inversion embedding for FLUX.1: 3 vectors, clip_l 768 (2) and "
        + "t5xxl 4096 (3) wide",
      written: ["clip_l [2, 768]", "t5xxl [3, 4096]"]),
    Example(
      testDescription: "the web UI's", tensors: [("emb_params", [5, 768])],
      title: "textual inversion embedding for Stable Diffusion 1.x",
      written: ["emb_params [5, 768]"]),
    Example(
      testDescription: "the web UI's in a flat file",
      tensors: [("string_to_param.*", [3, 1024]), ("string_to_token.*", [])],
      title: "textual inversion embedding for Stable Diffusion 2.x",
      written: ["emb_params [3, 1024]"]),
    Example(
      testDescription: "a token", tensors: [("<cat.toy>", [768])],
      title: "textual inversion embedding for Stable Diffusion 1.x",
      written: ["emb_params [1, 768]"]),
    Example(
      testDescription: "two tokens", tensors: [("<a>", [2, 768]), ("<b>", [768])],
      title: "textual inversion embedding of 2 tokens for Stable Diffusion 1.x",
      written: ["<a> [2, 768]", "<b> [1, 768]"]),
  ])
  func safetensors(_ example: Example) throws {
    let scratch = try Scratch()
    try Safetensors.write(
      example.tensors.map {
        .zeros($0.name, $0.shape.isEmpty ? .int64 : .float32, Shape($0.shape))
      },
      to: scratch.path("in.safetensors"))
    let source = try ModelCheckpoint.open(scratch.path("in.safetensors"))
    let recognition = Recognition(source)
    #expect(recognition.kind == .textualInversion)
    #expect(recognition.title == example.title)
    let conversion = try Conversion(
      of: source, to: .safetensors, at: scratch.path("out.safetensors"))
    try conversion.execute()
    let written = try TensorFile.open(scratch.path("out.safetensors"))
    #expect(Set(written.tensors.map { "\($0.name) \($0.shape)" }) == Set(example.written))
    #expect(
      conversion.drops.map(\.name) == example.tensors.map(\.name).filter { $0.contains("token.") })
    // And back again.
    var options = Conversion.Options()
    options.format = .bin
    try LayoutTests.convert(
      scratch.path("out.safetensors"), to: .safetensors, at: scratch.path("back.pt")
    ) { $0.format = .bin }
    let back = try ModelCheckpoint.open(scratch.path("back.pt"))
    #expect(Recognition(back).title == example.title)
    #expect(back.layout == .file(.pytorch))
  }

  /// Files that torch wrote; Fixtures/diffusion/embeddings.py makes them.
  @Test func valuesBesideTheVectorsAreSaid() throws {
    let scratch = try Scratch()
    let source = Fixtures.path("diffusion/embeddings/a1111.pt")
    let conversion = try Conversion(
      of: ModelCheckpoint.open(source), to: .safetensors, at: scratch.path("out.safetensors"))
    try conversion.execute()
    let written = try TensorFile.open(scratch.path("out.safetensors"))
    #expect(written.tensors.map(\.name) == ["emb_params"])
    #expect(
      written.tensors[0].contiguousBytes()
        == (try TensorFile.open(source))["string_to_param.*"]?.contiguousBytes())
    #expect(
      conversion.drops.map(\.name) == [
        "name", "step", "sd_checkpoint", "sd_checkpoint_name", "string_to_token.*",
      ])
    #expect(conversion.drops.map(\.isValue) == [true, true, true, true, false])
    #expect(conversion.drops[0].reason == "a value, not a tensor: mine")
    #expect(conversion.drops[1].reason == "a value, not a tensor: 1500")
    #expect(conversion.drops.lines.last?.hasPrefix("left out: 4 plain values") == true)
  }

  /// A PyTorch file's other contents are named, since no target can store them.
  @Test(arguments: [Conversion.Target.safetensors, .sdflat])
  func plainValuesAreNamed(target: Conversion.Target) throws {
    let scratch = try Scratch()
    let plan = try Conversion(
      of: ModelCheckpoint.open(Fixtures.path("formats/nested.pt")), to: target,
      at: scratch.path("out"))
    let values = plan.drops.filter(\.isValue)
    #expect(
      values.map(\.name)
        == ["epoch", "lr", "note", "none", "flag", "big", "set", "bytes", "complex"])
    #expect(values.first?.reason == "a value, not a tensor: 3")
    #expect(
      plan.leftOutLines.contains {
        $0.hasPrefix("left out: 9 plain values, no tensors: epoch (3), lr (0.0001), note (naïve)")
      })
  }

  @Test(arguments: [
    ("parameter_dict.pt", ["emb_params [2, 64]"]),
    ("two_tokens.bin", ["<a> [2, 64]", "<b> [1, 64]"]),
    ("sdxl.pt", ["clip_l [2, 768]", "clip_g [2, 1280]"]),
  ])
  func pytorch(name: String, expected: [String]) throws {
    let scratch = try Scratch()
    try LayoutTests.convert(
      Fixtures.path("diffusion/embeddings/\(name)"), to: .safetensors, at: scratch.path("out"))
    let tensors = try TensorFile.open(scratch.path("out")).tensors
    #expect(Set(tensors.map { "\($0.name) \($0.shape)" }) == Set(expected))
  }

  /// The name and the dictionaries of a web UI file are restored, as diffusers reads them.
  @Test func aPyTorchFileOfOneWordIsTheWebUIs() throws {
    let scratch = try Scratch()
    try LayoutTests.convert(
      Fixtures.path("diffusion/embedding.safetensors"), to: .safetensors,
      at: scratch.path("my_style_v1.2.pt")
    ) {
      $0.format = .bin
      $0.dtype = .float16
    }
    let file = try TensorFile.open(scratch.path("my_style_v1.2.pt"))
    #expect(file.tensors.map(\.name) == ["string_to_param.*"])
    #expect(file.tensors[0].dtype == .float16 && file.tensors[0].shape == [3, 64])
    #expect(
      file.values.map { "\($0.name)=\($0.text)" } == [
        "string_to_token.*=265", "name=my_style_v1.2", "step=0",
      ])
  }

  @Test(arguments: [
    ("a/bad_v1.3.pt", "bad_v1.3"), ("1.5neg.safetensors", "1.5neg"), ("x", "x"), ("d.e/x.y", "x.y"),
    ("X.PT", "X"), (".pt", ".pt"), ("learned_embeds.bin", "learned_embeds"),
  ])
  func wordsOfFiles(path: String, word: String) {
    #expect(TextualInversionFile.word(ofFile: path) == word)
  }

  /// A model's tensors are not an embedding, even if one is named like it.
  @Test func othersAreNone() {
    let tensors = { (names: [(String, Shape)]) in
      names.map { Tensor.zeros($0.0, .float32, $0.1) }
    }
    #expect(TextualInversionFile(tensors([("clip_l", [2, 768]), ("other", [2, 768, 1])])) == nil)
    #expect(TextualInversionFile(tensors([("clip_l", [2, 2, 768])])) == nil)
    #expect(TextualInversionFile(tensors([("a.weight", [2, 768])]), isExpected: true) == nil)
    #expect(TextualInversionFile(tensors([("emb_params", [2000, 768])])) == nil)
    #expect(TextualInversionFile([]) == nil)
  }

  /// An image in which the web UI stored an embedding is reported as such.
  @Test func imagesAreNamed() throws {
    let scratch = try Scratch()
    let png: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    try scratch.write(png + Array("....tEXtsd-ti-embedding\0eyJ9".utf8), as: "style.png")
    let error = try failure { _ = try ModelCheckpoint.open(scratch.path("style.png")) }
    #expect(error?.code == .unsupported)
    #expect(error?.message.contains("textual inversion embedding") == true)
  }
}
