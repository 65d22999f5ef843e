import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// `sdinspect scan`, and how the other commands report a file's verdict.
@Suite struct ScanTests {
  static let attack = TorchBuilder.archive(
    pickle(
      0x80, 2, "}(", TorchBuilder.text("w"), TorchBuilder.tensor(), TorchBuilder.text("x"),
      "cposix\nsystem\n(", TorchBuilder.text("true"), "tRu.")
  ).bytes
  static let trained = TorchBuilder.archive(
    pickle(
      0x80, 2, "}(", TorchBuilder.text("w"), TorchBuilder.tensor(), TorchBuilder.text("x"),
      "cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\nu.")
  ).bytes

  @Test func folderIsLookedThrough() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(
        atPath: folder + "/deep/er", withIntermediateDirectories: true)
      try BadInputTests.write(ScanTests.attack, to: folder + "/deep/er/evil.bin")
      try BadInputTests.write(ScanTests.trained, to: folder + "/a.ckpt")
      try BadInputTests.write(TorchBuilder.archive().bytes, to: folder + "/b.pt")
      try BadInputTests.write(Array("hello\n".utf8), to: folder + "/c.txt")
      try BadInputTests.write(
        pickle(0x80, 4, "cos\nsystem\n(Vid\ntR."), to: folder + "/ä b.pkl")
      let result = try Tool.run("sdinspect", ["scan", folder, "--json"])
      #expect(result.status == 1)
      let json = try JSON(parsing: result.output)
      #expect(json["verdict"] == "dangerous")
      let files = json["files"]?.array ?? []
      #expect(
        files.map { $0["path"]?.string?.dropFirst(folder.count + 1) }
          == ["a.ckpt", "b.pt", "c.txt", "deep/er/evil.bin", "ä b.pkl"])
      #expect(
        files.map { $0["verdict"]?.string }
          == ["unknown", "safe", "safe", "dangerous", "dangerous"])
      #expect(
        files.map { $0["format"]?.string } == ["pytorch", "pytorch", "text", "pytorch", "pickle"])
      #expect(
        files[0]["names"]?.array?.map { $0["name"]?.string }
          == ["pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"])
      #expect(files[0]["names"]?.array?.map { $0["danger"] ?? false } == [.null])
      #expect(files[4]["names"]?.array?.map { $0["offset"]?.int } == [2])
      let text = try Tool.run("sdinspect", ["scan", folder])
      #expect(text.status == 1)
      #expect(text.output.contains("evil.bin (pytorch): dangerous\n  posix.system at byte "))
      #expect(text.output.contains("5 files: 2 dangerous, 1 unknown, 2 safe"))
      let calm = try Tool.run("sdinspect", ["scan", folder + "/a.ckpt", folder + "/b.pt"])
      #expect(calm.status == 0)
    }
  }

  @Test func unreadableFilesAreTold() throws {
    try withTemporaryFolder { folder in
      try BadInputTests.write(TorchBuilder.archive().bytes, to: folder + "/b.pt")
      mkfifo(folder + "/pipe", 0o600)
      let result = try Tool.run("sdinspect", ["scan", folder, "--json"])
      #expect(result.status == 66)
      let files = try JSON(parsing: result.output)["files"]?.array ?? []
      #expect(files.map { $0["verdict"] ?? false } == ["safe", .null])
      #expect(files.last?["error"]?["message"] == "this is not a regular file")
      #expect(try Tool.run("sdinspect", ["scan", folder + "/none"]).status == 66)
      try BadInputTests.write(ScanTests.attack, to: folder + "/evil.bin")
      #expect(try Tool.run("sdinspect", ["scan", folder]).status == 1)
    }
  }

  /// The parts that the SARIF 2.1.0 schema requires. It was checked against the schema of OASIS
  /// with Python's `jsonschema`.
  @Test func logIsSARIF() throws {
    try withTemporaryFolder { folder in
      try BadInputTests.write(ScanTests.attack, to: folder + "/e v%il.bin")
      try BadInputTests.write(ScanTests.trained, to: folder + "/a.ckpt")
      let result = try Tool.run("sdinspect", ["scan", folder, "--sarif"])
      #expect(result.status == 1)
      let log = try JSON(parsing: result.output)
      #expect(log["version"] == "2.1.0")
      let run = try #require(log["runs"]?.array?.first)
      #expect(run["tool"]?["driver"]?["name"] == "sdinspect")
      let results = try #require(run["results"]?.array)
      #expect(results.map { $0["ruleId"]?.string } == ["unknown-name", "dangerous-name"])
      #expect(results.map { $0["level"]?.string } == ["warning", "error"])
      let place = results[1]["locations"]?.array?.first?["physicalLocation"]
      #expect(place?["artifactLocation"]?["uri"]?.string?.hasSuffix("/e%20v%25il.bin") == true)
      #expect(place?["region"]?["byteOffset"]?.int != nil)
      #expect(try Tool.run("sdinspect", ["scan", folder, "--sarif", "--json"]).status == 64)
    }
  }

  /// Each command that reads a file tells its verdict.
  @Test func verdictIsToldEverywhere() throws {
    try withTemporaryFolder { folder in
      let (evil, unknown) = (folder + "/evil.bin", folder + "/a.ckpt")
      try BadInputTests.write(ScanTests.attack, to: evil)
      try BadInputTests.write(ScanTests.trained, to: unknown)
      let summary = try Tool.run("sdinspect", ["summary", evil])
      #expect(summary.status == 0)
      #expect(summary.output.hasPrefix("\(evil) (pytorch, dangerous)\n"))
      #expect(summary.errors.contains("dangerous: at byte "))
      let json = try JSON(parsing: Tool.run("sdinspect", ["summary", evil, "--json"]).output)
      #expect(json["safety"]?["verdict"] == "dangerous")
      #expect(json["safety"]?["names"]?.array?.first?["name"] == "posix.system")
      for command in ["tensors", "stats"] {
        let result = try Tool.run("sdinspect", [command, evil])
        #expect(result.errors.contains("dangerous: at byte "), "\(command): \(result.errors)")
      }
      let verified = try Tool.run("sdinspect", ["verify", unknown, "--json"])
      #expect(verified.status == 0)
      let checked = try JSON(parsing: verified.output)
      #expect(checked["sound"] == .null)
      #expect(checked["safety"]?["verdict"] == "unknown")
      #expect(
        try JSON(parsing: Tool.run("sdinspect", ["summary", unknown, "--json"]).output)["safety"]?[
          "names"]?.array?.count == 1)
    }
  }

  /// The error names what unpickling would have run, and `verify` still gives its answer.
  @Test func refusalNamesTheAttack() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/evil.bin"
      try BadInputTests.write(Array(ScanTests.attack.dropLast(40)), to: path)
      let summary = try Tool.run("sdinspect", ["summary", path])
      #expect(summary.status == 65)
      #expect(summary.errors.contains("posix.system (runs commands or changes files)"))
      let error = try JSON(parsing: Tool.run("sdinspect", ["summary", path, "--json"]).errors)[
        "error"]
      #expect(error?["safety"]?["verdict"] == "dangerous")
      let text = try Tool.run("sdinspect", ["verify", path])
      #expect(text.status == 1)
      #expect(text.output.contains("not sound: dangerous"))
      let verified = try Tool.run("sdinspect", ["verify", path, "--json"])
      #expect(verified.status == 1)
      let checked = try JSON(parsing: verified.output)
      #expect(checked["sound"] == false)
      #expect(checked["safety"]?["names"]?.array?.first?["name"] == "posix.system")
    }
  }
}
