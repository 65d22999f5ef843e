import Diffusion
import Foundation
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// What `sdgen` rejects about images before it starts, and what it reports about finished ones.
@Suite(.serialized) struct PictureOptionTests {
  @Test(arguments: [
    (["-o", "a.bmp"], ".png, .jpg or .webp"), (["-o", ""], "is empty"), (["-o", "-"], "stdout"),
    (["--contact-sheet", "sheet.txt"], ".png, .jpg or .webp"),
    (["--seed", "-1"], "from 0 to 2^63-1"),
    (["--seed", "99999999999999999999"], "from 0 to 2^63-1"),
    (["--steps", "-1"], "from 1 to 1000"), (["--count", "-1"], "from 1 to 10000"),
    (["--guidance", "-1"], "from 0 to 100"), (["--width", "-8"], "from 8 to 8192"),
    (["--seed", "9223372036854775807", "--count", "2"], "exceed the range of seeds"),
    (["--seed", "4294967295", "--rng", "numpy", "--count", "2"], "exceed the range of seeds"),
    (["--init", PictureTests.source, "--outpaint", "4,0,0,0"], "multiples of 8 from 0 to 4096"),
    (["--init", PictureTests.source, "--width", "8192", "--outpaint", "8,0,0,0"], "8200 pixels"),
    (["--guidance-interval", "0.8:0.1"], "two fractions from 0 to 1"),
    (["--vae-tile", "100"], "multiple of 8 from 256"),
  ])
  func refusals(arguments: [String], words: String) throws {
    try withTemporaryFolder { folder in
      let result = try PictureTests.draw(arguments, in: folder)
      #expect(result.status == 64, "\(arguments): \(result.errors)")
      #expect(result.errors.contains(words), "\(arguments): \(result.errors)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  @Test func oneFileSpelledTwice() throws {
    try withTemporaryFolder { folder in
      let result = try PictureTests.draw(
        ["--output", "a.png", "--contact-sheet", "./a.png"], in: folder)
      #expect(result.status == 73)
      #expect(
        result.errors.contains("./a.png: two outputs have this name"), "\(result.errors)")
      // The error names the duplicate; settings that are not used without it get a note.
      let others = try PictureTests.draw(
        ["-o", "a.png", "--trace", "t", "--save-latents", "t"], in: folder)
      #expect(others.status == 73)
      #expect(others.errors.hasPrefix("error: t: two outputs"), "\(others.errors)")
    }
  }

  @Test func foldersAreNoPictures() throws {
    for arguments in [["info", "/"], ["a star", "--init", "/"], ["again", "/dev/null"]] {
      let result = try Tool.run("sdgen", arguments)
      #expect(result.status == 65, "\(arguments): \(result.errors)")
      #expect(result.errors.contains("hint: pass an image"), "\(arguments): \(result.errors)")
    }
  }

  /// The precision that auto chose is in the metadata; `again` says if the image is identical.
  @Test(arguments: [("a.png", JSON.bool(true)), ("a.jpg", .null)])
  func againSaysWhetherItIsTheSame(file: String, same: JSON) throws {
    try withTemporaryFolder { folder in
      let drawn = try PictureTests.draw(["-o", file], in: folder)
      #expect(drawn.status == 0, "\(drawn.errors)")
      let info = try Tool.run("sdgen", ["info", file, "--json"], in: folder)
      let type = try JSON(parsing: info.output)["job"]?["arguments"]?["dtype"]?.string
      #expect(["f32", "bf16"].contains(type))
      let again = try Tool.run("sdgen", ["again", file, "--json"], in: folder)
      #expect(again.status == 0, "\(again.errors)")
      #expect(again.errors.isEmpty)
      #expect(try JSON(parsing: again.output)["same"] == same)
      let changed = try Tool.run(
        "sdgen", ["again", file, "--seed", "3", "-o", "b.png", "--json"], in: folder)
      #expect(try JSON(parsing: changed.output)["same"] == .null)
      // Compared before it is compressed.
      let lossy = try Tool.run("sdgen", ["again", file, "-o", "c.jpg"], in: folder)
      #expect(lossy.status == 0 && !lossy.errors.contains("not identical"), "\(lossy.errors)")
    }
  }

  @Test func qualityIsRemembered() throws {
    try withTemporaryFolder { folder in
      #expect(try PictureTests.draw(["-o", "a.jpg", "--quality", "40"], in: folder).status == 0)
      #expect(try Tool.run("sdgen", ["again", "a.jpg"], in: folder).status == 0)
      #expect(
        try PictureTests.bytes(folder + "/a.jpg") == PictureTests.bytes(folder + "/a-again.jpg"))
      let other = try Tool.run("sdgen", ["again", "a.jpg", "-o", "b.png"], in: folder)
      #expect(other.status == 0, "\(other.errors)")
    }
  }

  @Test func aTextTooLongForJPEGIsLeftOut() throws {
    try withTemporaryFolder { folder in
      // Both at their limit, in UTF-16, exceed a JPEG segment.
      let prompt = String(repeating: "star ", count: 3276)
      let result = try Tool.run(
        "sdgen",
        [prompt, "--negative", prompt, "--plain-prompt", "-o", "a.jpg"] + BatchTests.flags,
        in: folder)
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.errors.contains("too long for a JPEG file"))
      #expect(try PictureFile.read(folder + "/a.jpg").metadata.job == nil)
    }
  }

  @Test func allFilesAreNamed() throws {
    try withTemporaryFolder { folder in
      let arguments = [
        "--preview-every", "2", "--preview", "latent", "--contact-sheet", "sheet.png",
        "--animation", "a.webp", "--sidecar", "--trace", "t.json", "--save-latents",
        "l.safetensors", "--force",
      ]
      let json = try JSON(
        parsing: PictureTests.draw(arguments + ["--json"], in: folder).output)
      let files = ["out-step-2.png", "sheet.png", "a.webp", "out.json"]
      let together = ["l.safetensors", "t.json"]
      #expect(json["pictures"]?.array?.first?["files"]?.array?.map(\.string) == files)
      #expect(json["files"]?.array?.map(\.string) == together)
      let text = try PictureTests.draw(arguments, in: folder).output
      for file in files + together { #expect(text.contains("wrote \(file)\n"), "\(file)") }
    }
  }

  @Test func aPictureThatSaysNothing() throws {
    let result = try Tool.run("sdgen", ["info", PictureTests.source, "--json"])
    #expect(result.status == 1)
    #expect(try JSON(parsing: result.output)["parameters"] == .null)
  }
}
