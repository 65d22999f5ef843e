import Foundation
import ModelFormats
import Pictures
import TestSupport
import Testing

/// Images of Fixtures/images against what Pillow makes of them (make.py there).
@Suite struct PictureFileTests {
  static func golden(_ name: String) throws -> Image {
    let file = try TensorFile.open(Fixtures.path("pictures/pictures.safetensors"))
    let tensor = try #require(file[name])
    let shape = tensor.shape.dimensions
    return tensor.withContiguousBytes { bytes in
      Image(width: shape[1], height: shape[0], pixels: Array(bytes))
    }
  }

  static func bytes(_ name: String) throws -> [UInt8] {
    try [UInt8](Data(contentsOf: URL(filePath: Fixtures.path("pictures/\(name)"))))
  }

  /// 8 and 16 bits, gray, palette, transparency, every orientation, progressive scans.
  @Test(
    arguments: [
      "source.png", "grey.png", "palette.png", "alpha.png", "bilevel.png", "deep.png",
      "turned.png", "source.jpg", "progressive.jpg", "grey.jpg", "lossless.webp", "lossy.webp",
    ] + (2...8).map { "turned\($0).jpg" })
  func readsAsPillowDoes(name: String) throws {
    let picture = try PictureFile.read(Fixtures.path("pictures/\(name)")).image
    let expected = try Self.golden(name)
    #expect((picture.width, picture.height) == (expected.width, expected.height))
    #expect(picture.pixels == expected.pixels)
  }

  @Test(arguments: [(64, 64), (40, 120), (200, 80), (96, 33), (7, 5), (128, 128)])
  func resizesAsPillowDoes(width: Int, height: Int) throws {
    let source = try PictureFile.read(Fixtures.path("pictures/source.png")).image
    let resized = source.resized(width: width, height: height)
    #expect(try resized.pixels == Self.golden("\(width)x\(height)").pixels)
    #expect(source.resized(width: source.width, height: source.height) == source)
  }

  /// A comment that another program wrote, in the web UI's form.
  @Test(arguments: ["exif.jpg", "exif.webp"])
  func readsComments(name: String) throws {
    let text = try #require(
      try PictureFile.read(Fixtures.path("pictures/\(name)")).metadata.parameters)
    #expect(
      text
        == "a red circle\nNegative prompt: é 日本\nSteps: 20, Sampler: Euler a, Seed: 1, Size: 96x80")
  }

  @Test(arguments: PictureFormat.allCases, [nil, 60])
  func roundTrip(format: PictureFormat, quality: Int?) throws {
    let compression = PictureFile.Compression(format, quality: quality)
    let metadata = PictureFile.Metadata(
      parameters: "un café, 日本 🙂\nNegative prompt: x\nSteps: 1, Seed: 2, Size: 8x8",
      job: "{\"a\":\"é\"}")
    let bytes = try PictureFile.encode(PNGTests.picture, metadata, as: compression)
    #expect(try PictureFile.encode(PNGTests.picture, metadata, as: compression) == bytes)
    #expect(PictureFormat(content: bytes) == format)
    let read = try PictureFile(decoding: bytes)
    #expect(read.format == format)
    #expect(read.metadata == metadata)
    #expect((read.image == PNGTests.picture) == compression.isExact)
    #expect(peakSignalToNoise(read.image, PNGTests.picture) > 14)
    let plain = try PictureFile(
      decoding: PictureFile.encode(PNGTests.picture, as: compression))
    #expect(plain.metadata == PictureFile.Metadata())
    #expect(plain.image == read.image)
  }

  @Test func formatsByName() {
    let names: [(String, PictureFormat?)] = [
      ("a.png", .png), ("a.PNG", .png), ("a.jpg", .jpeg), ("x/a.b.JPEG", .jpeg),
      ("a.webp", .webp), ("a", nil), (".png", nil), ("a.png/b", nil), ("a.gif", nil),
    ]
    for (name, format) in names { #expect(PictureFormat(path: name) == format, "\(name)") }
  }

  /// Truncated anywhere, or with any byte changed, a file gives an error or an image.
  @Test(
    arguments: [
      "source.jpg", "lossless.webp", "lossy.webp", "exif.jpg", "turned6.jpg", "progressive.jpg",
      "source.png", "palette.png", "deep.png",
    ])
  func brokenFiles(name: String) throws {
    let bytes = try Self.bytes(name)
    for count in stride(from: 0, to: bytes.count - 40, by: 53) {
      let error = #expect(throws: FormatError.self) {
        try PictureFile(decoding: Array(bytes.prefix(count)))
      }
      #expect([.unrecognized, .truncated, .malformed].contains(error?.code), "\(count)")
    }
    for position in stride(from: 0, to: bytes.count, by: 7) {
      var changed = bytes
      changed[position] ^= 0xA5
      _ = try? PictureFile(decoding: changed)
    }
  }

  /// Headers that declare more than their bytes can contain.
  @Test func bombs() throws {
    var jpeg = try Self.bytes("source.jpg")
    let frame = try #require(
      jpeg.indices.dropLast(9).first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 })
    jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0xFF, 0xDC, 0xFF, 0xDC])
    let malformed = #expect(throws: FormatError.self) { try PictureFile(decoding: jpeg) }
    #expect(malformed?.code == .malformed)
    // 16384x16384 in WebP, which has no minimum size per pixel: rejected by its dimensions.
    var webp = Array("RIFF".utf8) + [30, 0, 0, 0] + Array("WEBPVP8L".utf8) + [17, 0, 0, 0, 0x2F]
    webp += [0xFF, 0xFF, 0xFF, 0x0F] + [UInt8](repeating: 0, count: 13)
    let large = #expect(throws: FormatError.self) { try PictureFile(decoding: webp) }
    #expect(large?.code == .unsupported)
  }

  /// A progressive file with its last scan repeated many times; decoders process each.
  @Test func scanBombs() throws {
    let jpeg = try Self.bytes("progressive.jpg")
    let scan = try #require(
      jpeg.indices.dropLast().last { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xDA })
    let last = Array(jpeg[scan..<jpeg.count - 2])
    let others = jpeg.indices.dropLast().count { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xDA } - 1
    func file(scans: Int) -> [UInt8] {
      let repeated = [[UInt8]](repeating: last, count: scans - others).joined()
      return Array(jpeg[..<scan]) + Array(repeated) + [0xFF, 0xD9]
    }
    #expect(file(scans: others + 1) == jpeg)
    #expect(throws: Never.self) { try PictureFile(decoding: file(scans: 500)) }
    let error = #expect(throws: FormatError.self) {
      try PictureFile(decoding: file(scans: 501))
    }
    #expect(error?.code == .malformed)
    #expect(error?.message.contains("500 scans") == true, "\(error?.message ?? "")")
  }

  /// A decoder's warnings come with the image; fatal problems are errors, and so is a missing end,
  /// even after a warning.
  @Test(arguments: ["source.jpg", "progressive.jpg"])
  func damagedJPEGs(name: String) throws {
    let jpeg = try Self.bytes(name)
    #expect(try PictureFile(decoding: jpeg).damage == nil)
    let scan = try #require(
      jpeg.indices.dropLast().first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xDA })
    // Stray bytes before a scan: a warning, and the same image.
    let garbage = Array(jpeg[..<scan]) + [0, 1, 2] + Array(jpeg[scan...])
    let picture = try PictureFile(decoding: garbage)
    #expect(picture.damage?.contains("3 extraneous bytes") == true, "\(picture.damage ?? "")")
    #expect(try picture.image == PictureFile(decoding: jpeg).image)
    // The same, truncated: the decoder still reports only the first warning.
    for end in [garbage.count - 2, garbage.count - 40, scan + 60] {
      let error = #expect(throws: FormatError.self, "\(end)") {
        try PictureFile(decoding: Array(garbage[..<end]))
      }
      #expect(error?.code == .truncated, "\(end)")
    }
    // The same, with an error after the warning: a scan of a nonexistent component.
    var broken = garbage
    broken[scan + 3 + 5] = 77
    let error = #expect(throws: FormatError.self) { try PictureFile(decoding: broken) }
    #expect(error?.code == .malformed)
    #expect(error?.message.contains("component") == true, "\(error?.message ?? "")")
    // Data of the image that ends early, though the file does not.
    let cut = try PictureFile(decoding: Array(jpeg[..<(scan + 60)]) + [0xFF, 0xD9])
    #expect(cut.damage?.contains("premature end of data") == true, "\(cut.damage ?? "")")
  }

  @Test func unsupportedPictures() throws {
    let wide = Image(width: 16_384, height: 1, pixels: [UInt8](repeating: 0, count: 49_152))
    let error = #expect(throws: FormatError.self) {
      try PictureFile.encode(wide, as: PictureFile.Compression(.webp))
    }
    #expect(error?.code == .unsupported)
    let long = PictureFile.Metadata(parameters: String(repeating: "x", count: 40_000))
    #expect(throws: FormatError.self) {
      try PictureFile.encode(PNGTests.picture, long, as: PictureFile.Compression(.jpeg))
    }
    #expect(
      try PictureFile(
        decoding: PictureFile.encode(
          PNGTests.picture, long, as: PictureFile.Compression(.webp))
      ).metadata == long)
  }

  @Test func masksAndPadding() throws {
    let image = Image(
      width: 2, height: 1, pixels: [127, 127, 127, 128, 128, 128])
    let mask = Mask(image)
    #expect(mask.isRepainted == [false, true])
    let padding = Image.Padding(left: 1, top: 1, right: 0, bottom: 0)
    let padded = image.padded(padding)
    #expect((padded.width, padded.height) == (3, 2))
    #expect(
      padded.pixels.map(Int.init)
        == Array(repeating: [127, 127, 127, 127, 127, 127, 128, 128, 128], count: 2).flatMap { $0 })
    #expect(mask.padded(padding).isRepainted == [true, true, true, true, false, true])
    #expect(
      mask.resized(width: 5, height: 2).isRepainted
        == [false, false, false, true, true, false, false, false, true, true])
    #expect(mask.resized(width: 2, height: 1) == mask)
    #expect(!Mask.keeping(width: 3, height: 2).isRepainted.contains(true))
  }
}
