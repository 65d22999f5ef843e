import ArgumentParser

/// Size and number of the pictures, and what they start from.
struct PictureOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Width in pixels, a multiple of 8 (default: the model's own).", valueName: "pixels"))
  var width: Int?

  @Option(
    help: ArgumentHelp(
      "Height in pixels, a multiple of 8 (default: the model's own).", valueName: "pixels"))
  var height: Int?

  @Option(help: "Pictures to draw, each with the next seed: out-1.png, out-2.png, …")
  var count = 1

  @Option(
    help: ArgumentHelp(
      "Start from the noise in this safetensors file instead of the seed's.", valueName: "file"),
    completion: .file())
  var latents: String?

  func validate() throws {
    try checkRange("--count", count, in: 1...10_000)
    for (name, side) in [("--width", width), ("--height", height)] {
      guard let side else { continue }
      try checkRange(name, side, in: 8...8192)
      if side % 8 != 0 { throw ValidationError("\(name) is \(side); it must be a multiple of 8") }
    }
  }
}
