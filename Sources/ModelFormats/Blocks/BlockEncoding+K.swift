/// "K" blocks of 256 elements in sub-blocks of 16 or 32, whose own scales are small integers.
///
/// If an element takes fewer bits than a byte, the bytes of a part of a block contain the low bits
/// of 32 (or 64) elements, then the next bits of as many further elements.
extension BlockEncoding {
  /// 16 bytes of scale and minimum of sub-blocks of 16, 64 bytes of four elements, `d`, `m`.
  static func decodeQ2K(_ block: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe half(block + 80)
    let m = unsafe half(block + 82)
    for part in 0..<16 {
      let scales = unsafe block[part]
      let scale = d * Float(scales & 15)
      let minimum = m * Float(scales >> 4)
      let (bytes, shift) = unsafe quarter(block + 16, part)
      for l in 0..<16 {
        unsafe output[16 * part + l] = scale * Float(bytes[l] >> shift & 3) - minimum
      }
    }
  }

  /// 32 bytes of third bits, 64 bytes of four elements, 12 bytes of 16 scales, `d`.
  static func decodeQ3K(_ block: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe half(block + 108)
    for part in 0..<16 {
      let low = unsafe block[96 + part % 8] >> (part < 8 ? 0 : 4) & 15
      let high = unsafe block[104 + part % 4] >> (2 * (part / 4)) & 3
      let scale = d * Float(Int(low | high << 4) - 32)
      let (bytes, shift) = unsafe quarter(block + 32, part)
      for l in 0..<16 {
        // Subtract 4 if the third bit is not set.
        let third = unsafe block[16 * (part % 2) + l] >> (part / 2) & 1
        let q = unsafe Int(bytes[l] >> shift & 3) - (third == 0 ? 4 : 0)
        unsafe output[16 * part + l] = scale * Float(q)
      }
    }
  }

  /// `d`, `m`, 12 bytes of 8 scales and minima, 128 bytes of two elements.
  static func decodeQ4K(_ block: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<Float>) {
    for part in 0..<8 {
      let (scale, minimum) = unsafe scaleAndMinimum(block, part)
      let bytes = unsafe block + 16 + 32 * (part / 2)
      let shift = 4 * (part % 2)
      for l in 0..<32 {
        unsafe output[32 * part + l] = scale * Float(bytes[l] >> shift & 15) - minimum
      }
    }
  }

  /// Like Q4_K, with 32 bytes of fifth bits before the 128.
  static func decodeQ5K(_ block: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<Float>) {
    for part in 0..<8 {
      let (scale, minimum) = unsafe scaleAndMinimum(block, part)
      let bytes = unsafe block + 48 + 32 * (part / 2)
      let shift = 4 * (part % 2)
      for l in 0..<32 {
        let fifth = unsafe block[16 + l] >> part & 1
        unsafe output[32 * part + l] = scale * Float(bytes[l] >> shift & 15 | fifth << 4) - minimum
      }
    }
  }

  /// 128 bytes of low halves, 64 of the two bits above, 16 signed scales, `d`.
  static func decodeQ6K(_ block: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe half(block + 208)
    for part in 0..<16 {
      let scale = unsafe d * Float(Int8(bitPattern: block[192 + part]))
      let first = 16 * part % 128
      let low = unsafe block + 64 * (part / 8) + first % 64
      let high = unsafe block + 128 + 32 * (part / 8) + first % 32
      let (lowShift, highShift) = (first < 64 ? 0 : 4, 2 * (first / 32))
      for l in 0..<16 {
        let q = unsafe low[l] >> lowShift & 15 | (high[l] >> highShift & 3) << 4
        unsafe output[16 * part + l] = scale * Float(Int(q) - 32)
      }
    }
  }

  /// `d` as F32, 256 signed bytes, 16 unused sums.
  static func decodeQ8K(_ block: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<Float>) {
    let d = Float(
      bitPattern: unsafe UInt32(block[0]) | UInt32(block[1]) << 8 | UInt32(block[2]) << 16
        | UInt32(block[3]) << 24)
    for j in 0..<256 {
      unsafe output[j] = d * Float(Int8(bitPattern: block[4 + j]))
    }
  }

  /// The 16 bytes and the shift of sub-block `part` of 16, in 64 bytes of four elements each.
  private static func quarter(
    _ bytes: UnsafePointer<UInt8>, _ part: Int
  ) -> (UnsafePointer<UInt8>, shift: Int) {
    unsafe (bytes + 32 * (part / 8) + 16 * (part % 2), 2 * (part % 8 / 2))
  }

  /// The scale and minimum of sub-block `part` of 8: six bits each; the upper two bits of the last
  /// four are stored with those of the first four.
  private static func scaleAndMinimum(
    _ block: UnsafePointer<UInt8>, _ part: Int
  ) -> (scale: Float, minimum: Float) {
    let d = unsafe half(block)
    let m = unsafe half(block + 2)
    let scales = unsafe block + 4
    let scale: UInt8
    let minimum: UInt8
    if part < 4 {
      scale = unsafe scales[part] & 63
      minimum = unsafe scales[part + 4] & 63
    } else {
      scale = unsafe scales[part + 4] & 15 | scales[part - 4] >> 2 & 0x30
      minimum = unsafe scales[part + 4] >> 4 | scales[part] >> 2 & 0x30
    }
    return (d * Float(scale), m * Float(minimum))
  }
}
