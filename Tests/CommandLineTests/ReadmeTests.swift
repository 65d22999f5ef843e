import Foundation
import ModelFormats
import TestSupport
import Testing

/// The commands of README.md, as a reader would type them.
@Suite(.serialized) struct ReadmeTests {
  /// Every line in order, in one shell and one directory, with the bundled model in place of the
  /// published weights.
  @Test func everyCommandRuns() throws {
    let page = try PageCommands("README.md")
    #expect(page.lines.count > 25)
    try withTemporaryFolder { folder in
      try Self.writeInputs(to: folder)
      let result = try page.run(in: folder)
      #expect(result.status == 0, "\(result.errors)")
      #expect(page.reached(result) == page.lines.count, "\(result.errors)")
      // What the text says about them.
      #expect((result.output + result.errors).contains("identical in every pixel"))
      for file in ["report.html", "onnx/unet/model.onnx", "winter.png", "sheet.png", "star.png"] {
        #expect(FileManager.default.fileExists(atPath: "\(folder)/\(file)"), "\(file)")
      }
    }
  }

  /// Every file and directory of the project that it links to is there.
  @Test func everyLinkLeadsSomewhere() throws {
    let page = try PageCommands("README.md")
    #expect(try page.links().count > 20)
    #expect(try page.brokenLinks() == [])
  }

  /// The files that its commands start from: a repository, both single files, and a LoRA.
  private static func writeInputs(to folder: String) throws {
    let files = FileManager.default
    let repository = folder + "/stable-diffusion-v1-5"
    try files.copyItem(atPath: Fixtures.path("shapes-v2"), toPath: repository)
    try files.copyItem(
      atPath: Fixtures.path("adapters/locon.safetensors"), toPath: folder + "/style.safetensors")
    let single = folder + "/v1-5-pruned-emaonly.safetensors"
    let converted = try Tool.run("sdinspect", ["convert", repository, single, "--to", "ldm"])
    #expect(converted.status == 0, "\(converted.errors)")
    let tensors = try TensorFile.open(single).tensors
    let prefix = "model.diffusion_model."
    let averages = tensors.filter { $0.name.hasPrefix(prefix) }
      .map { $0.renamed("model_ema." + $0.name.dropFirst("model.".count).filter { $0 != "." }) }
    let all = tensors + averages
    let writer = try TorchWriter(
      path: folder + "/v1-5-pruned.ckpt", tensors: all.map(\.info), under: "state_dict")
    try writer.write(all)
  }
}
