import Foundation
import OrderedJSON
import TestSupport
import Testing

/// Where conversions write, what they report, and when they refuse.
@Suite struct ConvertOutputTests {
  static let model = Fixtures.path("shapes-v2")

  private func convert(
    _ arguments: [String], environment: [String: String] = [:]
  ) throws -> Tool.Result {
    try Tool.run("sdinspect", ["convert"] + arguments, environment: environment)
  }

  @Test func aPipelineWithoutTokenizerIsWarnedOf() throws {
    try withTemporaryFolder { folder in
      let single = folder + "/single.ckpt"
      #expect(try convert([Self.model, single, "--to", "ldm"]).status == 0)
      let lacking = ["SDLOOM_MODEL": folder + "/nothing"]
      let arguments = [single, folder + "/out", "--to", "diffusers"]
      let made = try convert(arguments, environment: lacking)
      #expect(made.status == 0, "\(made.errors)")
      #expect(made.errors.contains("warning: no tokenizer is written"), "\(made.errors)")
      #expect(made.errors.contains("name a repository") && made.errors.contains("SDLOOM_MODEL"))
      #expect(!FileManager.default.fileExists(atPath: folder + "/out/tokenizer"))
      let index = try JSON(
        parsing: String(contentsOfFile: folder + "/out/model_index.json", encoding: .utf8))
      #expect(index["tokenizer"] == nil)
      #expect(index["unet"] != nil)
      let json = try JSON(
        parsing: convert(arguments + ["--force", "--json"], environment: lacking).output)
      #expect(json["warnings"]?.array?.count == 1)

      let named = try convert(
        arguments + ["--force", "--tokenizer", Self.model], environment: lacking)
      #expect(named.status == 0)
      #expect(!named.errors.contains("warning"), "\(named.errors)")
      #expect(FileManager.default.fileExists(atPath: folder + "/out/tokenizer/vocab.json"))
      let useless = try convert(arguments + ["--force", "--tokenizer", single])
      #expect(useless.status == 64)
      #expect(useless.errors.contains("tokenizer/vocab.json"))
    }
  }

  /// A directory with a tokenizer's settings but without its vocabulary is not a tokenizer.
  @Test func aTokenizerWithoutVocabularyIsNotPassedOn() throws {
    try withTemporaryFolder { folder in
      let model = try BadInputTests.copyOfModel(folder)
      try FileManager.default.removeItem(atPath: model + "/tokenizer/vocab.json")
      let made = try convert(
        [model, folder + "/out", "--to", "diffusers"],
        environment: ["SDLOOM_MODEL": folder + "/nothing"])
      #expect(made.status == 0, "\(made.errors)")
      #expect(made.errors.contains("warning: no tokenizer is written"))
      #expect(!FileManager.default.fileExists(atPath: folder + "/out/tokenizer"))
      let index = try JSON(
        parsing: String(contentsOfFile: folder + "/out/model_index.json", encoding: .utf8))
      #expect(index["tokenizer"] == [.null, .null])
    }
  }

  /// The CRC-32 of a PyTorch file's records is checked while they are copied.
  @Test(arguments: ["sdflat", "diffusers", "ldm", "gguf"])
  func damageStopsTheConversion(_ layout: String) throws {
    try withTemporaryFolder { folder in
      let single = folder + "/single.ckpt"
      #expect(try convert([Self.model, single, "--to", "ldm"]).status == 0)
      var bytes = try Data(contentsOf: URL(filePath: single))
      bytes[bytes.count / 2] ^= 4
      try bytes.write(to: URL(filePath: single))
      let result = try convert([single, folder + "/out", "--to", layout])
      #expect(result.status == 65)
      #expect(result.errors.contains("CRC-32"), "\(result.errors)")
      #expect(result.errors.contains("hint: the values of "), "\(result.errors)")
      #expect(try ConvertTests.entries(folder) == ["single.ckpt"])
    }
  }

  @Test func blocksAreCountedAsTheyAreStored() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.gguf"
      let arguments = [Self.model, path, "--to", "gguf", "--dtype", "q8_0", "--json"]
      let plan = try JSON(parsing: convert(arguments + ["--dry-run"]).output)
      #expect(try convert(arguments).status == 0)
      let size = try #require(
        FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
      let planned = try #require(plan["bytes"]?.int)
      // The rest is the header and gaps of at most 31 bytes.
      #expect(planned < size && size < planned + 200_000, "\(planned) of \(size)")
      let tensors = try json("sdinspect", ["tensors", path, "--json"])["tensors"]?.array ?? []
      let blocks = tensors.filter { $0["encoding"] == "Q8_0" }
      #expect(blocks.count > 10)
      for tensor in blocks {
        #expect(
          tensor["bytes"]?.int == (tensor["parameters"]?.int ?? 0) / 32 * 34, "\(tensor)")
      }
      let difference = try JSON(
        parsing: Tool.run("sdinspect", ["diff", Self.model, path, "--json"]).output)
      let encodings = difference["changed"]?.array?.compactMap { $0["b"]?["encoding"]?.string }
      #expect(encodings?.contains("Q8_0") == true)
    }
  }

  @Test func oneInputGoesIntoADirectory() throws {
    try withTemporaryFolder { folder in
      let existing = folder + "/existing"
      try FileManager.default.createDirectory(
        atPath: existing, withIntermediateDirectories: false)
      for output in [existing, existing + "/", folder + "/new/"] {
        let made = try convert([Self.model, output, "--to", "sdflat", "--force"])
        #expect(made.status == 0, "\(made.errors)")
        #expect(try ConvertTests.entries(output) == ["shapes-v2.sdflat"])
      }
      let again = try convert([Self.model, existing, "--to", "sdflat"])
      #expect(again.status == 73)
      #expect(again.errors.contains("--force"))
      // A repository is written into a directory with other contents as into an empty one.
      #expect(try convert([Self.model, existing, "--to", "diffusers"]).status == 0)
      #expect(try ConvertTests.entries(existing) == ["shapes-v2", "shapes-v2.sdflat"])
      let empty = folder + "/empty"
      try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: false)
      #expect(try convert([Self.model, empty, "--to", "diffusers"]).status == 0)
      #expect(try ConvertTests.entries(empty).contains("model_index.json"))
    }
  }

  /// An ended process's leftovers are removed, and nothing else: no file that another process has
  /// locked, whatever its number.
  @Test func staleFilesAreRemoved() throws {
    try withTemporaryFolder { folder in
      let living = ".model.sdflat.2147483001-0.partial"
      for name in [
        // No process has this id: Linux assigns ids up to 4,194,304.
        ".model.sdflat.2147483000-0.partial", living, ".other.sdflat.2147483000-0.partial",
      ] {
        try Data("part".utf8).write(to: URL(filePath: "\(folder)/\(name)"))
      }
      let descriptor = open("\(folder)/\(living)", O_RDONLY)
      defer { close(descriptor) }
      #expect(flock(descriptor, LOCK_EX | LOCK_NB) == 0)
      let made = try convert(
        [Self.model, folder + "/model.sdflat", "--to", "sdflat", "--component", "vae"])
      #expect(made.status == 0, "\(made.errors)")
      #expect(
        try ConvertTests.entries(folder)
          == [living, ".other.sdflat.2147483000-0.partial", "model.sdflat"].sorted())
    }
  }

  @Test func aPlanHasSizesForPeople() throws {
    try withTemporaryFolder { folder in
      let plan = try convert([Self.model, folder + "/a.sdflat", "--to", "sdflat", "--dry-run"])
      #expect(plan.output.contains(" MiB ("), "\(plan.output)")
      let total = plan.output.split(separator: "\n").first { $0.hasPrefix("in all: ") } ?? ""
      #expect(total.contains(" tensors and ") && total.hasSuffix(" MiB"), "\(total)")
    }
  }

  /// The first few in text, all in JSON.
  @Test(arguments: [["convert"], ["onnx"]])
  func mismatchesAreSummedUp(_ command: [String]) throws {
    try withTemporaryFolder { folder in
      let model = try BadInputTests.copyOfModel(folder)
      let path = model + "/unet/config.json"
      var text = try String(contentsOfFile: path, encoding: .utf8)
      let width = try #require(try JSON(parsing: text)["cross_attention_dim"]?.int)
      text = text.replacing(
        "\"cross_attention_dim\": \(width)", with: "\"cross_attention_dim\": \(width + 32)")
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      let arguments =
        command + [model, folder + "/out"] + (command == ["convert"] ? ["--to", "ldm"] : [])
      let result = try Tool.run("sdinspect", arguments)
      #expect(result.status == 65)
      #expect(result.errors.contains(" more"), "\(result.errors)")
      #expect(result.errors.utf8.count < 1000, "\(result.errors)")
      let json = try JSON(parsing: try Tool.run("sdinspect", arguments + ["--json"]).errors)
      let details = try #require(json["error"]?["details"]?.array)
      #expect(details.count > 10)
      #expect(details.allSatisfy { $0.string?.contains("attn2") == true })
    }
  }

  @Test func aNarrowTerminalShowsDigestsWhole() throws {
    let text = PseudoTerminal.plain(
      try PseudoTerminal.run(
        "sdinspect", ["tensors", Self.model, "--component", "vae", "--sha256"], columns: 80))
    let lines = text.split(separator: "\n")
    let digests = lines.filter { $0.hasPrefix("  sha256 ") && $0.utf8.count == 9 + 64 }
    #expect(digests.count == 180)
    #expect(lines.contains { $0.hasPrefix("encoder.conv_in.weight ") })
  }
}
