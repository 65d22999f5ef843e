import ModelFormats
import ModelGraph

extension Component {
  /// The UNet's graph with inputs for ControlNet residuals.
  ///
  /// - Throws: ``FormatError`` `unsupported` if this is not a known UNet.
  public func graphWithResidualInputs() throws(FormatError) -> Graph {
    guard network == .unet, let configuration else {
      throw FormatError(
        .unsupported, "only a UNet takes the residuals of a ControlNet", file: path,
        context: name.rawValue)
    }
    do throws(GraphError) {
      return try UNet.graph(UNetConfiguration(configuration.object), residualInputs: true)
    } catch {
      throw FormatError(
        .unsupported, error.message, file: configuration.path, context: error.field)
    }
  }
}

extension ModelCheckpoint {
  package static let controlNetDifference =
    "the ControlNet is stored as its difference from the UNet of the model it was made for"

  /// Throws if its ControlNet is stored as differences from a UNet.
  ///
  /// - Throws: ``FormatError`` `unsupported`.
  package func refuseControlNetDifference() throws(FormatError) {
    guard isControlNetDifference else { return }
    throw FormatError(
      .unsupported, ModelCheckpoint.controlNetDifference + ", which is not supported", file: path,
      context: "difference", hint: "use a file with the complete network")
  }

  /// Whether it is a ControlNet stored as differences, marked by the tensor `difference`.
  ///
  /// Source: the files that sd-webui-controlnet's scripts extract.
  package var isControlNetDifference: Bool {
    self[.controlNet] != nil
      && components.contains { $0.name == .other && $0["difference"] != nil }
  }
}
