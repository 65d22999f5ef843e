import ModelFormats
import ModelGraph
import OrderedJSON

/// An adapter file (LoRA and similar methods) and its changes to the networks of a checkpoint.
public struct LoRA: Sendable {
  /// An unused tensor of the file.
  public struct Unused: Sendable, Hashable {
    /// The key in the file, or the module that it belongs to.
    public let name: String
    /// For example "BOFT"; nil for tensors of no known method.
    public let method: String?
    /// Why it has no effect.
    public let reason: String
  }

  /// The file.
  public let path: String
  /// What the change is multiplied by.
  public let scale: Double
  /// By component and by the parameter's published name.
  public let updates: [ComponentName: [String: WeightUpdate]]
  /// The number of changed layers per component.
  public let layers: [ComponentName: Int]
  /// The methods of these layers, such as "LoHa with DoRA", in file order.
  public let methods: [(name: String, layers: Int)]
  /// Learned vectors, each with its own trigger word.
  public let embeddings: [BundledEmbedding]
  /// In file order.
  public let unused: [Unused]

  /// Reads the file's names and finds the matching layers.
  ///
  /// Supports the names of kohya's scripts (`lora_unet_…`, also with LDM's modules), of LyCORIS
  /// (`lycoris_…`), of diffusers and PEFT (`unet.….lora_A.weight`), and of diffusers before PEFT
  /// (`….to_q_lora.down.weight`, `….lora_linear_layer.down.weight`). A change is multiplied by
  /// `scale * alpha / rank`; alpha is the layer's `.alpha`, otherwise that of diffusers' metadata
  /// or PEFT's `adapter_config.json`, otherwise the rank. Methods that replace a weight (DoRA, OFT)
  /// interpolate by the scale, except PEFT's DoRA, whose scale applies to the change before
  /// normalization.
  ///
  /// - Parameter components: the networks that it may change.
  /// - Throws: ``FormatError`` for unreadable files; `mismatch` if a layer's tensors do not fit or
  ///   the file is for another kind of model; `unsupported` if its method is not supported.
  public static func open(
    _ path: String, scale: Double = 1, for components: [Component]
  ) throws(FormatError) -> LoRA {
    let file = try TensorFile.open(path)
    do throws(FormatError) {
      return try LoRA(file, scale: scale, for: components)
    } catch {
      throw error.inFile(path)
    }
  }

  private init(
    _ file: TensorFile, scale: Double, for components: [Component]
  ) throws(FormatError) {
    // Without the dictionary in which trainers save it; 8-bit factors are read as F32.
    let names = BareNames(file.tensors).namesOfWeights(file.tensors)
    let contents = AdapterContents(
      zip(file.tensors, names).map { tensor, name in
        let tensor = tensor.decoded()
        return tensor.name.utf8.elementsEqual(name.utf8) ? tensor : tensor.renamed(name)
      })
    let networks = AdaptedLayers(components)
    let settings = AdapterSettings(file)
    let base = AdapterBase(contents, metadata: file.metadata)
    var updates: [ComponentName: [String: WeightUpdate]] = [:]
    var layers: [ComponentName: Int] = [:]
    var methods: [(name: String, layers: Int)] = []
    var unused: [String: Unused] = [:]
    for tensor in contents.others {
      unused[tensor.name] = Unused(
        name: tensor.name, method: nil, reason: "it belongs to no layer of an adapter")
    }
    for var layer in contents.layers {
      layer.isOfInputs = settings.isFeedForward(layer.name)
      let method = layer.methodName
      func refuse(_ tensors: [Tensor], _ reason: String) {
        for tensor in tensors {
          unused[tensor.name] = Unused(
            name: tensor.name, method: layer.methods.isEmpty ? nil : method, reason: reason)
        }
      }
      if let obstacle = layer.obstacle {
        refuse(layer.all, obstacle)
        continue
      }
      // Some trainers number the only text encoder too.
      let prefix = "lora_te1_"
      let isNumbered = base.otherFamily == nil && layer.name.hasPrefix(prefix)
      let name = isNumbered ? "lora_te_" + layer.name.dropFirst(prefix.count) : layer.name
      guard let target = networks[name] else {
        refuse(layer.all, "no layer of \(networks.titles) has this name")
        continue
      }
      let changes: [(Parameter, any WeightChange)]
      do throws(FormatError) {
        guard try Self.ratio(layer, target, settings) != 0 || layer.magnitude != nil else {
          refuse(layer.all, "its alpha is 0, which makes its change nothing")
          continue
        }
        changes = try Self.changes(layer, target, settings, scale)
      } catch {
        guard error.code == .mismatch else { throw error }
        if let other = base.otherFamily {
          throw other.refusal(file.tensors.count, networks.titles, because: error)
        }
        var error = error
        if let family = base.family {
          error.hint = "this \(contents.title) is for \(family); check that the model is that too"
        }
        throw error
      }
      guard changes.allSatisfy({ updates[target.component]?[$0.0.name] == nil }) else {
        refuse(layer.all, "its layer is changed under another name already")
        continue
      }
      for (parameter, change) in changes {
        updates[target.component, default: [:]][parameter.name] = WeightUpdate(
          method: method, change: change)
      }
      if target.bias == nil {
        refuse(layer.all.filter { layer.isOfBias($0) }, "its layer has no bias")
      }
      guard !changes.isEmpty else { continue }
      layers[target.component, default: 0] += 1
      if let index = methods.firstIndex(where: { $0.name == method }) {
        methods[index].layers += 1
      } else {
        methods.append((method, 1))
      }
    }
    path = file.path
    self.scale = scale
    self.updates = updates
    self.layers = layers
    self.methods = methods
    embeddings = contents.embeddings
    self.unused = file.tensors.compactMap { unused[$0.name] }
    guard !updates.isEmpty || !contents.embeddings.isEmpty else {
      throw refusal(file, contents, base, networks.titles)
    }
    // Other families also have layers with the same name and shape.
    if let other = base.otherFamily, self.unused.contains(where: { $0.method != nil }) {
      throw other.refusal(file.tensors.count, networks.titles, because: nil)
    }
  }

  /// The factor of a layer's change besides the scale: alpha over the rank; 1 without alpha and for
  /// methods that ignore alpha.
  ///
  /// An alpha of 0 is used as 0, as in diffusers, PEFT, ComfyUI and the web UI; kohya's scripts and
  /// LyCORIS never write it, and would treat it as the rank.
  private static func ratio(
    _ layer: AdapterLayer, _ target: AdaptedLayers.Layer, _ settings: AdapterSettings
  ) throws(FormatError) -> Double {
    guard let rank = layer.weightMethods.first?.rank else { return 1 }
    if let alpha = try layer.alpha() {
      // Kronecker products of two full matrices have no rank, so alpha has no meaning.
      return rank(layer).map { Double(alpha) / Double(max(1, $0)) } ?? 1
    }
    return try settings.ratio(of: layer.name, in: target.component, rank: rank(layer))
  }

  /// The changes of the layer's weight and bias.
  private static func changes(
    _ layer: AdapterLayer, _ target: AdaptedLayers.Layer, _ settings: AdapterSettings,
    _ scale: Double
  ) throws(FormatError) -> [(Parameter, any WeightChange)] {
    var result: [(Parameter, any WeightChange)] = []
    var factor = Float(scale)
    if let method = layer.weightMethods.first, let make = method.weight, let weight = target.weight
    {
      if method.rank != nil {
        let ratio = try Self.ratio(layer, target, settings)
        let isPEFT = layer[.outputScale] == nil
        factor = Float((layer.magnitude == nil || isPEFT ? scale : 1) * ratio)
        guard let change = try make(layer, factor, weight.shape) else { return [] }
        if let magnitude = layer.magnitude {
          result.append(
            (
              weight,
              try Decomposition(
                change, magnitude, isPEFT: isPEFT, strength: isPEFT ? 1 : Float(scale),
                shape: weight.shape)
            ))
        } else {
          result.append((weight, change))
        }
      } else if let change = try make(layer, factor, weight.shape) {
        result.append((weight, change))
      }
    }
    if let bias = target.bias {
      for method in layer.methods.sorted().map({ AdapterMethod.all[$0] }) {
        guard let make = method.bias,
          method.biasParts.isEmpty || method.biasParts.contains(where: { layer[$0] != nil })
        else { continue }
        let factor = method.rank == nil ? Float(scale) : factor
        if let change = try make(layer, factor, bias.shape) { result.append((bias, change)) }
        break
      }
    }
    return result
  }

  /// Why the file is useless.
  private func refusal(
    _ file: TensorFile, _ contents: AdapterContents, _ base: AdapterBase, _ titles: String
  ) -> FormatError {
    guard contents.isAdapter || !contents.known.isEmpty else {
      return FormatError(
        .mismatch,
        "not a LoRA or another adapter; by its tensors it is: "
          + Recognition(ModelCheckpoint.of(file)).title,
        hint: "\(do: .inspect) shows what a file contains")
    }
    if let other = base.otherFamily {
      return other.refusal(file.tensors.count, titles, because: nil)
    }
    let isForeign = contents.known.allSatisfy(\.isForeign)
    let listed = unusedGroups.map { group in
      let method = group.method.map { isForeign ? "" : "\($0): " } ?? ""
      return method + group.reason + ": \(group.count) (\(Leftover.shown(group.names, limit: 1)))"
    }
    guard !isForeign else {
      return FormatError(
        .unsupported, listed.joined(separator: "; "), context: contents.known.first?.name,
        hint: "merge it into the model with the program that it comes from")
    }
    return FormatError(
      .mismatch,
      "none of its \(file.tensors.count.of("tensor")) changes \(titles): "
        + listed.joined(separator: "; "), context: file.tensors.first?.name,
      hint: "give a LoRA for Stable Diffusion 1.x with kohya's or diffusers' names")
  }
}

extension AdapterLayer {
  /// Whether its method is unsupported.
  var isForeign: Bool {
    weightMethods.first.map { $0.weight == nil } ?? false
  }

  /// Whether a tensor applies only to the layer's bias.
  func isOfBias(_ tensor: Tensor) -> Bool {
    [AdapterPart.biasDifference, .biasNorm, .upBias].contains { self[$0]?.name == tensor.name }
  }

  /// Why the layer cannot be applied to any model; nil if it can.
  var obstacle: String? {
    if isForeign { return "\(methodName) is not supported" }
    if let strange = strange.first {
      return "its layer has tensors of another method: \(strange)"
    }
    let methods = weightMethods
    guard methods.count < 2 else {
      return "its layer has tensors of two methods: "
        + methods.map(\.name).joined(separator: " and ")
    }
    guard isComplete else {
      return missing.isEmpty
        ? "its layer has no tensor of a method"
        : "its layer lacks " + missing.map(\.rawValue).joined(separator: " and ")
    }
    if magnitude != nil, methods.first?.takesMagnitude != true {
      return "DoRA on \(methods.first?.name ?? "a bias") is not supported"
    }
    return nil
  }
}
