/// Little-endian bytes of an integer.
package func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { [UInt8]($0) }
}

/// A safetensors file of a header and data.
package func safetensors(_ header: String, data: [UInt8] = []) -> [UInt8] {
  littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + data
}

/// Joins text and single bytes into a pickle.
package func pickle(_ parts: any PickleText...) -> [UInt8] {
  parts.flatMap(\.pickleBytes)
}

package protocol PickleText {
  var pickleBytes: [UInt8] { get }
}

extension String: PickleText {
  package var pickleBytes: [UInt8] { Array(utf8) }
}

extension Int: PickleText {
  package var pickleBytes: [UInt8] { [UInt8(self)] }
}

extension [UInt8]: PickleText {
  package var pickleBytes: [UInt8] { self }
}
