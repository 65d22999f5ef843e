import CWebP
import ModelFormats

/// Reads and writes WebP files with libwebp.
///
/// Source: the WebP container specification; libwebp's API 1.2.
enum WebP {
  /// The maximum side in pixels.
  static let sideLimit = 16_383

  /// The image, the contents of its EXIF chunk, and whether it is lossless.
  ///
  /// - Throws: ``FormatError`` `malformed`, `truncated`, or `unsupported` for an animation.
  static func decode(
    _ bytes: [UInt8]
  ) throws(FormatError) -> (image: Image, exif: [UInt8]?, isLossless: Bool) {
    var features = WebPBitstreamFeatures()
    let status = WebPGetFeatures(bytes, bytes.count, &features)
    guard status == VP8_STATUS_OK else {
      throw status == VP8_STATUS_NOT_ENOUGH_DATA
        ? FormatError(.truncated, "the WebP file ends early", hint: "get the file again")
        : FormatError(.malformed, "libwebp cannot read its header")
    }
    guard features.has_animation == 0 else {
      throw FormatError(
        .unsupported, "unsupported animated WebP", hint: "pass a still image")
    }
    let (width, height) = (Int(features.width), Int(features.height))
    // A single-color image needs almost no bytes at any size, but no side exceeds 16383.
    try PictureFile.check(
      width: width, height: height, byteCount: bytes.count, pixelsPerByte: PictureFile.pixelLimit)
    var pixels = [UInt8](repeating: 0, count: 3 * width * height)
    guard
      WebPDecodeRGBInto(bytes, bytes.count, &pixels, pixels.count, Int32(3 * width)) != nil
    else {
      throw FormatError(
        .malformed, "libwebp cannot decode the image: damaged or truncated",
        hint: "get the file again")
    }
    // 1 is lossy, 2 lossless.
    return (
      Image(width: width, height: height, pixels: pixels), exif(in: bytes), features.format == 2
    )
  }

  /// How opaque each pixel is, row by row from 0 to 255; nil if the file has no transparency.
  ///
  /// - Parameter bytes: a file that ``decode(_:)`` reads.
  static func opacity(_ bytes: [UInt8]) -> [UInt8]? {
    var features = WebPBitstreamFeatures()
    guard WebPGetFeatures(bytes, bytes.count, &features) == VP8_STATUS_OK, features.has_alpha != 0
    else { return nil }
    let (width, height) = (Int(features.width), Int(features.height))
    var pixels = [UInt8](repeating: 0, count: 4 * width * height)
    guard
      WebPDecodeRGBAInto(bytes, bytes.count, &pixels, pixels.count, Int32(4 * width)) != nil
    else { return nil }
    return stride(from: 3, to: pixels.count, by: 4).map { pixels[$0] }
  }

  /// - Parameter quality: 0 to 100; nil means lossless.
  /// - Throws: ``FormatError`` `unsupported` if WebP does not support the image.
  static func encode(
    _ image: Image, quality: Int?, exif: [UInt8]?
  ) throws(FormatError) -> [UInt8] {
    let picture = try WebPFrame(image)
    var configuration = try configuration(quality: quality)
    let writer = UnsafeMutablePointer<WebPMemoryWriter>.allocate(capacity: 1)
    WebPMemoryWriterInit(writer)
    defer {
      WebPMemoryWriterClear(writer)
      writer.deallocate()
    }
    picture.record.pointee.writer = WebPMemoryWrite
    picture.record.pointee.custom_ptr = UnsafeMutableRawPointer(writer)
    guard WebPEncode(&configuration, picture.record) != 0 else {
      throw FormatError(
        .unsupported,
        "libwebp cannot encode the image (error \(picture.record.pointee.error_code.rawValue))")
    }
    let bytes = Array(UnsafeBufferPointer(start: writer.pointee.mem, count: writer.pointee.size))
    guard let exif else { return bytes }
    return try withEXIF(exif, in: bytes)
  }

  /// The compression settings; lossless without a quality.
  static func configuration(quality: Int?) throws(FormatError) -> WebPConfig {
    var configuration = WebPConfig()
    guard WebPConfigInit(&configuration) != 0 else {
      throw FormatError(.inputOutput, "libwebp differs from the version used at build time")
    }
    if let quality {
      configuration.quality = Float(quality)
      // Keeps color edges sharp.
      configuration.use_sharp_yuv = 1
    } else {
      configuration.lossless = 1
    }
    return configuration
  }

  private static func withEXIF(
    _ exif: [UInt8], in bytes: [UInt8]
  ) throws(FormatError) -> [UInt8] {
    let result: [UInt8]? = bytes.withUnsafeBufferPointer { bytes in
      exif.withUnsafeBufferPointer { exif in
        var source = WebPData(bytes: bytes.baseAddress, size: bytes.count)
        guard let container = WebPMuxCreate(&source, 1) else { return nil }
        defer { WebPMuxDelete(container) }
        var chunk = WebPData(bytes: exif.baseAddress, size: exif.count)
        guard WebPMuxSetChunk(container, "EXIF", &chunk, 1) == WEBP_MUX_OK else { return nil }
        var output = WebPData()
        guard WebPMuxAssemble(container, &output) == WEBP_MUX_OK else { return nil }
        defer { WebPDataClear(&output) }
        return Array(UnsafeBufferPointer(start: output.bytes, count: output.size))
      }
    }
    guard let result else { throw FormatError(.unsupported, "libwebp cannot add the text") }
    return result
  }

  private static func exif(in bytes: [UInt8]) -> [UInt8]? {
    bytes.withUnsafeBufferPointer { bytes in
      var source = WebPData(bytes: bytes.baseAddress, size: bytes.count)
      guard let container = WebPMuxCreate(&source, 0) else { return nil }
      defer { WebPMuxDelete(container) }
      var chunk = WebPData()
      guard WebPMuxGetChunk(container, "EXIF", &chunk) == WEBP_MUX_OK else { return nil }
      let data = Array(UnsafeBufferPointer(start: chunk.bytes, count: chunk.size))
      // Some programs prepend JPEG's prefix.
      let prefix = Array("Exif\0\0".utf8)
      return data.starts(with: prefix) ? Array(data.dropFirst(prefix.count)) : data
    }
  }
}

/// An image in libwebp's form, freed with its owner.
final class WebPFrame {
  let record: UnsafeMutablePointer<WebPPicture>

  /// - Throws: ``FormatError`` `unsupported` for an image too large for WebP.
  init(_ image: Image) throws(FormatError) {
    guard image.width <= WebP.sideLimit, image.height <= WebP.sideLimit else {
      throw FormatError(
        .unsupported, "WebP does not support \(image.width)x\(image.height) images",
        hint: "write PNG; WebP images have at most \(WebP.sideLimit) pixels per side")
    }
    record = .allocate(capacity: 1)
    record.initialize(to: WebPPicture())
    guard WebPPictureInit(record) != 0 else {
      record.deallocate()
      throw FormatError(.inputOutput, "libwebp differs from the version used at build time")
    }
    record.pointee.use_argb = 1
    record.pointee.width = Int32(image.width)
    record.pointee.height = Int32(image.height)
    guard WebPPictureImportRGB(record, image.pixels, Int32(3 * image.width)) != 0 else {
      throw FormatError(.inputOutput, "libwebp has no memory")
    }
  }

  deinit {
    WebPPictureFree(record)
    record.deallocate()
  }
}
