import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// The parsed output of a run that must succeed.
func json(_ name: String, _ arguments: [String]) throws -> JSON {
  let result = try Tool.run(name, arguments)
  #expect(result.status == 0, "\(name) \(arguments): \(result.errors)")
  return try JSON(parsing: result.output)
}

@Suite struct SummaryTests {
  /// The counts that the model's own golden/summary.json states.
  @Test func countsTheEmbeddedModel() throws {
    let summary = try json("sdinspect", ["summary", Fixtures.path("shapes-v2"), "--json"])
    let golden = try JSON(parsing: Fixtures.text("shapes-v2/golden/summary.json"))
    #expect(summary["version"] == 1)
    #expect(summary["format"] == "diffusers")
    let components = try #require(summary["components"]?.array)
    #expect(components.map { $0["name"]?.string } == ["text_encoder", "unet", "vae"])
    for component in components {
      let name = try #require(component["name"]?.string)
      #expect(component["parameters"] == golden["parameters"]?[name], "\(name)")
      #expect(component["buffers"] == golden["buffers"]?[name] ?? 0, "\(name)")
    }
    #expect(components[0]["dtypes"] == ["F16": 68, "I64": 1])
    #expect(components[1]["architecture"] == "UNet2DConditionModel")
    #expect(summary["totals"]?["parameters"] == 10_197_579)
    #expect(summary["warnings"] == [])
  }

  @Test func summaryIsTheDefault() throws {
    let path = Fixtures.path("shapes-v2/vae/diffusion_pytorch_model.bin")
    let explicit = try Tool.run("sdinspect", ["summary", path])
    let implicit = try Tool.run("sdinspect", [path])
    #expect(explicit.status == 0)
    #expect(explicit.output == implicit.output)
    #expect(explicit.output.contains("1,028,935"))
  }

  /// Full size: the published numbers of parameters.
  @Test(.fullSize)
  func countsStableDiffusion() throws {
    let path = try #require(Fixtures.fullSize)
    let summary = try json("sdinspect", [path, "--json"])
    let counts = summary["components"]?.array?.map { $0["parameters"]?.int }
    #expect(counts == [123_060_480, 859_520_964, 83_653_863])
  }
}

@Suite struct TensorsTests {
  /// Fixtures/shapes-v2-sha256.json is torch's and safetensors' reading of the same files.
  @Test(arguments: [
    "text_encoder/pytorch_model.bin", "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.safetensors",
  ])
  func hashesAreTorchs(file: String) throws {
    let golden = try JSON(parsing: Fixtures.text("shapes-v2-sha256.json"))
    let expected = try #require(golden[file]?.object)
    let listing = try json(
      "sdinspect", ["tensors", Fixtures.path("shapes-v2/\(file)"), "--sha256", "--json"])
    let tensors = try #require(listing["tensors"]?.array)
    #expect(Set(tensors.compactMap { $0["name"]?.string }) == Set(expected.keys))
    #expect(tensors.count == expected.keys.count)
    for tensor in tensors {
      let name = try #require(tensor["name"]?.string)
      let row: JSON = [tensor["dtype"] ?? nil, tensor["shape"] ?? nil, tensor["sha256"] ?? nil]
      #expect(row == expected[name], "\(file) \(name)")
    }
  }

  @Test func offsetsPointAtTheValues() throws {
    let path = Fixtures.path("shapes-v2/unet/diffusion_pytorch_model.safetensors")
    let listing = try json("sdinspect", ["tensors", path, "--json"])
    let tensors = try #require(listing["tensors"]?.array)
    let size = try #require(
      FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
    let ends = tensors.map { ($0["offset"]?.int ?? 0) + ($0["bytes"]?.int ?? 0) }
    #expect(ends.max() == size)
    #expect(tensors.allSatisfy { $0["file"]?.string == path })
  }

  @Test func componentsCanBeChosen() throws {
    let listing = try json(
      "sdinspect", ["tensors", Fixtures.path("shapes-v2"), "--component", "vae", "--json"])
    #expect(listing["tensors"]?.array?.allSatisfy { $0["component"] == "vae" } == true)
    let refused = try Tool.run(
      "sdinspect", ["tensors", Fixtures.path("shapes-v2"), "--component", "transformer"])
    #expect(refused.status == 64)
    #expect(refused.errors.contains("text_encoder, unet, vae"))
  }
}

@Suite struct LayersTests {
  @Test func everyLayerHasItsCost() throws {
    let layers = try json(
      "sdinspect",
      ["layers", Fixtures.path("shapes-v2"), "--component", "unet", "--size", "128x192", "--json"])
    let rows = try #require(layers["layers"]?.array)
    #expect(rows.reduce(0) { $0 + ($1["parameters"]?.int ?? 0) } == 5_801_540)
    let first = try #require(rows.first { $0["name"] == "conv_in" })
    #expect(first["output_shape"] == [1, 32, 24, 16])
    #expect(first["macs"]?.int == 32 * 24 * 16 * 4 * 9)
    #expect(first["activation_bytes"]?.int == 4 * 32 * 24 * 16)
    #expect(first["kind"] == "convolution")
  }

  @Test func depthSumsUp() throws {
    let arguments = ["layers", Fixtures.path("shapes-v2"), "--component", "text_encoder", "--json"]
    let all = try json("sdinspect", arguments)
    let few = try json("sdinspect", arguments + ["--depth", "1"])
    let sums = [all, few].map { listing in
      listing["layers"]?.array?.reduce(0) { $0 + ($1["macs"]?.int ?? 0) } ?? 0
    }
    #expect(few["layers"]?.array?.count == 1)
    #expect(sums[0] == sums[1])
    #expect(sums[0] > 0)
  }

  /// An unknown network is shown as the tree of its tensors.
  @Test func tensorsAloneAreATree() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try Safetensors.write(
        ["block.0.weight", "block.1.weight", "block.2.weight", "head.bias"].map { name in
          Tensor(
            name: name, dtype: .float16, shape: [2, 3],
            storage: .memory([UInt8](repeating: 0, count: 12)))
        }, to: path)
      let result = try Tool.run("sdinspect", ["layers", path])
      #expect(result.status == 0, "\(result.errors)")
      let lines = result.output.split(separator: "\n").map(String.init)
      #expect(lines[0].hasPrefix("model, tensors only"))
      #expect(lines[2].contains("├─ block.0–2.weight ×3"))
      #expect(lines[2].contains("18") && lines[2].contains("75.0 %"))
      #expect(lines[3].contains("└─ head.bias"))
      let all = try Tool.run("sdinspect", ["layers", path, "--all"])
      #expect(all.output.contains("├─ block.1.weight"))
      let rows = try #require(try json("sdinspect", ["layers", path, "--json"])["layers"]?.array)
      #expect(rows.map { $0["kind"] } == Array(repeating: "tensor", count: 4))
      #expect(rows[0]["macs"] == .null && rows[0]["shape"] == [2, 3])
    }
  }

  /// The encoder's layers are identical: one branch represents all four, with their totals.
  @Test func alikeLayersAreOneBranch() throws {
    let model = Fixtures.path("shapes-v2")
    let tree = try Tool.run("sdinspect", ["layers", model, "--component", "text_encoder"])
    #expect(tree.output.contains("layers.0–3 ×4"))
    let line = try #require(tree.output.split(separator: "\n").first { $0.contains("×4") })
    // Four times 49,984: 4 * 64 * 64 + 4 * 64 of attention, 2 * 64 * 256 + 256 + 64 of the MLP,
    // 4 * 64 of two norms.
    #expect(line.contains("199,936"))
    let short = try Tool.run(
      "sdinspect", ["layers", model, "--component", "unet", "--depth", "1"])
    #expect(!short.output.contains("attentions") && short.output.contains("down_blocks.0"))
  }

  /// All values of a chain of two are alive while it runs: input, first and second output.
  @Test func memoryAtOnceIsLessThanInAll() throws {
    let layers = try json(
      "sdinspect", ["layers", Fixtures.path("shapes-v2"), "--size", "512x512", "--json"])
    let totals = try #require(layers["totals"]?.array)
    #expect(totals.map { $0["graph"] } == ["text_encoder", "unet", "vae_encoder", "vae_decoder"])
    for total in totals {
      let peak = try #require(total["peak_activation_bytes"]?.int)
      let sum = try #require(total["activation_bytes"]?.int)
      #expect(peak > 0 && peak < sum)
    }
  }
}
