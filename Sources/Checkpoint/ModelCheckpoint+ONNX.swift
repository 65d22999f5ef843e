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
