import Foundation
import OrderedJSON
import TestSupport
import Testing

/// Distilled UNets and those of latent consistency models on the command line.
@Suite(.serialized) struct SmallNetworkTests {
  private static func path(_ name: String) -> String { Fixtures.path("networks/\(name)") }

  @Test(arguments: ["distilled", "mixed", "lcm"])
  func inspection(_ name: String) throws {
    try withTemporaryFolder { folder in
      let verified = try Tool.run("sdinspect", ["verify", Self.path(name)])
      #expect(verified.status == 0 && verified.output.contains("sound"), "\(verified)")
      let layers = try Tool.run("sdinspect", ["layers", Self.path(name), "--json"])
      #expect(layers.status == 0, "\(layers.errors)")
      let report = try Tool.run(
        "sdinspect", ["report", Self.path(name), "-o", "\(folder)/report.html"])
      #expect(report.status == 0, "\(report.errors)")
      let single = "\(folder)/a.safetensors"
      let converted = try Tool.run(
        "sdinspect", ["convert", Self.path(name), single, "--to", "ldm"])
      #expect(converted.status == 0, "\(converted.errors)")
      let same = try Tool.run("sdinspect", ["diff", Self.path(name), single])
      #expect(same.status == 0, "\(same.output)")
      let exported = try Tool.run("sdinspect", ["onnx", single, "\(folder)/onnx"])
      #expect(exported.status == 0, "\(exported.errors)")
    }
  }

  /// Options without effect on such a UNet are reported.
  @Test func latentConsistency() throws {
    try withTemporaryFolder { folder in
      let files = FileManager.default
      let repository = "\(folder)/lcm"
      try files.createDirectory(
        atPath: "\(repository)/scheduler", withIntermediateDirectories: true)
      for part in ["text_encoder", "tokenizer", "vae", "model_index.json"] {
        try files.createSymbolicLink(
          atPath: "\(repository)/\(part)", withDestinationPath: Fixtures.path("shapes-v2/\(part)"))
      }
      try files.createSymbolicLink(
        atPath: "\(repository)/unet", withDestinationPath: Self.path("lcm"))
      try files.copyItem(
        atPath: Self.path("lcm/scheduler_config.json"),
        toPath: "\(repository)/scheduler/scheduler_config.json")
      func draw(_ model: String, _ file: String, _ more: [String]) throws -> JSON {
        let result = try Tool.run(
          "sdgen",
          [
            "a red circle", "--model", model, "--steps", "4", "--seed", "7", "--json", "-o",
            "\(folder)/\(file)",
          ] + more)
        #expect(result.status == 0, "\(result.errors)")
        return try JSON(parsing: result.output)
      }
      let plain = try draw(repository, "a.png", [])
      #expect(plain["warnings"]?.array == [])
      #expect(plain["pictures"]?.array?.first?["scheduler"] == "lcm")
      #expect(plain["timings"]?["unet"]?.array?.count == 4)
      let told = try draw(
        repository, "b.png", ["--negative", "blue", "--guidance-interval", "0:0.5"])
      let warnings = (told["warnings"]?.array ?? []).compactMap(\.string)
      #expect(warnings.count == 2)
      #expect(warnings.first?.contains("the negative prompt has no effect") == true)
      #expect(warnings.last?.contains("the guidance interval has no effect") == true)
      // A single file gets LCM's scheduler, and so does what is made from it.
      let flat = "\(folder)/lcm.ckpt"
      let single = try Tool.run("sdinspect", ["convert", repository, flat, "--to", "ldm"])
      #expect(single.status == 0, "\(single.errors)")
      let back = try Tool.run(
        "sdinspect", ["convert", flat, "\(folder)/back", "--to", "diffusers"])
      #expect(back.status == 0, "\(back.errors)")
      let index = try JSON(
        parsing: String(contentsOfFile: "\(folder)/back/model_index.json", encoding: .utf8))
      #expect(index["_class_name"] == "LatentConsistencyModelPipeline")
      #expect(index["scheduler"] == ["diffusers", "LCMScheduler"])
    }
  }
}
