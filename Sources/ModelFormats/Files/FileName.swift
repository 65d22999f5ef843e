import Glibc

/// File names as strings that preserve every byte.
///
/// The system's file names are bytes; strings are UTF-8. A byte that is not UTF-8 becomes the
/// private-use character U+10FF00 + byte, and so do the bytes of such a character in a name. The
/// functions below convert back; they accept strings where the system's functions need bytes.
public enum FileName {
  /// The base of the characters that represent bytes; bytes below 0x80 are always UTF-8.
  private static let base: UInt32 = 0x10_FF00

  /// The byte that a character represents; nil for all other characters.
  public static func byte(_ scalar: Unicode.Scalar) -> UInt8? {
    scalar.value >= base + 0x80 ? UInt8(truncatingIfNeeded: scalar.value) : nil
  }

  /// Whether a string came from bytes that are not UTF-8.
  public static func isNotUTF8(_ text: String) -> Bool {
    text.unicodeScalars.contains { byte($0) != nil }
  }

  /// The string for a name.
  public static func text(_ bytes: [UInt8]) -> String {
    if let text = String(validating: bytes, as: UTF8.self), !isNotUTF8(text) { return text }
    var text = String.UnicodeScalarView()
    var position = 0
    while position < bytes.count {
      let length = 1 + [0xC0, 0xE0, 0xF0].count { bytes[position] >= $0 }
      let piece = bytes[position..<min(position + length, bytes.count)]
      if let scalars = String(validating: piece, as: UTF8.self)?.unicodeScalars,
        let scalar = scalars.first, scalars.count == 1, byte(scalar) == nil
      {
        text.append(scalar)
        position += length
      } else {
        if let scalar = Unicode.Scalar(base + UInt32(bytes[position])) { text.append(scalar) }
        position += 1
      }
    }
    return String(text)
  }

  /// The string for a null-terminated name.
  @unsafe public static func text(_ name: UnsafePointer<CChar>) -> String {
    unsafe text([UInt8](UnsafeRawBufferPointer(start: name, count: strlen(name))))
  }

  /// The bytes of a name with a terminating null.
  public static func bytes(_ text: String) -> [CChar] {
    // The characters that represent bytes begin with the byte F4.
    guard text.utf8.contains(0xF4) else { return Array(text.utf8CString) }
    var bytes: [CChar] = []
    for scalar in text.unicodeScalars {
      if let byte = byte(scalar) {
        bytes.append(CChar(bitPattern: byte))
      } else {
        bytes += UTF8.encode(scalar).map { $0.map { CChar(bitPattern: $0) } } ?? []
      }
    }
    return bytes + [0]
  }

  /// The program's arguments, without its own name.
  public static var arguments: [String] {
    (1..<max(1, Int(CommandLine.argc))).compactMap { index in
      unsafe CommandLine.unsafeArgv[index].map { unsafe text(UnsafePointer($0)) }
    }
  }
}

// System calls for names as strings. Use these instead of Glibc's, which would write the characters
// that represent bytes.

@unsafe package func open(_ path: String, _ flags: Int32) -> Int32 {
  unsafe FileName.bytes(path).withUnsafeBufferPointer { unsafe Glibc.open($0.baseAddress!, flags) }
}

@unsafe package func open(_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32 {
  unsafe FileName.bytes(path).withUnsafeBufferPointer {
    unsafe Glibc.open($0.baseAddress!, flags, mode)
  }
}

@unsafe package func fopen(_ path: String, _ mode: String) -> UnsafeMutablePointer<FILE>? {
  unsafe FileName.bytes(path).withUnsafeBufferPointer { unsafe Glibc.fopen($0.baseAddress!, mode) }
}

@unsafe package func opendir(_ path: String) -> OpaquePointer? {
  unsafe FileName.bytes(path).withUnsafeBufferPointer { unsafe Glibc.opendir($0.baseAddress!) }
}

@unsafe package func stat(_ path: String, _ status: UnsafeMutablePointer<stat>) -> Int32 {
  unsafe FileName.bytes(path).withUnsafeBufferPointer {
    unsafe fstatat(AT_FDCWD, $0.baseAddress!, status, 0)
  }
}

@unsafe package func lstat(_ path: String, _ status: UnsafeMutablePointer<stat>) -> Int32 {
  unsafe FileName.bytes(path).withUnsafeBufferPointer {
    unsafe fstatat(AT_FDCWD, $0.baseAddress!, status, AT_SYMLINK_NOFOLLOW)
  }
}

@unsafe package func access(_ path: String, _ mode: Int32) -> Int32 {
  unsafe FileName.bytes(path).withUnsafeBufferPointer { unsafe Glibc.access($0.baseAddress!, mode) }
}

@unsafe @discardableResult
package func mkdir(_ path: String, _ mode: mode_t) -> Int32 {
  unsafe FileName.bytes(path).withUnsafeBufferPointer { unsafe Glibc.mkdir($0.baseAddress!, mode) }
}

@unsafe @discardableResult
package func rmdir(_ path: String) -> Int32 {
  unsafe FileName.bytes(path).withUnsafeBufferPointer { unsafe Glibc.rmdir($0.baseAddress!) }
}

@unsafe @discardableResult
package func unlink(_ path: String) -> Int32 {
  unsafe FileName.bytes(path).withUnsafeBufferPointer { unsafe Glibc.unlink($0.baseAddress!) }
}

@unsafe @discardableResult
package func chmod(_ path: String, _ mode: mode_t) -> Int32 {
  unsafe FileName.bytes(path).withUnsafeBufferPointer { unsafe Glibc.chmod($0.baseAddress!, mode) }
}

@unsafe @discardableResult
package func rename(_ path: String, _ other: String) -> Int32 {
  unsafe FileName.bytes(path).withUnsafeBufferPointer { path in
    unsafe FileName.bytes(other).withUnsafeBufferPointer {
      unsafe Glibc.rename(path.baseAddress!, $0.baseAddress!)
    }
  }
}

@unsafe package func link(_ path: String, _ other: String) -> Int32 {
  unsafe FileName.bytes(path).withUnsafeBufferPointer { path in
    unsafe FileName.bytes(other).withUnsafeBufferPointer {
      unsafe Glibc.link(path.baseAddress!, $0.baseAddress!)
    }
  }
}

@unsafe package func readlink(
  _ path: String, _ buffer: UnsafeMutableRawPointer, _ size: Int
) -> Int {
  unsafe FileName.bytes(path).withUnsafeBufferPointer {
    unsafe Glibc.readlink(
      $0.baseAddress!, buffer.assumingMemoryBound(to: CChar.self), size)
  }
}

@unsafe package func realpath(
  _ path: String, _ buffer: UnsafeMutablePointer<CChar>?
) -> UnsafeMutablePointer<CChar>? {
  unsafe FileName.bytes(path).withUnsafeBufferPointer {
    unsafe Glibc.realpath($0.baseAddress!, buffer)
  }
}

@unsafe package func statvfs(_ path: String, _ status: UnsafeMutablePointer<statvfs>) -> Int32 {
  let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
  guard descriptor >= 0 else { return -1 }
  defer { close(descriptor) }
  return unsafe fstatvfs(descriptor, status)
}
