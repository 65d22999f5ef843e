/// A quantized encoding of GGUF: blocks of adjacent elements that share their scales.
///
/// Blocks run along the innermost dimension. Values are read as F32; `d` and `m` are F16 scales.
/// Every product and sum below is rounded to F32 separately, so results match the reference bit for
/// bit.
///
/// Source: ggml's `ggml-quants.c` (`dequantize_row_…`) and the `gguf` package's `quants.py`.
public enum BlockEncoding: String, Sendable, CaseIterable, Hashable {
  case q40 = "Q4_0"
  case q41 = "Q4_1"
  case q50 = "Q5_0"
  case q51 = "Q5_1"
  case q80 = "Q8_0"
  case q2K = "Q2_K"
  case q3K = "Q3_K"
  case q4K = "Q4_K"
  case q5K = "Q5_K"
  case q6K = "Q6_K"
  case q8K = "Q8_K"

  /// Elements per block.
  public var blockSize: Int {
    switch self {
    case .q40, .q41, .q50, .q51, .q80: 32
    case .q2K, .q3K, .q4K, .q5K, .q6K, .q8K: 256
    }
  }

  /// Bytes per block.
  public var blockByteCount: Int {
    switch self {
    case .q40: 2 + 16
    case .q41: 2 + 2 + 16
    case .q50: 2 + 4 + 16
    case .q51: 2 + 2 + 4 + 16
    case .q80: 2 + 32
    case .q2K: 16 + 64 + 2 + 2
    case .q3K: 32 + 64 + 12 + 2
    case .q4K: 2 + 2 + 12 + 128
    case .q5K: 2 + 2 + 12 + 32 + 128
    case .q6K: 128 + 64 + 16 + 2
    case .q8K: 4 + 256 + 32
    }
  }

  /// The bytes of a tensor of this shape; nil if its innermost dimension is not a multiple of the
  /// block size or the size overflows `Int`.
  public func byteCount(of shape: Shape) -> Int? {
    guard let count = shape.elementCount, (shape.dimensions.last ?? 1) % blockSize == 0
    else { return nil }
    let (bytes, overflow) = (count / blockSize).multipliedReportingOverflow(by: blockByteCount)
    return overflow ? nil : bytes
  }

  /// Decodes whole blocks.
  ///
  /// - Parameter output: room for ``blockSize`` values per block of `input`.
  func decode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableBufferPointer<Float>) {
    let count = input.count / blockByteCount
    precondition(output.count >= count * blockSize, "no room for the values")
    guard count > 0, var source = unsafe input.assumingMemoryBound(to: UInt8.self).baseAddress,
      var target = output.baseAddress
    else { return }
    let decode = unsafe blockDecoder
    let (blockByteCount, blockSize) = (blockByteCount, blockSize)
    for _ in 0..<count {
      unsafe decode(source, target)
      unsafe source += blockByteCount
      unsafe target += blockSize
    }
  }

  private typealias Decoder = (UnsafePointer<UInt8>, UnsafeMutablePointer<Float>) -> Void

  private var blockDecoder: Decoder {
    switch self {
    case .q40: unsafe BlockEncoding.decodeQ40
    case .q41: unsafe BlockEncoding.decodeQ41
    case .q50: unsafe BlockEncoding.decodeQ50
    case .q51: unsafe BlockEncoding.decodeQ51
    case .q80: unsafe BlockEncoding.decodeQ80
    case .q2K: unsafe BlockEncoding.decodeQ2K
    case .q3K: unsafe BlockEncoding.decodeQ3K
    case .q4K: unsafe BlockEncoding.decodeQ4K
    case .q5K: unsafe BlockEncoding.decodeQ5K
    case .q6K: unsafe BlockEncoding.decodeQ6K
    case .q8K: unsafe BlockEncoding.decodeQ8K
    }
  }

  /// The F16 at `bytes`, little-endian.
  static func half(_ bytes: UnsafePointer<UInt8>) -> Float {
    Float(Float16(bitPattern: unsafe UInt16(bytes[0]) | UInt16(bytes[1]) << 8))
  }
}
