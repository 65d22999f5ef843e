/// A GGUF tensor type, by its number.
///
/// Source: `enum ggml_type` and its traits in ggml's `ggml.h` and `ggml.c`.
struct GGUFType {
  enum Values {
    case plain(DType)
    case blocks(BlockEncoding)
    /// Blocks of known size that are not decoded.
    case opaque(String, blockSize: Int, blockByteCount: Int)
  }

  let values: Values

  /// Nil for an unknown or removed type number.
  init?(number: UInt32) {
    switch number {
    case 0: values = .plain(.float32)
    case 1: values = .plain(.float16)
    case 2: values = .blocks(.q40)
    case 3: values = .blocks(.q41)
    case 6: values = .blocks(.q50)
    case 7: values = .blocks(.q51)
    case 8: values = .blocks(.q80)
    case 9: values = .opaque("Q8_1", blockSize: 32, blockByteCount: 36)
    case 10: values = .blocks(.q2K)
    case 11: values = .blocks(.q3K)
    case 12: values = .blocks(.q4K)
    case 13: values = .blocks(.q5K)
    case 14: values = .blocks(.q6K)
    case 15: values = .blocks(.q8K)
    case 16: values = .opaque("IQ2_XXS", blockSize: 256, blockByteCount: 66)
    case 17: values = .opaque("IQ2_XS", blockSize: 256, blockByteCount: 74)
    case 18: values = .opaque("IQ3_XXS", blockSize: 256, blockByteCount: 98)
    case 19: values = .opaque("IQ1_S", blockSize: 256, blockByteCount: 50)
    case 20: values = .opaque("IQ4_NL", blockSize: 32, blockByteCount: 18)
    case 21: values = .opaque("IQ3_S", blockSize: 256, blockByteCount: 110)
    case 22: values = .opaque("IQ2_S", blockSize: 256, blockByteCount: 82)
    case 23: values = .opaque("IQ4_XS", blockSize: 256, blockByteCount: 136)
    case 24: values = .plain(.int8)
    case 25: values = .plain(.int16)
    case 26: values = .plain(.int32)
    case 27: values = .plain(.int64)
    case 28: values = .plain(.float64)
    case 29: values = .opaque("IQ1_M", blockSize: 256, blockByteCount: 56)
    case 30: values = .plain(.bfloat16)
    case 34: values = .opaque("TQ1_0", blockSize: 256, blockByteCount: 54)
    case 35: values = .opaque("TQ2_0", blockSize: 256, blockByteCount: 66)
    case 39: values = .opaque("MXFP4", blockSize: 32, blockByteCount: 17)
    case 40: values = .opaque("NVFP4", blockSize: 64, blockByteCount: 36)
    case 41: values = .opaque("Q1_0", blockSize: 128, blockByteCount: 18)
    default: return nil
    }
  }

  var name: String {
    switch values {
    case .plain(let dtype): dtype.rawValue
    case .blocks(let encoding): encoding.rawValue
    case .opaque(let name, _, _): name
    }
  }

  /// Elements and bytes per block.
  var block: (size: Int, byteCount: Int) {
    switch values {
    case .plain(let dtype): (1, dtype.bitWidth / 8)
    case .blocks(let encoding): (encoding.blockSize, encoding.blockByteCount)
    case .opaque(_, let size, let byteCount): (size, byteCount)
    }
  }
}
