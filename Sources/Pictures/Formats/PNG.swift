import CSPNG
import Glibc
import ModelFormats

/// Reads and writes PNG files with libspng.
///
/// Source: the PNG specification, third edition (W3C); libspng 0.7.
public enum PNG {
  /// A text chunk of an image, as web UIs use it for generation parameters.
  public struct Text: Sendable, Hashable {
    /// 1 to 79 characters of Latin-1.
    public let keyword: String
    /// The text.
    public let text: String

    public init(keyword: String, text: String) {
      self.keyword = keyword
      self.text = text
    }
  }

  /// Writes an image to a new file.
  ///
  /// The same image and texts always give the same bytes.
  ///
  /// - Throws: ``FormatError`` as ``ModelFormats/FileWriter`` and ``encode(_:texts:)``.
  public static func write(
    _ image: Image, texts: [Text] = [], to path: String, overwrite: Bool = false
  ) throws(FormatError) {
    let bytes: [UInt8]
    do throws(FormatError) {
      bytes = try encode(image, texts: texts)
    } catch {
      throw error.inFile(path)
    }
    let writer = try FileWriter(path: path, overwrite: overwrite)
    try writer.write(bytes)
    try writer.commit()
  }

  /// Reads a file of any color type; transparency is ignored.
  ///
  /// - Throws: ``FormatError`` `notFound`, or as ``decode(_:)``.
  public static func read(
    _ path: String
  ) throws(FormatError) -> (image: Image, texts: [Text], exif: [UInt8]?) {
    let file = try MappedFile(path: path)
    let bytes = file.withBytes(in: 0..<file.count) { Array($0) }
    do throws(FormatError) {
      return try decode(bytes)
    } catch {
      throw error.inFile(path)
    }
  }

  /// The bytes of a PNG file.
  ///
  /// Latin-1 text becomes a tEXt chunk, other text an iTXt chunk.
  ///
  /// - Throws: ``FormatError`` `unsupported` if PNG does not support the image or a text.
  public static func encode(_ image: Image, texts: [Text] = []) throws(FormatError) -> [UInt8] {
    let context = try Context(flags: Int32(SPNG_CTX_ENCODER.rawValue))
    guard let width = UInt32(exactly: image.width), let height = UInt32(exactly: image.height)
    else {
      throw FormatError(.unsupported, "PNG does not support \(image.width)x\(image.height) images")
    }
    var header = spng_ihdr(
      width: width, height: height, bit_depth: 8,
      color_type: UInt8(SPNG_COLOR_TYPE_TRUECOLOR.rawValue), compression_method: 0,
      filter_method: 0, interlace_method: 0)
    try context.check(spng_set_option(context.pointer, SPNG_ENCODE_TO_BUFFER, 1))
    // Explicit, so that the bytes do not depend on the library's defaults.
    try context.check(spng_set_option(context.pointer, SPNG_IMG_COMPRESSION_LEVEL, 6))
    try context.check(
      spng_set_option(
        context.pointer, SPNG_FILTER_CHOICE, Int32(SPNG_FILTER_CHOICE_ALL.rawValue)))
    try context.check(spng_set_ihdr(context.pointer, &header))

    let chunks = try texts.map { (text) throws(FormatError) in try TextChunk(text) }
    // libspng keeps pointers into them until the image is encoded.
    defer { withExtendedLifetime(chunks) {} }
    var records = chunks.map(\.record)
    if !records.isEmpty {
      try context.check(spng_set_text(context.pointer, &records, UInt32(records.count)))
    }
    try context.check(
      spng_encode_image(
        context.pointer, image.pixels, image.pixels.count, Int32(SPNG_FMT_PNG.rawValue),
        Int32(SPNG_ENCODE_FINALIZE.rawValue)))
    var count = 0
    var status: Int32 = 0
    let buffer = spng_get_png_buffer(context.pointer, &count, &status)
    defer { free(buffer) }
    try context.check(status)
    return Array(UnsafeRawBufferPointer(start: buffer, count: count))
  }

  /// The image, the texts and the EXIF data of a PNG file.
  ///
  /// - Throws: ``FormatError`` `unrecognized`, `truncated`, `malformed`, or `unsupported` for a
  ///   image whose pixels the file cannot justify.
  public static func decode(
    _ bytes: [UInt8]
  ) throws(FormatError) -> (image: Image, texts: [Text], exif: [UInt8]?) {
    let context = try Context(flags: 0)
    return try bytes.withUnsafeBytes { buffer -> Result<(Image, [Text], [UInt8]?), FormatError> in
      do throws(FormatError) {
        return .success(try decode(buffer, with: context))
      } catch {
        return .failure(error)
      }
    }.get()
  }

  private static func decode(
    _ bytes: UnsafeRawBufferPointer, with context: Context
  ) throws(FormatError) -> (Image, [Text], [UInt8]?) {
    let header = try header(bytes, with: context)
    var count = 0
    let format = Int32(SPNG_FMT_RGB8.rawValue)
    try context.check(spng_decoded_image_size(context.pointer, format, &count))
    var pixels = [UInt8](repeating: 0, count: count)
    try context.check(spng_decode_image(context.pointer, &pixels, count, format, 0))
    let image = Image(width: Int(header.width), height: Int(header.height), pixels: pixels)
    return (image, try texts(of: context), exif(of: context))
  }

  private static func header(
    _ bytes: UnsafeRawBufferPointer, with context: Context
  ) throws(FormatError) -> spng_ihdr {
    try context.check(spng_set_image_limits(context.pointer, 1 << 16, 1 << 16))
    try context.check(spng_set_chunk_limits(context.pointer, 16 << 20, 64 << 20))
    try context.check(spng_set_png_buffer(context.pointer, bytes.baseAddress, bytes.count))
    var header = spng_ihdr()
    try context.check(spng_get_ihdr(context.pointer, &header))
    // Deflate produces at most 1032 bytes from one, and a pixel has at least one bit.
    try PictureFile.check(
      width: Int(header.width), height: Int(header.height), byteCount: bytes.count,
      pixelsPerByte: 8 * 1032)
    return header
  }

  /// How opaque each pixel is, row by row from 0 to 255; nil if the file has no transparency.
  ///
  /// - Throws: ``FormatError`` as ``decode(_:)``.
  static func opacity(_ bytes: [UInt8]) throws(FormatError) -> [UInt8]? {
    let context = try Context(flags: 0)
    return try bytes.withUnsafeBytes { buffer -> Result<[UInt8]?, FormatError> in
      do throws(FormatError) {
        return .success(try opacity(buffer, with: context))
      } catch {
        return .failure(error)
      }
    }.get()
  }

  private static func opacity(
    _ bytes: UnsafeRawBufferPointer, with context: Context
  ) throws(FormatError) -> [UInt8]? {
    let header = try header(bytes, with: context)
    var transparency = spng_trns()
    let hasKey = spng_get_trns(context.pointer, &transparency) == 0
    let types = [SPNG_COLOR_TYPE_GRAYSCALE_ALPHA, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA].map(\.rawValue)
    guard hasKey || types.contains(UInt32(header.color_type)) else { return nil }
    var count = 0
    let format = Int32(SPNG_FMT_RGBA8.rawValue)
    try context.check(spng_decoded_image_size(context.pointer, format, &count))
    var pixels = [UInt8](repeating: 0, count: count)
    try context.check(
      spng_decode_image(
        context.pointer, &pixels, count, format, Int32(SPNG_DECODE_TRNS.rawValue)))
    return stride(from: 3, to: count, by: 4).map { pixels[$0] }
  }

  private static func exif(of context: Context) -> [UInt8]? {
    var chunk = spng_exif()
    guard spng_get_exif(context.pointer, &chunk) == 0 else { return nil }
    return Array(UnsafeRawBufferPointer(start: chunk.data, count: chunk.length))
  }

  private static func texts(of context: Context) throws(FormatError) -> [Text] {
    try context.check(spng_decode_chunks(context.pointer))
    var count: UInt32 = 0
    let status = spng_get_text(context.pointer, nil, &count)
    guard status != SPNG_ECHUNKAVAIL.rawValue else { return [] }
    try context.check(status)
    var records = [spng_text](repeating: spng_text(), count: Int(count))
    try context.check(spng_get_text(context.pointer, &records, &count))
    return records.map(TextChunk.text)
  }
}

/// A libspng context, freed with its owner.
private final class Context {
  let pointer: OpaquePointer

  init(flags: Int32) throws(FormatError) {
    guard let pointer = spng_ctx_new(flags) else {
      throw FormatError(.inputOutput, "libspng has no memory")
    }
    self.pointer = pointer
  }

  deinit { spng_ctx_free(pointer) }

  func check(_ status: Int32) throws(FormatError) {
    guard status != 0 else { return }
    let reason = String(cString: spng_strerror(status))
    switch status {
    case SPNG_EOF.rawValue, SPNG_IO_EOF.rawValue:
      throw FormatError(.truncated, "the PNG file ends early", hint: "get the file again")
    case SPNG_ESIGNATURE.rawValue:
      throw FormatError(
        .unrecognized, "not a PNG file", offset: 0, hint: "pass a PNG file")
    default:
      throw FormatError(.malformed, "libspng: \(reason)")
    }
  }
}
