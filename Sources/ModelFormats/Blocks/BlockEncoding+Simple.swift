/// Blocks of 32 elements with one scale `d`, and for kind 1 also a minimum `m`.
///
/// The low four bits of byte `j` are element `j`'s, the high four element `j + 16`'s.
extension BlockEncoding {
  /// `d`, 16 bytes of two elements each: d (q - 8).
  static func decodeQ40(_ block: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe half(block)
    for j in 0..<16 {
      let byte = unsafe block[2 + j]
      unsafe output[j] = d * Float(Int(byte & 15) - 8)
      unsafe output[j + 16] = d * Float(Int(byte >> 4) - 8)
    }
  }

  /// `d`, `m`, 16 bytes: d q + m.
  static func decodeQ41(_ block: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe half(block)
    let m = unsafe half(block + 2)
    for j in 0..<16 {
      let byte = unsafe block[4 + j]
      unsafe output[j] = d * Float(byte & 15) + m
      unsafe output[j + 16] = d * Float(byte >> 4) + m
    }
  }

  /// `d`, 32 fifth bits, 16 bytes: d (q - 16).
  static func decodeQ50(_ block: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe half(block)
    let high = unsafe bits(block + 2)
    for j in 0..<16 {
      let byte = unsafe UInt32(block[6 + j])
      unsafe output[j] = d * Float(Int(byte & 15 | (high >> j & 1) << 4) - 16)
      unsafe output[j + 16] = d * Float(Int(byte >> 4 | (high >> (j + 16) & 1) << 4) - 16)
    }
  }

  /// `d`, `m`, 32 fifth bits, 16 bytes: d q + m.
  static func decodeQ51(_ block: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe half(block)
    let m = unsafe half(block + 2)
    let high = unsafe bits(block + 4)
    for j in 0..<16 {
      let byte = unsafe UInt32(block[8 + j])
      unsafe output[j] = d * Float(byte & 15 | (high >> j & 1) << 4) + m
      unsafe output[j + 16] = d * Float(byte >> 4 | (high >> (j + 16) & 1) << 4) + m
    }
  }

  /// `d`, 32 signed bytes: q d.
  static func decodeQ80(_ block: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<Float>) {
    let d = unsafe half(block)
    for j in 0..<32 {
      unsafe output[j] = Float(Int8(bitPattern: block[2 + j])) * d
    }
  }

  private static func bits(_ bytes: UnsafePointer<UInt8>) -> UInt32 {
    unsafe UInt32(bytes[0]) | UInt32(bytes[1]) << 8 | UInt32(bytes[2]) << 16
      | UInt32(bytes[3]) << 24
  }
}
