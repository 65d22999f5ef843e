import OrderedJSON

/// The shape of CLIP's image encoder, from the `config.json` of transformers'
/// `CLIPVisionModelWithProjection`.
public struct ImageEncoderConfiguration: Sendable, Hashable {
  let vision: SafetyCheckerConfiguration

  /// The side of the square input image in pixels: 224.
  public var pictureSize: Int { vision.pictureSize }
  /// The width of the space that images share with texts: 512, 768 or 1024.
  public var projectionWidth: Int { vision.projectionWidth }

  /// - Throws: ``GraphError`` naming a field that is out of range or not supported.
  package init(_ object: JSONObject) throws(GraphError) {
    vision = try SafetyCheckerConfiguration(
      vision: object, projection: object, component: GraphName.imageEncoder.rawValue)
  }
}
