import ModelFormats
import ModelGraph

extension ModelCheckpoint {
  /// What is odd about a network that an ONNX model holds: constants of its graph are no surprise,
  /// and of a VAE a model is one half.
  static func onnxWarnings(of component: Component) -> [String] {
    guard let manifest = component.manifest else { return [] }
    let missing = manifest.missing.map(\.name)
    let absent = Set(missing)
    let hasWholeGraph = component.graphs.contains { graph in
      graph.parameters.allSatisfy { !absent.contains($0.name) }
    }
    let misfits = manifest.problems.dropFirst(missing.count).dropLast(manifest.unexpected.count)
    guard !hasWholeGraph, !missing.isEmpty else { return Array(misfits) }
    let shown = missing.prefix(3).joined(separator: ", ") + (missing.count > 3 ? ", …" : "")
    return ["\(missing.count) tensors are missing: \(shown)"] + misfits
  }
}
