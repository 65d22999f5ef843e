import ModelFormats

extension PictureFile {
  /// How opaque a PNG or WebP file is, as an image whose gray levels go from 0 (transparent) to 255,
  /// turned upright as ``image`` is; nil if all of it is opaque.
  ///
  /// - Throws: ``FormatError`` as ``read(_:)``.
  package static func readOpacity(_ path: String) throws(FormatError) -> Image? {
    let file = try MappedFile(path: path)
    let bytes = file.withBytes(in: 0..<file.count) { Array($0) }
    do throws(FormatError) {
      return try opacity(bytes)
    } catch {
      throw error.inFile(path)
    }
  }

  /// - Throws: ``FormatError`` as ``init(decoding:)``.
  package static func opacity(_ bytes: [UInt8]) throws(FormatError) -> Image? {
    // Checks the file, its size before all.
    let turned = try PictureFile(decoding: bytes).image
    let levels: [UInt8]?
    let orientation: Int?
    switch PictureFormat(content: bytes) {
    case .png:
      levels = try PNG.opacity(bytes)
      orientation = try PNG.decode(bytes).exif.map(EXIF.init(parsing:))?.orientation
    case .webp:
      levels = WebP.opacity(bytes)
      orientation = try WebP.decode(bytes).exif.map(EXIF.init(parsing:))?.orientation
    case .jpeg, nil: return nil
    }
    guard let levels, levels.contains(where: { $0 < 255 }) else { return nil }
    // Orientations from 5 on exchange the sides.
    let isTurned = (orientation ?? 1) > 4
    let (width, height) =
      isTurned ? (turned.height, turned.width) : (turned.width, turned.height)
    guard levels.count == width * height else { return nil }
    return Image(width: width, height: height, pixels: levels.flatMap { [$0, $0, $0] })
      .upright(from: orientation)
  }
}
