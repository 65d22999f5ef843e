import Foundation
import ModelFormats
import Pictures
import TestSupport
import Testing

@Suite struct PNGTests {
  /// An image with a gradient, so that filters and compression matter.
  static let picture: Image = {
    var pixels: [UInt8] = []
    for row in 0..<23 {
      for column in 0..<37 {
        pixels += [UInt8(row * column % 251), UInt8(row * 5), UInt8(column * 7 % 256)]
      }
    }
    return Image(width: 37, height: 23, pixels: pixels)
  }()

  /// The reference's decoded values against the PNG that Pillow wrote of them.
  @Test(arguments: ["pndm", "ddim", "lms"])
  func levelsOfDecodedValues(name: String) throws {
    let golden = try TestTensors(path: Fixtures.path("shapes-v2/golden/\(name).safetensors"))
    let expected = try PNG.read(Fixtures.path("shapes-v2/golden/\(name).png")).image
    let values = golden["image"].floats
    #expect(Image(decoded: values, width: 128, height: 128) == expected)
    #expect(Image(decoded: values + values, width: 128, height: 128, index: 1) == expected)
  }

  /// Ties go to the even level, as `torch.round` has it; beyond -1 and 1 values are cut off.
  @Test(
    arguments: [
      (-1, 0), (1, 255), (-5, 0), (5, 255), (0, 128), (.infinity, 255), (-.infinity, 0), (.nan, 0),
      (-0.007843138, 126), (0.007843138, 128), (0.99607843, 254),
    ] as [(Float, UInt8)])
  func rounding(value: Float, level: UInt8) {
    let image = Image(decoded: [value, value, value], width: 1, height: 1)
    #expect(image.pixels == [level, level, level])
  }

  @Test func roundTrip() throws {
    let texts = [
      PNG.Text(keyword: "parameters", text: "a red circle\nSteps: 20, Seed: 42"),
      PNG.Text(keyword: "Title", text: "naïve café"),
      PNG.Text(keyword: "prompt", text: "日本語 🙂\ttab"),
    ]
    let bytes = try PNG.encode(Self.picture, texts: texts)
    let decoded = try PNG.decode(bytes)
    #expect(decoded.image == Self.picture)
    #expect(decoded.texts == texts)
    #expect(try PNG.encode(Self.picture, texts: texts) == bytes)
    // Latin-1 is in a tEXt chunk as it is; the last text needs UTF-8.
    let data = Data(bytes)
    #expect(data.range(of: Data("tEXtparameters\0a red circle\nSteps".utf8)) != nil)
    #expect(data.range(of: Data("iTXtprompt\0".utf8)) != nil)
  }

  @Test func fileIsNotOverwritten() throws {
    let directory = FileManager.default.temporaryDirectory.path + "/png-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let path = directory + "/out.png"
    try PNG.write(Self.picture, to: path)
    let error = #expect(throws: FormatError.self) { try PNG.write(Self.picture, to: path) }
    #expect(error?.code == .cannotCreate)
    try PNG.write(Self.picture, to: path, overwrite: true)
    #expect(try PNG.read(path).image == Self.picture)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["out.png"])
  }

  @Test(arguments: [
    PNG.Text(keyword: "", text: "x"),
    PNG.Text(keyword: String(repeating: "k", count: 80), text: "x"),
    PNG.Text(keyword: "日本", text: "x"), PNG.Text(keyword: "k", text: ""),
    PNG.Text(keyword: "k", text: "a\0b"),
  ])
  func refusedTexts(_ text: PNG.Text) {
    let error = #expect(throws: FormatError.self) {
      try PNG.encode(Self.picture, texts: [text])
    }
    #expect(error?.code == .unsupported)
  }

  @Test func brokenFiles() throws {
    let bytes = try PNG.encode(Self.picture)
    func code(_ bytes: [UInt8]) -> FormatError.Code? {
      do {
        _ = try PNG.decode(bytes)
        return nil
      } catch {
        return error.code
      }
    }
    #expect(code([]) != nil)
    #expect(code(Array("GIF89a".utf8) + bytes.dropFirst(6)) == .unrecognized)
    for count in stride(from: 8, to: bytes.count - 12, by: 97) {
      #expect(code(Array(bytes.prefix(count))) == .truncated)
    }
    var flipped = bytes
    flipped[bytes.count / 2] ^= 0x55
    #expect(code(flipped) == .malformed)
    // 60000x60000 pixels announced by a file of some hundred bytes, the chunk's CRC made right.
    var bomb = bytes
    bomb.replaceSubrange(16..<24, with: [0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60])
    let crc = CRC32.of(bomb[12..<29])
    bomb.replaceSubrange(
      29..<33, with: [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: crc >> $0) })
    #expect(code(bomb) == .malformed)
  }
}
