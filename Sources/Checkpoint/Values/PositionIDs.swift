import ModelFormats

/// The text encoder's buffer of the numbers 0, 1, 2, …, which is not a weight.
///
/// Merges of checkpoints have cast it, and averaged it to fractional or wrong numbers; programs
/// that look up positions with it then ignore some tokens and use others twice. Single files of
/// 2022 have it, current repositories do not.
enum PositionIDs {
  static func isName(_ name: String) -> Bool { name.hasSuffix("position_ids") }

  /// The maximum number of positions; models have 77 or 257.
  private static let limit = 65_536

  /// As in every valid checkpoint: I64 `[1, count]`.
  static func tensor(named name: String, count: Int) -> Tensor {
    Tensor(
      name: name, dtype: .int64, shape: [1, count],
      storage: .memory(
        (0..<count).flatMap { value in
          withUnsafeBytes(of: Int64(value).littleEndian) { Array($0) }
        }))
  }

  /// Whether the tensor can be such a buffer: a row of numbers.
  static func isRow(_ tensor: Tensor) -> Bool {
    // A tensor that exists only in a graph has no values.
    if case .memory(let bytes) = tensor.storage, bytes.count < tensor.byteCount { return false }
    return isName(tensor.name) && (1...limit).contains(tensor.elementCount)
      && tensor.shape.last == tensor.elementCount
  }

  /// Whether a row contains 0, 1, 2, … in order; nil if its type cannot be read as numbers.
  static func isSound(_ tensor: Tensor) -> Bool? {
    let wanted = self.tensor(named: tensor.name, count: tensor.elementCount)
    guard let result = try? TensorComparison.of([(tensor, wanted)]).first, result.isCompared
    else { return nil }
    return result.differing == 0
  }

  /// Whether a conversion rewrites the row.
  static func needsRepair(_ tensor: Tensor) -> Bool {
    isRow(tensor) && (tensor.dtype.isFloatingPoint || isSound(tensor) == false)
  }

  /// The contents of a row, for example "I64, not the numbers 0 to 76 (missing: 76)".
  static func contents(_ tensor: Tensor) -> String {
    guard isSound(tensor) == false else { return tensor.dtype.rawValue }
    let wanted = 0..<tensor.elementCount
    let missing = numbers(tensor).map { found in wanted.filter { !found.contains(Double($0)) } }
    return "\(tensor.dtype.rawValue), not the numbers 0 to \(wanted.upperBound - 1)"
      + (missing.map {
        $0.isEmpty
          ? " in their order" : " (missing: \(Leftover.shown($0.map(String.init), limit: 8)))"
      } ?? "")
  }

  /// The distinct values of a row; nil for types other than castable ones and 32-bit or 64-bit
  /// integers.
  private static func numbers(_ tensor: Tensor) -> Set<Double>? {
    var numbers: Set<Double> = []
    func add<Value>(_ bytes: [UInt8], _ value: (Value) -> Double) {
      bytes.withUnsafeBytes { bytes in
        let width = MemoryLayout<Value>.size
        for offset in stride(from: 0, through: bytes.count - width, by: width) {
          numbers.insert(value(bytes.loadUnaligned(fromByteOffset: offset, as: Value.self)))
        }
      }
    }
    switch tensor.dtype {
    case .int64: add(tensor.contiguousBytes()) { (value: Int64) in Double(value) }
    case .int32: add(tensor.contiguousBytes()) { (value: Int32) in Double(value) }
    case let dtype where Cast.direct.contains(dtype):
      let isRead: Void? = try? tensor.withPieces(as: .float32) { (piece) throws(FormatError) in
        add(Array(piece)) { (value: Float) in Double(value) }
      }
      guard isRead != nil else { return nil }
    default: return nil
    }
    return numbers
  }
}

extension Component {
  /// Position ids that are not 0, 1, 2, …: one sentence each.
  var positionFaults: [String] {
    tensors.filter { PositionIDs.isRow($0) && PositionIDs.isSound($0) == false }.map { tensor in
      "\(tensor.displayName) holds \(PositionIDs.contents(tensor)): programs that read positions from "
        + "it skip or repeat tokens; conversion repairs it"
    }
  }
}
