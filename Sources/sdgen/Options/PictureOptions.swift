import ArgumentParser
import Diffusion
import Pictures

/// Size and number of the pictures, and what they start from.
struct PictureOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Width in pixels, a multiple of 8 from 8 to 8192 (default: the --init picture's, else the"
        + " model's own).", valueName: "pixels"),
    transform: wholeNumber(in: 8...8192, multipleOf: 8))
  var width: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Height in pixels, a multiple of 8 from 8 to 8192 (default: the --init picture's, else the"
        + " model's own).", valueName: "pixels"),
    transform: wholeNumber(in: 8...8192, multipleOf: 8))
  var height: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Pictures to draw, 1 to 10000, each with the next seed: out-1.png, out-2.png, …"
        + " (default: 1).", valueName: "n"), transform: wholeNumber(in: 1...10_000))
  var count = 1

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Pictures of one prompt that are drawn at once, 1 to 64; as many as memory allows. They are"
        + " the same as one by one; without --count or several noises of --latents there is but one"
        + " of each prompt (default: 1).", valueName: "n"),
    transform: wholeNumber(in: 1...64))
  var batchSize = 1

  @Option(
    help: ArgumentHelp(
      "Start from the noise in this safetensors file (default: the seed's).", valueName: "file"),
    completion: .file())
  var latents: String?

  @Option(
    name: .customLong("init"),
    help: ArgumentHelp(
      "Start from this picture (PNG, JPEG, WebP), brought to the size to draw (default: none).",
      valueName: "file"), completion: .file())
  var initial: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How much of the --init picture may change, above 0 to 1: the share of the steps taken"
        + " (default: 0.75; 1 with --outpaint).", valueName: "share"),
    transform: number(in: 0...1, isAbove: true))
  var strength: Double?

  @Option(
    help: ArgumentHelp(
      "Repaint only what is light in this picture, and keep the rest of --init as the VAE gives"
        + " it back: alike, not every pixel the same; see --paste-back (default: none).",
      valueName: "file"), completion: .file())
  var mask: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Extend the --init picture by so many pixels at each side, multiples of 8 from 0 to 4096"
        + " (default: none).",
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
      "Draw a second time, so many times larger, from the first picture: above 1 to 8"
        + " (default: none).", valueName: "scale"), transform: number(in: 1...8, isAbove: true))
  var hires: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "How much the second pass of --hires may change, above 0 to 1 (default: 0.7).",
      valueName: "share"), transform: number(in: 0...1, isAbove: true))
  var hiresStrength: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Steps of the second pass of --hires, 1 to 1000 (default: --steps).", valueName: "n"),
    transform: wholeNumber(in: 1...1000))
  var hiresSteps: Int?

  func validate() throws {
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
