import CKernels
import ModelFormats

/// How a dtype's stored bits are converted to numbers.
enum NumberKind {
  /// With a kernel.
  case number(sdk_number)
  /// With a lookup table: types of at most eight bits.
  case table(ByteTable)

  /// - Returns: nil for the packed 6-bit types, whose bit order is unspecified.
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

/// The numbers in a byte of a small type.
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
          DType.minifloat($0, exponentBits: 2, fractionBits: 1, bias: 1)
        }
      }
      return [dtype.number(of: byte)]
    }
  }

  /// The numbers in a byte: one, or for F4 two.
  func numbers(of byte: UInt8) -> [Double] { numbers[Int(byte)] }

  /// The counts of numbers, given the counts of bytes.
  func counts(of bytes: [Int]) -> [(value: Value, count: Int)] {
    zip(numbers, bytes).flatMap { numbers, count in
      numbers.map { (Value(number: $0, isFloatingPoint: isFloatingPoint), count) }
    }
  }
}
