import ModelFormats
import ModelGraph

extension ONNXExporter {
  /// Writes one graph as `directory/model.onnx` with all its weights in `directory/model.onnx_data`,
  /// for an engine that runs it in place of the graph; a failure leaves no new files.
  ///
  /// Inputs and outputs have the graph's names, order and shapes: the timestep is `[1]`, and each
  /// output of the graph is one of the model. Sizes that are known at run time are named `batch`,
  /// `height`, `width` and `sequence`, and sizes that depend on them are expressions of these
  /// (`height * 8`). Token ids are I64, the timestep is F32, other values have the precision of
  /// `options`. Initializers have the names of the parameters.
  ///
  /// - Parameters:
  ///   - graph: any graph of a network, also with residual inputs or outputs of earlier layers;
  ///     merged tokens are not supported.
  ///   - parameters: returns the tensor of a parameter by `Parameter.name`, in its shape and of a
  ///     floating-point type, mapped or in memory. It is called once for each name, in execution
  ///     order, and its tensor is written before the next call.
  ///   - directory: created if it is missing; nothing else is written to it.
  ///   - options: `weights`, `names` and `timestep` have no effect.
  ///   - progress: called after each tensor that was written.
  /// - Throws: ``FormatError``: `cannotCreate` if an output exists or cannot be created, `mismatch`
  ///   if a tensor does not fit its parameter or F16, `unsupported`, `inputOutput`, or what
  ///   `parameters` throws.
  public static func export(
    _ graph: Graph, parameters: (String) throws(FormatError) -> Tensor, to directory: String,
    options: ExportOptions = ExportOptions(), progress: (ExportProgress) -> Void = { _ in }
  ) throws(FormatError) -> ExportReport {
    let precision = options.precision(of: graph)
    let placement = try WeightPlacement.copying(
      graph.parameters, names: graph.parameters.map(\.name), as: precision.dtype, to: directory)
    let model = try model(
      of: graph, weights: placement.initializers, pooling: nil,
      interface: Interface(exactly: graph), options: options)
    let output = OutputFiles(overwrite: options.overwrite)
    try output.makeDirectory(directory)
    try FileWriter.checkSpace(for: placement.copySize, beside: "\(directory)/")
    let weights = try output.file(placement.weightPaths[0])
    try output.file(placement.modelPath).write(model.serialized())
    let saturated = try placement.copy(
      to: weights, saturating: options.saturate,
      tensor: { parameter throws(FormatError) in
        try checked(parameters(parameter.name), for: parameter)
      },
      progress: { done in
        progress(
          ExportProgress(network: graph.name, bytesDone: done, bytesTotal: placement.copySize))
      })
    let paths = try output.commit()
    return ExportReport(
      networks: [
        ExportReport.Network(
          model, of: graph, precision, placement, saturated: saturated, scriptPath: nil)
      ], paths: paths)
  }
}
