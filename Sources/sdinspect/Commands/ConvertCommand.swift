import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Converts checkpoints to another layout.
struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Convert checkpoints to another layout.",
    discussion: """
      Layouts: diffusers is a repository directory, or the directory of one component. ldm is \
      one file with the names of the original checkpoints. gguf is the same for \
      stable-diffusion.cpp. sdflat is one file with everything, including tokenizer and \
      configurations. safetensors and pytorch keep the layout and the names; only a textual \
      inversion is rewritten in the form that other programs read.

      Values do not change unless --dtype is given. From a training checkpoint, the final UNet \
      is used, or with --ema the averaged one.

      If OUT ends in a slash or is a directory, a single output file is written into it under \
      the name of the input. With several inputs, OUT is a directory. Outputs that exist are \
      skipped unless --force is given, so run an interrupted command again to finish it. Outputs \
      appear only when they are complete.

      EXAMPLES
        sdinspect convert v1-5-pruned.ckpt stable-diffusion-v1-5 --to diffusers --ema
        sdinspect convert stable-diffusion-v1-5 sd15.safetensors --to ldm --dtype f16
        sdinspect convert stable-diffusion-v1-5 sd15.sdflat --to sdflat
        sdinspect convert *.ckpt converted --to ldm --drop-unknown
        sdinspect convert embedding.pt embedding.safetensors --to safetensors
      """)

  @Argument(
    help: ArgumentHelp(
      "The checkpoints to convert, then the file or directory to write.",
      valueName: "in ... out"), completion: .file())
  var paths: [String]

  @Option(
    name: .customLong("to"),
    help: ArgumentHelp(
      "The layout to write: diffusers, ldm, gguf, sdflat, safetensors or pytorch.",
      valueName: "layout"))
  var layout: ConvertLayout

  var target: Conversion.Target { layout.target }

  @Option(
    help: ArgumentHelp(
      """
      File format for diffusers and ldm: safetensors, or bin for PyTorch (default: safetensors; \
      bin if OUT ends in .ckpt, .pt, .pth or .bin).
      """, valueName: "format"))
  var format: WeightsFormat?

  @Option(
    help: ArgumentHelp(
      """
      Cast floating-point tensors to f32, f16 or bf16, or with --to gguf to q8_0 (default: no cast).
      """, valueName: "type"))
  var dtype: CastType?

  @OptionGroup var component: ComponentOption

  @Flag(help: "Use the averaged UNet (EMA) of a training checkpoint.")
  var ema = false

  @Flag(help: "Drop tensors that do not belong to a network.")
  var dropUnknown = false

  @Flag(help: "With --dtype f16, clamp values that are too large to 65504 instead of stopping.")
  var saturate = false

  @Option(
    help: ArgumentHelp(
      "Repository with the tokenizer for checkpoints without one (default: CLIP's).",
      valueName: "path"))
  var tokenizer: String?

  @Option(
    help: ArgumentHelp(
      "Weights variant to read from a diffusers directory: fp16, non_ema, ….", valueName: "name"))
  var variant: String?

  @Flag(help: "With --to sdflat, record the SHA-256 of the source files.")
  var hashSources = false

  @Flag(help: "Print the plan without writing anything.")
  var dryRun = false

  @Flag(help: "Replace OUT if it exists.")
  var force = false

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func validate() throws {
    guard paths.count >= 2 else {
      throw ValidationError("expected an input and an output")
    }
    if format != nil, ![.diffusers, .ldm].contains(target) {
      throw ValidationError("--format needs --to diffusers or --to ldm")
    }
    if hashSources, target != .sdflat {
      throw ValidationError(
        "--hash-sources needs --to sdflat; other layouts do not record their sources")
    }
    if dtype == .q8, target != .gguf {
      throw ValidationError("--dtype q8_0 needs --to gguf")
    }
  }

  func run() throws {
    let options = try options()
    if paths.count > 2 {
      try convertAll(Array(paths.dropLast()), into: paths[paths.count - 1], options)
      return
    }
    let conversion = try plan(paths[0], try place(of: paths[0], at: paths[1]), options)
    if !json { printWarnings(conversion.source.warnings + conversion.warnings) }
    if dryRun {
      if json {
        Console.print(JSON.object(object(conversion)).text())
      } else {
        printPlan(conversion)
      }
      return
    }
    Interruption.say("cancelled: nothing was written")
    let (outcome, seconds) = try execute(conversion, "converting")
    if json {
      Console.print(JSON.object(object(conversion, outcome, seconds: seconds)).text())
    } else {
      report(conversion, outcome, seconds: seconds)
    }
  }

  // MARK: One conversion

  private func options() throws -> Conversion.Options {
    var options = Conversion.Options(
      dtype: dtype?.dtype, components: component.list.map { $0.map(ComponentName.init) },
      overwrite: force, saturate: saturate)
    options.quantize = dtype == .q8
    options.useAverages = ema
    options.dropUnknown = dropUnknown
    options.format = layout.isPyTorch ? .bin : format
    options.hashSources = hashSources
    options.companions = try companions()
    return options
  }

  /// A tokenizer's files: of the given repository, otherwise of the bundled model.
  private func companions() throws -> [AuxiliaryFile] {
    if let tokenizer {
      let checkpoint = try ModelCheckpoint.open(tokenizer)
      let files = checkpoint.files
      guard TokenizerFiles(in: files).hasVocabulary else {
        throw Failure.usage(
          "\(tokenizer) contains neither tokenizer/tokenizer.json nor tokenizer/vocab.json",
          hint: "pass a repository that has one: --tokenizer PATH")
      }
      // A tokenizer of another kind is rejected by name.
      _ = try TokenizerDefinition(of: checkpoint)
      return files
    }
    guard let path = try? EmbeddedModel.path() else { return [] }
    return (try? ModelCheckpoint.open(path).files) ?? []
  }

  func plan(
    _ input: String, _ output: String, _ options: Conversion.Options
  ) throws -> Conversion {
    let checkpoint = try ModelCheckpoint.open(input, variant: variant)
    // For EMA weights only, the conversion itself decides.
    if !(component.list ?? []).contains(where: { isAveragesOnly($0, checkpoint) }) {
      _ = try component.select(from: checkpoint)
    }
    return try Conversion(of: checkpoint, to: target, at: output, options: options)
  }

  private func isAveragesOnly(_ name: String, _ checkpoint: ModelCheckpoint) -> Bool {
    checkpoint[ComponentName(rawValue: name)] == nil
      && checkpoint[ComponentName(rawValue: name + "_ema")] != nil
  }

  func execute(
    _ conversion: Conversion, _ title: String
  ) throws -> (outcome: Conversion.Outcome, seconds: Double) {
    let start = Console.seconds()
    let bar = ProgressBar(title, isQuiet: json)
    defer { bar.finish() }
    let outcome = try conversion.execute { progress in
      let rate = Double(progress.bytesDone) / max(bar.elapsed, 1e-3)
      let left = Double(progress.bytesTotal - progress.bytesDone) / max(rate, 1)
      bar.update(
        Double(progress.bytesDone) / Double(max(1, progress.bytesTotal)),
        "\(Format.bytes(progress.bytesDone)) of \(Format.bytes(progress.bytesTotal)), "
          + "\(Format.bytes(Int(rate)))/s, \(Format.seconds(left)) left")
    }
    return (outcome, Console.seconds() - start)
  }

  func printPlan(_ conversion: Conversion) {
    let lines = conversion.lines(Format.bytes)
    Console.print(lines.map(Console.sanitized).joined(separator: "\n"))
  }

  func object(
    _ conversion: Conversion, _ outcome: Conversion.Outcome? = nil, seconds: Double? = nil,
    status: String? = nil
  ) -> JSONObject {
    var object = conversion.json.object ?? JSONObject()
    object["status"] = status.map { .string($0) }
    object["warnings"] = .array(
      (conversion.source.warnings + conversion.warnings).map { .string($0) })
    if let outcome {
      object["saturated"] = .array(
        outcome.saturated.map { ["name": .string($0.tensor), "values": .integer($0.count)] })
    }
    object["seconds"] = seconds.map { .number($0) }
    return object
  }

  func report(
    _ conversion: Conversion, _ outcome: Conversion.Outcome, seconds: Double
  ) {
    Console.print(summary(conversion, outcome, seconds: seconds))
    for line in conversion.leftOutLines { Console.print(Console.sanitized(line)) }
    for note in conversion.notes { Console.note("note: " + Console.sanitized(note)) }
    for (tensor, count, dtype) in outcome.saturated {
      let largest = Cast.largest(of: dtype)
      Console.note(
        "note: \(Console.sanitized(tensor)): \(count.of("value")) became \(largest)")
    }
  }

  private func summary(
    _ conversion: Conversion, _ outcome: Conversion.Outcome, seconds: Double
  ) -> String {
    let tensors = conversion.parts.reduce(0) { $0 + $1.tensors.count }
    let count = conversion.drops.count { !$0.isValue }
    let dropped = count == 0 ? "" : ", \(count.of("tensor")) left out"
    let bytes = conversion.storedByteCount
    return "wrote \(Console.sanitized(conversion.path)): \(tensors.of("tensor"))"
      + "\(conversion.otherFiles), \(Format.bytes(bytes)) in \(Format.seconds(seconds)) ("
      + "\(Format.bytes(Int(Double(bytes) / max(seconds, 1e-3))))/s)\(dropped)"
  }
}
