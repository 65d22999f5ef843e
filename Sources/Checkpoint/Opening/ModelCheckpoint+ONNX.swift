import ModelFormats
import ModelGraph
import OrderedJSON

extension ModelCheckpoint {
  /// Warnings about a network in an ONNX model: graph constants are normal, and a model contains
  /// one half of a VAE.
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
    return ["\(missing.count.of("tensor is", "tensors are")) missing: \(shown)"] + misfits
  }
}

extension Component {
  /// The one complete graph of a file that has only half of a network: a VAE's encoder or decoder.
  /// A configuration next to the file may list both.
  var half: Graph? {
    guard format == .onnx || configuration?.origin == .inferred, graphs.count > 1, let manifest,
      !manifest.missing.isEmpty
    else { return nil }
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
