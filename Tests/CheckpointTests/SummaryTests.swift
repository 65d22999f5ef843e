import Checkpoint
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

@Suite struct SummaryTests {
  /// Counted by torch: golden/summary.json beside the model.
  @Test func countsTheEmbeddedModel() throws {
    let golden = try JSON(parsing: Fixtures.text("shapes-v1/golden/summary.json"))
    let summary = Summary(try ModelCheckpoint.open(Fixtures.path("shapes-v1")))
    for component in summary.components {
      let name = component.name.rawValue
      #expect(component.parameters == golden["parameters"]?[name]?.int)
      #expect(component.buffers == golden["buffers"]?[name]?.int ?? 0)
      #expect(component.terms.reduce(0) { $0 + $1.parameters } == component.parameters)
    }
    #expect(summary.parameters == 3_367_104 + 5_801_540 + 1_028_935)
    #expect(summary.buffers == 77)
    // F16 but for the position ids.
    #expect(summary.bytes == 2 * summary.parameters + 8 * 77)
    #expect(summary.warnings == [])
  }

  /// By arithmetic from the configuration: hidden width 64, 4 layers, 49,408 tokens, 77 places.
  @Test func breaksTheTextEncoderDown() throws {
    let summary = Summary(try ModelCheckpoint.open(Fixtures.path("shapes-v1")))
    let attention = 4 * (64 * 64 + 64)
    let mlp = 2 * 64 * 256 + 256 + 64
    let layer = attention + mlp + 4 * 64
    let terms = summary.components[0].terms
    #expect(
      terms.map(\.name) == [
        "token_embedding", "position_embedding", "layers.0", "layers.1", "layers.2", "layers.3",
        "final_layer_norm",
      ])
    #expect(
      terms.map(\.parameters) == [3_162_112, 4928, layer, layer, layer, layer, 128])
    #expect(
      summary.components[1].terms.map(\.name) == [
        "time_embedding", "conv_in", "down_blocks.0", "down_blocks.1", "down_blocks.2",
        "down_blocks.3", "mid_block", "up_blocks.0", "up_blocks.1", "up_blocks.2", "up_blocks.3",
        "conv_norm_out", "conv_out",
      ])
    #expect(
      Set(summary.components[2].terms.map(\.name))
        == ["encoder", "decoder", "quant_conv", "post_quant_conv"])
  }

  @Test func printsTheFieldsOfTheContract() throws {
    let json = Summary(try ModelCheckpoint.open(Fixtures.path("shapes-v1"))).json
    #expect(
      json.object?.keys == ["version", "path", "format", "components", "totals", "warnings"])
    #expect(json["format"] == "diffusers")
    let component = try #require(json["components"]?.array?.first)
    #expect(
      component.object?.keys == [
        "name", "architecture", "parameters", "buffers", "tensors", "bytes", "dtypes", "terms",
      ])
    #expect(component["name"] == "text_encoder")
    #expect(component["dtypes"] == ["F16": .integer(68), "I64": 1])
    #expect(json["totals"]?["parameters"] == 10_197_579)
  }

  /// Two names for one storage are one set of parameters.
  @Test func countsSharedValuesOnce() throws {
    let scratch = try Scratch()
    try Safetensors.write(
      [.floats("a", [1, 2]), .floats("c", [3, 4]), .zeros("ids", .int32, [3])],
      to: scratch.path("file"))
    let tensors = try TensorFile.open(scratch.path("file")).tensors
    let counts = Summary.elements(of: tensors + [tensors[0].renamed("b")])
    #expect(counts == (parameters: 4, buffers: 3))
  }
}
