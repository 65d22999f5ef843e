import ModelFormats

/// The text encoder's buffer of the numbers 0, 1, 2, …, which is no weight.
///
/// Merging of checkpoints has cast it, and averaged it to numbers that are off by a fraction;
/// single files of 2022 have it, today's repositories do not.
enum PositionIDs {
  static func isName(_ name: String) -> Bool { name.hasSuffix("position_ids") }

  /// As every sound checkpoint has it: I64 `[1, count]`.
  static func tensor(named name: String, count: Int) -> Tensor {
    Tensor(
      name: name, dtype: .int64, shape: [1, count],
      storage: .memory(
        (0..<count).flatMap { value in
          withUnsafeBytes(of: Int64(value).littleEndian) { Array($0) }
        }))
  }
}
