import ModelFormats
import ModelGraph
import OrderedJSON

/// A low-rank adapter file (LoRA) and what it changes in the networks of a checkpoint.
public struct LoRA: Sendable {
  /// A tensor of the file that changes nothing.
  public struct Unused: Sendable, Hashable {
    public let name: String
    public let reason: String
  }

  public let path: String
  public let scale: Double
  /// By component and by the parameter's published name.
  public let updates: [ComponentName: [String: LowRankUpdate]]
  /// In file order.
  public let unused: [Unused]

  /// Reads the file's names and finds the layers that they mean.
  ///
  /// Known are the names of kohya's scripts (`lora_unet_…`, also with LDM's modules), of diffusers
  /// and PEFT (`unet.….lora_A.weight`), and of diffusers before PEFT (`….to_q_lora.down.weight`,
  /// `….lora_linear_layer.down.weight`). Each update is `scale * alpha / rank`; alpha is the layer's
  /// `.alpha`, else what diffusers' metadata or PEFT's `adapter_config.json` says, else the rank.
  ///
  /// - Parameter components: the networks that it may change.
  /// - Throws: ``FormatError`` as reading any file; `mismatch` where a layer's factors do not fit,
  ///   or none of the file's tensors changes anything.
  public static func open(
    _ path: String, scale: Double = 1, for components: [Component]
  ) throws(FormatError) -> LoRA {
    let file = try TensorFile.open(path)
    let layers = AdaptedLayers(components)
    let settings = try AdapterSettings(file)
    var groups: [String: Group] = [:]
    var order: [String] = []
    var unused: [String: String] = [:]
    var strange: [String] = []
    for tensor in file.tensors {
      guard let (module, part) = AdapterName.split(tensor.name) else {
        strange.append(tensor.name)
        unused[tensor.name] = "it is no factor of a LoRA"
        continue
      }
      if groups[module] == nil { order.append(module) }
      groups[module, default: Group()].tensors[part] = tensor
    }
    // Half of a method that is more than a LoRA would be worse than nothing.
    for name in strange {
      var module = Substring(name)
      while let end = module.lastIndex(of: ".") {
        module = module[..<end]
        groups[String(module)]?.isForeign = true
      }
    }
    var updates: [ComponentName: [String: LowRankUpdate]] = [:]
    for module in order {
      guard let group = groups[module] else { continue }
      let reason: String
      if group.isForeign {
        reason = "its layer has tensors of another method, such as DoRA"
      } else if let up = group.tensors[.up], let down = group.tensors[.down] {
        if let (component, parameter) = layers[module] {
          do throws(FormatError) {
            updates[component, default: [:]][parameter.name] = try LowRankUpdate(
              factor: group.factor(settings, component, scale), up: up, down: down,
              middle: group.tensors[.middle], shape: parameter.shape)
          } catch {
            throw error.inFile(path)
          }
          continue
        }
        reason = "no layer of \(layers.titles) has this name"
      } else {
        reason = "the other factor of its layer is missing"
      }
      for tensor in group.tensors.values { unused[tensor.name] = reason }
    }
    guard !updates.isEmpty else {
      throw FormatError(
        .mismatch, "none of its \(file.tensors.count) tensors changes \(layers.titles)", file: path,
        context: file.tensors.first?.name,
        hint: "give a LoRA for Stable Diffusion 1.x with kohya's or diffusers' names")
    }
    return LoRA(
      path: path, scale: scale, updates: updates,
      unused: file.tensors.compactMap { tensor in
        unused[tensor.name].map { Unused(name: tensor.name, reason: $0) }
      })
  }

  /// The tensors of one layer.
  private struct Group {
    var tensors: [AdapterName.Part: Tensor] = [:]
    var isForeign = false

    func factor(
      _ settings: AdapterSettings, _ component: ComponentName, _ scale: Double
    ) throws(FormatError) -> Float {
      let rank = Double(max(1, tensors[.down]?.shape.dimensions.first ?? 1))
      guard let tensor = tensors[.alpha] else {
        return Float(scale * settings.factor(of: component, rank: rank))
      }
      var alpha: Float?
      if tensor.elementCount == 1, Cast.types.contains(tensor.dtype) {
        try tensor.withPieces(as: .float32) { bytes in
          alpha = bytes.loadUnaligned(as: Float.self)
        }
      }
      guard let alpha, alpha.isFinite else {
        throw FormatError(.malformed, "alpha is not one finite number", context: tensor.name)
      }
      return Float(scale * Double(alpha) / rank)
    }
  }
}

/// What an adapter's own configuration says where its layers have no alpha.
private struct AdapterSettings {
  private var objects: [(prefix: String, object: JSONObject)] = []

  /// diffusers writes the configuration into the file's metadata, `unet.lora_alpha` and so on; PEFT
  /// puts `adapter_config.json` beside the file.
  init(_ file: TensorFile) throws(FormatError) {
    let metadata = file.metadata.first { $0.key == "lora_adapter_metadata" }
    if let metadata, let object = try? JSON(parsing: metadata.value).object {
      for component in [ComponentName.unet, .textEncoder] {
        objects.append(("\(component.rawValue).", object))
      }
    } else if file.path.hasSuffix("/adapter_model.safetensors")
      || file.path == "adapter_model.safetensors"
    {
      let path = String(file.path.dropLast("adapter_model.safetensors".count))
      if let mapped = try? MappedFile(path: path + "adapter_config.json"), mapped.count < 1 << 20 {
        let bytes = mapped.withBytes(in: 0..<mapped.count) { [UInt8]($0) }
        if let object = (try? JSON(parsing: bytes.span.bytes))?.object {
          objects.append(("", object))
        }
      }
    }
    for (prefix, object) in objects {
      let field = prefix + "alpha_pattern"
      guard let pattern = object[field]?.object, !pattern.members.isEmpty else { continue }
      throw FormatError(
        .unsupported, "it gives layers different alphas by pattern", file: file.path,
        context: field, hint: "save the LoRA with an alpha for each layer")
    }
  }

  /// `alpha / rank`, or over the rank's root where the adapter says so; 1 where it says nothing.
  func factor(of component: ComponentName, rank: Double) -> Double {
    for (prefix, object) in objects where prefix.isEmpty || prefix == "\(component.rawValue)." {
      guard let alpha = object[prefix + "lora_alpha"]?.double else { continue }
      let isStabilized = object[prefix + "use_rslora"]?.bool ?? false
      return alpha / (isStabilized ? rank.squareRoot() : rank)
    }
    return 1
  }
}
