import ArgumentParser
import Diffusion

/// Size and number of the pictures, and what they start from.
struct PictureOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Width in pixels, a multiple of 8 (default: the --init picture's, else the model's own).",
      valueName: "pixels"))
  var width: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Height in pixels, a multiple of 8 (default: the --init picture's, else the model's own).",
      valueName: "pixels"))
  var height: Int?

  @Option(
    parsing: .unconditional,
    help: "Pictures to draw, each with the next seed: out-1.png, out-2.png, …")
  var count = 1

  @Option(
    help: ArgumentHelp(
      "Start from the noise in this safetensors file instead of the seed's.", valueName: "file"),
    completion: .file())
  var latents: String?

  @Option(
    name: .customLong("init"),
    help: ArgumentHelp(
      "Start from this picture (PNG, JPEG, WebP), brought to the size to draw.",
      valueName: "file"), completion: .file())
  var initial: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How much of the --init picture may change, above 0 to 1: the share of the steps taken"
        + " (default: 0.75; 1 with --outpaint).", valueName: "share"))
  var strength: Double?

  @Option(
    help: ArgumentHelp(
      "Repaint only what is light in this picture, and keep the rest of --init as the VAE gives"
        + " it back: alike, not every pixel the same (see --paste-back).",
      valueName: "file"), completion: .file())
  var mask: String?

  @Option(
    help: ArgumentHelp(
      "Extend the --init picture by so many pixels at each side, multiples of 8.",
      valueName: "left,top,right,bottom"), transform: Image.Padding.init(parsing:))
  var outpaint: Image.Padding?

  @Flag(
    help: ArgumentHelp(
      "Put what --mask or --outpaint keeps of the --init picture back over the drawn one, pixel for"
        + " pixel; where the mask is grey, both are mixed."))
  var pasteBack = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Draw a second time, so many times larger, from the first picture: above 1 to 8.",
      valueName: "scale"))
  var hires: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How much the second pass of --hires may change, above 0 to 1 (default: 0.7).",
      valueName: "share"))
  var hiresStrength: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Steps of the second pass of --hires, 1 to 1000 (default: --steps).", valueName: "n"))
  var hiresSteps: Int?

  func validate() throws {
    try checkRange("--count", count, in: 1...10_000)
    for (name, side) in [("--width", width), ("--height", height)] {
      guard let side else { continue }
      try checkRange(name, side, in: 8...8192)
      if side % 8 != 0 { throw ValidationError("\(name) is \(side); it must be a multiple of 8") }
    }
    for (name, share) in [("--strength", strength), ("--hires-strength", hiresStrength)] {
      guard let share, !(share > 0 && share <= 1) else { continue }
      throw ValidationError("\(name) is \(share); it goes from above 0 to 1")
    }
    if let hires, !(hires > 1 && hires <= 8) {
      throw ValidationError("--hires is \(hires); it goes from above 1 to 8")
    }
    if let hiresSteps { try checkRange("--hires-steps", hiresSteps, in: 1...1000) }
    let needs = [
      ("--strength", strength != nil, "--init", initial),
      ("--mask", mask != nil, "--init", initial),
      ("--outpaint", outpaint != nil, "--init", initial),
      (
        "--paste-back", pasteBack, "--mask or --outpaint",
        mask ?? outpaint.map { "\($0)" }
      ),
      ("--hires-strength", hiresStrength != nil, "--hires", hires.map { "\($0)" }),
      ("--hires-steps", hiresSteps != nil, "--hires", hires.map { "\($0)" }),
    ]
    for (name, isGiven, other, value) in needs where isGiven && value == nil {
      throw ValidationError("\(name) goes with \(other), which is not given")
    }
  }
}

extension Image.Padding {
  /// Four numbers with commas.
  init(parsing argument: String) throws {
    let sides = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    guard sides.count == 4,
      sides.allSatisfy({ $0.map { (0...4096).contains($0) && $0 % 8 == 0 } ?? false })
    else {
      throw ValidationError("give four multiples of 8 from 0 to 4096, as in 64,0,64,0")
    }
    let numbers = sides.compactMap { $0 }
    guard numbers.contains(where: { $0 > 0 }) else {
      throw ValidationError("one side must be above 0")
    }
    self.init(left: numbers[0], top: numbers[1], right: numbers[2], bottom: numbers[3])
  }
}
