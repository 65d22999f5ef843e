import Checkpoint
import Glibc
import ModelFormats
import ModelGraph

/// Writes networks as ONNX models, in the directory layout of optimum's pipelines.
///
/// ```
/// OUTDIR/model_index.json, tokenizer/, scheduler/   companion files
/// OUTDIR/unet/model.onnx                            the graph
/// OUTDIR/unet/model.onnx_data                       its weights, where they are copied
/// OUTDIR/unet/config.json
/// OUTDIR/unet/build-engine.sh, README-tensorrt.md   how it becomes a TensorRT engine
/// OUTDIR/text_encoder/, vae_decoder/, vae_encoder/  likewise, and every other network
/// ```
///
/// If linked weights are below OUTDIR but outside the network's directory (a VAE's, a .sdflat
/// file's), the model is `OUTDIR/vae_decoder.onnx`, because ONNX data must be next to or below it.
public enum ONNXExporter {
  /// Exports `networks`; a failure leaves no new files.
  ///
  /// - Parameters:
  ///   - companions: files to write next to the models; existing files with the same contents are
  ///     not touched.
  ///   - progress: called after each tensor that was copied.
  /// - Throws: ``FormatError``: `cannotCreate` if an output exists or weights cannot be linked (see
  ///   the hint), `mismatch` if a tensor does not fit its parameter, `unsupported`, `inputOutput`.
  public static func export(
    _ networks: [NetworkSource], companions: [CompanionFile] = [], to directory: String,
    options: ExportOptions = ExportOptions(), progress: (ExportProgress) -> Void = { _ in }
  ) throws(FormatError) -> ExportReport {
    let output = OutputFiles(overwrite: options.overwrite)
    // Check every network before copying values.
    let placements = try networks.map { network throws(FormatError) in
      try placement(of: network, to: directory, options: options)
    }
    let (byteCount, isTooLarge) = placements.reduce((0, false)) { sum, placement in
      let (size, overflow) = sum.0.addingReportingOverflow(placement.copySize)
      return (size, sum.1 || overflow)
    }
    try output.makeDirectory(directory)
    try FileWriter.checkSpace(for: isTooLarge ? .max : byteCount, beside: "\(directory)/")
    var reports: [ExportReport.Network] = []
    // The UNet's word counts, since VAEs are trained on other sizes too.
    let known = [false, true].flatMap { inPixels in
      networks.filter { $0.graph.traits.contains(.isSizedInPixels) == inPixels }
    }
    let nativeSize = known.lazy.compactMap(\.nativeSize).first ?? 64
    for (network, placement) in zip(networks, placements) {
      reports.append(
        try export(
          network, placement, in: directory, into: output, options: options, nativeSize: nativeSize,
          progress: progress))
    }
    for companion in companions {
      let path = "\(directory)/\(companion.path)"
      try makeDirectories(for: path, in: directory, output)
      try output.file(path, companion.contents)
    }
    let paths = try output.commit()
    for report in reports { report.scriptPath.map(makeExecutable) }
    return ExportReport(networks: reports, paths: paths)
  }

  /// The model of a network with `weights`, one per parameter in order.
  package static func model(
    of graph: Graph, weights: [ONNXModel.Initializer], endOfText: Int? = nil,
    options: ExportOptions = ExportOptions()
  ) throws(FormatError) -> ONNXModel {
    try model(
      of: graph, weights: weights, pooling: endOfText.map { .id($0) },
      interface: try options.interface(of: graph), options: options)
  }

  static func model(
    of graph: Graph, weights: [ONNXModel.Initializer], pooling: EndOfText?, interface: Interface,
    options: ExportOptions
  ) throws(FormatError) -> ONNXModel {
    var lowering = try Lowering(graph, weights: weights, interface: interface, options: options)
    var model = try lowering.run(pooling: pooling)
    model.producerName = "sdloom"
    model.producerVersion = options.producerVersion
    return model
  }

  private static func placement(
    of network: NetworkSource, to directory: String, options: ExportOptions
  ) throws(FormatError) -> WeightPlacement {
    let parameters = network.graph.parameters
    let name = network.graph.name
    let interface = try options.interface(of: network.graph)
    switch options.weights {
    case .copy:
      // Tensors may be in memory: only one at a time is held.
      let names = try parameters.map { parameter throws(FormatError) in
        try checked(network.tensor(parameter), for: parameter).name
      }
      return try WeightPlacement.copying(
        parameters, names: WeightPlacement.distinct(names, of: parameters),
        as: options.precision(of: network.graph).dtype,
        to: "\(directory)/\(interface.directory)")
    case .link:
      guard !options.saturate else {
        throw FormatError(
          .unsupported, "linked weights are not read, so they cannot be saturated",
          context: name.rawValue, hint: "copy the weights: \(set: .placement, "copy")")
      }
      guard parameters.allSatisfy({ network.updates($0).isEmpty }) else {
        throw FormatError(
          .unsupported, "a LoRA cannot be added to weights that are linked", context: name.rawValue,
          hint: "copy the weights: \(set: .placement, "copy")")
      }
      let tensors = try parameters.map { parameter throws(FormatError) in
        try checked(network.tensor(parameter), for: parameter)
      }
      return try WeightPlacement.linking(
        tensors, names: WeightPlacement.distinct(tensors.map(\.name), of: parameters), of: name,
        to: directory)
    }
  }

  private static func export(
    _ network: NetworkSource, _ placement: WeightPlacement, in directory: String,
    into output: OutputFiles, options: ExportOptions, nativeSize: Int,
    progress: (ExportProgress) -> Void
  ) throws(FormatError) -> ExportReport.Network {
    let graph = network.graph
    let interface = try options.interface(of: graph)
    let model = try model(
      of: graph, weights: placement.initializers, pooling: network.endOfText,
      interface: interface, options: options)

    let folder = parent(of: placement.modelPath)
    try makeDirectories(for: placement.modelPath, in: directory, output)
    // Create both files before the long copy starts.
    let dataWriter = options.weights == .copy ? try output.file(placement.weightPaths[0]) : nil
    try output.file(placement.modelPath).write(model.serialized())
    if let configuration = network.configuration, placement.modelPath.hasSuffix("/model.onnx") {
      try output.file("\(folder)/config.json", configuration)
    }
    let tensorRTFiles = try TensorRTFiles(
      model, of: graph, at: placement.modelPath, options: options,
      interface: interface, nativeSize: nativeSize)
    let scriptPath = "\(folder)/\(tensorRTFiles.scriptFile)"
    try output.file(scriptPath, Array(tensorRTFiles.script.utf8))
    try output.file("\(folder)/\(tensorRTFiles.textFile)", Array(tensorRTFiles.text.utf8))
    var saturated: [ExportReport.Saturation] = []
    if let dataWriter {
      saturated = try placement.copy(
        to: dataWriter, saturating: options.saturate, updates: network.updates,
        tensor: { parameter throws(FormatError) in
          try checked(network.tensor(parameter), for: parameter)
        },
        progress: { done in
          progress(
            ExportProgress(network: graph.name, bytesDone: done, bytesTotal: placement.copySize))
        })
    }
    return ExportReport.Network(
      model, of: graph, options.precision(of: graph), placement, saturated: saturated,
      scriptPath: scriptPath)
  }

  /// The tensor, if its shape and type are those that the parameter needs.
  ///
  /// - Throws: ``FormatError`` `mismatch`.
  static func checked(
    _ tensor: Tensor, for parameter: Parameter
  ) throws(FormatError) -> Tensor {
    guard tensor.shape == Shape(parameter.shape) else {
      throw FormatError(
        .mismatch, "the shape is \(tensor.shape), not \(Shape(parameter.shape))",
        file: tensor.file?.path, context: tensor.name,
        hint: "check that the weights and config.json are of the same model")
    }
    guard tensor.dtype.isFloatingPoint else {
      throw FormatError(
        .mismatch, "the type is \(tensor.dtype.rawValue), not a floating-point type",
        file: tensor.file?.path, context: tensor.name,
        hint: "check that the weights and config.json are of the same model")
    }
    return tensor
  }

  /// Makes it executable for everyone who can read it. On failure, `bash FILE` still works.
  private static func makeExecutable(_ path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return }
    chmod(path, status.st_mode & 0o777 | (status.st_mode & 0o444) >> 2)
  }

  /// Creates the directories between the output directory and a file in it.
  private static func makeDirectories(
    for path: String, in directory: String, _ output: OutputFiles
  ) throws(FormatError) {
    var folder = directory
    let inside = parent(of: path).utf8.dropFirst(directory.utf8.count)
    for part in inside.split(separator: UInt8(ascii: "/")) {
      folder += "/" + String(Substring(part))
      try output.makeDirectory(folder, isOurs: true)
    }
  }

  private static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
