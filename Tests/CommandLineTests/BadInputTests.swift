import Foundation
import OrderedJSON
import TestSupport
import Testing

/// Unusable input: how it is described, and the exit status of the contract.
@Suite struct BadInputTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let status: Int32
    let code: String
    /// What the message or the hint must say.
    let says: [String]
    /// Makes the input in a directory and gives its path.
    let make: @Sendable (String) throws -> String

    var testDescription: String { name }
  }

  static func write(_ bytes: [UInt8], to path: String) throws {
    try Data(bytes).write(to: URL(filePath: path))
  }

  static func copyOfModel(_ folder: String) throws -> String {
    let copy = folder + "/model"
    try FileManager.default.copyItem(atPath: Fixtures.path("shapes-v2"), toPath: copy)
    return copy
  }

  static let pointer = """
    version https://git-lfs.github.com/spec/v1
    oid sha256:c7da0e21ba7ea50637bee26e81c220844defdf01aafca02b2c42ecdadb813de4
    size 3438354725

    """

  static let cases: [Case] = [
    Case(name: "a missing path", status: 66, code: "not-found", says: ["no such file"]) {
      $0 + "/nowhere"
    },
    Case(name: "an empty file", status: 65, code: "unrecognized", says: ["empty"]) { folder in
      try write([], to: folder + "/empty.safetensors")
      return folder + "/empty.safetensors"
    },
    Case(
      name: "a Git LFS pointer", status: 65, code: "unrecognized",
      says: ["Git LFS pointer", "git lfs pull", "3438354725", "c7da0e21"]
    ) { folder in
      try write(Array(pointer.utf8), to: folder + "/unet.bin")
      return folder + "/unet.bin"
    },
    Case(name: "an HTML page", status: 65, code: "unrecognized", says: ["HTML"]) { folder in
      try write(
        Array("<!DOCTYPE html>\n<html><body>Sign in</body></html>".utf8), to: folder + "/m.ckpt")
      return folder + "/m.ckpt"
    },
    Case(name: "a truncated safetensors file", status: 65, code: "truncated", says: ["missing"]) {
      folder in
      let bytes = try Data(
        contentsOf: URL(
          filePath: Fixtures.path("shapes-v2/vae/diffusion_pytorch_model.safetensors")))
      try bytes.dropLast(1000).write(to: URL(filePath: folder + "/cut.safetensors"))
      return folder + "/cut.safetensors"
    },
    Case(name: "a truncated .bin", status: 65, code: "truncated", says: ["download"]) { folder in
      let bytes = try Data(
        contentsOf: URL(filePath: Fixtures.path("shapes-v2/vae/diffusion_pytorch_model.bin")))
      try bytes.dropLast(1000).write(to: URL(filePath: folder + "/cut.bin"))
      return folder + "/cut.bin"
    },
    Case(
      name: "a repository lacking its UNet", status: 66, code: "not-found", says: ["UNet", "unet"]
    ) { folder in
      let copy = try copyOfModel(folder)
      try FileManager.default.removeItem(atPath: copy + "/unet")
      return copy
    },
    Case(
      name: "a UNet without weights", status: 66, code: "not-found", says: ["unet"]
    ) { folder in
      let copy = try copyOfModel(folder)
      try FileManager.default.removeItem(
        atPath: copy + "/unet/diffusion_pytorch_model.safetensors")
      return copy
    },
    Case(name: "a broken configuration", status: 65, code: "malformed", says: ["config.json"]) {
      folder in
      let copy = try copyOfModel(folder)
      try write(Array("{\"in_channels\": 4,".utf8), to: copy + "/unet/config.json")
      return copy
    },
    Case(
      name: "a folder of something else", status: 65, code: "unrecognized", says: ["model_index"]
    ) {
      folder in
      try write([1], to: folder + "/notes.txt")
      return folder
    },
  ]

  @Test(arguments: cases)
  func inspector(_ bad: Case) throws {
    try withTemporaryFolder { folder in
      let path = try bad.make(folder)
      let plain = try Tool.run("sdinspect", ["summary", path])
      #expect(plain.status == bad.status)
      #expect(plain.output.isEmpty)
      #expect(plain.errors.hasPrefix("error: "))
      #expect(plain.errors.contains("\nhint: "))
      for words in bad.says { #expect(plain.errors.contains(words), "\(plain.errors)") }
      let machine = try Tool.run("sdinspect", ["summary", path, "--json"])
      #expect(machine.status == bad.status)
      let error = try #require(try JSON(parsing: machine.errors)["error"])
      #expect(error["code"]?.string == bad.code)
      #expect(error["file"]?.string?.isEmpty == false)
      #expect(error["hint"]?.string?.isEmpty == false)
    }
  }

  @Test(arguments: cases)
  func generator(_ bad: Case) throws {
    try withTemporaryFolder { folder in
      let path = try bad.make(folder)
      let picture = folder + "/picture.png"
      let result = try Tool.run("sdgen", ["a red circle", "--model", path, "-o", picture])
      #expect(result.status == bad.status, "\(result.errors)")
      #expect(result.errors.contains("hint: "))
      #expect(!FileManager.default.fileExists(atPath: picture))
    }
  }

  @Test(arguments: [
    ["summary"], ["summary", "a", "--nonsense"], ["layers", "a", "--size", "100x100"],
    ["layers", "a", "--depth", "0"], ["convert", "a", "b", "--to", "tiff"],
    ["convert", "a", "b", "--to", "sdflat", "--dtype", "f8"],
    ["onnx", "a", "b", "--weights", "borrow"],
  ])
  func usage(arguments: [String]) throws {
    let result = try Tool.run("sdinspect", arguments)
    #expect(result.status == 64, "\(arguments)")
    #expect(result.output.isEmpty)
    #expect(!result.errors.isEmpty)
  }

  /// Each with what the message must say.
  @Test(
    arguments: [
      (["tensors", "a", "--component", ""], "empty name in \"\""),
      (["stats", "a", "--component", "unet,,vae"], "empty name in \"unet,,vae\""),
      (["diff", "a", "b", "--component", "vae,"], "empty name in \"vae,\""),
      (["onnx", "a", "b", "--component", ",unet"], "empty name in \",unet\""),
      (["layers", "a", "--size", "500x500"], "multiples of 8 from 8 to 8192, as in 512x512"),
      (
        ["report", "a", "-o", "b", "--size", "8x8200"],
        "multiples of 8 from 8 to 8192, as in 512x512"
      ),
    ])
  func usageSaysWhatIsRight(arguments: [String], says: String) throws {
    let result = try Tool.run("sdinspect", arguments)
    #expect(result.status == 64, "\(arguments)")
    #expect(result.errors.contains(says), "\(result.errors)")
  }

  /// A first argument that is neither a command nor a file, and the nearest command.
  @Test(
    arguments: [
      (["sumary", "S"], "did you mean summary?"), (["lyaers", "--json"], "did you mean layers?"),
      (["onx"], "did you mean onnx?"), (["Verify", "S"], "did you mean verify?"),
      (["bogus"], "the commands: summary, tensors"),
    ])
  func unknownWords(arguments: [String], hint: String) throws {
    let result = try Tool.run("sdinspect", arguments)
    #expect(result.status == 66)
    #expect(result.errors.contains("no such command, file or directory"), "\(result.errors)")
    #expect(result.errors.contains(arguments[0]) && result.errors.contains(hint))
    // A path is not a misspelled command.
    let path = try Tool.run("sdinspect", ["./sumary"])
    #expect(path.status == 66 && !path.errors.contains("command"))
  }
}
