import CWebP
import CZlib
import Glibc
import ModelFormats

/// A sequence of images of the same size, as an animated WebP or PNG file.
public struct Animation: Sendable {
  /// An image and its duration.
  public struct Frame: Sendable {
    /// The image; all frames have the same size.
    public let image: Image
    /// The duration.
    public let milliseconds: Int

    public init(_ image: Image, milliseconds: Int) {
      self.image = image
      self.milliseconds = milliseconds
    }
  }

  private let frames: [Frame]

  /// - Parameter frames: at least one, all of the same size.
  public init(_ frames: [Frame]) {
    precondition(!frames.isEmpty, "an animation needs frames")
    precondition(
      frames.allSatisfy {
        $0.image.width == frames[0].image.width && $0.image.height == frames[0].image.height
      }, "frames must have the same size")
    self.frames = frames
  }

  /// The bytes of a file that loops forever.
  ///
  /// - Parameter compression: WebP or PNG.
  /// - Throws: ``FormatError`` `unsupported` if the format does not support animations or this one.
  public func encode(as compression: PictureFile.Compression) throws(FormatError) -> [UInt8] {
    switch compression.format {
    case .png: return try png()
    case .webp: return try webP(quality: compression.quality)
    case .jpeg:
      throw FormatError(
        .unsupported, "JPEG does not support animations", hint: "name the file .webp or .png")
    }
  }

  private func webP(quality: Int?) throws(FormatError) -> [UInt8] {
    var options = WebPAnimEncoderOptions()
    let failure = FormatError(.unsupported, "libwebp cannot encode the animation")
    guard WebPAnimEncoderOptionsInit(&options) != 0,
      let encoder = WebPAnimEncoderNew(
        Int32(frames[0].image.width), Int32(frames[0].image.height), &options)
    else { throw failure }
    defer { WebPAnimEncoderDelete(encoder) }
    var configuration = try WebP.configuration(quality: quality)
    var time: Int32 = 0
    for frame in frames {
      let picture = try WebPFrame(frame.image)
      guard WebPAnimEncoderAdd(encoder, picture.record, time, &configuration) != 0 else {
        throw failure
      }
      time += Int32(frame.milliseconds)
    }
    var output = WebPData()
    guard WebPAnimEncoderAdd(encoder, nil, time, nil) != 0,
      WebPAnimEncoderAssemble(encoder, &output) != 0
    else { throw failure }
    defer { WebPDataClear(&output) }
    return Array(UnsafeBufferPointer(start: output.bytes, count: output.size))
  }

  /// Source: Portable Network Graphics specification, third edition, 11.3.6: the first frame is the
  /// image itself, the others follow in `fdAT` chunks, numbered together with their controls.
  private func png() throws(FormatError) -> [UInt8] {
    var result: [UInt8] = []
    var sequence: UInt32 = 0
    for (index, frame) in frames.enumerated() {
      let chunks = Self.chunks(of: try PNG.encode(frame.image))
      guard let header = chunks.first(where: { $0.name == "IHDR" }) else {
        throw FormatError(.unsupported, "libspng wrote no header")
      }
      if index == 0 {
        result += [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        result += Self.chunk("IHDR", header.body)
        result += Self.chunk("acTL", Self.bytes(UInt32(frames.count)) + Self.bytes(UInt32(0)))
      }
      var control = Self.bytes(sequence) + Array(header.body.prefix(8))
      control += Self.bytes(UInt32(0)) + Self.bytes(UInt32(0))
      // Milliseconds; frames are neither disposed of nor blended.
      control += Self.bytes(UInt16(min(frame.milliseconds, 0xFFFF))) + Self.bytes(UInt16(1000))
      result += Self.chunk("fcTL", control + [0, 0])
      sequence += 1
      for chunk in chunks where chunk.name == "IDAT" {
        if index == 0 {
          result += Self.chunk("IDAT", chunk.body)
        } else {
          result += Self.chunk("fdAT", Self.bytes(sequence) + chunk.body)
          sequence += 1
        }
      }
    }
    return result + Self.chunk("IEND", [])
  }

  private static func bytes<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }

  private static func chunk(_ name: String, _ body: [UInt8]) -> [UInt8] {
    let named = Array(name.utf8) + body
    let checksum = crc32(0, named, UInt32(named.count))
    return bytes(UInt32(body.count)) + named + bytes(UInt32(checksum))
  }

  /// The chunks of a file written by libspng.
  private static func chunks(of bytes: [UInt8]) -> [(name: String, body: [UInt8])] {
    var chunks: [(name: String, body: [UInt8])] = []
    var position = 8
    while position + 12 <= bytes.count {
      let length = bytes[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
      guard position + 12 + length <= bytes.count else { break }
      chunks.append(
        (
          String(decoding: bytes[position + 4..<position + 8], as: UTF8.self),
          Array(bytes[position + 8..<position + 8 + length])
        ))
      position += 12 + length
    }
    return chunks
  }
}
