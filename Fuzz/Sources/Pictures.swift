import ModelFormats
import Pictures

/// An image as `sdgen` reads it, recognized by its first bytes: PNG, JPEG or WebP with metadata.
/// Images are written losslessly and read again.
func fuzzPicture(_ bytes: [UInt8]) {
  do throws(FormatError) {
    let file = try PictureFile(decoding: bytes)
    let image = file.image
    require(image.width > 0 && image.height > 0, "\(image.width)x\(image.height)")
    require(image.width * image.height <= 1 << 26, "\(image.width)x\(image.height)")
    require(image.pixels.count == 3 * image.width * image.height, "\(image.pixels.count) bytes")
    require(file.damage != "", "damage without a word")
    for text in [file.metadata.parameters, file.metadata.job].compactMap({ $0 }) {
      // Deflate expands up to 1032 times; UTF-8 takes three bytes for two of UTF-16.
      require(text.utf8.count <= 1600 * bytes.count, "a text of \(text.utf8.count) bytes")
    }
    guard image.pixels.count <= 1 << 16 else { return }
    let copy = try PictureFile(decoding: PictureFile.encode(image, as: .init(.png)))
    require(copy.image == image, "another picture than was written")
  } catch {
    require(!error.message.isEmpty, "an error without a message")
    require(
      [.unrecognized, .truncated, .malformed, .unsupported].contains(error.code), "\(error)")
    if let offset = error.offset {
      require(offset >= 0 && offset <= bytes.count, "an error at \(offset): \(error)")
    }
  }
}
