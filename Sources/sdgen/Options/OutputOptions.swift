import ArgumentParser

/// What is written and said.
struct OutputOptions: ParsableArguments {
  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("The PNG file to write.", valueName: "file"))
  var file = "out.png"

  @Option(
    help: ArgumentHelp(
      "Write the finished latents, and the noise they came from, to this safetensors file.",
      valueName: "file"), completion: .file())
  var saveLatents: String?

  @Option(
    help: ArgumentHelp(
      "Write the picture so far after every N evaluations of the UNet.", valueName: "n"))
  var previewEvery: Int?

  @Flag(help: "Print the time that each component took, and each evaluation of the UNet.")
  var profile = false

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @Flag(help: "Replace files that exist.")
  var force = false

  func validate() throws {
    if let previewEvery { try checkRange("--preview-every", previewEvery, in: 1...1000) }
  }
}
