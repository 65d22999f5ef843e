import Diffusion
import Foundation
import Pictures
import TestSupport
import Testing

/// Additional networks and approximations on the command line; their numbers are tested in
/// DiffusionTests.
@Suite(.serialized) struct NetworkOptionTests {
  private static let settings = ["--seed", "42", "--steps", "8", "--scheduler", "ddim"]

  private static func picture(_ arguments: [String]) throws -> (picture: Image, errors: String) {
    try withTemporaryFolder { folder in
      let result = try GenerateTests.draw(settings + arguments, to: "\(folder)/a.png")
      #expect(result.status == 0, "\(result.errors)")
      return (try PNG.read("\(folder)/a.png").image, result.errors)
    }
  }

  /// 10 · log10(255² / mean squared difference), in decibels.
  private static func likeness(_ image: Image, _ reference: Image) -> Double {
    let squares = zip(image.pixels, reference.pixels).reduce(0.0) {
      $0 + pow(Double($1.0) - Double($1.1), 2)
    }
    return squares == 0
      ? .infinity : 10 * log10(65025 * Double(image.pixels.count) / squares)
  }

  /// Settings that approximate nothing change nothing; the others change the image slightly.
  @Test func approximations() throws {
    let exact = try Self.picture([]).picture
    for arguments in [
      ["--cache-interval", "1"], ["--guidance-interval", "0:1"], ["--vae-tile", "off"],
      ["--no-safety-checker"], ["--low-memory"], ["--token-merging", "0"],
    ] {
      #expect(try Self.picture(arguments).picture == exact, "\(arguments)")
    }
    for arguments in [
      ["--cache-interval", "2"], ["--guidance-interval", "0:0.8"], ["--token-merging", "0.25"],
    ] {
      let picture = try Self.picture(arguments).picture
      #expect(picture != exact, "\(arguments)")
      #expect(Self.likeness(picture, exact) > 15, "\(arguments)")
    }
  }

  @Test(arguments: [
    (["--cache-interval", "0"], "1 to 100"), (["--cache-interval", "101"], "1 to 100"),
    (["--token-merging", "0.76"], "0 to 0.75"), (["--token-merging", "-0.1"], "0 to 0.75"),
    (["--token-merging", "nan"], "0 to 0.75"), (["--batch-size", "0"], "1 to 64"),
    (["--batch-size", "65"], "1 to 64"), (["--guidance-interval", "0.5"], "guidance-interval"),
    (["--guidance-interval", "0.8:0.2"], "guidance-interval"),
    (["--guidance-interval", "0:2"], "guidance-interval"), (["--vae-tile", "100"], "vae-tile"),
    (["--vae-tile", "259"], "vae-tile"), (["--lora", "a.safetensors:11"], "-10 to 10"),
    (["--lora", "a.safetensors:nan"], "-10 to 10"), (["--control", "a"], "--control-image"),
    (["--control-image", "a.png"], "--control-image"), (["--control-scale", "1"], "--control"),
    (["--control", "a", "--control-image", "a.png", "--control-scale", "11"], "0 to 10"),
    (["--control", "a", "--control-image", "a.png", "--control-start", "1"], "--control-end"),
    (
      [
        "--control", "a", "--control-image", "a.png", "--control-end", "0.5", "--control-end",
        "0.6",
      ], "one value for all"
    ),
    (["--tiny-vae-for", "previews"], "--tiny-vae"),
    (["--tiny-vae-for", "nothing"], "tiny-vae-for"),
  ])
  func badValues(arguments: [String], says: String) throws {
    try withTemporaryFolder { folder in
      let result = try GenerateTests.draw(arguments, to: folder + "/a.png")
      #expect(result.status == 64, "\(arguments): \(result.errors)")
      #expect(result.errors.contains(says), "\(arguments): \(result.errors)")
      #expect(result.output.isEmpty)
    }
  }

  /// Where the temporary file for weights cannot be made.
  @Test func noRoomForWeights() throws {
    try withTemporaryFolder { folder in
      let result = try Tool.run(
        "sdgen", [GenerateTests.prompt, "--low-memory", "-o", "\(folder)/a.png"],
        environment: ["TMPDIR": "\(folder)/nowhere"])
      #expect(result.status == 73, "\(result.errors)")
      #expect(
        result.errors.contains("hint: create \(folder)/nowhere"), "\(result.errors)")
      let file = folder + "/file"
      try Data().write(to: URL(filePath: file))
      let odd = try Tool.run(
        "sdgen", [GenerateTests.prompt, "--low-memory", "-o", "\(folder)/a.png"],
        environment: ["TMPDIR": file])
      #expect(odd.status == 73 && odd.errors.contains("is not a directory"), "\(odd.errors)")
    }
  }

  /// Files that are not there, and files that are something else.
  @Test(arguments: ["--lora", "--control", "--tiny-vae"])
  func otherFiles(option: String) throws {
    try withTemporaryFolder { folder in
      let control =
        option == "--control"
        ? ["--control-image", Fixtures.path("shapes-v2/golden/ddim.png")] : []
      let missing = try GenerateTests.draw(
        [option, "\(folder)/none"] + control, to: "\(folder)/a.png")
      #expect(missing.status == 66, "\(missing.errors)")
      let other = try GenerateTests.draw(
        [option, Fixtures.path("shapes-v2/unet/diffusion_pytorch_model.safetensors")] + control,
        to: "\(folder)/a.png")
      #expect(other.status == 65, "\(other.errors)")
      #expect(other.errors.contains("unet/diffusion_pytorch_model.safetensors"))
      #expect(!FileManager.default.fileExists(atPath: "\(folder)/a.png"))
    }
  }
}
