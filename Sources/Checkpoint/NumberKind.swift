import CKernels
import ModelFormats

/// How a type's stored bits are read as numbers.
enum NumberKind {
  /// By a kernel.
  case number(sdk_number)
  /// By looking them up: the types of eight bits and less.
  case table(ByteTable)

  /// - Returns: nil for the packed 6-bit types, for which no order of bits is laid down.
  init?(_ dtype: DType) {
    switch dtype {
    case .float32, .complex64: self = .number(SDK_NUMBER_F32)
    case .float16, .complex32: self = .number(SDK_NUMBER_F16)
    case .bfloat16: self = .number(SDK_NUMBER_BF16)
    case .float64, .complex128: self = .number(SDK_NUMBER_F64)
    case .int16: self = .number(SDK_NUMBER_I16)
    case .uint16: self = .number(SDK_NUMBER_U16)
    case .int32: self = .number(SDK_NUMBER_I32)
    case .uint32: self = .number(SDK_NUMBER_U32)
    case .int64: self = .number(SDK_NUMBER_I64)
    case .uint64: self = .number(SDK_NUMBER_U64)
    case .float6E2M3, .float6E3M2: return nil
    case .bool, .uint8, .int8, .float4, .float8E5M2, .float8E4M3, .float8E8M0, .float8E4M3FNUZ,
      .float8E5M2FNUZ:
      self = .table(ByteTable(dtype))
    }
  }
}

/// The numbers that a byte of a small type stands for.
struct ByteTable {
  struct Value {
    let number: Double
    let isFloatingPoint: Bool
  }

  /// One number for each byte, or for F4 two.
  private let numbers: [[Double]]
  private let isFloatingPoint: Bool

  init(_ dtype: DType) {
    isFloatingPoint = dtype.isFloatingPoint
    numbers = (0...UInt8.max).map { byte in
      if dtype == .float4 {
        return [byte & 15, byte >> 4].map {
          ByteTable.minifloat($0, exponentBits: 2, fractionBits: 1, bias: 1)
        }
      }
      return [ByteTable.number(byte, dtype)]
    }
  }

  /// The numbers in a byte: one, or for F4 two.
  func numbers(of byte: UInt8) -> [Double] { numbers[Int(byte)] }

  /// How often each number occurs, given how often each byte does.
  func counts(of bytes: [Int]) -> [(value: Value, count: Int)] {
    zip(numbers, bytes).flatMap { numbers, count in
      numbers.map { (Value(number: $0, isFloatingPoint: isFloatingPoint), count) }
    }
  }

  /// The number that a byte of an 8-bit type stands for.
  ///
  /// Source: the OCP 8-bit floating point and microscaling formats, and for FNUZ "8-bit Numerical
  /// Formats for Deep Neural Networks" (Noune et al., 2022).
  static func number(_ byte: UInt8, _ dtype: DType) -> Double {
    switch dtype {
    case .int8: return Double(Int8(bitPattern: byte))
    case .bool: return byte == 0 ? 0 : 1
    case .float8E8M0:
      return byte == 0xFF ? .nan : Double(sign: .plus, exponent: Int(byte) - 127, significand: 1)
    case .float8E4M3:
      if byte & 0x7F == 0x7F { return .nan }
      return minifloat(byte, exponentBits: 4, fractionBits: 3, bias: 7)
    case .float8E5M2:
      if byte & 0x7C == 0x7C {
        guard byte & 3 == 0 else { return .nan }
        return byte & 0x80 == 0 ? .infinity : -.infinity
      }
      return minifloat(byte, exponentBits: 5, fractionBits: 2, bias: 15)
    case .float8E4M3FNUZ:
      return byte == 0x80 ? .nan : minifloat(byte, exponentBits: 4, fractionBits: 3, bias: 8)
    case .float8E5M2FNUZ:
      return byte == 0x80 ? .nan : minifloat(byte, exponentBits: 5, fractionBits: 2, bias: 16)
    default: return Double(byte)
    }
  }

  /// A sign, an exponent and a fraction; exponent 0 is subnormal, and nothing is special.
  private static func minifloat(
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
}
