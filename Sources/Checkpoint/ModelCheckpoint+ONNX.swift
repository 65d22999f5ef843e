import ModelFormats
import ModelGraph

extension ModelCheckpoint {
  /// What is odd about a network that an ONNX model holds: constants of its graph are no surprise,
  /// and of a VAE a model is one half.
  static func onnxWarnings(of component: Component) -> [String] {
    guard let manifest = component.manifest else { return [] }
    let missing = Set(manifest.missing.map(\.name))
    let hasWholeGraph = component.graphs.contains { graph in
      graph.parameters.allSatisfy { !missing.contains($0.name) }
    }
    let misfits = manifest.wrongShape.count + manifest.wrongType.count
    let problems = manifest.problems.dropLast(manifest.unexpected.count)
    return hasWholeGraph
      ? Array(problems.suffix(misfits))
      : manifest.missing.isEmpty
        ? Array(problems)
        : [
          "\(manifest.missing.count) tensors of the \(component.name.title) are missing: "
            + manifest.missing.prefix(3).map(\.name).joined(separator: ", ")
            + (manifest.missing.count > 3 ? ", …" : "")
        ]
  }
}

extension Component {
  /// The graph that an ONNX model holds whole, of a network with others of which it holds nothing:
  /// a VAE's encoder or decoder.
  var half: Graph? {
    guard format == .onnx, graphs.count > 1, let manifest else { return nil }
    let missing = Set(manifest.missing.map(\.name))
    let held = graphs.filter { graph in
      graph.parameters.contains { !missing.contains($0.name) }
    }
    guard held.count == 1, held[0].parameters.allSatisfy({ !missing.contains($0.name) }) else {
      return nil
    }
    return held[0]
  }
}
