extension BlockEncoding {
  /// Whether values can be written in this encoding: `encode(_:into:)` supports only Q8_0.
  public var isWritable: Bool { self == .q80 }

  /// Encodes whole blocks of Q8_0: d = max |x| / 127, q = x / d rounded to nearest, ties away from
  /// zero, with d itself then rounded to F16.
  ///
  /// Bit for bit like the `gguf` package and ggml's `quantize_row_q8_0_ref`.
  ///
  /// - Returns: false if a value of a block is NaN, infinite, or so large that d overflows F16; the
  ///   output is then invalid.
  func encode(
    _ values: UnsafeBufferPointer<Float>, into output: UnsafeMutableRawBufferPointer
  ) -> Bool {
    precondition(isWritable, "only Q8_0 is written")
    let count = values.count / 32
    precondition(output.count >= count * 34, "no room for the blocks")
    guard count > 0, var source = values.baseAddress,
      var target = unsafe output.assumingMemoryBound(to: UInt8.self).baseAddress
    else { return true }
    var isSound = true
    for _ in 0..<count {
      isSound = unsafe BlockEncoding.encodeQ80(source, target) && isSound
      unsafe source += 32
      unsafe target += 34
    }
    return isSound
  }

  private static func encodeQ80(
    _ values: UnsafePointer<Float>, _ block: UnsafeMutablePointer<UInt8>
  ) -> Bool {
    // Absolute values sort like their bit patterns; NaN sorts above infinity.
    var largest: UInt32 = 0
    for j in 0..<32 {
      largest = unsafe max(largest, values[j].bitPattern & 0x7FFF_FFFF)
    }
    let d = Float(bitPattern: largest) / 127
    let half = Float16(d)
    guard largest < 0x7F80_0000, half.isFinite else { return false }
    unsafe block[0] = UInt8(truncatingIfNeeded: half.bitPattern)
    unsafe block[1] = UInt8(truncatingIfNeeded: half.bitPattern >> 8)
    let inverse = d == 0 || !(1 / d).isFinite ? 0 : 1 / d
    // Adding 1.5 * 2^23 rounds to an integer, ties to even, and leaves it in the low bits.
    let magic: Float = 12_582_912
    for j in 0..<32 {
      let value = unsafe values[j] * inverse
      let even = value + magic - magic
      let rest = value - even
      let up: Float = rest == 0.5 && value > 0 ? 1 : 0
      let down: Float = rest == -0.5 && value < 0 ? 1 : 0
      unsafe block[2 + j] = UInt8(
        truncatingIfNeeded: (even + up - down + magic).bitPattern)
    }
    return true
  }
}
