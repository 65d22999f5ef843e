import ModelFormats
import OrderedJSON

/// The adapter's configuration, for layers without an alpha.
struct AdapterSettings {
  private var objects: [(prefix: String, object: JSONObject)] = []
  private let path: String

  /// diffusers writes the configuration to the file's metadata, as `unet.lora_alpha` and so on;
  /// PEFT writes `adapter_config.json` next to the file.
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

  /// `alpha / rank`, or `alpha / sqrt(rank)` if configured; 1 if there is no alpha.
  ///
  /// - Parameters:
  ///   - layer: its name in the file.
  ///   - rank: the rank of the layer's tensors; nil if unknown.
  /// - Throws: ``FormatError`` `unsupported` if a layer pattern is not a plain name.
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

  /// Whether the factors of a layer apply to its inputs, as in PEFT's (IA)^3; nil if not specified.
  func isFeedForward(_ layer: String) -> Bool? {
    for (prefix, object) in objects {
      guard let modules = object[prefix + "feedforward_modules"]?.array else { continue }
      return modules.contains { $0.string.map(layer.hasSuffix) ?? false }
    }
    return nil
  }

  /// The value of the first pattern that equals the layer's name or its last components.
  ///
  /// PEFT treats patterns as regular expressions; patterns with anything but dots and an anchor are
  /// rejected.
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
