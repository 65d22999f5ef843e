import CKernels
import ModelGraph

/// Reads inputs and writes outputs of a run.
extension Plan {
  /// Stores an input in the engine's layout.
  func read(_ value: Value?, into input: Graph.ValueID) throws(EngineError) {
    let graph = program.graph
    let name = "\(graph.name): \(graph[input].name)"
    guard let value else { throw EngineError(.input, "the input is missing", context: name) }
    let shape = shape(input.index)
    guard value.shape == shape else {
      throw EngineError(
        .input, "the input's shape is \(value.shape), not \(shape)", context: name)
    }
    let to = pointer(input.index)
    let type = type(input.index)
    switch value.elements {
    case .integers(let ids) where graph[input].isInteger:
      ids.withUnsafeBytes {
        UnsafeMutableRawBufferPointer(start: to, count: $0.count).copyMemory(from: $0)
      }
    case .reals(let reals) where !graph[input].isInteger:
      if shape.count == 4 {
        sdk_to_channels_last(reals, to, type, shape[0], shape[1], shape[2] * shape[3])
      } else {
        sdk_convert(reals, SDK_F32, to, type, reals.count)
      }
    default:
      throw EngineError(
        .input, graph[input].isInteger ? "the input must be ids" : "the input must be numbers",
        context: name)
    }
  }

  /// An output in the graph's layout.
  func write(_ output: Graph.ValueID) -> Value {
    let shape = shape(output.index)
    let from = pointer(output.index)
    let type = type(output.index)
    let count = shape.reduce(1, *)
    let reals = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      if shape.count == 4 {
        sdk_from_channels_last(
          from, type, buffer.baseAddress, shape[0], shape[1], shape[2] * shape[3])
      } else {
        sdk_convert(from, type, buffer.baseAddress, SDK_F32, count)
      }
      initialized = count
    }
    return Value(reals, shape: shape)
  }
}

extension Graph {
  /// The sizes that match the shapes of the inputs.
  func sizes(of inputs: [String: Engine.Value]) throws(EngineError) -> Sizes {
    var sizes = Sizes()
    for input in self.inputs {
      let context = "\(name): \(self[input].name)"
      guard let value = inputs[self[input].name] else {
        throw EngineError(.input, "the input is missing", context: context)
      }
      let stated = self[input].shape
      guard value.shape.count == stated.count, value.shape.allSatisfy({ $0 > 0 }) else {
        throw EngineError(
          .input, "the input's shape is \(value.shape), not \(stated)", context: context)
      }
      for (dimension, size) in zip(stated, value.shape) {
        guard dimension.factors.count == 1, dimension.factors[0].divisor == 1 else { continue }
        guard size % dimension.constant == 0 else {
          throw EngineError(
            .input, "\(size) is not a multiple of \(dimension.constant)", context: context)
        }
        let count = size / dimension.constant
        switch dimension.factors[0].symbol {
        case .batch: sizes.batch = count
        case .height: sizes.height = count
        case .width: sizes.width = count
        case .sequence: sizes.sequence = count
        }
      }
    }
    return sizes
  }
}
