import CKernels
import COnnxRuntime
import ModelFormats

/// A tensor of ONNX Runtime on memory of ours.
final class RuntimeTensor {
  let shape: [Int]
  let element: Int32
  let handle: OpaquePointer
  private let bytes: Allocation
  private let functions: RuntimeFunctions

  /// Allocates the memory; `memory` says to the library that it is the CPU's.
  init(
    shape: [Int], element: Int32, in memory: OpaquePointer, _ functions: RuntimeFunctions,
    _ context: String
  ) throws(EngineError) {
    guard let size = Self.size(of: element) else {
      throw EngineError(
        .unsupported, "elements of ONNX type \(element) are not supported", context: context)
    }
    let byteCount = shape.reduce(size, *)
    let bytes = try Allocation(byteCount: byteCount, context: context)
    let sizes = shape.map { Int64($0) }
    handle = try functions.object(context) { value in
      functions.table.CreateTensorWithDataAsOrtValue(
        memory, bytes.pointer, byteCount, sizes, sizes.count, element, &value)
    }
    self.shape = shape
    self.element = element
    self.bytes = bytes
    self.functions = functions
  }

  deinit { functions.table.ReleaseValue(handle) }

  var count: Int { shape.reduce(1, *) }
  var byteCount: Int { count * (Self.size(of: element) ?? 0) }

  /// The value of its contents.
  var value: Value { Self.value(bytes.pointer, element, shape) }

  /// Bytes of an element; nil for types that are not supported.
  static func size(of element: Int32) -> Int? {
    switch Int(element) {
    case ort_float64, ort_int64: 8
    case ort_float32, ort_int32: 4
    case ort_float16, ort_bfloat16: 2
    case ort_bool, ort_int8, ort_uint8: 1
    default: nil
    }
  }

  /// Writes `value` in the tensor's type; a single element is repeated.
  ///
  /// - Throws: ``EngineError`` `input` if the type has no such number.
  func write(_ value: Value, _ context: String) throws(EngineError) {
    switch value.elements {
    case .reals(let reals):
      let all = reals.count == 1 && count != 1 ? .init(repeating: reals[0], count: count) : reals
      try write(reals: all, context)
    case .integers(let ids):
      let all = ids.count == 1 && count != 1 ? .init(repeating: ids[0], count: count) : ids
      try write(integers: all, context)
    }
  }

  private func write(reals: [Float], _ context: String) throws(EngineError) {
    switch Int(element) {
    case ort_float32: store(reals) { $0 }
    case ort_float16: sdk_cast_f32_f16(reals, bytes.pointer, reals.count)
    case ort_bfloat16: sdk_cast_f32_bf16(reals, bytes.pointer, reals.count)
    case ort_float64: store(reals) { Double($0) }
    default:
      // Timesteps of models that count them.
      var integers: [Int32] = []
      for real in reals {
        guard let integer = Int32(exactly: real) else {
          throw EngineError(
            .input, "the input takes integers (got \(real))", context: context,
            hint: "export the network again, with a timestep in float32")
        }
        integers.append(integer)
      }
      try write(integers: integers, context)
    }
  }

  private func write(integers: [Int32], _ context: String) throws(EngineError) {
    switch Int(element) {
    case ort_int32: store(integers) { $0 }
    case ort_int64: store(integers) { Int64($0) }
    case ort_bool: store(integers) { UInt8($0 == 0 ? 0 : 1) }
    case ort_int8, ort_uint8:
      throw EngineError(.unsupported, "inputs of 8 bits are not supported", context: context)
    default: try write(reals: integers.map { Float($0) }, context)
    }
  }

  private func store<From, To>(_ elements: [From], _ convert: (From) -> To) {
    let target = bytes.pointer.assumingMemoryBound(to: To.self)
    for (index, element) in elements.enumerated() { target[index] = convert(element) }
  }

  /// The value of a tensor's bytes, as real numbers or integers.
  static func value(
    _ bytes: UnsafeRawPointer, _ element: Int32, _ shape: [Int]
  ) -> Value {
    let count = shape.reduce(1, *)
    func reals(
      _ convert: (UnsafeRawPointer, UnsafeMutablePointer<Float>) -> Void
    ) -> Value {
      let values = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
        if let base = buffer.baseAddress { convert(bytes, base) }
        initialized = count
      }
      return Value(values, shape: shape)
    }
    func integers<Element: BinaryInteger>(_ type: Element.Type) -> Value {
      let source = UnsafeBufferPointer(
        start: bytes.assumingMemoryBound(to: Element.self), count: count)
      return Value(ids: source.map { Int32(clamping: $0) }, shape: shape)
    }
    return switch Int(element) {
    case ort_float16: reals { sdk_cast_f16_f32($0, $1, count) }
    case ort_bfloat16: reals { sdk_cast_bf16_f32($0, $1, count) }
    case ort_float64: reals { sdk_cast_f64_f32($0, $1, count) }
    case ort_int64: integers(Int64.self)
    case ort_int32: integers(Int32.self)
    case ort_int8: integers(Int8.self)
    case ort_bool, ort_uint8: integers(UInt8.self)
    default: reals { $1.update(from: $0.assumingMemoryBound(to: Float.self), count: count) }
    }
  }
}
