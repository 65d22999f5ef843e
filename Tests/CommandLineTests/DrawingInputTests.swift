import Diffusion
import Foundation
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// Inputs of `sdgen` that are easily mistaken: masks, prompts like options, files of other kinds.
@Suite(.serialized) struct DrawingInputTests {
  static let small = ["--steps", "2", "--width", "64", "--height", "64", "--seed", "3"]

  /// A PNG file of 64 by 64 pixels of red, green, blue and opacity: one value in the left half, one
  /// in the right. Source: the PNG specification; deflate's stored block.
  private static func writeMask(_ left: [UInt8], _ right: [UInt8], to path: String) throws {
    func long(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 0xFF) } }
    func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
      let body = Array(name.utf8) + data
      return long(data.count) + body + long(Int(CRC32.of(body[...])))
    }
    var row: [UInt8] = [0]
    for _ in 0..<32 { row += left }
    for _ in 0..<32 { row += right }
    var data: [UInt8] = []
    for _ in 0..<64 { data += row }
    var (first, second) = (1, 0)
    for byte in data {
      first = (first + Int(byte)) % 65_521
      second = (second + first) % 65_521
    }
    let size = [UInt8(data.count & 0xFF), UInt8(data.count >> 8)]
    var stream: [UInt8] = [0x78, 0x01, 0x01]
    stream += size + size.map { ~$0 } + data
    stream += long(second << 16 | first)
    var file: [UInt8] = [0x89]
    file += Array("PNG\r\n\u{1A}\n".utf8)
    file += chunk("IHDR", long(64) + long(64) + [8, 6, 0, 0, 0])
    file += chunk("IDAT", stream) + chunk("IEND", [])
    try Data(file).write(to: URL(filePath: path))
  }

  @Test(
    arguments: [
      // A black brush on a clear canvas: only its transparency says anything.
      ([0, 0, 0, 0], [0, 0, 0, 255], "differs only in transparency"),
      // A white one on clear white.
      ([255, 255, 255, 0], [255, 255, 255, 255], "differs only in transparency"),
      ([0, 0, 0, 255], [0, 0, 0, 255], "keeps everything"),
      ([255, 255, 255, 255], [255, 255, 255, 255], "repaints everything"),
      ([255, 255, 255, 0], [0, 0, 0, 255], "transparency of the mask"),
      ([0, 0, 0, 255], [255, 255, 255, 255], ""), ([0, 0, 0, 0], [255, 255, 255, 255], ""),
    ] as [([UInt8], [UInt8], String)])
  func masks(left: [UInt8], right: [UInt8], warning: String) throws {
    try withTemporaryFolder { folder in
      try Self.writeMask(left, right, to: folder + "/m.png")
      let result = try Tool.run(
        "sdgen",
        ["a star", "--init", PictureTests.source, "--mask", "m.png", "--strength", "1"]
          + Self.small, in: folder)
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.errors.contains("mask") == !warning.isEmpty, "\(result.errors)")
      #expect(warning.isEmpty || result.errors.contains(warning), "\(result.errors)")
    }
  }

  @Test(arguments: [
    (["--a red circle"], "is read as an option", "sdgen --steps 25 -- \"--a red circle\""),
    (["--cyberpunk"], "unknown option --cyberpunk", "-- \"--cyberpunk\""),
    (["-x y", "--steps", "2"], "is read as an option", "-- \"-x y\""),
    (["--", "--a b", "--steps", "2"], "--steps follows --", "sdgen --steps 25 -- \"--a b\""),
    (["a", "--negative", "--ugly, bad"], "--negative begins with", "--negative=\"--ugly, bad\""),
    (["tokens", "--a b"], "is read as an option", "sdgen tokens -- \"--a b\""),
  ])
  func promptsLikeOptions(words: [String], says: String, hint: String) throws {
    let result = try Tool.run("sdgen", words)
    #expect(result.status == 64)
    #expect(result.errors.contains(says) && result.errors.contains(hint), "\(result.errors)")
  }

  @Test func promptAfterTheSeparator() throws {
    try withTemporaryFolder { folder in
      let result = try Tool.run(
        "sdgen", Self.small + ["--negative=--ugly", "--", "--a red circle"], in: folder)
      #expect(result.status == 0, "\(result.errors)")
      let info = try Tool.run("sdgen", ["info", "out.png", "--json"], in: folder)
      let json = try JSON(parsing: info.output)
      #expect(json["prompt"] == "--a red circle" && json["negative_prompt"] == "--ugly")
      let again = try Tool.run("sdgen", ["again", "out.png"], in: folder)
      #expect(again.errors.contains("identical in every pixel"), "\(again.errors)")
    }
  }

  /// Files that go with a model are named, and the option for them.
  @Test(arguments: [
    ("adapters/dora.safetensors", "--lora"), ("diffusion/embedding.pt", "--embedding"),
    ("shapes-v2/vae", "--vae"),
  ])
  func filesThatAreNoModel(path: String, option: String) throws {
    let result = try Tool.run("sdgen", ["a", "--model", Fixtures.path(path)])
    #expect(result.status == 65)
    #expect(result.errors.contains("this file alone cannot generate images"), "\(result.errors)")
    #expect(result.errors.contains("this file with \(option)"), "\(result.errors)")
  }

  /// Another VAE: the model's own gives the same image, a file that has none is named.
  @Test func otherVAE() throws {
    try withTemporaryFolder { folder in
      let own = Fixtures.path("shapes-v2/vae/diffusion_pytorch_model.safetensors")
      for (file, arguments) in [("a.png", []), ("b.png", ["--vae", own])] as [(String, [String])] {
        let result = try Tool.run(
          "sdgen", ["a star"] + Self.small + arguments + ["-o", file], in: folder)
        #expect(result.status == 0, "\(result.errors)")
      }
      #expect(
        try PictureFile.read(folder + "/a.png").image == PictureFile.read(folder + "/b.png").image)
      let info = try Tool.run("sdgen", ["info", "b.png", "--json"], in: folder)
      let json = try JSON(parsing: info.output)
      #expect(json["fields"]?["VAE"] == "diffusion_pytorch_model.safetensors")
      #expect(json["fields"]?["VAE hash"]?.string?.count == 10)
      #expect(json["job"]?["arguments"]?["vae"] == "diffusion_pytorch_model.safetensors")
      let none = try Tool.run(
        "sdgen", ["a", "--vae", Fixtures.path("diffusion/embedding.pt")], in: folder)
      #expect(none.status == 65 && none.errors.contains("it has no VAE"), "\(none.errors)")
    }
  }

  /// Variation seeds count on where the seed stays, and are recorded.
  @Test func variationSeeds() throws {
    try withTemporaryFolder { folder in
      let variation = ["--variation-seed", "8", "--variation-strength", "0.3"]
      let result = try Tool.run(
        "sdgen", ["a star", "--count", "2", "--json"] + Self.small + variation, in: folder)
      #expect(result.status == 0, "\(result.errors)")
      let seeds = try JSON(parsing: result.output)["pictures"]?.array?.map { $0["seed"] }
      #expect(seeds == [3, 3])
      let info = try Tool.run("sdgen", ["info", "out-2.png", "--json"], in: folder)
      let json = try JSON(parsing: info.output)
      #expect(json["fields"]?["Variation seed"] == "9")
      #expect(json["fields"]?["Variation seed strength"] == "0.3")
      let again = try Tool.run("sdgen", ["again", "out-2.png"], in: folder)
      #expect(again.errors.contains("identical in every pixel"), "\(again.errors)")
      let alone = try Tool.run("sdgen", ["a", "--variation-seed", "8"], in: folder)
      #expect(alone.status == 64 && alone.errors.contains("--variation-strength"))
    }
  }

  /// The noise of a size in the middle of another: none of it changes at that size. Recorded.
  @Test func seedOfAnotherSize() throws {
    try withTemporaryFolder { folder in
      func draw(_ name: String, _ arguments: [String]) throws -> Image {
        let result = try Tool.run(
          "sdgen", ["a star", "-o", name] + Self.small + arguments, in: folder)
        #expect(result.status == 0, "\(result.errors)")
        return try PictureFile.read("\(folder)/\(name)").image
      }
      let plain = try draw("a.png", [])
      #expect(try draw("b.png", ["--seed-resize", "64x64"]) == plain)
      #expect(try draw("c.png", ["--seed-resize", "48x40"]) != plain)
      let info = try Tool.run("sdgen", ["info", "c.png", "--json"], in: folder)
      #expect(try JSON(parsing: info.output)["fields"]?["Seed resize from"] == "48x40")
      let again = try Tool.run("sdgen", ["again", "c.png"], in: folder)
      #expect(again.errors.contains("identical in every pixel"), "\(again.errors)")
    }
  }

  /// The table of components adds up, previews and files included.
  @Test func profileAddsUp() throws {
    try withTemporaryFolder { folder in
      let result = try Tool.run(
        "sdgen", ["a star", "--profile", "--preview-every", "1"] + Self.small, in: folder)
      #expect(result.status == 0, "\(result.errors)")
      let rows = result.output.split(separator: "\n").filter { $0.hasSuffix(" %") }
      let names = rows.map { String($0).trimmingCharacters(in: .whitespaces) }
      #expect(names.contains { $0.hasPrefix("previews and files") }, "\(result.output)")
      let shares = rows.dropLast().compactMap { row in
        row.split(separator: " ").dropLast().last.flatMap { Double($0) }
      }
      #expect(shares.count == 7 && abs(shares.reduce(0, +) - 100) < 1e-9, "\(result.output)")
    }
  }
}
