import ModelFormats
import ModelGraph

extension Component {
  /// The UNet's graph with the inputs that a ControlNet feeds.
  ///
  /// - Throws: ``FormatError`` `unsupported` where this is no UNet that is known.
  public func graphWithResidualInputs() throws(FormatError) -> Graph {
    guard architecture.flatMap(Architecture.init(rawValue:)) == .unet, let configuration else {
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
