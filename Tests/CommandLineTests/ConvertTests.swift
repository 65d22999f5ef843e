import Foundation
import OrderedJSON
import TestSupport
import Testing

@Suite struct ConvertTests {
  static let model = Fixtures.path("shapes-v2")

  static func entries(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  @Test func aFlatFileIsVerified() throws {
    try withTemporaryFolder { folder in
      let flat = folder + "/model.sdflat"
      let made = try Tool.run("sdinspect", ["convert", Self.model, flat, "--to", "sdflat"])
      #expect(made.status == 0, "\(made.errors)")
      let sound = try Tool.run("sdinspect", ["verify", flat])
      #expect(sound.status == 0)
      #expect(sound.output.hasPrefix("sound: "))

      // One bit in the middle of the weights.
      var bytes = try Data(contentsOf: URL(filePath: flat))
      bytes[bytes.count / 2] ^= 1
      try bytes.write(to: URL(filePath: flat))
      let damaged = try Tool.run("sdinspect", ["verify", flat, "--json"])
      #expect(damaged.status == 1)
      let report = try JSON(parsing: damaged.output)
      #expect(report["sound"] == false)
      #expect(report["problems"]?.array?.count == 1)

      // Damage is not hidden under new checksums.
      for arguments in [
        ["convert", flat, folder + "/again.sdflat", "--to", "sdflat"],
        ["onnx", flat, folder + "/onnx"],
      ] {
        let result = try Tool.run("sdinspect", arguments)
        #expect(result.status == 65)
        #expect(result.errors.contains("checksum"))
      }
      let picture = try Tool.run(
        "sdgen", ["a red circle", "--model", flat, "-o", folder + "/a.png"])
      #expect(picture.status == 65)
      #expect(try Self.entries(folder) == ["model.sdflat"])
    }
  }

  @Test func whatIsNotCheckedIsNotCalledSound() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/lone.pt"
      try FileManager.default.copyItem(atPath: Fixtures.path("formats/lone.pt"), toPath: path)
      let result = try Tool.run("sdinspect", ["verify", path])
      #expect(result.status == 0)
      #expect(!result.output.contains("sound"))
      #expect(result.output.contains("not checked: model: "))
    }
  }

  /// The last line counts the faults before it says what was checked.
  @Test func theVerdictCountsTheProblems() throws {
    try withTemporaryFolder { folder in
      let model = try BadInputTests.copyOfModel(folder)
      try FileManager.default.removeItem(atPath: model + "/tokenizer/merges.txt")
      let result = try Tool.run("sdinspect", ["verify", model])
      #expect(result.status == 1)
      let last = result.output.split(separator: "\n").last ?? ""
      #expect(last.hasPrefix("not sound: 1 problem (checked "), "\(last)")
      #expect(last.contains(" 690 tensors against their networks"), "\(last)")
    }
  }

  /// A file that names a dangerous function is not valid, in JSON too.
  @Test func dangerFailsTheCheck() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/evil.pt"
      // {"w": <a tensor>, "x": os.system("true")}
      let evil = pickle(
        0x80, 2, "}(", TorchBuilder.text("w"), TorchBuilder.tensor(), TorchBuilder.text("x"),
        "cos\nsystem\n(", TorchBuilder.text("true"), "tRu.")
      try BadInputTests.write(TorchBuilder.archive(evil).bytes, to: path)
      let text = try Tool.run("sdinspect", ["verify", path])
      #expect(text.status == 1)
      #expect(text.output.contains("the file contains code: its pickle references os.system"))
      #expect(text.errors.contains("system"), "\(text.errors)")
      let result = try Tool.run("sdinspect", ["verify", path, "--json"])
      #expect(result.status == 1)
      let checked = try JSON(parsing: result.output)
      #expect(checked["sound"] == false)
      let warnings = checked["warnings"]?.array?.compactMap(\.string) ?? []
      #expect(warnings.contains { $0.contains("system") }, "\(warnings)")
    }
  }

  @Test func nothingIsOverwrittenWithoutForce() throws {
    try withTemporaryFolder { folder in
      let flat = folder + "/model.sdflat"
      try Data("mine".utf8).write(to: URL(filePath: flat))
      let arguments = ["convert", Self.model, flat, "--to", "sdflat"]
      let refused = try Tool.run("sdinspect", arguments)
      #expect(refused.status == 73)
      #expect(refused.errors.contains("--force"))
      #expect(try Data(contentsOf: URL(filePath: flat)) == Data("mine".utf8))
      #expect(try Self.entries(folder) == ["model.sdflat"])
      let forced = try Tool.run("sdinspect", arguments + ["--force"])
      #expect(forced.status == 0, "\(forced.errors)")
      #expect(try Self.entries(folder) == ["model.sdflat"])
    }
  }

  /// --force replaces only what the conversion writes, and no one else's files.
  @Test func forceKeepsWhatItDoesNotWrite() throws {
    try withTemporaryFolder { folder in
      let output = folder + "/repository"
      let arguments = ["convert", Self.model, output, "--to", "safetensors"]
      #expect(try Tool.run("sdinspect", arguments).status == 0)
      let mine = output + "/.git"
      try FileManager.default.createDirectory(atPath: mine, withIntermediateDirectories: false)
      let refused = try Tool.run("sdinspect", arguments + ["--force"])
      #expect(refused.status == 73)
      #expect(refused.errors.contains(".git"))
      #expect(FileManager.default.fileExists(atPath: mine))
      try FileManager.default.removeItem(atPath: mine)
      #expect(try Tool.run("sdinspect", arguments + ["--force"]).status == 0)
    }
  }

  /// A file of safetensors with one tensor of that type and shape, all zeros.
  static func tensorFile(_ dtype: String, _ shape: [Int], bytes: Int, at path: String) throws {
    let header =
      "{\"a\":{\"dtype\":\"\(dtype)\",\"shape\":\(shape),\"data_offsets\":[0,\(bytes)]}}"
    var data = Data(withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) })
    data += Data(header.utf8) + Data(count: bytes)
    try data.write(to: URL(filePath: path))
  }

  /// A .sdflat file that its own reader would reject is not written.
  @Test func whatAFlatFileCannotHoldIsRefused() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/deep.safetensors"
      try Self.tensorFile("F32", [Int](repeating: 1, count: 65), bytes: 4, at: path)
      let result = try Tool.run(
        "sdinspect", ["convert", path, folder + "/deep.sdflat", "--to", "sdflat"])
      #expect(result.status == 65, "\(result.errors)")
      #expect(result.errors.contains(".sdflat file cannot store"))
      #expect(try Self.entries(folder).filter { $0.contains("sdflat") }.isEmpty)
    }
  }

  /// A link may lead to a device, or to another program's file.
  @Test func aLinkIsNotReplaced() throws {
    try withTemporaryFolder { folder in
      let link = folder + "/link.sdflat"
      try FileManager.default.createSymbolicLink(
        atPath: link, withDestinationPath: folder + "/elsewhere")
      let result = try Tool.run(
        "sdinspect", ["convert", Self.model, link, "--to", "sdflat", "--force"])
      #expect(result.status == 73)
      #expect(try Self.entries(folder) == ["link.sdflat"])
    }
  }

  @Test func aDryRunWritesNothing() throws {
    try withTemporaryFolder { folder in
      let arguments = [
        "convert", Self.model, folder + "/model.sdflat", "--to", "sdflat", "--dtype", "f32",
        "--dry-run",
      ]
      let plan = try Tool.run("sdinspect", arguments)
      #expect(plan.status == 0)
      #expect(plan.output.contains("442 F16 -> F32"))
      let json = try JSON(parsing: try Tool.run("sdinspect", arguments + ["--json"]).output)
      #expect(json["components"]?.array?.count == 3)
      #expect(try Self.entries(folder).isEmpty)
    }
  }

  /// The target's directory is missing, or a component's directory is a file.
  @Test func anOutputThatCannotBeIsRefused() throws {
    try withTemporaryFolder { folder in
      let result = try Tool.run(
        "sdinspect", ["convert", Self.model, folder + "/no/model.sdflat", "--to", "sdflat"])
      #expect(result.status == 73)
      #expect(result.errors.contains("hint: "))
    }
  }

  @Test func oneComponentIsCastAlone() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/vae.safetensors"
      let made = try Tool.run(
        "sdinspect",
        [
          "convert", Self.model, path, "--to", "safetensors", "--component", "vae", "--dtype",
          "bf16",
        ])
      #expect(made.status == 0, "\(made.errors)")
      let summary = try json("sdinspect", [path, "--json"])
      #expect(summary["components"]?.array?.first?["dtypes"] == ["BF16": 180])
      #expect(summary["totals"]?["parameters"] == 1_028_935)
    }
  }

  /// Interrupted while reading from an endless source, it leaves nothing.
  @Test func anInterruptedConversionLeavesNothing() throws {
    try withTemporaryFolder { folder in
      let result = try conversion(of: Self.model, in: folder, stoppedBy: "TERM")
      let left = try Self.entries(folder).filter { $0 != "out" && $0 != "err" }
      // Either it was stopped, or it finished before the signal: never anything in between.
      if result.status == 0 {
        #expect(left == ["model.sdflat"])
      } else {
        #expect(result.status == 143)
        #expect(left.isEmpty, "\(left)")
        #expect(result.errors.contains("cancelled: nothing was written\n"), "\(result.errors)")
      }
    }
  }
}

@Suite struct ONNXCommandTests {
  @Test func everyNetworkIsExported() throws {
    try withTemporaryFolder { folder in
      let out = folder + "/onnx"
      let result = try Tool.run("sdinspect", ["onnx", Fixtures.path("shapes-v2"), out, "--json"])
      #expect(result.status == 0, "\(result.errors)")
      let report = try JSON(parsing: result.output)
      #expect(
        report["networks"]?.array?.map { $0["name"]?.string }
          == ["text_encoder", "unet", "vae_decoder", "vae_encoder"])
      for network in ["text_encoder", "unet", "vae_decoder", "vae_encoder"] {
        for file in ["model.onnx", "model.onnx_data", "config.json"] {
          #expect(FileManager.default.fileExists(atPath: "\(out)/\(network)/\(file)"))
        }
      }
      #expect(FileManager.default.fileExists(atPath: out + "/tokenizer/vocab.json"))
      let again = try Tool.run("sdinspect", ["onnx", Fixtures.path("shapes-v2"), out])
      #expect(again.status == 73)
      #expect(again.errors.contains("--force"))
    }
  }

  @Test func oneNetworkIsLinkedToItsWeights() throws {
    try withTemporaryFolder { folder in
      let model = folder + "/model"
      try FileManager.default.copyItem(atPath: Fixtures.path("shapes-v2"), toPath: model)
      let result = try Tool.run(
        "sdinspect", ["onnx", model, model, "--component", "unet", "--weights", "link", "--json"])
      #expect(result.status == 0, "\(result.errors)")
      let network = try #require(try JSON(parsing: result.output)["networks"]?.array?.first)
      #expect(network["bytes_copied"] == 0)
      #expect(network["weights"] == 442)
      let elsewhere = try Tool.run(
        "sdinspect", ["onnx", model, folder + "/else", "--component", "unet", "--weights", "link"])
      #expect(elsewhere.status == 73)
      #expect(elsewhere.errors.contains("--weights copy"))
    }
  }

  @Test(arguments: [["--opset", "9"], ["--component", "transformer"], ["--dtype", "f64"]])
  func badValues(arguments: [String]) throws {
    try withTemporaryFolder { folder in
      let result = try Tool.run(
        "sdinspect", ["onnx", Fixtures.path("shapes-v2"), folder + "/onnx"] + arguments)
      #expect(result.status == 64, "\(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/onnx"))
    }
  }
}

/// Several checkpoints at once, and the options of single files.
@Suite struct ConvertManyTests {
  static let model = Fixtures.path("shapes-v2")

  @Test func eachIsReportedAndWhatIsThereIsSkipped() throws {
    try withTemporaryFolder { folder in
      let single = folder + "/single.ckpt"
      let made = try Tool.run("sdinspect", ["convert", Self.model, single, "--to", "ldm"])
      #expect(made.status == 0, "\(made.errors)")
      let broken = folder + "/broken.safetensors"
      try Data("no weights".utf8).write(to: URL(filePath: broken))
      let out = folder + "/out"
      let arguments = [
        "convert", Self.model, broken, single, out, "--to", "sdflat", "--component", "vae",
      ]
      let first = try Tool.run("sdinspect", arguments + ["--json"])
      // One of them failed; the others were converted nevertheless.
      #expect(first.status == 65)
      let rows = try #require(try JSON(parsing: first.output)["conversions"]?.array)
      #expect(rows.map { $0["status"]?.string } == ["written", "failed", "written"])
      #expect(rows[1]["error"]?["code"]?.string == "unrecognized")
      let names = try FileManager.default.contentsOfDirectory(atPath: out).sorted()
      #expect(names == ["shapes-v2.sdflat", "single.sdflat"])

      let again = try Tool.run("sdinspect", arguments)
      #expect(again.status == 65)
      #expect(again.output.contains("skipped"))
      #expect(again.errors.contains("broken.safetensors"))

      let clash = try Tool.run(
        "sdinspect", ["convert", single, "elsewhere/single.pt", out, "--to", "gguf"])
      #expect(clash.status == 64)
      #expect(clash.errors.contains("single.gguf"))
    }
  }

  @Test func optionsThatDoNotFitAreRefused() throws {
    try withTemporaryFolder { folder in
      let out = folder + "/out"
      let refused: [(arguments: [String], status: Int32, says: String)] = [
        (["convert", Self.model, "--to", "ldm"], 64, "an input and an output"),
        (["convert", Self.model, out, "--to", "sdflat", "--format", "bin"], 64, "--format"),
        (["convert", Self.model, out, "--to", "ldm", "--dtype", "q8_0"], 64, "--to gguf"),
        (["convert", Self.model, out, "--to", "ldm", "--hash-sources"], 64, "--to sdflat"),
        (["convert", Self.model, out, "--to", "ldm", "--ema"], 65, "no averaged weights"),
        (["convert", Self.model, out, "--to", "ldm", "--variant", "fp16"], 66, "fp16"),
      ]
      for (arguments, status, says) in refused {
        let result = try Tool.run("sdinspect", arguments)
        #expect(result.status == status, "\(arguments): \(result.errors)")
        #expect(result.errors.contains(says), "\(arguments): \(result.errors)")
      }
      #expect(!FileManager.default.fileExists(atPath: out))
    }
  }

  @Test func theEndingDecidesTheFormat() throws {
    try withTemporaryFolder { folder in
      for (name, format) in [("a.ckpt", "pytorch"), ("a.safetensors", "safetensors")] {
        let path = "\(folder)/\(name)"
        let made = try Tool.run(
          "sdinspect", ["convert", Self.model, path, "--to", "ldm", "--json"])
        #expect(made.status == 0, "\(made.errors)")
        #expect(try JSON(parsing: made.output)["format"]?.string == format)
        let summary = try Tool.run("sdinspect", [path, "--json"])
        let report = try JSON(parsing: summary.output)
        #expect(report["format"]?.string == format)
        #expect(report["components"]?.array?.first?["naming"]?["family"] == "ldm")
      }
    }
  }

  /// Interrupted, a program that prints JSON says so in JSON.
  @Test func anInterruptionIsAnErrorObject() throws {
    try withTemporaryFolder { folder in
      let result = try conversion(of: Self.model, in: folder, stoppedBy: "TERM", json: true)
      guard result.status != 0 else { return }
      #expect(result.status == 143)
      let object = result.errors.split(separator: "\n").first { $0.hasPrefix("{") } ?? ""
      #expect(try JSON(parsing: String(object))["error"]?["code"] == "cancelled")
    }
  }

  /// Killed immediately, it leaves nothing that looks like an output.
  @Test func aKilledConversionLeavesNothing() throws {
    try withTemporaryFolder { folder in
      let result = try conversion(of: Self.model, in: folder, stoppedBy: "KILL")
      let left = try FileManager.default.contentsOfDirectory(atPath: folder)
        .filter { $0 != "out" && $0 != "err" }
      #expect(left == (result.status == 0 ? ["model.sdflat"] : []), "\(left)")
    }
  }
}

/// A conversion to `model.sdflat` in `folder`, sent the signal as soon as the partial output
/// exists.
private func conversion(
  of model: String, in folder: String, stoppedBy signal: String, json: Bool = false
) throws -> Tool.Result {
  try Tool.launch(
    "/bin/bash",
    [
      "-c",
      """
      "$0" convert "$1" "$2/model.sdflat" --to sdflat --dtype f32 \(json ? "--json" : "") & pid=$!
      for _ in $(seq 2000); do
        ls -l /proc/$pid/fd 2>/dev/null | grep -q "$2/" && break
        kill -0 $pid 2>/dev/null || break
      done
      kill -"$3" $pid 2>/dev/null; wait $pid
      """,
      "\(Tool.folder)/sdinspect", model, folder, signal,
    ])
}
