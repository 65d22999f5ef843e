import ArgumentParser
import Checkpoint
import ModelFormats
import ModelGraph
import ONNXExport
import OrderedJSON
import Terminal

/// Exports networks as ONNX.
struct ONNXCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "onnx",
    abstract: "Export networks as ONNX models.",
    discussion: """
      Writes each network to its own directory in OUTDIR, with model.onnx and config.json, next \
      to the tokenizer and the scheduler, as optimum's pipelines expect. A ControlNet, a tiny \
      autoencoder or an image encoder may also be exported alone. With --weights copy, \
      the values are cast to --dtype and written to model.onnx_data. With --weights link, \
      nothing is copied: the model refers to the checkpoint, which must be in OUTDIR or below. \
      build-engine.sh next to a model turns it into a TensorRT engine.

      EXAMPLES
        sdinspect onnx stable-diffusion-v1-5 onnx
        sdinspect onnx sd15 onnx16 --dtype f16 --lora style.safetensors:0.8
        sdinspect onnx sd15 sd15 --component unet --weights link
        sdinspect onnx control_v11p_sd15_canny.pth onnx
      """)

  /// The graphs that can be exported, those that a picture needs first.
  private static let networks = NetworkDescriptor.allGraphNames

  /// The components that have several graphs: "vae, tiny_vae".
  private static let halved = NetworkDescriptor.all.filter { $0.graphNames.count > 1 }
    .map(\.component.rawValue).joined(separator: ", ")

  @OptionGroup var input: InputOptions

  @Argument(help: "The directory to write to.", completion: .directory)
  var output: String

  @Option(
    name: .customLong("component"),
    help: ArgumentHelp(
      "Only these networks: \(Self.networks.map(\.rawValue).joined(separator: ", ")) "
        + "(\(Self.halved): both halves).",
      valueName: "names"))
  var component: String?

  @Option(help: "The opset: 17, 21 or 23.")
  var opset = 21

  @Option(
    help: ArgumentHelp(
      "Naming and layout: optimum, nvidia (TensorRT demo/Diffusion) or comfy (UNet only).",
      valueName: "tool"))
  var names = NameConvention.optimum

  @Option(
    help: ArgumentHelp(
      "Shape of the timestep: scalar, vector (one element) or batch (default: depends on --names).",
      valueName: "shape"))
  var timestep: ExportOptions.TimestepShape?

  @Option(
    name: .customLong("static"),
    help: ArgumentHelp(
      """
      Fixed image size, multiples of 8 from 8 to 8192 pixels, and batch size, 1 to 1024, as in \
      512x768:2 (default: any).
      """,
      valueName: "WxH:batch"), transform: StaticSize.parse)
  var staticSize: StaticSize?

  @Option(
    help: ArgumentHelp("Type of the computation: f32 or f16.", valueName: "type"))
  var dtype = ExportOptions.Precision.f32

  @Flag(name: .customLong("vae-f32"), help: "With --dtype f16, keep the VAE in F32.")
  var vaeInSinglePrecision = false

  @Flag(help: "With --dtype f16, clamp weights that are too large to 65504 instead of stopping.")
  var saturate = false

  @Option(
    help: ArgumentHelp(
      "Apply an adapter (LoRA, LoHa, LoKr, DoRA, …) to the weights, multiplied by a scale; can be"
        + " repeated.",
      valueName: "FILE[:scale]"))
  var lora: [ScaledFile] = []

  @Flag(
    name: .customLong("controlnet-inputs"),
    help: "Add UNet inputs for the residuals of a ControlNet.")
  var controlNetInputs = false

  @Option(help: ArgumentHelp("Storage of the weights: link or copy.", valueName: "how"))
  var weights = ExportOptions.Weights.copy

  @Flag(help: "Replace existing files.")
  var force = false

  func validate() throws {
    _ = try component.map(ComponentOption.list)
    for file in lora { try file.check("--lora") }
    guard !output.isEmpty else {
      throw ValidationError("OUTDIR is empty; it must be a directory")
    }
  }

  func run() throws {
    let checkpoint = try input.open()
    var options = ExportOptions()
    guard let opset = Opset(rawValue: opset) else {
      let known = Opset.allCases.map { String($0.rawValue) }.joined(separator: ", ")
      throw Failure.usage("opset \(opset) is not supported", hint: "use one of \(known)")
    }
    options.opset = opset
    options.weights = weights
    options.precision = dtype
    options.vaeInSinglePrecision = vaeInSinglePrecision
    options.saturate = saturate
    options.names = names
    options.timestep = timestep
    options.sizes = staticSize.map { size in
      Sizes(
        batch: size.batch, height: size.picture.height / 8, width: size.picture.width / 8,
        sequence: checkpoint[.textEncoder]?.graphs.first?.tokenPlaces ?? 77)
    }
    options.overwrite = force
    options.producerVersion = toolVersion
    var notes: [String] = []
    let names = try selection(checkpoint, &notes)
    let adapters = try adapters(for: names, checkpoint)
    let files = checkpoint.pipelineFiles(tokenizer: embeddedFiles())
    let sources = try names.map { try source($0, checkpoint, files.files, adapters) }
    if weights == .copy { try checkpoint.requireUndamaged() }
    let start = Console.seconds()
    let bar = ProgressBar("exporting", isQuiet: input.json)
    defer { bar.finish() }
    let report = try ONNXExporter.export(
      sources, companions: companions(files.files), to: output, options: options
    ) { progress in
      bar.update(
        Double(progress.bytesDone) / Double(max(1, progress.bytesTotal)),
        "\(progress.network): \(Format.bytes(progress.bytesDone)) of "
          + Format.bytes(progress.bytesTotal))
    }
    bar.finish()
    printReport(
      report, adapters, dropped: checkpoint.tensors(outside: names, isChoice: component != nil),
      notes: files.notes + notes, warnings: checkpoint.warnings, seconds: Console.seconds() - start)
  }

  /// The networks to export: those asked for, else all that the checkpoint has and --names covers.
  ///
  /// - Parameter notes: receives what a pipeline of the networks still lacks.
  private func selection(
    _ checkpoint: ModelCheckpoint, _ notes: inout [String]
  ) throws -> [GraphName] {
    let chosen = try component.map { try asked($0, checkpoint) } ?? present(checkpoint, &notes)
    if chosen.contains(.unet), chosen.contains(.controlNet), !controlNetInputs {
      notes.append(
        "unet: has no inputs for the residuals of the ControlNet; --controlnet-inputs adds them")
    }
    return chosen
  }

  /// The networks that the checkpoint has.
  private func present(
    _ checkpoint: ModelCheckpoint, _ notes: inout [String]
  ) throws -> [GraphName] {
    try requireKnown(checkpoint)
    let parts = checkpoint.components.filter { $0.name.averaged == nil }
    let present = Set(parts.flatMap(\.graphs).map(\.name))
    let known = ONNXCommand.networks.filter(present.contains)
    guard let first = known.first else {
      throw checkpoint.components.compactMap(\.graphFailure).first
        ?? FormatError(.unsupported, "no known network", file: checkpoint.path)
    }
    for part in parts where NetworkDescriptor(component: part.name) != nil {
      guard let problem = part.graphProblem else { continue }
      notes.append("\(part.name): not exported: \(problem)")
    }
    let networks = known.filter(names.covers)
    // If the convention names none of them, the error for one says what it names.
    return networks.isEmpty ? [first] : networks
  }

  /// The networks with these names, separated by commas.
  private func asked(_ list: String, _ checkpoint: ModelCheckpoint) throws -> [GraphName] {
    let asked = try ComponentOption.list(list).flatMap { name in
      let component = ComponentName(rawValue: name)
      if component.averaged == nil, let graphs = checkpoint[component]?.graphs, !graphs.isEmpty {
        return graphs.map(\.name)
      }
      if let network = NetworkDescriptor(component: component) { return network.graphNames }
      let graph = GraphName(rawValue: name)
      guard ONNXCommand.networks.contains(graph) else {
        throw Failure.usage(
          "there is no network \(name)",
          hint: "choose from " + ONNXCommand.networks.map(\.rawValue).joined(separator: ", "))
      }
      return [graph]
    }
    // Each once, even if repeated.
    return ONNXCommand.networks.filter(asked.contains)
  }

  /// Rejects a checkpoint with a network that cannot be exported: a model without its UNet must not
  /// look complete.
  private func requireKnown(_ checkpoint: ModelCheckpoint) throws {
    let parts = checkpoint.components.filter { ComponentName.required.contains($0.name) }
    guard let failed = parts.first(where: { $0.graphFailure != nil }),
      var error = failed.graphFailure
    else { return }
    let others = parts.filter { $0.graphFailure == nil }.map(\.name.rawValue)
    if !others.isEmpty {
      error.hint =
        (error.hint.map { $0 + "; " } ?? "")
        + "\(set: .components, others.joined(separator: ",")) exports the others"
    }
    throw error
  }

  /// The LoRAs, read for the exported networks.
  private func adapters(
    for networks: [GraphName], _ checkpoint: ModelCheckpoint
  ) throws -> [LoRA] {
    let components = checkpoint.components.filter {
      networks.contains(GraphName(rawValue: $0.name.rawValue))
    }
    return try lora.map { try LoRA.open($0.path, scale: $0.scale, for: components) }
  }

  private func source(
    _ name: GraphName, _ checkpoint: ModelCheckpoint, _ files: [AuxiliaryFile], _ adapters: [LoRA]
  ) throws -> NetworkSource {
    let component = try checkpoint.component(with: name)
    let updates = adapters.compactMap { $0.updates[component.name] }
    return NetworkSource(
      graph: name == .unet && controlNetInputs
        ? try component.graphWithResidualInputs() : try component.graph(name),
      configuration: files.first { $0.path == "\(component.name)/config.json" }?.bytes,
      updates: { parameter in updates.compactMap { $0[parameter.name] } },
      tensor: { parameter throws(FormatError) in try component.tensor(for: parameter) })
  }

  /// CLIP's tokenizer, for files with only weights.
  private func embeddedFiles() -> [AuxiliaryFile] {
    guard let path = try? EmbeddedModel.path() else { return [] }
    return (try? ModelCheckpoint.open(path).files) ?? []
  }

  /// The files that a pipeline needs besides its networks.
  private func companions(_ files: [AuxiliaryFile]) -> [CompanionFile] {
    files.filter { file in
      file.path == "model_index.json" || file.path.hasPrefix("tokenizer/")
        || file.path.hasPrefix("scheduler/") || file.path.hasPrefix("feature_extractor/")
    }
    .map { CompanionFile(path: $0.path, contents: $0.bytes) }
  }
}

extension ExportOptions.Weights: ExpressibleByArgument {}
extension ExportOptions.TimestepShape: ExpressibleByArgument {}
extension NameConvention: ExpressibleByArgument {}
extension ExportOptions.Precision: ExpressibleByArgument {}

/// The image size and batch size, such as `512x768:2`; batch size 1 by default.
struct StaticSize {
  let picture: PictureSize
  let batch: Int

  /// Reads the value of an option.
  ///
  /// - Throws: `ValidationError` with the invalid part and the allowed values.
  static func parse(_ argument: String) throws -> StaticSize {
    let parts = argument.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= 2 else {
      throw ValidationError("expected a size, a colon and a batch size, as in 512x768:2")
    }
    let picture = try PictureSize.parse(parts[0])
    guard let batch = parts.count == 2 ? Int(parts[1]) : 1, (1...1024).contains(batch) else {
      throw ValidationError("the batch size must be 1 to 1024, as in 512x768:2")
    }
    return StaticSize(picture: picture, batch: batch)
  }
}
