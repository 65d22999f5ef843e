import ModelGraph

/// The network layers that an adapter may change, under every name used in files.
struct AdaptedLayers {
  /// A layer of a network.
  struct Layer {
    let component: ComponentName
    fileprivate(set) var weight: Parameter?
    fileprivate(set) var bias: Parameter?
  }

  private var layers: [String: Layer] = [:]
  /// The networks, as text in a sentence.
  let titles: String

  init(_ components: [Component]) {
    let known = components.filter { [.textEncoder, .unet].contains($0.name) }
    titles =
      known.isEmpty ? "any network" : known.map { "the \($0.name.title)" }.joined(separator: " or ")
    for component in known {
      let isUNet = component.name == .unet
      for parameter in component.graphs.flatMap(\.parameters) {
        guard let module = AdaptedLayers.module(parameter.name) else { continue }
        let names = [module] + parameter.aliases.compactMap(AdaptedLayers.module)
        let single = AdaptedLayers.module(parameter.singleFileName) ?? module
        let root = "model.diffusion_model."
        let inner = single.hasPrefix(root) ? [String(single.dropFirst(root.count))] : []
        let flat = (names + inner).map { $0.replacing(".", with: "_") }
        for name in names {
          add(name, component.name, parameter)
          add("\(component.name.rawValue).\(name)", component.name, parameter)
          for encoder in isUNet ? [] : ["clip_l", "clip_h"] {
            add("text_encoders.\(encoder).transformer.\(name)", component.name, parameter)
          }
        }
        for name in inner {
          add(name, component.name, parameter)
          add("diffusion_model.\(name)", component.name, parameter)
          add(root + name, component.name, parameter)
        }
        for name in flat {
          for prefix in isUNet ? ["lora_unet_", "oft_unet_"] : ["lora_te_"] {
            add(prefix + name, component.name, parameter)
          }
          add("lycoris_" + name, component.name, parameter)
        }
      }
    }
  }

  private mutating func add(_ name: String, _ component: ComponentName, _ parameter: Parameter) {
    var layer = layers[name] ?? Layer(component: component)
    // If two networks have the same name, the first one owns it.
    guard layer.component == component else { return }
    if parameter.name.hasSuffix(".bias") {
      layer.bias = layer.bias ?? parameter
    } else {
      layer.weight = layer.weight ?? parameter
    }
    layers[name] = layer
  }

  /// The module of a parameter.
  private static func module(_ name: String) -> String? {
    for ending in [".weight", ".bias"] where name.hasSuffix(ending) {
      return String(name.dropLast(ending.count))
    }
    return nil
  }

  /// The layer with this name in a file.
  subscript(name: String) -> Layer? {
    if let layer = layers[name] { return layer }
    var name = name
    let wrapper = "base_model.model."
    if name.hasPrefix(wrapper) { name = String(name.dropFirst(wrapper.count)) }
    // Attention processors used to be between a layer and its projections.
    name = name.replacing(".processor.", with: ".")
    return layers[name] ?? layers[name + ".0"]
  }
}
