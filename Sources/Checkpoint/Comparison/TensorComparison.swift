import CKernels
import Glibc
import ModelFormats
import Synchronization

/// The difference of the values of two tensors with equal element counts.
///
/// A complex element is one value with its modulus as magnitude; it is NaN or infinite if a part
/// is.
public struct TensorComparison: Sendable, Hashable {
  /// Elements that differ as numbers; NaN equals NaN, and 0 equals -0.
  public internal(set) var differing = 0
  /// Among them, elements with a NaN, or an infinity that the other side does not have.
  public internal(set) var unlike = 0
  /// The largest `|a - b|` of the others; infinite if it overflows F64.
  public internal(set) var maximumAbsolute = 0.0
  /// The largest `|a - b| / max(|a|, |b|)` of the others.
  public internal(set) var maximumRelative = 0.0
  /// Whether the stored bytes are equal, which requires equal types.
  public internal(set) var isIdentical = true
  /// Whether one side is the other rounded to its type: F16 or BF16 values that differ from a wider
  /// type only by the cast.
  public internal(set) var isRounded = false
  /// Whether the values could be compared; packed 6-bit types cannot, nor complex with real ones.
  public internal(set) var isCompared = true
  var square = 0.0
  /// The number of elements.
  var count = 0

  /// The root mean square difference; infinite if squares overflow F64.
  public var rootMeanSquare: Double {
    count == 0 ? 0 : (square / Double(count)).squareRoot()
  }

  mutating func add(_ other: TensorComparison) {
    differing += other.differing
    unlike += other.unlike
    maximumAbsolute = max(maximumAbsolute, other.maximumAbsolute)
    maximumRelative = max(maximumRelative, other.maximumRelative)
    isIdentical = isIdentical && other.isIdentical
    isRounded = isRounded && other.isRounded
    isCompared = isCompared && other.isCompared
    square += other.square
    count += other.count
  }
}

extension TensorComparison {
  /// Compares pairs of tensors on all cores, a block at a time, by value if their types differ.
  ///
  /// - Parameter progress: called occasionally, on the caller's thread, with the fraction done.
  /// - Precondition: the tensors of a pair have equal element counts.
  /// - Throws: ``FormatError`` if reading fails.
  public static func of(
    _ pairs: [(Tensor, Tensor)], _ progress: (Double) -> Void = { _ in }
  ) throws(FormatError) -> [TensorComparison] {
    let work = ElementBlocks(
      pairs.map { left, right in
        precondition(left.elementCount == right.elementCount, "the tensors differ in size")
        return (left.elementCount, max(left.dtype.bitWidth, right.dtype.bitWidth))
      })
    let results = Mutex([TensorComparison](repeating: .init(), count: work.blocks.count))
    try work.share(progress) { (next) throws(FormatError) in
      let buffers = (BlockBuffer(), BlockBuffer(), BlockBuffer())
      while let position = next() {
        let block = work.blocks[position]
        let (left, right) = pairs[block.tensor]
        let result = try left.withElements(block.elements, buffers.0) {
          (a) throws(FormatError) in
          try right.withElements(block.elements, buffers.1) { (b) throws(FormatError) in
            compare(a, left.dtype, b, right.dtype, buffers.2)
          }
        }
        results.withLock { $0[position] = result }
      }
    }
    var sums = pairs.map { left, right in
      var none = TensorComparison()
      none.isRounded = Rounding(left.dtype, right.dtype) != nil
      return none
    }
    results.withLock { results in
      for (block, result) in zip(work.blocks, results) { sums[block.tensor].add(result) }
    }
    return sums
  }

  private static func compare(
    _ a: UnsafeRawBufferPointer, _ aType: DType, _ b: UnsafeRawBufferPointer, _ bType: DType,
    _ buffer: BlockBuffer
  ) -> TensorComparison {
    var result = TensorComparison()
    result.count = a.count * 8 / aType.bitWidth
    if aType == bType {
      result.isIdentical = memcmp(a, b) == 0
      if result.isIdentical { return result }
    } else {
      result.isIdentical = false
    }
    if let rounding = Rounding(aType, bType) {
      result.isRounded = rounding.holds(a, b, buffer)
    }
    guard aType.isComplex == bType.isComplex, let left = NumberKind(aType),
      let right = NumberKind(bType)
    else {
      result.isCompared = false
      return result
    }
    guard !aType.isComplex else {
      result.addComplex(left.doubles(a), right.doubles(b))
      return result
    }
    var sums = sdk_comparison()
    switch (left, right) {
    case (.number(let leftType), .number(let rightType)):
      sdk_compare(
        a.baseAddress, leftType, b.baseAddress, rightType,
        min(result.count, b.count / sdk_number_size(rightType)), &sums)
    default:
      // Convert to F64, a few at a time; such types are rare.
      let values = (left.doubles(a), right.doubles(b))
      sdk_compare(
        values.0, SDK_NUMBER_F64, values.1, SDK_NUMBER_F64,
        min(values.0.count, values.1.count), &sums)
    }
    result.differing = sums.differing
    result.unlike = sums.unlike
    result.maximumAbsolute = sums.absolute
    result.maximumRelative = sums.relative
    result.square = sums.square
    return result
  }

  /// Compares elements given as alternating real and imaginary parts.
  private mutating func addComplex(_ a: [Double], _ b: [Double]) {
    func isSame(_ a: Double, _ b: Double) -> Bool { a == b || (a.isNaN && b.isNaN) }
    for index in stride(from: 0, to: min(a.count, b.count) - 1, by: 2) {
      let (left, right) = ((a[index], a[index + 1]), (b[index], b[index + 1]))
      guard !isSame(left.0, right.0) || !isSame(left.1, right.1) else { continue }
      differing += 1
      let parts = [left.0, left.1, right.0, right.1]
      guard parts.allSatisfy(\.isFinite) else {
        unlike += 1
        continue
      }
      // The ratio is within F64 even if the moduli are not.
      let isLarge = parts.contains { $0.magnitude > 0x1p1020 }
      let scale = isLarge ? 0.25 : 1
      let distance = hypot(
        left.0 * scale - right.0 * scale, left.1 * scale - right.1 * scale)
      let size = max(
        hypot(left.0 * scale, left.1 * scale), hypot(right.0 * scale, right.1 * scale))
      let absolute = distance / scale
      maximumAbsolute = max(maximumAbsolute, absolute)
      maximumRelative = max(maximumRelative, distance / size)
      square += absolute * absolute
    }
  }

  private static func memcmp(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int32 {
    guard let left = a.baseAddress, let right = b.baseAddress else { return 0 }
    return sdk_bytes_differ(left, right, min(a.count, b.count))
  }
}

/// Whether one of two arrays is the other rounded to its type.
private struct Rounding {
  private let wide: sdk_type
  private let narrow: sdk_type
  private let isLeftWide: Bool

  /// - Returns: nil unless one type is wider: F32 than F16 and BF16. Casts between these two do not
  ///   occur in practice.
  init?(_ left: DType, _ right: DType) {
    let narrows: [DType: sdk_type] = [.float16: SDK_F16, .bfloat16: SDK_BF16]
    if left == .float32, let narrow = narrows[right] {
      (wide, self.narrow, isLeftWide) = (SDK_F32, narrow, true)
    } else if right == .float32, let narrow = narrows[left] {
      (wide, self.narrow, isLeftWide) = (SDK_F32, narrow, false)
    } else {
      return nil
    }
  }

  func holds(
    _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, _ buffer: BlockBuffer
  ) -> Bool {
    let (from, to) = isLeftWide ? (a, b) : (b, a)
    let count = to.count / 2
    let rounded = buffer.bytes(2 * count)
    guard let source = from.baseAddress, let target = rounded.baseAddress,
      let stored = to.baseAddress
    else { return true }
    sdk_convert_serial(source, wide, target, narrow, count)
    return sdk_bytes_differ(target, stored, 2 * count) == 0
  }
}

extension NumberKind {
  /// The numbers as F64.
  fileprivate func doubles(_ bytes: UnsafeRawBufferPointer) -> [Double] {
    switch self {
    case .table(let table):
      return bytes.flatMap { table.numbers(of: $0) }
    case .number(let type):
      var result = [Double](repeating: 0, count: bytes.count / sdk_number_size(type))
      sdk_to_f64(bytes.baseAddress, type, &result, result.count)
      return result
    }
  }
}
