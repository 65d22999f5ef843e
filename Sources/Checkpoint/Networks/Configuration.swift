import ModelFormats
import OrderedJSON

/// A component's `config.json`: the kind and size of its network.
public struct Configuration: Sendable {
  /// The maximum size of a configuration.
  package static let sizeLimit = 16 << 20

  /// The origin of the configuration.
  public enum Origin: String, Sendable, Hashable {
    /// Read from a `config.json`.
    case file
    /// Inferred from tensor shapes, because there was no `config.json`.
    case inferred
  }

  package let object: JSONObject
  /// Its path, for errors.
  public let path: String

  /// Where it comes from.
  public let origin: Origin

  package init(object: JSONObject, path: String, origin: Origin = .file) {
    self.object = object
    self.path = path
    self.origin = origin
  }

  /// Parses a configuration.
  ///
  /// - Throws: ``FormatError`` `malformed` with file and byte if it is not a JSON object.
  package init(_ file: AuxiliaryFile) throws(FormatError) {
    object = try file.jsonObject()
    path = file.location
    origin = .file
  }

  /// The network's class in diffusers or transformers, such as `UNet2DConditionModel`.
  ///
  /// transformers has it in `architectures`, or only the configuration family in `model_type` if a
  /// configuration was saved without its network.
  public var architecture: String? {
    if let name = object["_class_name"]?.string ?? object["architectures"]?.array?.first?.string {
      return name
    }
    return object["model_type"]?.string == "clip_text_model"
      ? NetworkDescriptor.textEncoder.className : nil
  }

  /// Whether transformers wrote it; diffusers names the class in `_class_name`.
  var isTransformers: Bool { object["_class_name"] == nil }
}
