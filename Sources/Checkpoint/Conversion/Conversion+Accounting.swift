import ModelFormats
import OrderedJSON

extension Conversion {
  private struct Key: Hashable {
    let component: ComponentName
    let name: ExactName
  }

  /// Throws if the output format does not support a tensor's type, rank or size.
  ///
  /// - Throws: ``FormatError`` `unsupported` with the source file and the tensor's name in it.
  static func checkTypes(
    of parts: [Part], in container: Container, _ source: ModelCheckpoint
  ) throws(FormatError) {
    // A flat file holds every type.
    guard let format = WritableFormat(container) else { return }
    for step in parts.flatMap(\.tensors) where !step.isQuantized {
      let info = TensorInfo(
        name: step.source ?? step.tensor.name, dtype: step.dtype, shape: step.tensor.shape)
      do throws(FormatError) {
        try format.byteCount(of: info)
      } catch {
        throw error.inFile(step.tensor.file?.path ?? source.path)
      }
    }
  }

  /// Throws if a plan omits a tensor: every source tensor must be written or dropped by name.
  ///
  /// - Parameters:
  ///   - chosen: the requested components; others are not checked.
  ///   - useAverages: whether EMA weights replace the weights.
  /// - Throws: ``FormatError`` `internal`.
  static func requireAccounted(
    _ source: ModelCheckpoint, _ parts: [Part], _ drops: [Drop], chosen: [ComponentName]?,
    useAverages: Bool
  ) throws(FormatError) {
    var missing: Set<Key> = []
    for component in source.components {
      if let chosen, !chosen.contains(component.name),
        !(useAverages && component.name.averaged.map(chosen.contains) ?? false)
      {
        continue
      }
      for tensor in component.tensors {
        missing.insert(Key(component: component.name, name: ExactName(tensor.name)))
      }
    }
    func account(_ component: ComponentName, _ name: String) {
      for component in [component, component.averages] {
        missing.remove(Key(component: component, name: ExactName(name)))
      }
    }
    for step in parts.flatMap(\.tensors) {
      if let name = step.source { account(step.component, name) }
      for tensor in step.joined { account(step.component, tensor.name) }
    }
    for drop in drops { account(drop.component, drop.name) }
    guard let first = missing.first else { return }
    throw FormatError(
      .internalFault,
      "the plan omits \(missing.count.of("tensor")), such as \(first.name.text)", file: source.path,
      context: first.component.rawValue, hint: "this is a bug; nothing was written")
  }
}
