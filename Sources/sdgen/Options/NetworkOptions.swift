import ArgumentParser
import Diffusion
import ModelFormats
import Pictures
import Terminal

/// Networks beside the model's own, and what is put into its weights.
struct NetworkOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Apply an adapter (LoRA, LoHa, LoKr, DoRA, …) to the weights, times a scale of -10 to 10; may"
        + " be given several times (default: none; the scale: 1).", valueName: "file[:scale]"),
    completion: .file())
  var lora: [ScaledFile] = []

  @Option(
    help: ArgumentHelp(
      "Follow a picture with this ControlNet, a file or its directory; may be given several times"
        + " (default: none).", valueName: "path"), completion: .file())
  var control: [String] = []

  @Option(
    help: ArgumentHelp(
      "The map that the ControlNet of the same place follows: edges, a pose, depths (default: none;"
        + " one for each --control).", valueName: "file"), completion: .file())
  var controlImage: [String] = []

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "How strongly it is followed, 0 to 10; one for all or one each (default: 1).",
      valueName: "scale"), transform: number(in: 0...10))
  var controlScale: [Double] = []

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "The share of the steps from which it is followed, 0 to 1; one for all or one each"
        + " (default: 0).", valueName: "share"), transform: number(in: 0...1))
  var controlStart: [Double] = []

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "The share of the steps up to which it is followed, 0 to 1; one for all or one each"
        + " (default: 1).", valueName: "share"), transform: number(in: 0...1))
  var controlEnd: [Double] = []

  @Option(
    help: ArgumentHelp(
      "Decode with this tiny autoencoder (TAESD), a file or its directory: fast, with less detail"
        + " (default: none).", valueName: "path"), completion: .file())
  var tinyVae: String?

  @Option(
    help: ArgumentHelp(
      "What the tiny autoencoder decodes: all, or previews alone.",
      valueName: "what"))
  var tinyVaeFor = TinyAutoencoderUse.all

  @Flag(
    name: .customLong("no-safety-checker"),
    help: "Draw without the safety checker of models that have one.")
  var withoutSafetyChecker = false

  func validate() throws {
    for file in lora { try file.check("--lora") }
    guard controlImage.count == control.count else {
      throw ValidationError(
        "there are \(control.count) of --control and \(controlImage.count) of --control-image;"
          + " each ControlNet follows one picture")
    }
    for (name, values) in [
      ("--control-scale", controlScale), ("--control-start", controlStart),
      ("--control-end", controlEnd),
    ] {
      guard values.count <= 1 || values.count == control.count else {
        throw ValidationError(
          "there are \(values.count) of \(name) for \(control.count) of --control; give one for all"
            + " or one each")
      }
      guard values.isEmpty || !control.isEmpty else {
        throw ValidationError("\(name) goes with --control, which is not given")
      }
    }
    for index in control.indices where start(index) >= end(index) {
      throw ValidationError(
        "--control-start \(start(index)) is not before --control-end \(end(index))")
    }
    guard tinyVae != nil || tinyVaeFor == .all else {
      throw ValidationError("--tiny-vae-for goes with --tiny-vae, which is not given")
    }
  }

  private func start(_ index: Int) -> Double { Self.value(controlStart, index) ?? 0 }
  private func end(_ index: Int) -> Double { Self.value(controlEnd, index) ?? 1 }

  private static func value(_ values: [Double], _ index: Int) -> Double? {
    values.count == 1 ? values[0] : index < values.count ? values[index] : nil
  }

  /// The pictures for the ControlNets, read anew.
  ///
  /// - Parameter warn: told what is wrong with a file that is read all the same.
  func controls(
    _ warn: (String) -> Void = { _ in }
  ) throws(FormatError) -> [NetworkSettings.Control] {
    var controls: [NetworkSettings.Control] = []
    for (index, path) in controlImage.enumerated() {
      controls.append(
        NetworkSettings.Control(
          try PictureFile.opened(path, warn).image,
          scale: Float(Self.value(controlScale, index) ?? 1),
          start: start(index), end: end(index)))
    }
    return controls
  }
}

/// What a tiny autoencoder is loaded for.
enum TinyAutoencoderUse: String, ExpressibleByArgument, CaseIterable {
  case all
  case previews
}
