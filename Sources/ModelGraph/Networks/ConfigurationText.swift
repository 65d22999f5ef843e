import OrderedJSON

extension CLIPTextConfiguration {
  /// Reads the text of the `config.json` of a CLIP text encoder.
  ///
  /// - Throws: ``GraphError`` if it is not a JSON object, or naming the field that is missing, out of
  ///   range or not supported.
  public init(parsing text: String) throws(GraphError) {
    try self.init(GraphError.object(parsing: text, component: GraphName.textEncoder.rawValue))
  }
}

extension UNetConfiguration {
  /// Reads the text of the `config.json` of a UNet.
  ///
  /// - Throws: ``GraphError`` if it is not a JSON object, or naming the field that is missing, out of
  ///   range or not supported.
  public init(parsing text: String) throws(GraphError) {
    try self.init(GraphError.object(parsing: text, component: GraphName.unet.rawValue))
  }
}

extension VAEConfiguration {
  /// Reads the text of the `config.json` of an AutoencoderKL.
  ///
  /// - Throws: ``GraphError`` if it is not a JSON object, or naming the field that is missing, out of
  ///   range or not supported.
  public init(parsing text: String) throws(GraphError) {
    try self.init(GraphError.object(parsing: text, component: VAEConfiguration.component))
  }
}

extension ControlNetConfiguration {
  /// Reads the text of the `config.json` of a ControlNet.
  ///
  /// - Throws: ``GraphError`` if it is not a JSON object, or naming the field that is missing, out of
  ///   range or not supported.
  public init(parsing text: String) throws(GraphError) {
    try self.init(GraphError.object(parsing: text, component: GraphName.controlNet.rawValue))
  }
}

extension TinyAutoencoderConfiguration {
  /// Reads the text of the `config.json` of an AutoencoderTiny.
  ///
  /// - Throws: ``GraphError`` if it is not a JSON object, or naming the field that is missing, out of
  ///   range or not supported.
  public init(parsing text: String) throws(GraphError) {
    try self.init(GraphError.object(parsing: text, component: VAEConfiguration.component))
  }
}

extension SafetyCheckerConfiguration {
  /// Reads the text of the `config.json` of a safety checker.
  ///
  /// - Throws: ``GraphError`` if it is not a JSON object, or naming the field that is missing, out of
  ///   range or not supported.
  public init(parsing text: String) throws(GraphError) {
    try self.init(GraphError.object(parsing: text, component: GraphName.safetyChecker.rawValue))
  }
}

extension GraphError {
  /// The object that is a component's `config.json`.
  fileprivate static func object(
    parsing text: String, component: String
  ) throws(GraphError) -> JSONObject {
    let json: JSON
    do throws(JSONError) {
      json = try JSON(parsing: text)
    } catch {
      throw GraphError(
        component: component, field: nil,
        message: "not JSON: \(error.reason.rawValue) at byte \(error.offset)")
    }
    guard let object = json.object else {
      throw GraphError(component: component, field: nil, message: "not a JSON object")
    }
    return object
  }
}
