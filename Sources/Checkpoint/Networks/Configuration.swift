import ModelFormats
import OrderedJSON

/// A component's `config.json`: what network it is, and of which size.
public struct Configuration: Sendable {
  /// The largest configuration that is read.
  package static let sizeLimit = 16 << 20

  /// How it became known.
  public enum Origin: String, Sendable, Hashable {
    /// Read from a `config.json`.
    case file
    /// Read off the shapes of the tensors, for want of a `config.json`.
    case inferred
  }

  package let object: JSONObject
  /// Where it was read, for errors.
  public let path: String

  public let origin: Origin

  package init(object: JSONObject, path: String, origin: Origin = .file) {
    self.object = object
    self.path = path
    self.origin = origin
  }

  /// Parses a configuration.
  ///
  /// - Throws: ``FormatError`` `malformed` with the file and the byte where it is no JSON object.
  package init(_ file: AuxiliaryFile) throws(FormatError) {
    object = try file.jsonObject()
    path = file.location
    origin = .file
  }

  /// The class that the network has in diffusers or transformers, as in `UNet2DConditionModel`.
  ///
  /// transformers names it in `architectures`, or, where a configuration was saved without its
  /// network, only the family of configurations in `model_type`.
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
