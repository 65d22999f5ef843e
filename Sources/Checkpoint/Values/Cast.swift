import CKernels
import ModelFormats
import OrderedJSON

/// A floating-point cast, in pieces whose size does not depend on the tensor's.
///
/// Values, including F64, are rounded once, to nearest even. Integers are never cast.
public struct Cast: Sendable {
  /// The types to which values are cast.
  public static let types: [DType] = [.float32, .float16, .bfloat16]
  /// Source types that are cast directly: these and F64.
  static let direct: [DType] = types + [.float64]
  /// All source types of casts: these and the 8-bit types, which are read as F32.
  public static let sources: [DType] = direct + DType.allCases.filter(\.isEightBitFloat)
  /// These types, for messages.
  static let sourceNames = "F64, F32, F16, BF16 or F8"

  /// The dtype that is read.
  public let source: DType
  /// The dtype that is written.
  public let target: DType
  /// Whether finite values out of range are clamped instead of causing an error.
  public let saturating: Bool

  /// - Returns: nil unless the target is F32, F16 or BF16 and the source one of them or F64.
  public init?(from source: DType, to target: DType, saturating: Bool = false) {
    guard Cast.direct.contains(source), Cast.types.contains(target) else { return nil }
    self.source = source
    self.target = target
    self.saturating = saturating
  }

  /// The resulting dtype of a tensor of type `source` when `requested` is requested.
  static func result(of source: DType, requested: DType?) -> DType {
    guard let requested, sources.contains(source), types.contains(requested) else { return source }
    return requested
  }

  /// The largest finite value of a target dtype, as text.
  package static func largest(of dtype: DType) -> String {
    switch dtype {
    case .float16: "65504"
    case .bfloat16: "3.39e38"
    default: "3.40e38"
    }
  }

  /// The message about values out of range, to append to their number.
  package static func overflowReason(_ dtype: DType) -> String {
    "beyond \(largest(of: dtype)), the largest that \(dtype.rawValue) holds"
  }

  /// The hint for values out of range.
  package static func overflowHint(_ dtype: DType, verb: String) -> Remedy {
    let wider = dtype == .float16 ? "\(verb) to bf16, or pass" : "pass"
    return "\(wider) \(set: .saturate) to make them \(largest(of: dtype))"
  }

  /// Elements cast at a time; small enough to stay in a core's cache.
  static let pieceSize = 256 << 10

  /// Casts `count` elements, at most ``pieceSize``.
  ///
  /// - Parameter scratch: room for as many F32.
  /// - Returns: the number of finite values out of range of F16, or F64 values out of range of the
  ///   target; zero for other casts.
  func apply(
    to input: UnsafeRawPointer, count: Int, into output: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) -> Int {
    // Everything is converted through F32, in which every F16 and BF16 is exact. F64 is rounded to
    // odd, so that the second rounding equals a single rounding.
    var single = input
    switch source {
    case .float64 where target == .float32:
      sdk_cast_f64_f32(input, output, count)
      let beyond = sdk_count_f32_overflow(input, count)
      if saturating && beyond > 0 { sdk_saturate_f32(input, output, count) }
      return beyond
    case .float64:
      sdk_cast_f64_f32_odd(input, scratch, count)
      single = UnsafeRawPointer(scratch)
    case .float16 where target == .float32:
      sdk_cast_f16_f32(input, output, count)
      return 0
    case .bfloat16 where target == .float32:
      sdk_cast_bf16_f32(input, output, count)
      return 0
    case .float16:
      sdk_cast_f16_f32(input, scratch, count)
      single = UnsafeRawPointer(scratch)
    case .bfloat16:
      sdk_cast_bf16_f32(input, scratch, count)
      single = UnsafeRawPointer(scratch)
    default: break
    }
    switch target {
    case .float16:
      let beyond = sdk_count_f16_overflow(single, count)
      if saturating && beyond > 0 {
        if single != UnsafeRawPointer(scratch) {
          scratch.copyMemory(from: single, byteCount: count * 4)
          single = UnsafeRawPointer(scratch)
        }
        sdk_saturate_f16(scratch, count)
      }
      sdk_cast_f32_f16(single, output, count)
      return beyond
    case .bfloat16:
      let beyond = source == .float64 ? sdk_count_bf16_overflow(single, count) : 0
      if saturating && beyond > 0 { sdk_saturate_bf16(scratch, count) }
      sdk_cast_f32_bf16(single, output, count)
      return beyond
    default: output.copyMemory(from: single, byteCount: count * 4)
    }
    return 0
  }

  /// Casts `bytes` and calls `body` with the pieces of the result in order.
  ///
  /// - Returns: as ``apply(to:count:into:scratch:)``.
  func apply<E: Error>(
    to bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(E) -> Void
  ) throws(E) -> Int {
    let width = source.bitWidth / 8
    let count = bytes.count / width
    guard count > 0, let base = bytes.baseAddress else { return 0 }
    let piece = min(count, Cast.pieceSize)
    let scratch = UnsafeMutableRawPointer.allocate(byteCount: piece * 4, alignment: 64)
    defer { scratch.deallocate() }
    let result = UnsafeMutableRawPointer.allocate(byteCount: piece * 4, alignment: 64)
    defer { result.deallocate() }

    var overflows = 0
    for start in stride(from: 0, to: count, by: piece) {
      let count = min(piece, count - start)
      overflows += apply(to: base + start * width, count: count, into: result, scratch: scratch)
      try body(UnsafeRawBufferPointer(start: result, count: count * target.bitWidth / 8))
    }
    return overflows
  }
}

extension Tensor {
  /// Calls `body` with the contiguous values as `dtype`, piece by piece.
  ///
  /// - Parameter saturating: whether values out of range are clamped.
  /// - Throws: ``FormatError`` `unsupported` if there is no such cast, `mismatch` if finite values
  ///   would become infinite; by then they have been passed to `body`.
  public func withPieces(
    as dtype: DType, saturating: Bool = false,
    _ body: (UnsafeRawBufferPointer) throws(FormatError) -> Void
  ) throws(FormatError) {
    if dtype == self.dtype {
      return try withContiguousPieces(body)
    }
    if self.dtype.isEightBitFloat {
      return try decoded().withPieces(as: dtype, saturating: saturating, body)
    }
    let overflows = try cast(to: dtype, saturating: saturating, body)
    guard overflows == 0 || saturating else {
      throw FormatError(
        .mismatch,
        "\(overflows) of \(elementCount.of("value")) \(overflows == 1 ? "is" : "are") "
          + Cast.overflowReason(dtype),
        file: file?.path, context: name,
        hint: Cast.overflowHint(dtype, verb: "convert"))
    }
  }

  /// Like ``withPieces(as:saturating:_:)``, but clamps values out of range.
  ///
  /// - Returns: the number of clamped values.
  package func withSaturatedPieces(
    as dtype: DType, _ body: (UnsafeRawBufferPointer) throws(FormatError) -> Void
  ) throws(FormatError) -> Int {
    guard dtype == self.dtype else {
      let source = self.dtype == .float64 ? self : decoded()
      return try source.cast(to: dtype, saturating: true, body)
    }
    try withPieces(as: dtype, body)
    return 0
  }

  private func cast(
    to dtype: DType, saturating: Bool, _ body: (UnsafeRawBufferPointer) throws(FormatError) -> Void
  ) throws(FormatError) -> Int {
    if dtype == self.dtype {
      try withContiguousPieces(body)
      return 0
    }
    guard let cast = Cast(from: self.dtype, to: dtype, saturating: saturating) else {
      throw FormatError(
        .unsupported, "\(self.dtype.rawValue) values are not cast to \(dtype.rawValue)",
        file: file?.path, context: name)
    }
    var overflows = 0
    try withContiguousPieces { (bytes) throws(FormatError) in
      overflows += try cast.apply(to: bytes, body)
    }
    return overflows
  }
}
