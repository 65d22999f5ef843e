/// An image file format.
public enum PictureFormat: String, Sendable, CaseIterable {
  case png, jpeg, webp

  /// The format for a file name, by its extension.
  public init?(path: String) {
    let name = path.lastIndex(of: "/").map { path[path.index(after: $0)...] } ?? path[...]
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return nil }
    switch name[name.index(after: dot)...].lowercased() {
    case "png": self = .png
    case "jpg", "jpeg", "jpe": self = .jpeg
    case "webp": self = .webp
    default: return nil
    }
  }

  /// The format of a file's bytes, by their signature.
  public init?(content bytes: [UInt8]) {
    func holds(_ signature: [UInt8], at offset: Int = 0) -> Bool {
      bytes.count >= offset + signature.count
        && bytes[offset..<offset + signature.count].elementsEqual(signature)
    }
    if holds([0x89, 0x50, 0x4E, 0x47]) {
      self = .png
    } else if holds([0xFF, 0xD8, 0xFF]) {
      self = .jpeg
    } else if holds(Array("RIFF".utf8)), holds(Array("WEBP".utf8), at: 8) {
      self = .webp
    } else {
      return nil
    }
  }
}
