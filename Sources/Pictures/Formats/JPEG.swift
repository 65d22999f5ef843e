import CTurboJPEG
import ModelFormats
import OrderedJSON

/// Reads and writes JPEG files with libjpeg-turbo.
///
/// Source: ITU-T T.81; the EXIF segment as in Exif 2.32, 4.7; TurboJPEG's API 2.1.
enum JPEG {
  /// The image, the contents of its EXIF segment, and a description of damage that decoders
  /// tolerate.
  ///
  /// - Throws: ``FormatError`` `truncated`, `malformed`, or `unsupported` for CMYK.
  static func decode(
    _ bytes: [UInt8]
  ) throws(FormatError) -> (image: Image, exif: [UInt8]?, damage: String?) {
    let codec = try Codec(tjInitDecompress())
    var (width, height, subsampling, space) = (Int32(0), Int32(0), Int32(0), Int32(0))
    let header = try codec.check(
      tjDecompressHeader3(
        codec.handle, bytes, UInt(bytes.count), &width, &height, &subsampling, &space))
    guard space != TJCS_CMYK.rawValue, space != TJCS_YCCK.rawValue else {
      throw FormatError(
        .unsupported, "unsupported color space CMYK",
        hint: "convert it to RGB first")
    }
    // Any scan has at least one bit per block of 64 pixels.
    try PictureFile.check(
      width: Int(width), height: Int(height), byteCount: bytes.count, pixelsPerByte: 512)
    var pixels = [UInt8](repeating: 0, count: 3 * Int(width) * Int(height))
    // libjpeg's defaults, which most programs use: exact DCT, smooth chroma. Scans are limited,
    // because each covers the whole image.
    let damage = try codec.check(
      tjDecompress2(
        codec.handle, bytes, UInt(bytes.count), &pixels, width, 0, height,
        Int32(TJPF_RGB.rawValue), TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS))
    // Only the first warning is reported, so a missing end may follow another one.
    guard let scan = firstScan(of: bytes), hasEnd(bytes[scan...]) else { throw Codec.endsEarly }
    let image = Image(width: Int(width), height: Int(height), pixels: pixels)
    return (image, exif(in: bytes), header ?? damage)
  }

  /// Whether the end marker is present. Scan data cannot contain these bytes; in a segment between
  /// scans, or after the image, they can, which turns an error into a warning.
  private static func hasEnd(_ bytes: ArraySlice<UInt8>) -> Bool {
    zip(bytes, bytes.dropFirst()).contains { $0 == 0xFF && $1 == 0xD9 }
  }

  /// - Throws: ``FormatError`` `unsupported` if JPEG does not support the image or the EXIF data.
  static func encode(
    _ image: Image, quality: Int, exif: [UInt8]?
  ) throws(FormatError) -> [UInt8] {
    guard image.width <= 65_500, image.height <= 65_500 else {
      throw FormatError(.unsupported, "JPEG does not support \(image.width)x\(image.height) images")
    }
    let codec = try Codec(tjInitCompress())
    var buffer: UnsafeMutablePointer<UInt8>?
    var count: UInt = 0
    defer { tjFree(buffer) }
    // Color at full resolution: generated images have sharp color edges.
    _ = try codec.check(
      tjCompress2(
        codec.handle, image.pixels, Int32(image.width), 0, Int32(image.height),
        Int32(TJPF_RGB.rawValue), &buffer, &count, Int32(TJSAMP_444.rawValue), Int32(quality),
        TJFLAG_ACCURATEDCT))
    let bytes = Array(UnsafeBufferPointer(start: buffer, count: Int(count)))
    guard let exif else { return bytes }
    let segment = Array("Exif\0\0".utf8) + exif
    guard segment.count + 2 <= 0xFFFF else {
      throw FormatError(
        .unsupported, "the metadata (\(exif.count.of("byte"))) is too long for a JPEG file",
        hint: "write PNG, or omit the metadata with \(set: .metadata, "off")")
    }
    let length = UInt16(segment.count + 2)
    // After the JFIF segment, which must come first.
    let place = firstSegmentEnd(of: bytes)
    return bytes[..<place] + [0xFF, 0xE1, UInt8(length >> 8), UInt8(length & 0xFF)] + segment
      + bytes[place...]
  }

  /// The end of the JFIF segment after the start of the image.
  private static func firstSegmentEnd(of bytes: [UInt8]) -> Int {
    guard bytes.count > 6, bytes[2] == 0xFF, bytes[3] == 0xE0 else { return 2 }
    return min(bytes.count, 4 + (Int(bytes[4]) << 8 | Int(bytes[5])))
  }

  /// The contents after `Exif` in the first such segment before the image itself.
  private static func exif(in bytes: [UInt8]) -> [UInt8]? {
    var found: [UInt8]?
    _ = firstScan(of: bytes) { marker, body in
      guard found == nil, marker == 0xE1, body.starts(with: Array("Exif\0\0".utf8)) else { return }
      found = Array(body.dropFirst(6))
    }
    return found
  }

  /// The offset of the first scan, or of whatever interrupts the segments before it.
  ///
  /// - Parameter body: called with each segment's marker and contents.
  private static func firstScan(
    of bytes: [UInt8], _ body: (UInt8, ArraySlice<UInt8>) -> Void = { _, _ in }
  ) -> Int? {
    var position = 2
    while position + 4 <= bytes.count, bytes[position] == 0xFF {
      let marker = bytes[position + 1]
      // Fill bytes may precede a marker.
      if marker == 0xFF {
        position += 1
        continue
      }
      let length = Int(bytes[position + 2]) << 8 | Int(bytes[position + 3])
      guard marker != 0xDA, marker != 0xD9, length >= 2, position + 2 + length <= bytes.count
      else { break }
      body(marker, bytes[position + 4..<position + 2 + length])
      position += 2 + length
    }
    return position < bytes.count ? position : nil
  }
}

/// A handle of TurboJPEG, freed with its owner.
private final class Codec {
  let handle: tjhandle

  init(_ handle: tjhandle?) throws(FormatError) {
    guard let handle else { throw FormatError(.inputOutput, "libjpeg-turbo has no memory") }
    self.handle = handle
  }

  deinit { tjDestroy(handle) }

  static let endsEarly = FormatError(
    .truncated, "the JPEG file ends early", hint: "get the file again")

  /// libjpeg's warnings, by message prefix: about extra or damaged bytes, despite which all
  /// programs produce an image. Source: libjpeg's jerror.h, the codes `JWRN_`.
  private static let warnings = [
    "Corrupt JPEG data", "Warning: unknown JFIF revision", "Inconsistent progression sequence",
    "Invalid SOS parameters", "Unknown Adobe color transform",
  ]

  /// - Returns: a warning; nil if there is none.
  /// - Throws: ``FormatError`` `truncated` or `malformed`.
  func check(_ status: Int32) throws(FormatError) -> String? {
    guard status != 0 else { return nil }
    let reason = tjGetErrorStr2(handle).map { String(cString: $0) } ?? "unknown error"
    if reason.contains("Premature end of JPEG") || reason.contains("Premature end of input") {
      throw Codec.endsEarly
    }
    if reason.contains("more than 500 scans") {
      throw FormatError(
        .malformed, "the JPEG file has more than 500 scans", hint: "save it again as a plain JPEG")
    }
    // An error after a warning has the warning's code, but its own message.
    guard tjGetErrorCode(handle) == TJERR_WARNING.rawValue,
      Codec.warnings.contains(where: reason.hasPrefix)
    else { throw FormatError(.malformed, "libjpeg-turbo: \(reason)") }
    return reason
  }
}
