import Checkpoint
import Diffusion
import Engine
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// A whole CLIP against transformers' `CLIPModel`: `Fixtures/clip/make.py` made the model, the
/// pictures and the expected values.
@Suite(.serialized) struct CLIPModelTests {
  private func check(_ folder: String) throws {
    let expected = try TestTensors(path: folder + "/expected.safetensors")
    let cases = try JSON(
      parsing: String(contentsOfFile: folder + "/expected.json", encoding: .utf8))
    let model = try CLIPModel(ModelCheckpoint.open(folder + "/model"))
    #expect(model.warnings == [] && model.width == 12)
    let texts = try #require(cases["texts"]?.array).compactMap(\.string)
    let embeddings = try texts.map { try model.embedding(of: $0) }
    // The third text is longer than the text encoder's 24 positions.
    #expect(embeddings.map { $0.droppedTokenCount > 0 } == [false, false, true, false])
    let pictures = try #require(cases["pictures"]?.array).compactMap(\.string)
    let views = try pictures.map {
      try model.embedding(of: PictureFile.read(folder + "/" + $0).image)
    }
    let matrix = model.similarities(pictures: views, texts: embeddings.map(\.vector))
    func difference(_ rows: [[Float]], _ name: String) -> Float {
      Difference.largest(Array(rows.joined()), expected[name].floats)
    }
    #expect(difference(matrix.texts, "text_embeds") < 1e-5)
    #expect(difference(matrix.pictures, "image_embeds") < 1e-5)
    #expect(
      Difference.relative(
        Array(matrix.logits.joined()), expected["logits_per_image"].floats) < 1e-5)
    #expect(difference(matrix.probabilities, "probabilities") < 1e-4)
    for (row, best) in matrix.best.enumerated() {
      let shares = expected["probabilities"].floats[row * texts.count..<(row + 1) * texts.count]
      #expect(shares.max() == shares[row * texts.count + best])
    }
  }

  @Test func theFixtureIsAsInTransformers() throws { try check(Fixtures.path("clip")) }

  /// A model from before transformers 4.31, in a PyTorch file, with plain GELU.
  @Test(.python("torch", "transformers", "PIL", "safetensors"))
  func anOldModelIsAsInTransformers() throws {
    try withTemporaryFolder { folder in
      let result = try Tool.launch(
        #require(Tool.python), [Fixtures.path("clip/make.py"), folder, "6"],
        environment: ["OMP_NUM_THREADS": "1"])
      try #require(result.status == 0, "\(result.errors)")
      try check(folder)
    }
  }

  /// Three pictures that are wide, tall, and smaller than the model's, as CLIPImageProcessor with
  /// Pillow prepares them.
  @Test func picturesArePreparedAsInTransformers() throws {
    let expected = try TestTensors(path: Fixtures.path("clip/expected.safetensors"))["pixel_values"]
    let object = try #require(
      JSON(parsing: Fixtures.text("clip/model/preprocessor_config.json")).object)
    let preparation = try PictureChecker.Preparation(object)
    let values = try ["wide", "tall", "small"].flatMap {
      preparation.value(of: try PNG.read(Fixtures.path("clip/\($0).png")).image, side: 32).reals
    }
    #expect(Difference.largest(values, expected.floats) < 1e-5)
  }

  /// Each of the two networks, and nothing of another name; the sum is torch's own.
  @Test func bothNetworksHaveTheirGraphs() throws {
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("clip/model"))
    #expect(checkpoint.warnings == [])
    let summary = Summary(checkpoint)
    #expect(summary.recognition.title == "CLIP")
    #expect(summary.components.map(\.name) == [.textEncoder, .imageEncoder, .other])
    #expect(
      summary.components.map(\.architecture) == [
        "CLIPTextModel", "CLIPVisionModelWithProjection", nil,
      ])
    let cases = try JSON(parsing: Fixtures.text("clip/expected.json"))
    #expect(summary.parameters == cases["parameters"]?.int)
    #expect(checkpoint.components.flatMap(\.graphs).map(\.name) == [.textEncoder, .imageEncoder])
    let image = try checkpoint.require(.imageEncoder)
    let heads = image.graphs[0].nodes.compactMap { node in
      if case .attention(let form) = node.operation { form.heads } else { nil }
    }
    // Shapes would say one head.
    #expect(heads == [3, 3])
  }

  @Test func modelsThatAreNoCLIPAreRefused() throws {
    let error = try #require(throws: FormatError.self) {
      try CLIPModel(ModelCheckpoint.open(Fixtures.path("shapes-v2")))
    }
    #expect(error.code == .mismatch && error.message.hasPrefix("not a whole CLIP"))
  }

  /// By hand: cosines 0.6 and 0.8 with a scale of 10 differ by 2, so that the shares are
  /// 1/(1+e^2) and 1/(1+e^-2).
  @Test func sharesAreASoftmax() {
    let matrix = SimilarityMatrix(pictures: [[0.6, 0.8]], texts: [[1, 0], [0, 1]], scale: 10)
    #expect(matrix.cosines == [[0.6, 0.8]] && matrix.best == [1])
    #expect(Difference.largest(matrix.probabilities[0], [0.1192029, 0.8807971]) < 1e-6)
  }
}
