import Foundation
import OrderedJSON
import TestSupport
import Testing

@Suite struct ReportCommandTests {
  @Test func writesAPageAndSaysSo() throws {
    try withTemporaryFolder { folder in
      let page = folder + "/report.html"
      let arguments = ["report", Fixtures.path("shapes-v2"), "-o", page, "--json"]
      let answer = try json("sdinspect", arguments)
      #expect(answer["version"] == 1)
      #expect(answer["file"]?.string == page)
      #expect(answer["tensors"] == 691)
      #expect(answer["networks"] == ["text_encoder", "unet", "vae_encoder", "vae_decoder"])
      #expect(answer["statistics"] == true)
      let text = try String(contentsOfFile: page, encoding: .utf8)
      #expect(answer["bytes"]?.int == text.utf8.count)
      #expect(text.hasPrefix("<!doctype html>"))
      #expect(text.contains("<title>shapes-v2 · sdinspect report</title>"))
      // A second run is rejected; with --force the file is replaced.
      let again = try Tool.run("sdinspect", arguments)
      #expect(again.status == 73)
      #expect(try String(contentsOfFile: page, encoding: .utf8) == text)
      let forced = try json("sdinspect", arguments + ["--force", "--no-stats"])
      #expect(forced["statistics"] == false)
      #expect(try #require(forced["bytes"]?.int) < text.utf8.count)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["report.html"])
    }
  }

  @Test func theSizeIsTheCosts() throws {
    try withTemporaryFolder { folder in
      let page = folder + "/report.html"
      _ = try json(
        "sdinspect",
        [
          "report", Fixtures.path("shapes-v2/unet"), "-o", page, "--size", "192x128", "--no-stats",
          "--json",
        ])
      let text = try String(contentsOfFile: page, encoding: .utf8)
      #expect(text.contains(#""size":{"width":192,"height":128}"#))
    }
  }

  @Test func whatCannotBeReadLeavesNoPage() throws {
    try withTemporaryFolder { folder in
      let page = folder + "/report.html"
      let missing = try Tool.run("sdinspect", ["report", folder + "/none", "-o", page])
      #expect(missing.status == 66)
      let broken = try Tool.run(
        "sdinspect", ["report", Fixtures.path("make_sha256.py"), "-o", page])
      #expect(broken.status == 65)
      let nowhere = try Tool.run(
        "sdinspect", ["report", Fixtures.path("shapes-v2/vae"), "-o", folder + "/none/a.html"])
      #expect(nowhere.status == 73)
      let usage = try Tool.run("sdinspect", ["report", Fixtures.path("shapes-v2")])
      #expect(usage.status == 64)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
    }
  }
}
