import Diffusion
import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// Previews, contact sheets, animations, traces, images in terminals.
@Suite(.serialized) struct WatchTests {
  @Test func everythingAtOnce() throws {
    try withTemporaryFolder { folder in
      let result = try PictureTests.draw(
        [
          "--preview-every", "2", "--preview", "latent", "--contact-sheet", "sheet.png",
          "--animation", "a.webp", "--trace", "trace.json", "--count", "2", "--width", "64",
          "--height", "72",
        ], in: folder)
      #expect(result.status == 0, "\(result.errors)")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(
        files == [
          "a-1.webp", "a-2.webp", "out-1-step-2.png", "out-1.png", "out-2-step-2.png", "out-2.png",
          "sheet-1.png", "sheet-2.png", "trace.json",
        ])
      let preview = try PictureFile.read(folder + "/out-1-step-2.png").image
      #expect((preview.width, preview.height) == (64, 72))
      // All outputs, and the same image as without them.
      #expect(try PictureFile.read(folder + "/sheet-1.png").image.width > 4 * 100)
      let trace = try JSON(parsing: String(contentsOfFile: folder + "/trace.json", encoding: .utf8))
      let events = try #require(trace["traceEvents"]?.array)
      #expect(events.count > 1000)
      #expect(
        Set(events.compactMap { $0["cat"]?.string })
          == ["text_encoder", "unet", "scheduler", "vae_decoder"])
      // An input and a step of each evaluation, for two images.
      #expect(events.count { $0["cat"] == "scheduler" } == 4 * 2 * 2)
      #expect(events.allSatisfy { $0["ph"]?.string == "M" || ($0["dur"]?.double ?? -1) >= 0 })
    }
  }

  @Test func rowsOfTheSheet() throws {
    try withTemporaryFolder { folder in
      func height(_ rows: [String]) throws -> Int {
        let result = try PictureTests.draw(
          ["--contact-sheet", "sheet.png", "--force"] + rows, in: folder)
        #expect(result.status == 0, "\(result.errors)")
        return try PictureFile.read(folder + "/sheet.png").image.height
      }
      let standard = try height([])
      #expect(try height(["--contact-sheet-rows", "latents,predicted"]) == standard)
      let all = try height(["--contact-sheet-rows", "latents,decoded,predicted,noise"])
      #expect(all - standard == 2 * (168 + 14))
      let alone = try PictureTests.draw(["--contact-sheet-rows", "noise"], in: folder)
      #expect(alone.status == 64 && alone.errors.contains("--contact-sheet"))
    }
  }

  /// Both passes of an image are shown, with consecutive evaluation numbers.
  @Test func bothPasses() throws {
    try withTemporaryFolder { folder in
      func draw(_ name: String, _ arguments: [String]) throws -> Tool.Result {
        try PictureTests.draw(
          [
            "--preview-every", "1", "--preview", "latent", "--contact-sheet", "\(name)-sheet.png",
            "--animation", "\(name)-film.png", "--width", "64", "--height", "64", "-o",
            "\(name).png",
          ] + arguments, in: folder)
      }
      #expect(try draw("one", []).status == 0)
      // Four evaluations, and two of the second pass: half of its four steps.
      let result = try draw("two", ["--hires", "1.5", "--hires-strength", "0.5"])
      #expect(result.status == 0, "\(result.errors)")
      let previews = try FileManager.default.contentsOfDirectory(atPath: folder)
        .filter { $0.hasPrefix("two-step-") }.sorted()
      #expect(previews == [1, 2, 3, 5].map { "two-step-\($0).png" })
      #expect(try PictureFile.read("\(folder)/two-step-3.png").image.width == 64)
      #expect(try PictureFile.read("\(folder)/two-step-5.png").image.width == 96)
      // The number of frames is after the name of their chunk.
      func frames(_ name: String) throws -> UInt8 {
        let bytes = try PictureTests.bytes("\(folder)/\(name)-film.png")
        let start = try #require(
          bytes.indices.first { bytes[$0...].starts(with: Array("acTL".utf8)) })
        return bytes[start + 7]
      }
      #expect(try frames("one") == 4 + 1)
      #expect(try frames("two") == 4 + 2 + 1)
      #expect(try PictureFile.read("\(folder)/one-film.png").image.width == 64)
      #expect(try PictureFile.read("\(folder)/two-film.png").image.width == 96)
      // Six columns instead of four.
      let four = try PictureFile.read("\(folder)/one-sheet.png").image.width
      let six = try PictureFile.read("\(folder)/two-sheet.png").image.width
      #expect(six > four + 2 * 130, "\(four), \(six)")
    }
  }

  @Test(arguments: [
    ["--preview-every", "0"], ["--preview", "magic"], ["--preview", "tiny"],
    ["--animation", "a.jpg"],
    ["--show-as", "ansi"],
  ])
  func badValues(arguments: [String]) throws {
    try withTemporaryFolder { folder in
      let result = try PictureTests.draw(arguments, in: folder)
      #expect(result.status == 64, "\(arguments): \(result.errors)")
    }
  }

  @Test func outputsAreCheckedFirst() throws {
    try withTemporaryFolder { folder in
      for arguments in [
        ["--contact-sheet", "out.png"], ["--animation", "no/a.png"], ["--trace", "jobs"],
      ] {
        try Data().write(to: URL(filePath: folder + "/jobs"))
        let result = try PictureTests.draw(arguments, in: folder)
        #expect(result.status == 73, "\(arguments): \(result.errors)")
      }
    }
  }

  @Test func terminalsAreToldPictures() throws {
    try withTemporaryFolder { folder in
      for (name, start, end) in [
        ("kitty", "\u{1B}_Ga=T,f=100,m=1;iVBORw0KGgo", "\u{1B}\\"),
        ("iterm2", "\u{1B}]1337;File=inline=1;size=", "\u{07}"),
        ("sixel", "\u{1B}Pq\"1;1;128;128#0;2;0;0;0", "-\u{1B}\\"),
      ] {
        let result = try PictureTests.draw(
          ["--show-as", name, "--force", "--no-metadata"], in: folder)
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.contains(start), "\(name)")
        #expect(result.output.hasSuffix(end + "\n"), "\(name)")
      }
      // Nothing is shown without a terminal.
      let result = try PictureTests.draw(["--show", "--force"], in: folder)
      #expect(result.errors.contains("--show-as"))
      #expect(!result.output.contains("\u{1B}"))
      let kitty = try PseudoTerminal.run(
        "sdgen",
        ["a star", "--steps", "2", "--scheduler", "ddim", "--show", "-o", folder + "/b.png"],
        columns: 80, environment: ["TERM": "xterm-kitty", "TMUX": ""])
      #expect(kitty.contains("\u{1B}_Ga=T,f=100"))
    }
  }
}
