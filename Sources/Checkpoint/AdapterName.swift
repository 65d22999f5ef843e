import ModelGraph

/// The name of a tensor in a LoRA file: a layer, and which of its factors it is.
enum AdapterName {
  enum Part: Hashable {
    case up
    case down
    case middle
    case alpha
  }

  private static let endings: [(String, Part)] = [
    // kohya's scripts and LyCORIS.
    (".lora_down.weight", .down), (".lora_up.weight", .up), (".lora_mid.weight", .middle),
    (".alpha", .alpha),
    // PEFT.
    (".lora_A.weight", .down), (".lora_B.weight", .up),
    // diffusers before PEFT.
    (".lora.down.weight", .down), (".lora.up.weight", .up),
    (".lora_linear_layer.down.weight", .down), (".lora_linear_layer.up.weight", .up),
    ("_lora.down.weight", .down), ("_lora.up.weight", .up),
  ]

  /// The layer as the file calls it, and the factor; nil for any other tensor.
  static func split(_ name: String) -> (module: String, part: Part)? {
    for (ending, part) in endings where name.hasSuffix(ending) {
      return (String(name.dropLast(ending.count)), part)
    }
    // PEFT with the adapter's own name: `….lora_A.default.weight`.
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count > 3, parts[parts.count - 1] == "weight" else { return nil }
    let module = parts.dropLast(3).joined(separator: ".")
    switch parts[parts.count - 3] {
    case "lora_A": return (module, .down)
    case "lora_B": return (module, .up)
    default: return nil
    }
  }
}

/// The layers of networks that a LoRA may change, by every name that files have for them.
struct AdaptedLayers {
  private var layers: [String: (component: ComponentName, parameter: Parameter)] = [:]
  /// The networks, as text in a sentence.
  let titles: String

  init(_ components: [Component]) {
    let known = components.filter { [.textEncoder, .unet].contains($0.name) }
    titles =
      known.isEmpty ? "any network" : known.map { "the \($0.name.title)" }.joined(separator: " or ")
    for component in known {
      let isUNet = component.name == .unet
      for parameter in component.graphs.flatMap(\.parameters) {
        guard parameter.shape.count > 1, parameter.name.hasSuffix(".weight") else { continue }
        let names = ([parameter.name] + parameter.aliases).map(AdaptedLayers.module)
        let single = AdaptedLayers.module(parameter.singleFileName)
        let root = "model.diffusion_model."
        let inner = single.hasPrefix(root) ? [String(single.dropFirst(root.count))] : []
        let flat = (names + inner).map { $0.replacing(".", with: "_") }
        for name in names {
          add(name, component.name, parameter)
          add("\(component.name.rawValue).\(name)", component.name, parameter)
        }
        for name in inner { add("diffusion_model.\(name)", component.name, parameter) }
        for name in flat {
          add((isUNet ? "lora_unet_" : "lora_te_") + name, component.name, parameter)
        }
      }
    }
  }

  private mutating func add(_ name: String, _ component: ComponentName, _ parameter: Parameter) {
    if layers[name] == nil { layers[name] = (component, parameter) }
  }

  private static func module(_ name: String) -> String { String(name.dropLast(".weight".count)) }

  /// The weight of the layer that a file calls `name`.
  subscript(name: String) -> (component: ComponentName, parameter: Parameter)? {
    if let layer = layers[name] { return layer }
    var name = name
    let wrapper = "base_model.model."
    if name.hasPrefix(wrapper) { name = String(name.dropFirst(wrapper.count)) }
    // Processors of attention stood between a layer and its projections.
    name = name.replacing(".processor.", with: ".")
    return layers[name] ?? layers[name + ".0"]
  }
}
