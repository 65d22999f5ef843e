import Foundation
import OrderedJSON
import TestSupport
import Testing

/// Images that are drawn at once: the files of images drawn one by one, previews and metadata
/// included, and no more of them at once than there is memory for.
@Suite(.serialized) struct BatchSizeTests {
  private static let settings = ["--steps", "4", "--count", "3", "--seed", "7", "--json"]

  private static func files(_ folder: String) throws -> [String: Data] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    return try names.reduce(into: [:]) {
      $0[$1] = try Data(contentsOf: URL(filePath: "\(folder)/\($1)"))
    }
  }

  @Test(arguments: ["2", "3", "64"])
  func sameFiles(size: String) throws {
    let arguments =
      Self.settings + ["--preview-every", "2", "--hires", "1.5", "--hires-steps", "2"]
    let alone = try withTemporaryFolder { folder in
      let result = try GenerateTests.draw(arguments, to: folder + "/a.png")
      #expect(result.status == 0, "\(result.errors)")
      return try Self.files(folder)
    }
    #expect(alone.count > 3)
    try withTemporaryFolder { folder in
      let result = try GenerateTests.draw(
        arguments + ["--batch-size", size], to: folder + "/a.png")
      #expect(result.status == 0, "\(result.errors)")
      #expect(try Self.files(folder) == alone)
      let report = try JSON(parsing: result.output)
      #expect(report["pictures"]?.array?.map { $0["seed"]?.int } == [7, 8, 9])
      #expect(report["warnings"]?.array?.isEmpty == true)
      let again = try Tool.run("sdgen", ["again", "\(folder)/a-2.png"])
      #expect(again.status == 0, "\(again.errors)")
      #expect(again.errors.contains("identical in every pixel"))
    }
  }

  /// Of several prompts each has its own batches.
  @Test func promptsOfAFile() throws {
    try withTemporaryFolder { folder in
      try "a red circle\na blue star\n".write(
        toFile: folder + "/prompts", atomically: true, encoding: .utf8)
      var pictures: [[String: Data]] = []
      for size in ["1", "4"] {
        let result = try Tool.run(
          "sdgen",
          [
            "--prompts-from", folder + "/prompts", "--count", "2", "--steps", "2", "--seed", "1",
            "--batch-size", size, "-o", "\(folder)/\(size).png", "--json",
          ])
        #expect(result.status == 0, "\(result.errors)")
        pictures.append(
          try Self.files(folder).reduce(into: [:]) { known, file in
            if file.key.hasPrefix(size + "-") { known[String(file.key.dropFirst())] = file.value }
          })
      }
      #expect(pictures[0].count == 4)
      #expect(pictures[0] == pictures[1])
    }
  }

  /// Two images fit, three do not.
  @Test func asManyAsMemoryAllows() throws {
    try withTemporaryFolder { folder in
      let result = try Tool.run(
        "sdgen",
        [GenerateTests.prompt, "-o", folder + "/a.png", "--width", "256", "--height", "256"]
          + Self.settings + ["--batch-size", "3", "--dtype", "f32"],
        // Between the forecasts for two and for three.
        environment: ["SDLOOM_MEMORY": String(80 << 20)])
      #expect(result.status == 0, "\(result.errors)")
      let report = try JSON(parsing: result.output)
      let warnings = report["warnings"]?.array?.compactMap(\.string) ?? []
      #expect(warnings.count == 1)
      #expect(warnings.first?.contains("a batch of 3 images needs about") == true, "\(warnings)")
      #expect(warnings.first?.contains("using batches of 2") == true, "\(warnings)")
      #expect(report["pictures"]?.array?.count == 3)
    }
  }
}
