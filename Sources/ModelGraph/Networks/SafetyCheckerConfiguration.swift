import OrderedJSON

/// The shape of Stable Diffusion's safety checker, from `safety_checker/config.json`.
public struct SafetyCheckerConfiguration: Sendable, Hashable {
  /// Channels between layers.
  public let hiddenSize: Int
  /// Channels inside the MLP.
  public let intermediateSize: Int
  /// Transformer layers.
  public let layers: Int
  /// Attention heads of a layer.
  public let heads: Int
  /// The side of the square input image in pixels: 224.
  public let pictureSize: Int
  /// Rows and columns of a patch, in pixels.
  public let patchSize: Int
  /// Between the two layers of the MLP.
  public let activation: Activation
  /// Added to variances in normalizations.
  public let layerNormEpsilon: Double
  /// The width of the space in which images and concepts are compared: 768.
  public let projectionWidth: Int

  /// The numbers of concepts and of special-care concepts; the class has no field for them.
  public static let conceptCount = 17
  /// Rows of special-care concepts.
  public static let specialCareCount = 3

  /// Reads the vision model's fields; the text model in the file is not part of the network.
  ///
  /// - Throws: ``GraphError`` naming a field that is missing, out of range or not supported.
  package init(_ object: JSONObject) throws(GraphError) {
    let whole = ConfigurationReader(component: GraphName.safetyChecker.rawValue, object)
    guard let vision = object["vision_config"]?.object ?? object["vision_config_dict"]?.object
    else {
      throw whole.failure("vision_config", "is missing")
    }
    try self.init(
      vision: vision, projection: object, component: GraphName.safetyChecker.rawValue)
  }

  /// Reads a vision model's fields, and `projection_dim` of `projection`.
  ///
  /// - Throws: ``GraphError`` naming a field that is out of range or not supported.
  init(
    vision: JSONObject, projection: JSONObject, component: String
  ) throws(GraphError) {
    var root = ConfigurationReader(component: component, projection)
    projectionWidth = try root.integer("projection_dim", default: 512)
    // The published file states every field of transformers' classes, most of them of generation;
    // those that shape the network are read.
    var reader = ConfigurationReader(component: component, vision)
    hiddenSize = try reader.integer("hidden_size", default: 768)
    intermediateSize = try reader.integer("intermediate_size", in: 1...262_144, default: 3_072)
    layers = try reader.integer("num_hidden_layers", in: 1...128, default: 12)
    heads = try reader.integer("num_attention_heads", in: 1...1_024, default: 12)
    pictureSize = try reader.integer("image_size", in: 1...4_096, default: 224)
    patchSize = try reader.integer("patch_size", in: 1...256, default: 32)
    layerNormEpsilon = try reader.number("layer_norm_eps", default: 1e-5)
    try reader.require("num_channels", 3)
    switch try reader.choice("hidden_act", of: ["quick_gelu", "gelu"], default: "quick_gelu") {
    case "gelu": activation = .gelu
    default: activation = .quickGELU
    }
    guard hiddenSize % heads == 0 else {
      throw reader.failure(
        "num_attention_heads", "is \(heads), which does not divide the hidden size \(hiddenSize)")
    }
    guard patchSize > 2, patchSize <= pictureSize else {
      throw reader.failure("patch_size", "is \(patchSize); it goes from 3 to the picture's size")
    }
  }
}
