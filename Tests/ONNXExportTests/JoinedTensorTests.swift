import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import ONNXExport
import TestSupport
import Testing

/// Text encoders in OpenCLIP's layout, in which queries, keys and values are rows of one tensor.
@Suite struct JoinedTensorTests {
  private static let width = 64

  /// A file of two layers under the names of original single files of Stable Diffusion 2.
  private func write(to path: String) throws {
    let width = Self.width
    var shapes: [(String, Shape)] = [
      ("token_embedding.weight", [100, width]), ("positional_embedding", [77, width]),
      ("ln_final.weight", [width]), ("ln_final.bias", [width]),
    ]
    for layer in 0..<2 {
      let root = "transformer.resblocks.\(layer)."
      shapes += [
        (root + "attn.in_proj_weight", [3 * width, width]),
        (root + "attn.in_proj_bias", [3 * width]),
        (root + "attn.out_proj.weight", [width, width]), (root + "attn.out_proj.bias", [width]),
        (root + "ln_1.weight", [width]), (root + "ln_1.bias", [width]),
        (root + "ln_2.weight", [width]), (root + "ln_2.bias", [width]),
        (root + "mlp.c_fc.weight", [4 * width, width]), (root + "mlp.c_fc.bias", [4 * width]),
        (root + "mlp.c_proj.weight", [width, 4 * width]), (root + "mlp.c_proj.bias", [width]),
      ]
    }
    var next: Float = 0
    let tensors = shapes.map { name, shape in
      let bytes = (0..<(shape.elementCount ?? 0)).flatMap { _ in
        next += 1
        return withUnsafeBytes(of: next) { Array($0) }
      }
      return Tensor(
        name: "cond_stage_model.model." + name, dtype: .float32, shape: shape,
        storage: .memory(bytes))
    }
    try Safetensors.write(tensors, to: path)
  }

  /// Each parameter has an initializer of its own, with its own rows.
  @Test(arguments: ExportOptions.Weights.allCases)
  func eachParameterHasItsRows(weights: ExportOptions.Weights) throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/sd2.safetensors"
      try write(to: path)
      let text = try ModelCheckpoint.open(path).require(.textEncoder)
      let source = NetworkSource(graph: try text.graph(.textEncoder), configuration: nil) {
        parameter throws(FormatError) in try text.tensor(for: parameter)
      }
      var options = ExportOptions()
      options.weights = weights
      let report = try ONNXExporter.export([source], to: folder, options: options)
      #expect(report.networks[0].weights == source.graph.parameters.count)
      // It is read again as a whole text encoder.
      _ = try ModelCheckpoint.open(report.networks[0].modelPath).require(.textEncoder)
      let read = try TensorFile.open(report.networks[0].modelPath)
      for layer in 0..<2 {
        let module = "text_model.encoder.layers.\(layer).self_attn."
        for kind in ["weight", "bias"] {
          for part in ["q", "k", "v"] {
            let name = "\(module)\(part)_proj.\(kind)"
            let tensor = try #require(read[name], "\(name)")
            let expected = try text.tensor(named: name)
            #expect(tensor.contiguousBytes() == expected.contiguousBytes(), "\(name)")
          }
        }
      }
    }
  }
}
