import Engine
import ModelFormats
import TestSupport

/// A file of reference tensors, read as values of the engine.
struct Golden {
  private let file: TensorFile

  init(_ name: String) throws {
    file = try TensorFile.open(Fixtures.path("shapes-v2/golden/\(name).safetensors"))
  }

  init(path: String) throws {
    file = try TensorFile.open(path)
  }

  func value(_ name: String) throws -> Value {
    let tensor = try tensor(name, .float32)
    return tensor.withContiguousBytes { (bytes: UnsafeRawBufferPointer) in
      Value(
        (0..<tensor.elementCount).map {
          bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self)
        },
        shape: tensor.shape.dimensions)
    }
  }

  func ids(_ name: String) throws -> Value {
    let tensor = try tensor(name, .int64)
    return tensor.withContiguousBytes { (bytes: UnsafeRawBufferPointer) in
      Value(
        ids: (0..<tensor.elementCount).map {
          Int32(bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self))
        },
        shape: tensor.shape.dimensions)
    }
  }

  private func tensor(_ name: String, _ dtype: DType) throws -> Tensor {
    guard let tensor = file[name], tensor.dtype == dtype else {
      throw EngineError(.input, "no \(dtype.rawValue) tensor of this name", context: name)
    }
    return tensor
  }
}

extension Value {
  /// One sample of a batch, as a batch of one.
  func sample(_ index: Int) -> Value {
    let count = shape.dropFirst().reduce(1, *)
    return Value(
      Array(reals[index * count..<(index + 1) * count]), shape: [1] + shape.dropFirst())
  }
}

/// ‖a − b‖ / ‖b‖, with sums in double; infinite if there is no value or shapes differ.
func relativeError(_ a: Value?, _ b: Value) -> Double {
  guard let a, a.shape == b.shape else { return .infinity }
  return relativeError(a.reals, b.reals.map(Double.init))
}

/// Infinite where the counts differ.
func relativeError(_ a: [Float], _ b: [Double]) -> Double {
  guard a.count == b.count else { return .infinity }
  var difference = 0.0
  var size = 0.0
  for (a, b) in zip(a, b) {
    difference += (Double(a) - b) * (Double(a) - b)
    size += b * b
  }
  return (difference / size).squareRoot()
}
