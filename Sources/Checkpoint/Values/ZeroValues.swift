import ModelFormats
import OrderedJSON

/// Values that were never written, as in a download that reserved its space and stopped, or lost
/// parts.
///
/// A single tensor of zeros proves nothing: biases, zero convolutions and the `up` factors of a new
/// LoRA start as zeros. A file is reported as damaged if
///
/// - its values end in at least 4,096 bytes of zeros that begin inside a tensor and cover 64 KiB of
///   this tensor or 1% of all values; whole rows of zeros at the end of the last weight are padding
///   and do not count;
/// - or its last two or more weights are zeros, with 10% of all values;
/// - or more than half of its weights are zeros, at least 4,096 bytes.
///
/// Weights are tensors with two or more dimensions that are neither buffers nor optimizer state.
/// Values are read backwards from the end while they are zeros; for weights a few positions are
/// checked first, and the whole weight if these are zeros.
package struct ZeroValues: Sendable {
  /// Problems that make a file invalid, one sentence each.
  package private(set) var problems: [String] = []
  /// All-zero weights that may be intended.
  package private(set) var notes: [String] = []

  /// The minimum number of zero bytes that indicates damage.
  private static let leastBytes = 4096
  private static let clearBytes = 64 << 10
  private static let sample = 64
  private static let piece = 1 << 20

  /// A tensor whose values are one range of a file.
  private struct Stretch {
    let tensor: Tensor
    let file: MappedFile
    let range: Range<Int>

    init?(_ tensor: Tensor) {
      switch tensor.storage {
      case .mapped(let file, _), .blocks(let file, _, _): self.file = file
      case .scaled(let values, _):
        guard case .mapped(let file, _) = values.storage else { return nil }
        self.file = file
      case .strided, .memory, .stridedMemory: return nil
      }
      guard let offset = tensor.offset, tensor.storedByteCount > 0 else { return nil }
      self.tensor = tensor
      range = offset..<(offset + tensor.storedByteCount)
    }

    var isWeight: Bool { tensor.shape.rank >= 2 && !Summary.isBuffer(tensor) }
  }

  /// Examines the values of tensors.
  ///
  /// - Throws: ``FormatError`` if reading fails.
  package init(of tensors: [Tensor]) throws(FormatError) {
    var files: [(path: String, stretches: [Stretch])] = []
    var places: [ExactName: Int] = [:]
    var seen: Set<[Int]> = []
    for tensor in tensors where Leftover.kind(of: tensor.name) != .optimizerState {
      guard let stretch = Stretch(tensor) else { continue }
      let place = places[ExactName(stretch.file.path)] ?? files.count
      // Tensors that share their values count once.
      let key = [place, stretch.range.lowerBound, stretch.range.count]
      guard seen.insert(key).inserted else { continue }
      if place == files.count {
        places[ExactName(stretch.file.path)] = place
        files.append((stretch.file.path, []))
      }
      files[place].stretches.append(stretch)
    }
    let buffer = BlockBuffer()
    for (path, stretches) in files {
      let sorted = stretches.sorted { $0.range.lowerBound < $1.range.lowerBound }
      let name = path.split(separator: "/").last.map(String.init) ?? path
      let tail = try ZeroValues.tail(of: sorted, buffer)
      if let tail { problems.append("\(name): \(tail)") }
      try checkWeights(stretches.filter(\.isWeight), of: name, buffer)
    }
  }

  // MARK: The end

  /// The message about zeros at the end of a file's values; nil if they prove nothing.
  private static func tail(
    of stretches: [Stretch], _ buffer: BlockBuffer
  ) throws(FormatError) -> String? {
    let total = stretches.reduce(0) { $0 + $1.range.count }
    var zeros: [Stretch] = []
    var boundary: Stretch?
    var partial = 0
    for stretch in stretches.reversed() {
      guard let last = try lastValue(in: stretch.range, of: stretch.file, buffer) else {
        zeros.append(stretch)
        continue
      }
      boundary = stretch
      partial = stretch.range.upperBound - last - 1
      break
    }
    let count = partial + zeros.reduce(0) { $0 + $1.range.count }
    guard count >= leastBytes else { return nil }
    let weights = zeros.filter(\.isWeight)
    if let boundary, partial >= leastBytes, partial >= clearBytes || 100 * count >= total,
      !(weights.isEmpty && isPadding(partial, of: boundary))
    {
      return text(count, total, "inside \(boundary.tensor.displayName)")
    }
    guard weights.count >= 2, 10 * weights.reduce(0, { $0 + $1.range.count }) >= total,
      let first = zeros.last
    else { return nil }
    return text(count, total, "with \(first.tensor.displayName)")
  }

  private static func text(_ count: Int, _ total: Int, _ place: String) -> String {
    "the last \(count) of \(total) data bytes are zeros, starting \(place): space was reserved but "
      + "never filled; download the file again"
  }

  /// Whether this many bytes at the end of a tensor are whole rows.
  private static func isPadding(_ count: Int, of stretch: Stretch) -> Bool {
    guard stretch.tensor.shape.rank >= 2, stretch.tensor.shape[0] > 0 else { return false }
    let row = stretch.range.count / stretch.tensor.shape[0]
    // The last value before them may itself end in zeros.
    return row > 0 && count % row < 8
  }

  /// The offset of the last nonzero byte; nil if all are zero.
  private static func lastValue(
    in range: Range<Int>, of file: MappedFile, _ buffer: BlockBuffer
  ) throws(FormatError) -> Int? {
    var end = range.upperBound
    // Start small: nearly every tensor ends in a nonzero value.
    var size = 4096
    while end > range.lowerBound {
      let start = max(range.lowerBound, end - size)
      let bytes = buffer.bytes(end - start)
      try file.read(into: bytes, at: start)
      if !isZero(UnsafeRawBufferPointer(bytes)), let last = bytes.lastIndex(where: { $0 != 0 }) {
        return start + last
      }
      end = start
      size = piece
    }
    return nil
  }

  private static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var index = 0
    while index + 64 <= bytes.count {
      var any: UInt64 = 0
      for word in 0..<8 {
        any |= bytes.loadUnaligned(fromByteOffset: index + 8 * word, as: UInt64.self)
      }
      if any != 0 { return false }
      index += 64
    }
    return bytes[index...].allSatisfy { $0 == 0 }
  }

  // MARK: Weights

  private mutating func checkWeights(
    _ weights: [Stretch], of name: String, _ buffer: BlockBuffer
  ) throws(FormatError) {
    var zeros: [Stretch] = []
    for weight in weights {
      let range = weight.range
      let places = [range.lowerBound, (range.lowerBound + range.upperBound) / 2, range.upperBound]
      var isZero = true
      for place in places where isZero {
        let start = max(range.lowerBound, min(place, range.upperBound - ZeroValues.sample))
        let bytes = buffer.bytes(min(ZeroValues.sample, range.upperBound - start))
        try weight.file.read(into: bytes, at: start)
        isZero = bytes.allSatisfy { $0 == 0 }
      }
      if isZero, try ZeroValues.lastValue(in: range, of: weight.file, buffer) == nil {
        zeros.append(weight)
      }
    }
    guard !zeros.isEmpty else { return }
    let bytes = zeros.reduce(0) { $0 + $1.range.count }
    let shown = Leftover.shown(zeros.map(\.tensor.name))
    let isAll = zeros.count == weights.count
    if bytes >= ZeroValues.leastBytes, 2 * zeros.count > weights.count,
      weights.count > 1 || bytes >= ZeroValues.clearBytes
    {
      problems.append(
        "\(name): \(isAll ? "all" : "\(zeros.count) of") \(weights.count) weights are all zeros "
          + "(\(shown)): space was reserved but never filled; download the file again")
    } else {
      notes.append(
        "\(name): \(zeros.count) of \(weights.count) weights are all zeros: \(shown)")
    }
  }
}
