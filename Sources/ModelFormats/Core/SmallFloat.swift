/// Floating-point numbers of at most eight bits, and tensors of them and of F64, which are read as
/// F32.
extension DType {
  /// Whether this is one of the four 8-bit floating-point types used for weights. Each of their
  /// values is exact in F16, BF16 and F32.
  public var isEightBitFloat: Bool {
    switch self {
    case .float8E4M3, .float8E5M2, .float8E4M3FNUZ, .float8E5M2FNUZ: true
    default: false
    }
  }

  /// Whether computations read the type as F32: 8-bit types and F64.
  package var isReadAsF32: Bool { isEightBitFloat || self == .float64 }

  /// The value of a byte of an 8-bit type.
  ///
  /// Source: the OCP 8-bit floating point and microscaling formats, and for FNUZ "8-bit Numerical
  /// Formats for Deep Neural Networks" (Noune et al., 2022).
  package func number(of byte: UInt8) -> Double {
    switch self {
    case .int8: return Double(Int8(bitPattern: byte))
    case .bool: return byte == 0 ? 0 : 1
    case .float8E8M0:
      return byte == 0xFF ? .nan : Double(sign: .plus, exponent: Int(byte) - 127, significand: 1)
    case .float8E4M3:
      if byte & 0x7F == 0x7F { return byte & 0x80 == 0 ? .nan : -.nan }
      return DType.minifloat(byte, exponentBits: 4, fractionBits: 3, bias: 7)
    case .float8E5M2:
      let isNegative = byte & 0x80 != 0
      if byte & 0x7C == 0x7C {
        guard byte & 3 == 0 else { return isNegative ? -.nan : .nan }
        return isNegative ? -.infinity : .infinity
      }
      return DType.minifloat(byte, exponentBits: 5, fractionBits: 2, bias: 15)
    case .float8E4M3FNUZ:
      return byte == 0x80
        ? .nan : DType.minifloat(byte, exponentBits: 4, fractionBits: 3, bias: 8)
    case .float8E5M2FNUZ:
      return byte == 0x80
        ? .nan : DType.minifloat(byte, exponentBits: 5, fractionBits: 2, bias: 16)
    default: return Double(byte)
    }
  }

  /// Decodes sign, exponent and fraction; exponent 0 is subnormal, and there are no special values.
  package static func minifloat(
    _ bits: UInt8, exponentBits: Int, fractionBits: Int, bias: Int
  ) -> Double {
    let fraction = Double(bits & (1 << fractionBits - 1)) / Double(1 << fractionBits)
    let exponent = Int(bits >> fractionBits) & (1 << exponentBits - 1)
    let isNegative = bits >> (exponentBits + fractionBits) & 1 == 1
    let magnitude = Double(
      sign: .plus, exponent: max(1, exponent) - bias,
      significand: fraction + (exponent == 0 ? 0 : 1))
    return isNegative ? -magnitude : magnitude
  }

  /// The value of each byte, in float32.
  fileprivate var singles: [Float] { (0...UInt8.max).map { Float(number(of: $0)) } }
}

extension Tensor {
  /// Whether the file contains 8-bit floating-point values, read as F32 or not.
  package var isEightBit: Bool {
    if case .scaled(let values, _) = storage { values.isEightBit } else { dtype.isEightBitFloat }
  }

  /// The values read as F32, if the type is an 8-bit floating-point type or F64; otherwise the
  /// tensor itself.
  ///
  /// - Parameter scales: factors of the values, in float32: one for all, or one for each of equal
  ///   runs of values (within rows).
  package func decoded(scales: [Float] = [1]) -> Tensor {
    guard dtype.isReadAsF32 else { return self }
    precondition(
      !scales.isEmpty && elementCount.isMultiple(of: scales.count), "scales do not fit the values")
    return Tensor(
      name: name, dtype: .float32, shape: shape, storage: .scaled(self, scales: scales),
      storedShape: storedShape)
  }
}

/// Decodes values of an 8-bit type or F64 and multiplies them by scales.
struct ScaledDecoder {
  /// The value of each byte of an 8-bit type, multiplied by the scale if there is only one. Empty
  /// for F64.
  private let table: [Float]
  /// Bytes per value.
  private let width: Int
  private let scales: [Float]
  /// Elements that share a scale.
  private let run: Int

  init(_ values: Tensor, _ scales: [Float]) {
    width = values.dtype.bitWidth / 8
    let singles = width == 1 ? values.dtype.singles : []
    table = scales.count == 1 && scales[0] != 1 ? singles.map { $0 * scales[0] } : singles
    self.scales = scales
    run = max(1, values.elementCount / scales.count)
  }

  /// The values of these bytes in float32.
  ///
  /// - Parameter first: the position of the first value in its tensor.
  func numbers(of bytes: UnsafeRawBufferPointer, first: Int) -> [Float] {
    let size = bytes.count / width
    return unsafe [Float](unsafeUninitializedCapacity: size) { output, count in
      unsafe decode(bytes, first: first, into: output)
      count = size
    }
  }

  /// - Parameter output: room for the values.
  private func decode(
    _ bytes: UnsafeRawBufferPointer, first: Int, into output: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(output.count >= bytes.count / width, "no room for the values")
    guard width == 1 else {
      for index in 0..<(bytes.count / width) {
        let value = unsafe bytes.loadUnaligned(fromByteOffset: index * width, as: Double.self)
        let scale = scales.count == 1 ? scales[0] : scales[(first + index) / run]
        unsafe output[index] = scale == 1 ? Float(value) : Float(value) * scale
      }
      return
    }
    unsafe table.withUnsafeBufferPointer { table in
      guard scales.count > 1 else {
        for index in bytes.indices { unsafe output[index] = table[Int(bytes[index])] }
        return
      }
      var index = 0
      while index < bytes.count {
        let group = (first + index) / run
        let end = min(bytes.count, (group + 1) * run - first)
        let scale = scales[group]
        for place in index..<end { unsafe output[place] = table[Int(bytes[place])] * scale }
        index = end
      }
    }
  }
}
