import ModelFormats
import OrderedJSON

/// Checks the contents of a checkpoint's files besides required tensors, and whether values were
/// ever written.
extension Verification {
  /// Checks values that no tensor uses, and classes and functions in pickles.
  mutating func checkFindings(of checkpoint: ModelCheckpoint) {
    let findings = checkpoint.findings
    if let warning = UnreadValues.warning(findings.unread) { problems.append(warning) }
    let tensors = findings.unread.filter { $0.kind == .tensor }.map(\.name)
    if !tensors.isEmpty {
      unchecked.append(
        "\(tensors.count.of("tensor")) of an unsupported kind: "
          + Leftover.shown(tensors))
    }
    checkSafety(of: checkpoint)
  }

  /// Notes 8-bit floating-point weights, which are not a problem.
  mutating func noteEightBitWeights(of component: Component) {
    let weights = component.tensors.filter { $0.dtype.isEightBitFloat && $0.elementCount > 0 }
    guard !weights.isEmpty else { return }
    var types: [String] = []
    for type in weights.map(\.dtype.rawValue) where !types.contains(type) { types.append(type) }
    let scaled = component.scales.weights.count
    notes.append(
      "\(component.name): \(weights.count.of("tensor holds", "tensors hold")) "
        + "8-bit floating-point values "
        + "(\(types.joined(separator: ", ")))"
        + (scaled == 0 ? "" : ", \(scaled) of them times a scale"))
  }

  /// Checks for zeros in place of values.
  mutating func checkZeros(of checkpoint: ModelCheckpoint) throws(FormatError) {
    let zeros = try ZeroValues(of: checkpoint.components.flatMap(\.tensors))
    problems += zeros.problems
    notes += zeros.notes
  }
}
