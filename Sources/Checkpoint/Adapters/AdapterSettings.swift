import ModelFormats
import OrderedJSON

/// What an adapter's own configuration says where its layers have no alpha.
struct AdapterSettings {
  private var objects: [(prefix: String, object: JSONObject)] = []
  private let path: String

  /// diffusers writes the configuration into the file's metadata, `unet.lora_alpha` and so on; PEFT
  /// puts `adapter_config.json` beside the file.
  init(_ file: TensorFile) {
    path = file.path
    let metadata = file.metadata.first { $0.key == "lora_adapter_metadata" }
    if let metadata, let object = try? JSON(parsing: metadata.value).object {
      for component in [ComponentName.unet, .textEncoder] {
        objects.append(("\(component.rawValue).", object))
      }
      return
    }
    let name = path.split(separator: "/").last ?? ""
    guard name.hasPrefix("adapter_model.") else { return }
    let folder = String(path.dropLast(name.count))
    if let mapped = try? MappedFile(path: folder + "adapter_config.json"), mapped.count < 1 << 20 {
      let bytes = mapped.withBytes(in: 0..<mapped.count) { [UInt8]($0) }
      if let object = (try? JSON(parsing: bytes.span.bytes))?.object {
        objects.append(("", object))
      }
    }
  }

  /// `alpha / rank`, or over the rank's root where the adapter says so; 1 where it says nothing.
  ///
  /// - Parameters:
  ///   - layer: as the file calls it.
  ///   - rank: by the layer's tensors; nil where they do not tell.
  /// - Throws: ``FormatError`` `unsupported` where a pattern of layers is not a plain name.
  func ratio(
    of layer: String, in component: ComponentName, rank: Int?
  ) throws(FormatError) -> Double {
    for (prefix, object) in objects where prefix.isEmpty || prefix == "\(component.rawValue)." {
      let alpha =
        try match("alpha_pattern", prefix, object, layer)
        ?? object[prefix + "lora_alpha"]?.double ?? object[prefix + "alpha"]?.double
      guard let alpha else { continue }
      let said = try match("rank_pattern", prefix, object, layer) ?? object[prefix + "r"]?.double
      guard let rank = rank.map(Double.init) ?? said, rank > 0 else { continue }
      let isStabilized = object[prefix + "use_rslora"]?.bool ?? false
      return alpha / (isStabilized ? rank.squareRoot() : rank)
    }
    return 1
  }

  /// Whether the factors of a layer are of its inputs, as PEFT's (IA)^3 has it; nil where that is not
  /// said.
  func isFeedForward(_ layer: String) -> Bool? {
    for (prefix, object) in objects {
      guard let modules = object[prefix + "feedforward_modules"]?.array else { continue }
      return modules.contains { $0.string.map(layer.hasSuffix) ?? false }
    }
    return nil
  }

  /// The value of the first name of a pattern that is the layer's, or its end behind a full stop.
  ///
  /// PEFT reads the names as regular expressions; those with more in them than full stops and an
  /// anchor are refused.
  private func match(
    _ field: String, _ prefix: String, _ object: JSONObject, _ layer: String
  ) throws(FormatError) -> Double? {
    guard let pattern = object[prefix + field]?.object else { return nil }
    var name = layer
    for wrapper in ["base_model.model.", prefix] where name.hasPrefix(wrapper) {
      name = String(name.dropFirst(wrapper.count))
    }
    for member in pattern.members {
      var key = member.key.replacing("\\.", with: ".")
      let isWhole = key.hasPrefix("^")
      if isWhole { key.removeFirst() }
      if key.hasSuffix("$") { key.removeLast() }
      guard !key.contains(where: { "*+?[](){}|\\^$".contains($0) }) else {
        throw FormatError(
          .unsupported, "unsupported pattern of layers \"\(member.key)\"", file: path,
          context: prefix + field, hint: "save the adapter with an alpha for each layer")
      }
      if name == key || (!isWhole && name.hasSuffix(".\(key)")) { return member.value.double }
    }
    return nil
  }
}
