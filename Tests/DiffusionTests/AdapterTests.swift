import Checkpoint
import Engine
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// Adapters of every method against LyCORIS and PEFT (`Fixtures/adapters/make.py`).
@Suite struct AdapterTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let file: String
    let scale: Double
    let parameters: [String]

    var testDescription: String { name }
  }

  static let cases: [Case] = {
    let json = try? JSON(parsing: Fixtures.text("adapters/expected.json"))
    return (json?.array ?? []).map {
      Case(
        name: $0["name"]?.string ?? "", file: $0["file"]?.string ?? "",
        scale: $0["scale"]?.double ?? 0,
        parameters: $0["parameters"]?.array?.compactMap(\.string) ?? [])
    }
  }()

  static let expected = Result {
    try TestTensors(path: Fixtures.path("adapters/expected.safetensors"))
  }

  private static func unet() throws -> Component {
    try ModelCheckpoint.open(Fixtures.path("shapes-v2")).require(.unet)
  }

  @Test func casesAreThere() {
    #expect(Self.cases.count > 30)
  }

  @Test(arguments: cases)
  func weightsAndOutputs(_ example: Case) throws {
    let unet = try Self.unet()
    let lora = try LoRA.open(
      Fixtures.path("adapters/\(example.file)"), scale: example.scale, for: [unet])
    #expect(lora.unused == [])
    #expect(lora.updates[.unet]?.keys.sorted() == example.parameters)
    let expected = try Self.expected.get()
    let weights = AdaptedWeights([lora])
    for name in example.parameters where example.scale == 1 {
      let values = try weights.tensor(named: name, of: unet).contiguousBytes().withUnsafeBytes {
        Array($0.bindMemory(to: Float.self))
      }
      let error = Difference.relative(values, expected["\(example.name)/\(name)"].floats)
      #expect(error < 1e-6, "\(name)")
    }
    func value(_ name: String) -> Value {
      Value(expected[name].floats, shape: expected[name].shape)
    }
    let network = try Executable(
      graph: unet.graph(.unet), parameters: { try weights.tensor(named: $0, of: unet) },
      sizes: Sizes(batch: 1, height: 8, width: 8, sequence: 7))
    let output = try network.run([
      "sample": value("sample"), "encoder_hidden_states": value("states"),
      "timestep": Value([321], shape: [1]),
    ])
    let error = Difference.relative(
      output["out_sample"]?.reals ?? [], expected["\(example.name)/sample"].floats)
    #expect(error < 1e-5)
  }

  /// Files are applied in order: a file that scales a weight also scales earlier changes.
  @Test func ordersOfFiles() throws {
    let unet = try Self.unet()
    let files = try ["full", "ia3"].map { name in
      try LoRA.open(Fixtures.path("adapters/\(name).safetensors"), for: [unet])
    }
    let name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    func values(_ adapters: [LoRA]) throws -> [Float] {
      try AdaptedWeights(adapters).tensor(named: name, of: unet).contiguousBytes().withUnsafeBytes {
        Array($0.bindMemory(to: Float.self))
      }
    }
    let module = "lora_unet_" + name.dropLast(".weight".count).replacing(".", with: "_")
    let shares = try TestTensors(path: Fixtures.path("adapters/ia3.safetensors"))[
      module + ".weight"]
    let full = try Self.expected.get()["full/\(name)"]
    let together = full.floats.enumerated().map { $1 * (1 + shares.floats[$0 / full.shape[1]]) }
    #expect(try Difference.relative(values(files), together) < 1e-6)
    #expect(try Difference.relative(values(files.reversed()), together) > 1e-3)
  }

  /// Two adapters, one of them DoRA, in both orders, as PEFT merges them: norms are those of the
  /// weight with earlier changes merged.
  @Test(arguments: [["plain", "dora"], ["dora", "plain"]])
  func ordersWithDoRA(names: [String]) throws {
    let unet = try Self.unet()
    let adapters = try names.map {
      try LoRA.open(
        Fixtures.path("adapters/stacked-\($0)/adapter_model.safetensors"), for: [unet])
    }
    let parameters = try #require(adapters[0].updates[.unet]?.keys.sorted())
    #expect(parameters.count == 3)
    let weights = AdaptedWeights(adapters)
    for name in parameters {
      let values = try weights.tensor(named: name, of: unet).contiguousBytes().withUnsafeBytes {
        Array($0.bindMemory(to: Float.self))
      }
      let expected = try Self.expected.get()
      #expect(
        Difference.relative(values, expected["\(names.joined(separator: "+"))/\(name)"].floats)
          < 1e-6, "\(name)")
      let other = expected["\(names.reversed().joined(separator: "+"))/\(name)"].floats
      #expect(Difference.relative(values, other) > 1e-4)
    }
  }
}
