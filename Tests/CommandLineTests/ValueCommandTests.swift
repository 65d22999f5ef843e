import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// A file of single-precision tensors.
private func write(_ tensors: [(String, [Float])], to path: String) throws {
  try Safetensors.write(
    tensors.map { name, values in
      Tensor(
        name: name, dtype: .float32, shape: [values.count],
        storage: .memory(
          values.flatMap { value in
            withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
          }))
    }, to: path)
}

@Suite struct StatsTests {
  @Test func numbersAndWarnings() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try write(
        [("small", [1, 2, 3, 0]), ("odd", [.nan, .infinity, 70_000, -1, 1e-9])], to: path)
      let output = try json("sdinspect", ["stats", path, "--json"])
      let rows = try #require(output["tensors"]?.array)
      #expect(rows[0]["name"] == "small" && rows[0]["count"] == 4)
      #expect(rows[0]["min"]?.double == 0 && rows[0]["max"]?.double == 3)
      #expect(rows[0]["mean"]?.double == 1.5 && rows[0]["zeros"] == 1)
      // The root of ((1.5² + 0.5²) * 2) / 4.
      #expect((rows[0]["std"]?.double ?? 0) == 1.25.squareRoot())
      #expect(rows[1]["finite"] == 3 && rows[1]["nan"] == 1 && rows[1]["inf"] == 1)
      #expect(rows[1]["f16_overflow"] == 1 && rows[1]["f16_underflow"] == 1)
      #expect(output["totals"]?["count"] == 9)
      #expect(output["components"]?.array?.first?["name"] == "model")
      #expect(output["warnings"]?.array?.count == 1)
      let text = try Tool.run("sdinspect", ["stats", path])
      #expect(
        text.errors == "warning: model: odd: of 5 values 1 NaN, 1 infinite, 1 too large for F16\n")
    }
  }

  @Test func order() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try write([("a", [1, 2]), ("c", [5, 9]), ("b", [3, 3.5])], to: path)
      func names(_ order: String) throws -> [String?] {
        let output = try json("sdinspect", ["stats", path, "--sort", order, "--json"])
        return output["tensors"]?.array?.map { $0["name"]?.string } ?? []
      }
      #expect(try names("file") == ["a", "c", "b"])
      #expect(try names("name") == ["a", "b", "c"])
      #expect(try names("max") == ["c", "b", "a"])
      #expect(try names("std") == ["c", "a", "b"])
    }
  }

  @Test func nothingToSayOfNoValues() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.safetensors"
      try write([("none", [])], to: path)
      let row = try #require(
        try json("sdinspect", ["stats", path, "--json"])["tensors"]?.array?.first)
      #expect(row["count"] == 0 && row["min"] == .null && row["std"] == .null)
    }
  }
}

@Suite struct DiffTests {
  @Test func statusSaysWhetherTheyDiffer() throws {
    let unet = Fixtures.path("shapes-v2/unet")
    let same = try Tool.run(
      "sdinspect",
      ["diff", unet, unet + "/diffusion_pytorch_model.safetensors", "--json"])
    #expect(same.status == 0, "\(same.errors)")
    let output = try JSON(parsing: same.output)
    #expect(output["same"] == true && output["changed"] == [] && output["added"] == [])
    try withTemporaryFolder { folder in
      try write([("a", [1, 2]), ("b", [1])], to: folder + "/a.safetensors")
      try write([("a", [1, 2.5]), ("c", [1])], to: folder + "/b.safetensors")
      let result = try Tool.run(
        "sdinspect", ["diff", "a.safetensors", "b.safetensors", "--json"], in: folder)
      #expect(result.status == 1)
      let output = try JSON(parsing: result.output)
      #expect(output["same"] == false)
      #expect(output["added"]?.array?.map { $0["name"] } == ["c"])
      #expect(output["removed"]?.array?.map { $0["name"] } == ["b"])
      let changed = try #require(output["changed"]?.array?.first)
      #expect(changed["differing"] == 1 && changed["elements"] == 2)
      #expect(changed["max_absolute"]?.double == 0.5 && changed["max_relative"]?.double == 0.2)
      #expect(changed["rounded"] == false && changed["not_finite"] == 0)
      let text = try Tool.run("sdinspect", ["diff", "a.safetensors", "b.safetensors"], in: folder)
      #expect(text.status == 1)
      for part in ["only in A", "only in B", "changed", "different: "] {
        #expect(text.output.contains(part))
      }
    }
  }

  @Test func aLoneTensorHasAName() throws {
    try withTemporaryFolder { folder in
      try write([("a", [1])], to: folder + "/a.safetensors")
      let result = try Tool.run(
        "sdinspect", ["diff", Fixtures.path("formats/lone.pt"), folder + "/a.safetensors"])
      #expect(result.status == 1)
      let lines = result.output.split(separator: "\n")
      #expect(lines.contains { $0.hasPrefix("(unnamed) ") }, "\(result.output)")
    }
  }

  @Test func castsAreSaidToBeRounded() throws {
    try withTemporaryFolder { folder in
      let vae = Fixtures.path("shapes-v2/vae/diffusion_pytorch_model.safetensors")
      let wide = folder + "/wide.safetensors"
      let cast = try Tool.run(
        "sdinspect", ["convert", vae, wide, "--to", "safetensors", "--dtype", "f32"])
      #expect(cast.status == 0, "\(cast.errors)")
      let result = try Tool.run("sdinspect", ["diff", vae, wide, "--json"])
      #expect(result.status == 1)
      let changed = try #require(try JSON(parsing: result.output)["changed"]?.array)
      #expect(changed.count == 180)
      #expect(changed.allSatisfy { $0["rounded"] == true && $0["differing"] == 0 })
      #expect(changed.allSatisfy { $0["retyped"] == true && $0["a"]?["dtype"] == "F16" })
    }
  }

  @Test func aComponentThatNeitherHas() throws {
    let model = Fixtures.path("shapes-v2")
    let result = try Tool.run("sdinspect", ["diff", model, model, "--component", "transformer"])
    #expect(result.status == 64)
    let one = try json("sdinspect", ["diff", model, model, "--component", "vae", "--json"])
    #expect(one["components"]?.array?.map { $0["name"] } == ["vae"])
  }

  /// A single file of a training checkpoint against the repository of the same weights.
  @Test(.narrow)
  func layoutsOfTheSameWeights() throws {
    let path = try #require(Fixtures.narrow)
    let networks = "text_encoder,unet,vae"
    let output = try json(
      "sdinspect", ["diff", path + "/v1-5-pruned.ckpt", path, "--component", networks, "--json"])
    #expect(output["same"] == true)
    // The attention of the VAE: four matrices of one block in each half.
    #expect(output["reshaped"]?.array?.count == 8)
    let hashes = try ["", "/v1-5-pruned.ckpt", "/v1-5-pruned-emaonly.safetensors"].map { file in
      try json("sdinspect", ["hash", path + file, "--content", "--json"])["content"]
    }
    #expect(hashes[0]?.string?.count == 64)
    #expect(hashes[0] == hashes[1] && hashes[1] == hashes[2])
  }
}

@Suite struct HashTests {
  /// What sha256sum and Python say of a file of the fixtures:
  ///
  ///     f = open("unet/diffusion_pytorch_model.safetensors", "rb").read()
  ///     n = 8 + int.from_bytes(f[:8], "little")
  ///     for part in f, f[0x100000:0x110000], f[n:]: print(hashlib.sha256(part).hexdigest())
  ///     print("%08X" % zlib.crc32(f))
  @Test func theShortForms() throws {
    let path = Fixtures.path("shapes-v2/unet/diffusion_pytorch_model.safetensors")
    let output = try json("sdinspect", ["hash", path, "--crc32", "--json"])
    let file = try #require(output["files"]?.array?.first)
    #expect(
      file["sha256"]
        == "555391d7b711dc2e58d29fbdaf40766ffe330a065aa1ab7f590be17b5430d239")
    #expect(file["autov1"] == "50faad0f" && file["autov2"] == "555391d7b7")
    #expect(file["autov3"] == "8243aea93b38" && file["crc32"] == "9183B2B1")
    #expect(output["content"] == nil)
  }

  @Test func everyFileOfARepository() throws {
    let output = try json("sdinspect", ["hash", Fixtures.path("shapes-v2"), "--json"])
    let names = output["files"]?.array?.compactMap { file in
      file["file"]?.string.map { ($0 as NSString).lastPathComponent }
    }
    #expect(
      names == [
        "pytorch_model.bin", "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.safetensors",
      ])
  }

  /// Other files next to the hashed ones are named.
  @Test func whatIsNotHashedIsNamed() throws {
    try withTemporaryFolder { folder in
      let model = try BadInputTests.copyOfModel(folder)
      try FileManager.default.copyItem(
        atPath: model + "/vae/diffusion_pytorch_model.bin", toPath: model + "/whole.ckpt")
      let output = try json("sdinspect", ["hash", model, "--json"])
      let others = output["not_hashed"]?.array?.compactMap(\.string) ?? []
      #expect(others.contains("vae/diffusion_pytorch_model.bin"))
      #expect(others.last == "whole.ckpt")
      let text = try Tool.run("sdinspect", ["hash", model])
      #expect(text.output.contains("not hashed: \(others.joined(separator: ", "))"))
      let file = try json("sdinspect", ["hash", model + "/whole.ckpt", "--json"])
      #expect(file["not_hashed"] == [])
    }
  }

  /// Which files are hashed does not depend on the content hash being requested.
  @Test func anIndexIsAFileOfItsOwn() throws {
    try withTemporaryFolder { folder in
      try write([("a", [1, 2])], to: folder + "/1.safetensors")
      try write([("none", [])], to: folder + "/2.safetensors")
      let index = "model.safetensors.index.json"
      try #"{"weight_map": {"a": "1.safetensors", "none": "2.safetensors"}}"#
        .write(toFile: "\(folder)/\(index)", atomically: false, encoding: .utf8)
      try #"{"architectures": ["Other"]}"#
        .write(toFile: folder + "/config.json", atomically: false, encoding: .utf8)
      func names(_ arguments: [String]) throws -> [String] {
        let output = try json("sdinspect", ["hash"] + arguments + ["--json"])
        return (output["files"]?.array ?? []).compactMap { file in
          file["file"]?.string.map { ($0 as NSString).lastPathComponent }
        }
      }
      #expect(try names(["\(folder)/\(index)"]) == [index])
      #expect(try names(["\(folder)/\(index)", "--content"]) == [index])
      #expect(try names([folder]) == ["1.safetensors", "2.safetensors"])
      #expect(try names([folder, "--content"]) == ["1.safetensors", "2.safetensors"])
    }
  }

  @Test func shortAndEmptyFiles() throws {
    try withTemporaryFolder { folder in
      try "hello".write(toFile: folder + "/a", atomically: false, encoding: .utf8)
      try "".write(toFile: folder + "/empty", atomically: false, encoding: .utf8)
      let short = try Tool.run("sdinspect", ["hash", folder + "/a"])
      #expect(short.output.contains("2cf24dba5f"))
      #expect(short.output.contains("AutoV1        none"))
      let empty = try Tool.run("sdinspect", ["hash", folder + "/empty"])
      #expect(empty.status == 65)
      #expect(!empty.output.contains("e3b0c442"))
      let missing = try Tool.run("sdinspect", ["hash", folder + "/none"])
      #expect(missing.status == 66)
    }
  }
}
