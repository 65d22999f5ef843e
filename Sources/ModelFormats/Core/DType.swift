/// The element type of a tensor, spelled as in the safetensors specification.
///
/// Cases are in the specification's order, by which its writer sorts; the last two exist only in
/// PyTorch. Source: the safetensors format description and `torch.dtype`.
public enum DType: String, Sendable, CaseIterable, Hashable {
  case bool = "BOOL"
  case float4 = "F4"
  case float6E2M3 = "F6_E2M3"
  case float6E3M2 = "F6_E3M2"
  case uint8 = "U8"
  case int8 = "I8"
  case float8E5M2 = "F8_E5M2"
  case float8E4M3 = "F8_E4M3"
  case float8E8M0 = "F8_E8M0"
  case float8E4M3FNUZ = "F8_E4M3FNUZ"
  case float8E5M2FNUZ = "F8_E5M2FNUZ"
  case int16 = "I16"
  case uint16 = "U16"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case int32 = "I32"
  case uint32 = "U32"
  case float32 = "F32"
  case complex64 = "C64"
  case float64 = "F64"
  case int64 = "I64"
  case uint64 = "U64"
  case complex32 = "C32"
  case complex128 = "C128"

  /// Whether a safetensors file can store the type.
  public var isSafetensors: Bool { self != .complex32 && self != .complex128 }

  /// Bits per element; 4 and 6 for the packed types.
  public var bitWidth: Int {
    switch self {
    case .float4: 4
    case .float6E2M3, .float6E3M2: 6
    case .bool, .uint8, .int8, .float8E5M2, .float8E4M3, .float8E8M0, .float8E4M3FNUZ,
      .float8E5M2FNUZ:
      8
    case .int16, .uint16, .float16, .bfloat16: 16
    case .int32, .uint32, .float32, .complex32: 32
    case .complex64, .float64, .int64, .uint64: 64
    case .complex128: 128
    }
  }

  /// Bytes reversed together when the byte order changes: an element, or each part of a complex
  /// number.
  package var swapWidth: Int {
    switch self {
    case .complex32, .complex64, .complex128: bitWidth / 16
    default: max(1, bitWidth / 8)
    }
  }

  package var isComplex: Bool {
    self == .complex32 || self == .complex64 || self == .complex128
  }

  /// Whether elements are real floating-point numbers, so that casts between them make sense.
  public var isFloatingPoint: Bool {
    switch self {
    case .float4, .float6E2M3, .float6E3M2, .float8E5M2, .float8E4M3, .float8E8M0,
      .float8E4M3FNUZ, .float8E5M2FNUZ, .float16, .bfloat16, .float32, .float64:
      true
    case .bool, .uint8, .int8, .int16, .uint16, .int32, .uint32, .complex32, .complex64,
      .complex128, .int64, .uint64:
      false
    }
  }
}
