import CXXHash

/// XXH3-64 of bytes in pieces, with seed 0 and the default secret.
///
/// Source: the xxHash specification, version 0.8.
package final class Checksum {
  private let state: OpaquePointer

  package init() {
    guard let state = XXH3_createState() else { fatalError("out of memory") }
    self.state = state
    XXH3_64bits_reset(state)
  }

  deinit {
    XXH3_freeState(state)
  }

  package func update(_ bytes: UnsafeRawBufferPointer) {
    XXH3_64bits_update(state, bytes.baseAddress, bytes.count)
  }

  package var value: UInt64 { XXH3_64bits_digest(state) }

  /// The checksum of contiguous bytes.
  package static func of(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    XXH3_64bits(bytes.baseAddress, bytes.count)
  }

  package static func of(_ bytes: [UInt8]) -> UInt64 {
    bytes.withUnsafeBytes { of($0) }
  }
}
