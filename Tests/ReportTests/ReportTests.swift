import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import Report
import TestSupport
import Testing

@Suite struct ReportTests {
  private func report(_ name: String, sizes: Sizes = Sizes(height: 16, width: 16)) throws -> JSON {
    let checkpoint = try ModelCheckpoint.open(Fixtures.path(name))
    return Report(checkpoint, sizes: sizes, statistics: try checkpoint.statistics()).data
  }

  @Test func everyTensorHasItsRow() throws {
    let data = try report("shapes-v2")
    let rows = try #require(data["tensors"]?.array).compactMap(\.array)
    #expect(rows.count == 691)
    #expect(data["totals"]?["parameters"] == 10_197_579)
    // fields: component, name, published name, dtype, shape, kind, is learned, bytes, statistics
    let learned = rows.filter { $0[6] == true }
    let elements = learned.reduce(0) { sum, row in
      sum + (row[4].array ?? []).reduce(1) { $0 * ($1.int ?? 0) }
    }
    #expect(elements == 10_197_579)
    #expect(rows.reduce(0) { $0 + ($1[7].int ?? 0) } == data["totals"]?["bytes"]?.int)
    #expect(rows.filter { $0[6] == false }.map { $0[3] } == ["I64"])
  }

  /// Each value is in one bin, below or above.
  @Test func histogramsHoldEveryValue() throws {
    let rows = try #require(try report("shapes-v2")["tensors"]?.array).compactMap(\.array)
    var drawn = 0
    for row in rows {
      let statistics = try #require(row[8].array)
      let elements = (row[4].array ?? []).reduce(1) { $0 * ($1.int ?? 0) }
      guard let histogram = statistics[9].array else {
        #expect(statistics[0] == statistics[1], "\(row[1]): only equal values have none")
        continue
      }
      drawn += 1
      #expect(histogram.count == 68)
      let counts = histogram[2...].map { $0.int ?? 0 }
      #expect(counts.allSatisfy { $0 >= 0 })
      #expect(counts.reduce(0, +) == elements, "\(row[1])")
      let range = try #require(histogram[0].double)...#require(histogram[1].double)
      #expect(try range.contains(#require(statistics[2].double)), "\(row[1]): the mean is inside")
    }
    #expect(drawn > 600)
  }

  @Test func networksHaveTheirCosts() throws {
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
    let sizes = Sizes(height: 24, width: 16)
    let data = Report(checkpoint, sizes: sizes).data
    #expect(data["size"] == ["width": 128, "height": 192])
    let graphs = checkpoint.components.flatMap(\.graphs)
    let networks = try #require(data["networks"]?.array)
    #expect(networks.map { $0["name"]?.string } == graphs.map(\.name.rawValue))
    let tensors = try #require(data["tensors"]?.array)
    for (network, graph) in zip(networks, graphs) {
      let nodes = try #require(network["nodes"]?.array).compactMap(\.array)
      let costs = graph.costs(sizes)
      #expect(nodes.map { $0[5].int } == costs.map(\.macs))
      #expect(nodes.map { $0[4].int } == costs.map(\.parameters))
      for (position, node) in nodes.enumerated() {
        // A value is computed before it is read.
        for source in node[2].array ?? [] {
          #expect(try #require(source.int) < position)
        }
        // Weight and bias refer to the rows with these names.
        let parameters = [graph.nodes[position].weight, graph.nodes[position].bias]
          .compactMap { $0.map { graph[$0].name } }
        let rows = (node[6].array ?? []).compactMap(\.int).map { row in
          tensors[row].array.map { $0[2].string ?? $0[1].string ?? "" }
        }
        #expect(rows == parameters)
      }
    }
  }

  @Test func withoutValuesThereAreNoStatistics() throws {
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("shapes-v2/vae"))
    let data = Report(checkpoint, sizes: Sizes()).data
    #expect(data["hasStatistics"] == false)
    #expect(data["tensors"]?.array?.allSatisfy { $0.array?[8] == 0 } == true)
    #expect(data["components"]?.array?.allSatisfy { $0["histogram"] == .null } == true)
  }

  /// Every type, including those without statistics, NaN and infinity, and tensors without
  /// elements.
  @Test(arguments: [
    "types.safetensors", "types.pt", "lone.pt", "nested.pt", "views.pt", "legacy.pt", "module.pt",
  ])
  func anyFileHasAReport(name: String) throws {
    let data = try report("formats/\(name)")
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("formats/\(name)"))
    #expect(
      data["tensors"]?.array?.count == checkpoint.components.reduce(0) { $0 + $1.tensors.count })
    #expect(data["networks"] == [])
    // What JSON cannot contain became null.
    #expect(try JSON(parsing: data.text(.compact)) == data)
  }

  /// Values at the ends of their types' ranges: no trap, and nothing that JSON cannot hold.
  @Test(arguments: [
    [Float.greatestFiniteMagnitude, -Float.greatestFiniteMagnitude, 1, 0],
    [Float.greatestFiniteMagnitude, 3e38, 2.9e38, 0],
    [Float.leastNonzeroMagnitude, -Float.leastNonzeroMagnitude, 0, 1e-38],
    [.nan, .infinity, -.infinity, 7], [.nan, .nan, .nan, .nan], [0, -0.0, 0, 0],
    [1e20, 1e-20, -1e20, 1],
  ])
  func extremeValuesHaveAReport(values: [Float]) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      let header = Array(#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}  "#.utf8)
      var bytes = withUnsafeBytes(of: UInt64(header.count).littleEndian) { [UInt8]($0) } + header
      for value in values {
        bytes += withUnsafeBytes(of: value.bitPattern.littleEndian) { [UInt8]($0) }
      }
      try Data(bytes).write(to: URL(filePath: path))
      let checkpoint = try ModelCheckpoint.open(path)
      let data = Report(
        checkpoint, sizes: Sizes(), statistics: try checkpoint.statistics()
      ).data
      #expect(try JSON(parsing: data.text(.compact)) == data)
      let statistics = try #require(data["tensors"]?.array?[0].array?[8].array)
      #expect(statistics[5].int == values.count { $0.isNaN })
      #expect(statistics[6].int == values.count { $0.isInfinite })
    }
  }

  /// A model of SD v1.5's size fits a page of two million bytes.
  @Test(.fullSize)
  func aFullSizePageIsSmall() throws {
    let path = try #require(Fixtures.fullSize)
    let checkpoint = try ModelCheckpoint.open(path)
    let report = Report(
      checkpoint, sizes: Sizes(of: checkpoint), statistics: try checkpoint.statistics())
    #expect(report.data["tensors"]?.array?.count == 1131)
    #expect(report.page.pieces.reduce(0) { $0 + $1.count } < 2_000_000)
  }
}

@Suite struct TensorKindTests {
  @Test(arguments: [
    ("conv_in.weight", [320, 4, 3, 3], "convolution"),
    ("conv_in.bias", [320], "convolution"),
    ("quant_conv.bias", [8], "convolution"),
    ("down_blocks.0.resnets.0.norm1.weight", [320], "normalization"),
    ("down_blocks.0.resnets.0.time_emb_proj.weight", [320, 1280], "linear"),
    ("mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", [1280, 768], "attention"),
    (
      "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.weight", [10240, 1280],
      "feed-forward"
    ),
    ("mid_block.attentions.0.proj_in.weight", [1280, 1280, 1, 1], "convolution"),
    ("text_model.embeddings.token_embedding.weight", [49408, 768], "embedding"),
    ("text_model.encoder.layers.0.self_attn.q_proj.bias", [768], "attention"),
    ("text_model.encoder.layers.0.mlp.fc1.weight", [3072, 768], "feed-forward"),
    ("time_embedding.linear_1.bias", [1280], "linear"),
    ("encoder.mid_block.attentions.0.query.weight", [512, 512], "attention"),
    ("lora_unet_down_blocks_0.lora_down.weight", [4, 320], "low-rank (LoRA)"),
    ("unet.attn1.processor.to_q_lora.up.weight", [320, 4], "low-rank (LoRA)"),
    ("<cat>", [768], "embedding"),
    ("layer.gamma", [7], "other"),
    ("", [], "other"),
  ])
  func namesAndShapesTell(name: String, shape: [Int], kind: String) {
    #expect(TensorKind(name: name, shape: Shape(shape), isBuffer: false).rawValue == kind)
    #expect(TensorKind(name: name, shape: Shape(shape), isBuffer: true) == .buffer)
  }
}

@Suite struct CompactNumberTests {
  @Test(arguments: [
    (0.0, "0"), (1, "1"), (-1, "-1"), (0.1234567891, "0.123457"), (-38.000000001, "-38"),
    (1_234_567_891, "1234570000"), (2.5e-12, "2.5e-12"), (1e-300, "1e-300"), (-1e300, "-1e+300"),
    (.infinity, "null"), (.nan, "null"), (0.000123456789, "0.000123457"), (65504, "65504"),
  ])
  func sixDigitsAreKept(value: Double, text: String) {
    #expect(CompactNumber.json(value).text(.compact) == text)
  }
}
