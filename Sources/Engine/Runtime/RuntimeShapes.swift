import ModelFormats

/// The shapes that a model's inputs have for given values.
struct RuntimeShapes {
  private let ports: [RuntimeSession.Port]
  private let context: String

  init(_ ports: [RuntimeSession.Port], _ context: String) {
    self.ports = ports
    self.context = context
  }

  /// The shape of each input, in order. A value of one element, such as the timestep, takes the shape
  /// that the model gives the input: scalar, vector, or one per picture.
  ///
  /// - Throws: ``EngineError`` `input` if an input is missing, unknown, or of another shape.
  func shapes(of inputs: [String: Value]) throws(EngineError) -> [[Int]] {
    let names = Set(ports.map(\.name))
    // A network that ignored an input would give a wrong result.
    if let other = inputs.keys.filter({ !names.contains($0) }).min() {
      throw EngineError(
        .input, "the model has no such input", context: "\(context): \(other)",
        hint: "export the network again, with this input")
    }
    var symbols: [String: Int] = [:]
    for port in ports {
      guard let value = inputs[port.name] else {
        throw EngineError(.input, "the input is missing", context: "\(context): \(port.name)")
      }
      guard value.shape.allSatisfy({ $0 > 0 }) else { throw misfit(port, value) }
      guard value.shape.count == port.shape.count, !Self.isSingle(value) else { continue }
      for (dimension, size) in zip(port.shape, value.shape) {
        switch dimension {
        case .fixed(let stated) where stated != size: throw misfit(port, value)
        case .named(let name):
          guard symbols.updateValue(size, forKey: name) ?? size == size else {
            throw misfit(port, value)
          }
        case .fixed, .unknown: break
        }
      }
    }
    var shapes: [[Int]] = []
    for port in ports {
      guard let value = inputs[port.name] else { continue }
      if Self.isSingle(value) {
        shapes.append(
          port.shape.map { dimension in
            switch dimension {
            case .fixed(let size): size
            case .named(let name): symbols[name] ?? 1
            case .unknown: 1
            }
          })
      } else if value.shape.count == port.shape.count {
        shapes.append(value.shape)
      } else {
        throw misfit(port, value)
      }
    }
    return shapes
  }

  private static func isSingle(_ value: Value) -> Bool {
    value.shape.allSatisfy { $0 == 1 }
  }

  private func misfit(_ port: RuntimeSession.Port, _ value: Value) -> EngineError {
    let stated = port.shape.map(\.description).joined(separator: ", ")
    return EngineError(
      .input, "the input's shape is \(value.shape), not [\(stated)]",
      context: "\(context): \(port.name)")
  }
}
