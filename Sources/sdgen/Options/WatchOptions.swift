import ArgumentParser

/// What shows how a picture comes about.
struct WatchOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Write what the model predicts after every n evaluations of the UNet, 1 to 1000:"
        + " out-step-5.png (default: none).", valueName: "n"), transform: wholeNumber(in: 1...1000))
  var previewEvery: Int?

  @Option(
    help: ArgumentHelp(
      "How predictions become pictures: vae, tiny (what --tiny-vae names), latent, a linear map that"
        + " costs nothing, or auto, tiny where there is one and else vae.", valueName: "way"))
  var preview = PreviewKind.auto

  @Option(
    help: ArgumentHelp(
      "Write one picture of up to eight evaluations, with latents, predicted picture and noise of"
        + " each (default: none).",
      valueName: "file"))
  var contactSheet: String?

  @Option(
    help: ArgumentHelp(
      "Write the predictions after every evaluation as an animation, WebP or PNG by its ending"
        + " (default: none).",
      valueName: "file"))
  var animation: String?

  @Flag(help: "Print the time that each component took, and each evaluation of the UNet.")
  var profile = false

  @Option(
    help: ArgumentHelp(
      "Write a Chrome trace of every layer, for ui.perfetto.dev (default: none).", valueName: "file"
    ))
  var trace: String?

  @Flag(help: "Draw the finished picture in the terminal, where it shows pictures.")
  var show = false

  @Option(
    help: ArgumentHelp(
      "How the terminal is told pictures: kitty, iterm2 or sixel (default: as it says itself);"
        + " implies --show.", valueName: "protocol"))
  var showAs: TerminalGraphics?

  func validate() throws {
    if let contactSheet { try checkPictureEnding("--contact-sheet", contactSheet) }
    if let animation, ![".webp", ".png"].contains(PicturePlan.split(animation).ending.lowercased())
    {
      throw ValidationError("--animation is \(animation); it ends in .webp or .png")
    }
  }
}

/// How latents become a preview.
enum PreviewKind: String, ExpressibleByArgument, CaseIterable {
  case auto
  case vae
  case tiny
  case latent
}
