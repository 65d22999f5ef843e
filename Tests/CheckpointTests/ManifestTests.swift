import Checkpoint
import ModelFormats
import ModelGraph
import TestSupport
import Testing

/// The check of tensors against graphs, on copies of the bundled model with a doctored VAE.
@Suite struct ManifestTests {
  static let query = "decoder.mid_block.attentions.0.query.weight"

  static func vae(_ change: ([Tensor]) -> [Tensor]) throws -> (component: Component, keep: Scratch)
  {
    let scratch = try Scratch()
    let checkpoint = try ModelCheckpoint.open(try scratch.repository(vae: change))
    return (try #require(checkpoint[.vae]), scratch)
  }

  @Test func namesMissingTensors() throws {
    let (vae, scratch) = try ManifestTests.vae {
      $0.filter { !["decoder.conv_in.bias", ManifestTests.query].contains($0.name) }
    }
    withExtendedLifetime(scratch) {}
    let manifest = try #require(vae.manifest)
    #expect(
      manifest.missing.map(\.name)
        == ["decoder.conv_in.bias", "decoder.mid_block.attentions.0.to_q.weight"])
    #expect(manifest.unexpected.isEmpty && manifest.wrongShape.isEmpty)
    let error = try #require(try failure { try vae.requireComplete() })
    #expect(error.code == .mismatch)
    #expect(error.message.contains("decoder.conv_in.bias [64] is missing"))
    #expect(error.message.contains("query.weight [64, 64] is missing"))
    let access = try failure { _ = try vae.tensor(named: "decoder.conv_in.bias") }
    #expect(access?.context == "decoder.conv_in.bias")
  }

  @Test func namesUnexpectedTensors() throws {
    let (vae, scratch) = try ManifestTests.vae { $0 + [.floats("decoder.extra.weight", [1, 2])] }
    withExtendedLifetime(scratch) {}
    let manifest = try #require(vae.manifest)
    #expect(manifest.unexpected.map(\.name) == ["decoder.extra.weight"])
    #expect(manifest.isComplete)
    #expect(manifest.problems == ["decoder.extra.weight [2] is not a tensor of this network"])
  }

  static let misfits: [(name: String, shape: Shape)] = [
    ("decoder.conv_in.weight", [64, 4, 3, 1]), ("decoder.conv_in.weight", [64, 36]),
    ("decoder.conv_in.bias", [64, 1]), (query, [64, 1, 64]), (query, [1, 1, 64, 64]),
  ]

  @Test(arguments: misfits)
  func namesWrongShapes(name: String, shape: Shape) throws {
    let (vae, scratch) = try ManifestTests.vae {
      $0.map { $0.name == name ? .zeros(name, .float16, shape) : $0 }
    }
    withExtendedLifetime(scratch) {}
    let manifest = try #require(vae.manifest)
    #expect(manifest.wrongShape.map(\.tensor.name) == [name])
    #expect(manifest.missing.isEmpty && manifest.unexpected.isEmpty)
    let parameter = manifest.wrongShape[0].parameter
    let error = try #require(try failure { _ = try vae.tensor(for: parameter) })
    #expect(error.code == .mismatch)
    #expect(error.message.contains("\(shape)"))
  }

  @Test func namesWrongTypes() throws {
    let (vae, scratch) = try ManifestTests.vae {
      $0.map {
        $0.name == "decoder.conv_in.bias" ? .zeros($0.name, .int16, [64]) : $0
      }
    }
    withExtendedLifetime(scratch) {}
    let manifest = try #require(vae.manifest)
    #expect(manifest.wrongType.map(\.tensor.name) == ["decoder.conv_in.bias"])
    #expect(try failure { try vae.requireComplete() }?.message.contains("I16") == true)
  }

  /// Attention weights stored as 1x1 convolutions are accepted as matrices.
  @Test(arguments: [[1, 1], [1]])
  func acceptsConvolutionsAsMatrices(ones: [Int]) throws {
    let (vae, scratch) = try ManifestTests.vae {
      $0.map { tensor in
        tensor.name.contains("attentions.0.query.weight")
          ? tensor.reshaped(Shape(tensor.shape.dimensions + ones)) : tensor
      }
    }
    withExtendedLifetime(scratch) {}
    try vae.requireComplete()
    let tensor = try vae.tensor(named: "decoder.mid_block.attentions.0.to_q.weight")
    #expect(tensor.shape == [64, 64])
    #expect(tensor.contiguousBytes() == vae[ManifestTests.query]?.contiguousBytes())
  }

  @Test func acceptsTodaysNames() throws {
    let (vae, scratch) = try ManifestTests.vae {
      $0.map { tensor in
        var name = tensor.name
        for (old, new) in [
          (".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."),
          (".proj_attn.", ".to_out.0."),
        ] where name.contains("attentions.0" + old) {
          name.replace(old, with: new)
        }
        return tensor.renamed(name)
      }
    }
    withExtendedLifetime(scratch) {}
    #expect(vae.manifest?.problems == [])
    #expect(vae["decoder.mid_block.attentions.0.to_out.0.bias"] != nil)
  }

  @Test func acceptsTextEncodersWithoutTheirPrefix() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    let source = try TensorFile.open("\(model)/text_encoder/pytorch_model.bin")
    try scratch.remove("model/text_encoder/pytorch_model.bin")
    try Safetensors.write(
      source.tensors.map { $0.renamed(String($0.name.dropFirst("text_model.".count))) },
      to: scratch.path("model/text_encoder/model.safetensors"))
    let text = try ModelCheckpoint.open(model).require(.textEncoder)
    #expect(text.manifest?.problems == [])
    #expect(text.manifest?.buffers.map(\.name) == ["embeddings.position_ids"])
    let name = "text_model.embeddings.token_embedding.weight"
    #expect(try text.tensor(named: name).contiguousBytes() == source[name]?.contiguousBytes())
  }
}
