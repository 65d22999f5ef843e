import CWebP
import ModelFormats

/// Reads and writes WebP files through libwebp.
///
/// Source: the WebP container specification; libwebp's API 1.2.
enum WebP {
  /// The most pixels that a side has.
  static let sideLimit = 16_383

  /// The picture, what its EXIF chunk holds, and whether it was compressed without loss.
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
        .unsupported, "the WebP file is an animation", hint: "give a picture that stands still")
    }
    let (width, height) = (Int(features.width), Int(features.height))
    // A picture of one colour takes next to nothing whatever its size, but no side beyond 16383.
    try PictureFile.check(
      width: width, height: height, byteCount: bytes.count, pixelsPerByte: PictureFile.pixelLimit)
    var pixels = [UInt8](repeating: 0, count: 3 * width * height)
    guard
      WebPDecodeRGBInto(bytes, bytes.count, &pixels, pixels.count, Int32(3 * width)) != nil
    else {
      throw FormatError(
        .malformed, "libwebp cannot decode the picture: it is damaged or ends early",
        hint: "get the file again")
    }
    // 1 is with loss, 2 without.
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

  /// - Parameter quality: 0 to 100; nil keeps every pixel.
  /// - Throws: ``FormatError`` `unsupported` where WebP cannot hold the picture.
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
        "libwebp cannot encode the picture (error \(picture.record.pointee.error_code.rawValue))")
    }
    let bytes = Array(UnsafeBufferPointer(start: writer.pointee.mem, count: writer.pointee.size))
    guard let exif else { return bytes }
    return try withEXIF(exif, in: bytes)
  }

  /// How a picture is compressed; without loss where there is no quality.
  static func configuration(quality: Int?) throws(FormatError) -> WebPConfig {
    var configuration = WebPConfig()
    guard WebPConfigInit(&configuration) != 0 else {
      throw FormatError(.inputOutput, "libwebp is not the version it was built for")
    }
    if let quality {
      configuration.quality = Float(quality)
      // Edges in colour stay where they are.
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
      // Some programs put JPEG's prefix before it.
      let prefix = Array("Exif\0\0".utf8)
      return data.starts(with: prefix) ? Array(data.dropFirst(prefix.count)) : data
    }
  }
}

/// A picture in the form in which libwebp takes it, freed with its owner.
final class WebPFrame {
  let record: UnsafeMutablePointer<WebPPicture>

  /// - Throws: ``FormatError`` `unsupported` for a picture too large for WebP.
  init(_ image: Image) throws(FormatError) {
    guard image.width <= WebP.sideLimit, image.height <= WebP.sideLimit else {
      throw FormatError(
        .unsupported, "WebP has no picture of \(image.width)x\(image.height)",
        hint: "write PNG; a side of a WebP picture has at most \(WebP.sideLimit) pixels")
    }
    record = .allocate(capacity: 1)
    record.initialize(to: WebPPicture())
    guard WebPPictureInit(record) != 0 else {
      record.deallocate()
      throw FormatError(.inputOutput, "libwebp is not the version it was built for")
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
