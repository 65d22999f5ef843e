import CKernels
import ModelFormats

/// Writes tensors one after the other as F32, casting a piece at a time.
final class WeightCopy {
  /// Elements that are cast at once.
  private static let pieceCount = 1 << 20

  private let writer: FileWriter
  private let piece = UnsafeMutablePointer<Float>.allocate(capacity: WeightCopy.pieceCount)

  init(_ writer: FileWriter) {
    self.writer = writer
  }

  deinit {
    piece.deallocate()
  }

  /// - Throws: ``FormatError`` with code `unsupported` for types that are not cast here.
  func write(_ tensor: Tensor) throws(FormatError) {
    let cast: (UnsafeRawPointer, UnsafeMutablePointer<Float>, Int) -> Void
    switch tensor.dtype {
    case .float32:
      return try tensor.withContiguousBytes { bytes throws(FormatError) in
        try writer.write(bytes)
      }
    case .float16: cast = { sdk_cast_f16_f32($0, $1, $2) }
    case .bfloat16: cast = { sdk_cast_bf16_f32($0, $1, $2) }
    case .float64:
      cast = { source, target, count in
        for index in 0..<count {
          target[index] = Float(source.loadUnaligned(fromByteOffset: 8 * index, as: Double.self))
        }
      }
    default:
      throw FormatError(
        .unsupported, "weights of type \(tensor.dtype.rawValue) cannot be written as F32",
        file: tensor.file?.path, context: tensor.name)
    }
    try tensor.withContiguousBytes { bytes throws(FormatError) in
      guard let source = bytes.baseAddress else { return }
      var start = 0
      while start < tensor.elementCount {
        let count = min(WeightCopy.pieceCount, tensor.elementCount - start)
        cast(source + start * (tensor.dtype.bitWidth / 8), piece, count)
        try writer.write(UnsafeRawBufferPointer(start: piece, count: 4 * count))
        start += count
      }
    }
  }
}
