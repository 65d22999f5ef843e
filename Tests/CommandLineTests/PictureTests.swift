import Diffusion
import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// Input and output images of `sdgen`, and the metadata that it writes.
@Suite(.serialized) struct PictureTests {
  static let source = Fixtures.path("pictures/source.png")
  static let mask = Fixtures.path("pictures/mask.png")

  static func draw(_ arguments: [String], in folder: String) throws -> Tool.Result {
    try Tool.run(
      "sdgen", [GenerateTests.prompt, "--scheduler", "ddim", "--steps", "4"] + arguments,
      in: folder)
  }

  static func bytes(_ path: String) throws -> [UInt8] {
    try [UInt8](Data(contentsOf: URL(filePath: path)))
  }

  @Test func formatsByNameAndByOption() throws {
    try withTemporaryFolder { folder in
      let cases: [(arguments: [String], file: String, format: PictureFormat)] = [
        (["-o", "a.png"], "a.png", .png), (["-o", "a.jpg"], "a.jpg", .jpeg),
        (["-o", "a.webp"], "a.webp", .webp), (["--format", "jpeg"], "out.jpg", .jpeg),
        (["--format", "webp", "-o", "b.png"], "b.png", .webp), (["-o", "c"], "c", .png),
        (["-o", "q.webp", "--quality", "50"], "q.webp", .webp),
      ]
      var pixels: [String: Image] = [:]
      for (arguments, file, format) in cases {
        let result = try Self.draw(arguments + ["--seed", "1"], in: folder)
        #expect(result.status == 0, "\(result.errors)")
        let picture = try PictureFile.read("\(folder)/\(file)")
        #expect(picture.format == format, "\(arguments)")
        pixels[file] = picture.image
      }
      #expect(pixels["a.webp"] == pixels["a.png"])
      #expect(pixels["q.webp"] != pixels["a.png"])
      #expect(pixels["a.jpg"] == pixels["out.jpg"])
    }
  }

  @Test func startsFromAPicture() throws {
    try withTemporaryFolder { folder in
      for (name, arguments, width, height) in [
        ("a", ["--init", Self.source], 96, 80),
        ("b", ["--init", Fixtures.path("pictures/source.jpg"), "--width", "64"], 64, 80),
        ("c", ["--init", Self.source, "--mask", Self.mask, "--strength", "1"], 96, 80),
        ("d", ["--init", Self.source, "--outpaint", "16,0,8,32"], 120, 112),
        (
          "e", ["--hires", "1.5", "--hires-steps", "3", "--width", "64", "--height", "72"], 96, 104
        ),
      ] {
        let result = try Self.draw(arguments + ["-o", "\(name).png", "--json"], in: folder)
        #expect(result.status == 0, "\(result.errors)")
        let row = try #require(try JSON(parsing: result.output)["pictures"]?.array?.first)
        #expect(row["width"]?.int == width, "\(name)")
        #expect(row["height"]?.int == height, "\(name)")
      }
      // Another seed changes the inpainted area, and hardly the rest.
      let other = try Self.draw(
        [
          "--init", Self.source, "--mask", Self.mask, "--strength", "1", "--seed", "77", "-o",
          "f.png",
        ],
        in: folder)
      #expect(other.status == 0, "\(other.errors)")
      let first = try PictureFile.read(folder + "/c.png").image
      let second = try PictureFile.read(folder + "/f.png").image
      func difference(_ columns: Range<Int>, _ rows: Range<Int>) -> Int {
        let places = rows.flatMap { row in columns.map { 3 * (row * 96 + $0) } }
        return places.reduce(0) {
          $0 + abs(Int(first.pixels[$1]) - Int(second.pixels[$1]))
        } / places.count
      }
      let kept = difference(0..<16, 56..<80)
      let repainted = difference(48..<72, 24..<40)
      #expect(repainted > 8 && repainted > 4 * kept, "\(kept) kept, \(repainted) repainted")
    }
  }

  /// The kept area of a mask or a larger canvas has the image's own pixels; `again` reproduces it.
  @Test func keptPixelsArePutBack() throws {
    try withTemporaryFolder { folder in
      let source = try PictureFile.read(Self.source).image
      let mask = try PictureFile.read(Self.mask).image
      for name in ["source.png", "mask.png"] {
        try FileManager.default.copyItem(
          atPath: Fixtures.path("pictures/\(name)"), toPath: "\(folder)/\(name)")
      }
      let arguments = [
        "--init", "source.png", "--mask", "mask.png", "--strength", "1", "--seed", "5", "-o",
      ]
      for (file, extra) in [("a.png", []), ("b.png", ["--paste-back"])] {
        let result = try Self.draw(arguments + [file] + extra, in: folder)
        #expect(result.status == 0, "\(result.errors)")
      }
      let plain = try PictureFile.read("\(folder)/a.png").image
      let pasted = try PictureFile.read("\(folder)/b.png").image
      var counts = (kept: 0, mixed: 0, drawn: 0)
      for index in pasted.pixels.indices {
        let (old, new) = (source.pixels[index], plain.pixels[index])
        switch mask.pixels[index] {
        case 0:
          counts.kept += 1
          #expect(pasted.pixels[index] == old)
        case 255:
          counts.drawn += 1
          #expect(pasted.pixels[index] == new)
        default:
          counts.mixed += 1
          #expect((min(old, new)...max(old, new)).contains(pasted.pixels[index]))
        }
      }
      #expect(counts.kept > 1000 && counts.mixed > 1000, "\(counts)")
      #expect(plain != pasted)
      let again = try Tool.run("sdgen", ["again", "b.png"], in: folder)
      #expect(
        again.status == 0 && again.errors.contains("identical in every pixel"), "\(again.errors)")
      let info = try Tool.run("sdgen", ["info", "b.png", "--json"], in: folder)
      #expect(try JSON(parsing: info.output)["job"]?["arguments"]?["paste-back"] == true)

      let larger = try Self.draw(
        ["--init", "source.png", "--outpaint", "16,8,0,24", "--paste-back", "-o", "c.png"],
        in: folder)
      #expect(larger.status == 0, "\(larger.errors)")
      let canvas = try PictureFile.read("\(folder)/c.png").image
      #expect((canvas.width, canvas.height) == (112, 112))
      for row in 0..<80 {
        let inner = 3 * ((row + 8) * 112 + 16)
        #expect(
          canvas.pixels[inner..<inner + 3 * 96] == source.pixels[3 * 96 * row..<3 * 96 * (row + 1)])
      }
    }
  }

  @Test(
    arguments: [
      ["--paste-back"], ["--init", source, "--paste-back"],
      ["--strength", "0.5"], ["--init", source, "--strength", "0"],
      ["--init", source, "--strength", "1.1"], ["--mask", mask], ["--outpaint", "8,8,8,8"],
      ["--init", source, "--outpaint", "8,8,8"], ["--init", source, "--outpaint", "4,0,0,0"],
      ["--init", source, "--outpaint", "0,0,0,0"], ["--hires", "1"], ["--hires", "9"],
      ["--hires-steps", "3"], ["--hires-strength", "0.4"], ["--hires", "2", "--hires-steps", "0"],
      ["--quality", "90"], ["-o", "a.jpg", "--quality", "0"], ["-o", "a.jpg", "--quality", "101"],
      ["--format", "gif"], ["--init", source, "--strength", "0.1"],
    ])
  func badValues(arguments: [String]) throws {
    try withTemporaryFolder { folder in
      let result = try Self.draw(arguments, in: folder)
      #expect(result.status == 64, "\(arguments): \(result.errors)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  @Test func whatIsNoPictureIsSaid() throws {
    try withTemporaryFolder { folder in
      let cut = folder + "/cut.jpg"
      try Data(Self.bytes(Fixtures.path("pictures/source.jpg")).prefix(900))
        .write(to: URL(filePath: cut))
      for (path, status) in [
        (Fixtures.path("pictures/drawn.json"), 65), (cut, 65), ("/no/a.png", 66),
      ] {
        let result = try Self.draw(["--init", path], in: folder)
        #expect(result.status == status, "\(result.errors)")
        #expect(result.errors.contains(path))
      }
    }
  }

  @Test func metadataIsReadBack() throws {
    try withTemporaryFolder { folder in
      for format in ["png", "jpg", "webp"] {
        let result = try Tool.run(
          "sdgen",
          [
            "a red circle, café", "--negative", "a: \"star\"", "--steps", "3", "--seed", "9",
            "--scheduler", "euler-a", "--guidance", "3.5", "--width", "64", "--height", "72", "-o",
            "a.\(format)", "--sidecar",
          ], in: folder)
        #expect(result.status == 0, "\(result.errors)")
        let info = try Tool.run("sdgen", ["info", "a.\(format)", "--json"], in: folder)
        #expect(info.status == 0, "\(info.errors)")
        let json = try JSON(parsing: info.output)
        #expect(json["prompt"]?.string == "a red circle, café")
        #expect(json["negative_prompt"]?.string == "a: \"star\"")
        let fields: [(String, String)] = [
          ("Steps", "3"), ("Sampler", "Euler a"), ("CFG scale", "3.5"), ("Seed", "9"),
          ("Size", "64x72"), ("Model", "shapes-v2"), ("RNG", "CPU"),
        ]
        for (name, value) in fields { #expect(json["fields"]?[name]?.string == value, "\(name)") }
        #expect(json["job"]?["arguments"]?["scheduler"]?.string == "euler-a")
        let plain = try Tool.run("sdgen", ["info", "a.\(format)"], in: folder)
        #expect(plain.output.contains("Sampler: Euler a"))
        let sidecar = try JSON(
          parsing: String(contentsOfFile: folder + "/a.json", encoding: .utf8))
        #expect(sidecar["parameters"] == json["parameters"])
        #expect(sidecar["job"] == json["job"])
        try FileManager.default.removeItem(atPath: folder + "/a.json")
      }
      let bare = try Self.draw(["-o", "b.png", "--no-metadata"], in: folder)
      #expect(bare.status == 0)
      let none = try Tool.run("sdgen", ["info", "b.png"], in: folder)
      #expect(none.status == 1)
      #expect(none.errors.contains("no generation metadata"))
    }
  }

  @Test func aPictureComesOutTheSameAgain() throws {
    try withTemporaryFolder { folder in
      let cases: [[String]] = [
        ["-o", "a.png", "--count", "2"], ["-o", "b.webp", "--guidance", "3.3"],
        ["-o", "c.png", "--init", Self.source, "--mask", Self.mask],
        ["-o", "d.png", "--hires", "1.5", "--width", "64", "--height", "64"],
        ["-o", "e.png", "--negative=-x", "--scheduler", "euler-a"],
      ]
      for name in ["source.png", "mask.png"] {
        try FileManager.default.copyItem(
          atPath: Fixtures.path("pictures/\(name)"), toPath: "\(folder)/\(name)")
      }
      for arguments in cases {
        let result = try Self.draw(arguments, in: folder)
        #expect(result.status == 0, "\(result.errors)")
      }
      for (file, again) in [
        ("a-2.png", "a-2-again.png"), ("b.webp", "b-again.webp"), ("c.png", "c-again.png"),
        ("d.png", "d-again.png"), ("e.png", "e-again.png"),
      ] {
        let result = try Tool.run("sdgen", ["again", file], in: folder)
        #expect(result.status == 0, "\(file): \(result.errors)")
        #expect(result.errors.contains("identical in every pixel"))
        #expect(
          try PictureFile.read("\(folder)/\(again)") == PictureFile.read("\(folder)/\(file)"))
      }
      let changed = try Tool.run(
        "sdgen", ["again", "b.webp", "--seed", "1", "-o", "f.png"], in: folder)
      #expect(changed.status == 0, "\(changed.errors)")
      #expect(!changed.errors.contains("every pixel"))

      // An input file must exist, and is identified by its content.
      try FileManager.default.removeItem(atPath: folder + "/mask.png")
      let missing = try Tool.run("sdgen", ["again", "c.png", "-o", "g.png"], in: folder)
      #expect(missing.status == 66)
      #expect(missing.errors.contains("--mask PATH"))
      try FileManager.default.copyItem(
        atPath: Fixtures.path("pictures/grey.png"), toPath: folder + "/mask.png")
      let other = try Tool.run("sdgen", ["again", "c.png", "-o", "g.png"], in: folder)
      #expect(other.status == 1)
      #expect(other.errors.contains("mask.png differs from the file"))
    }
  }

  /// An untrusted image determines what is generated, not which files are read or written.
  @Test func picturesGiveNoOrders() throws {
    try withTemporaryFolder { folder in
      let victim = folder + "/victim"
      try Data("mine".utf8).write(to: URL(filePath: victim))
      let job = """
        {"version":1,"program":"sdloom","model":"shapes-v2","arguments":{"prompt":"a star","steps":2,\
        "scheduler":"ddim","width":64,"height":64,"seed":1,"output":"\(victim)","force":true,\
        "trace":"\(victim)","save-latents":"\(victim)","count":50,"model":"\(victim)"},"files":{}}
        """
      func write(_ job: String, to name: String) throws {
        try PictureFile.write(
          PictureFile.read(Self.source).image, PictureFile.Metadata(job: job),
          as: PictureFile.Compression(.png), to: "\(folder)/\(name)")
      }
      try write(job, to: "a.png")
      let result = try Tool.run("sdgen", ["again", "a.png"], in: folder)
      // Generated, and of course different from the image that carried the job.
      #expect(result.status == 1, "\(result.errors)")
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
          == ["a-again.png", "a.png", "victim"])
      #expect(try Data(contentsOf: URL(filePath: victim)) == Data("mine".utf8))
      try write(
        job.replacingOccurrences(of: "\"count\":50", with: "\"init\":\"\(Self.source)\""),
        to: "b.png")
      let read = try Tool.run("sdgen", ["again", "b.png"], in: folder)
      #expect(read.status == 66, "\(read.errors)")
      #expect(read.errors.contains("source.png, which was not found"))
      for text in ["{", "[]", "{\"version\":2}", "{\"version\":1,\"arguments\":{\"x\":1}}"] {
        try? FileManager.default.removeItem(atPath: folder + "/c.png")
        try write(text, to: "c.png")
        let odd = try Tool.run("sdgen", ["again", "c.png"], in: folder)
        #expect(odd.status == 65 || odd.status == 64, "\(text): \(odd.errors)")
      }
    }
  }

  /// A lossy file does not contain the original pixels, so they are not compared.
  @Test func againFromAFileWithLoss() throws {
    try withTemporaryFolder { folder in
      for (file, quality) in [("a.jpg", "90"), ("b.webp", "70")] {
        let drawn = try Self.draw(["-o", file, "--quality", quality], in: folder)
        #expect(drawn.status == 0, "\(drawn.errors)")
        let result = try Tool.run("sdgen", ["again", file, "-o", "again-" + file], in: folder)
        #expect(result.status == 0, "\(result.errors)")
        #expect(!result.errors.contains("same"))
      }
    }
  }

  /// What other programs ask for in ways of their own, and what draws in place of an unknown sampler.
  @Test func againFromOtherTexts() throws {
    try withTemporaryFolder { folder in
      let start = "a (red:1.2) circle\nSteps: 2, Seed: 5, Size: 64x64, "
      let cases: [(fields: String, arguments: [String: JSON], says: String)] = [
        ("Sampler: Euler, Emphasis: No norm", ["emphasis": "no-norm", "scheduler": "euler"], ""),
        (
          "Sampler: DPM++ 2M, Schedule type: Automatic",
          ["sigmas": "karras", "scheduler": "dpmpp-2m"], ""
        ),
        (
          "Sampler: Magic, Clip skip: 0", ["scheduler": "pndm"],
          "the sampler Magic is unknown; pndm, the model's own, is used"
        ),
        (
          "Sampler: DPM fast, Clip skip: 0", ["scheduler": "dpmpp-2m"],
          "DPM fast is unknown; the closest, dpmpp-2m, is used"
        ),
        (
          "Sampler: euler, Custom Sigmas: [9.5000, 2.0000, 0.5000, 0.0000], "
            + "Version: stable-diffusion.cpp",
          ["sigmas": "9.5000,2.0000,0.5000,0.0000", "steps": 3],
          ""
        ),
        (
          "Sampler: lcm sgm_uniform, Hires upscale: Latent, Hires scale: 1.5, Hires resize: 0x0, "
            + "Hires steps: 2, Denoising strength: 0.5, Version: stable-diffusion.cpp",
          ["scheduler": "lcm", "hires": 1.5, "hires-steps": 2, "hires-strength": 0.5],
          "Hires upscaler"
        ),
        (
          "Sampler: Euler, Hires resize: 96x96, Denoising strength: 0.5",
          ["hires": 1.5, "hires-strength": 0.5], ""
        ),
      ]
      for (index, example) in cases.enumerated() {
        try PictureFile.write(
          PictureFile.read(Self.source).image,
          PictureFile.Metadata(parameters: start + example.fields),
          as: PictureFile.Compression(.png), to: "\(folder)/\(index).png")
        let result = try Tool.run(
          "sdgen", ["again", "\(index).png", "-o", "o\(index).png"], in: folder)
        #expect(result.status == 0, "\(result.errors)")
        #expect(example.says.isEmpty || result.errors.contains(example.says), "\(result.errors)")
        let info = try Tool.run("sdgen", ["info", "o\(index).png", "--json"], in: folder)
        let json = try JSON(parsing: info.output)
        for (name, value) in example.arguments {
          #expect(json["job"]?["arguments"]?[name] == value, "\(example.fields): \(name)")
        }
        #expect(json["fields"]?["Emphasis"] == (index == 0 ? "No norm" : nil))
      }
    }
  }

  /// A web UI's image is reproduced as closely as possible, and what is left out is reported.
  @Test func againFromAWebUI() throws {
    try withTemporaryFolder { folder in
      let text = """
        a red circle on a blue background
        Steps: 3, Sampler: Euler a, CFG scale: 4, Seed: 5, Size: 64x64, Model: shapes-v2, \
        ENSD: 31337, RNG: CPU, Version: v1.9.4
        """
      try PictureFile.write(
        PictureFile.read(Self.source).image, PictureFile.Metadata(parameters: text),
        as: PictureFile.Compression(.png), to: folder + "/a.png")
      let result = try Tool.run("sdgen", ["again", "a.png", "-o", "b.png"], in: folder)
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.errors.contains("ignored settings: ENSD"))
      let direct = try Tool.run(
        "sdgen",
        [
          GenerateTests.prompt, "--steps", "3", "--scheduler", "euler-a", "--guidance", "4",
          "--seed", "5", "--width", "64", "--height", "64", "-o", "c.png",
        ], in: folder)
      #expect(direct.status == 0)
      #expect(
        try PictureFile.read(folder + "/b.png").image == PictureFile.read(folder + "/c.png").image)
      try PictureFile.write(
        PictureFile.read(Self.source).image,
        PictureFile.Metadata(
          parameters: text.replacingOccurrences(of: "shapes-v2", with: "sd15")),
        as: PictureFile.Compression(.png), to: folder + "/d.png")
      let other = try Tool.run("sdgen", ["again", "d.png"], in: folder)
      #expect(other.status == 66)
      #expect(other.errors.contains("--model PATH"))
    }
  }
}
