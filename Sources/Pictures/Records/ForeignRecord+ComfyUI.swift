import OrderedJSON

extension ForeignRecord {
  /// ComfyUI: the graph that was run, from the node that saves the image back to the sampler.
  ///
  /// Source: `SaveImage` and the samplers in `nodes.py`, and `comfy_extras/nodes_custom_sampler.py` of
  /// ComfyUI.
  init(comfyUI json: JSON?) {
    self.init("ComfyUI")
    guard let object = json?.object else {
      notes.append(Self.unreadable)
      return
    }
    let graph = ComfyGraph(nodes: object)
    let samplers = graph.samplers
    guard let sampler = samplers.last else {
      notes.append("no sampler that is known leads to the image")
      return
    }
    if samplers.count > 1 {
      notes.append("only the first of its \(samplers.count) passes of sampling is read")
    }
    infotext.prompt = graph.prompt(sampler, "positive", &notes)
    infotext.negativePrompt = graph.prompt(sampler, "negative", &notes)
    set("Steps", graph.value("steps", of: sampler))
    set("Sampler", graph.value("sampler_name", of: sampler))
    let schedule = graph.value("scheduler", of: sampler)?.string
    if let schedule, schedule != "normal" { set("Schedule type", schedule) }
    set("CFG scale", graph.value("cfg", of: sampler))
    set("Seed", graph.value("seed", of: sampler) ?? graph.value("noise_seed", of: sampler))
    setLatents(graph, sampler)
    setModel(graph, sampler)
    // Its noise is torch's on the CPU, whatever computes.
    set("RNG", "CPU")
    let prompts = infotext.prompt + infotext.negativePrompt
    if prompts.contains("(") {
      notes.append(
        "weights in prompts act a little differently in ComfyUI; the emphasis no-norm is closest")
    }
  }

  private mutating func setLatents(_ graph: ComfyGraph, _ sampler: ComfyGraph.Node) {
    guard let latents = graph.source(sampler, ["latent_image", "latent"]) else { return }
    if latents.inputs["width"] != nil {
      setSize(
        graph.literal(latents.inputs["width"]), graph.literal(latents.inputs["height"]))
      return
    }
    set("Denoising strength", graph.value("denoise", of: sampler))
    if let image = graph.first(from: latents, where: { $0.inputs["image"]?.string != nil }) {
      set("Init image", image.inputs["image"])
    }
  }

  private mutating func setModel(_ graph: ComfyGraph, _ sampler: ComfyGraph.Node) {
    var loras: [String] = []
    var node = graph.source(sampler, ["model"]) ?? graph.source(sampler, ["guider"])
    var steps = 0
    while let current = node, steps < ComfyGraph.depthLimit {
      steps += 1
      if let name = current.inputs["ckpt_name"] ?? current.inputs["unet_name"] {
        set("Model", graph.literal(name))
        break
      }
      if let name = current.inputs["lora_name"]?.string {
        let strength = Infotext.text(graph.literal(current.inputs["strength_model"])) ?? "1"
        loras.insert("\(name): \(strength)", at: 0)
      }
      node = graph.source(current, ["model", "pipe", "base_pipe"])
    }
    set("Loras", loras.joined(separator: ", "))
    for node in graph.all {
      if let layer = graph.literal(node.inputs["stop_at_clip_layer"])?.int, layer < -1 {
        set("Clip skip", String(-layer))
      }
      if let name = node.inputs["vae_name"]?.string { set("VAE", name) }
      if node.inputs["control_net_name"] != nil {
        set("ControlNet", node.inputs["control_net_name"])
      }
    }
  }
}

/// The nodes of a graph that ComfyUI ran, and their links.
struct ComfyGraph {
  struct Node {
    let id: String
    let type: String
    let inputs: JSON
  }

  /// Links that are followed from a node at most; a graph may be made to lead nowhere.
  static let depthLimit = 1000

  let all: [Node]
  private let byID: [String: Node]

  init(nodes: JSONObject) {
    all = nodes.members.compactMap { member in
      guard let type = member.value["class_type"]?.string, let inputs = member.value["inputs"],
        inputs.object != nil
      else { return nil }
      return Node(id: member.key, type: type, inputs: inputs)
    }
    byID = Dictionary(all.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// The samplers that lead to a saved image, the last pass first.
  var samplers: [Node] {
    let outputs = all.filter { $0.inputs["images"] != nil && link($0.inputs["images"]) != nil }
    for output in outputs.isEmpty ? all : outputs {
      var passes: [Node] = []
      var node = first(from: output, where: Self.isSampler)
      while let sampler = node, !passes.contains(where: { $0.id == sampler.id }),
        passes.count < Self.depthLimit
      {
        passes.append(sampler)
        node = source(sampler, ["latent_image", "latent"]).flatMap {
          first(from: $0, where: Self.isSampler)
        }
      }
      if !passes.isEmpty { return passes }
    }
    return []
  }

  private static func isSampler(_ node: Node) -> Bool {
    let inputs = node.inputs
    return (inputs["latent_image"] != nil || inputs["latent"] != nil)
      && (inputs["sampler_name"] != nil || inputs["sampler"] != nil)
  }

  /// The node that a value links to, and which of its outputs.
  private func link(_ value: JSON?) -> (node: Node, output: Int)? {
    guard let pair = value?.array, pair.count == 2, let id = Infotext.text(pair[0]),
      let output = pair[1].int, let node = byID[id]
    else { return nil }
    return (node, output)
  }

  /// The node that the first of some inputs links to.
  func source(_ node: Node, _ names: [String]) -> Node? {
    names.lazy.compactMap { link(node.inputs[$0])?.node }.first
  }

  /// A value, or that of a node with one value, such as an integer or a text.
  func literal(_ value: JSON?) -> JSON? {
    var value = value
    for _ in 0..<16 {
      guard let node = link(value)?.node else { return value?.array == nil ? value : nil }
      value =
        ["value", "text", "string", "seed", "noise_seed", "int", "float", "Value"].lazy
        .compactMap { node.inputs[$0] }.first
    }
    return nil
  }

  /// The value of a sampler's setting, which may be in a node of its own.
  func value(_ name: String, of sampler: Node) -> JSON? {
    if let value = sampler.inputs[name] { return literal(value) }
    for input in ["sampler", "sigmas", "noise", "guider"] {
      if let node = source(sampler, [input]),
        let holder = first(from: node, where: { $0.inputs[name] != nil })
      {
        return literal(holder.inputs[name])
      }
    }
    return nil
  }

  /// The first node that satisfies a condition, a node itself or what its inputs come from.
  func first(from start: Node, where condition: (Node) -> Bool) -> Node? {
    var seen: Set<String> = [start.id]
    var waiting = [start]
    var next = 0
    while next < waiting.count {
      let node = waiting[next]
      next += 1
      if condition(node) { return node }
      for member in node.inputs.object?.members ?? [] {
        if let found = link(member.value)?.node, seen.insert(found.id).inserted {
          waiting.append(found)
        }
      }
    }
    return nil
  }

  /// The text of a sampler's conditioning.
  func prompt(_ sampler: Node, _ name: String, _ notes: inout [String]) -> String {
    var holder = sampler
    if sampler.inputs[name] == nil, let guider = source(sampler, ["guider"]) { holder = guider }
    let input =
      holder.inputs[name] ?? (name == "positive" ? holder.inputs["conditioning"] : nil)
    guard let input else { return "" }
    var texts: [String] = []
    var seen: Set<String> = []
    var waiting = [input]
    while let value = waiting.popLast() {
      guard let (node, output) = link(value), seen.insert("\(node.id)/\(output)").inserted else {
        continue
      }
      if let text = literal(node.inputs["text"])?.string {
        texts.append(text)
      } else if node.inputs["positive"] != nil, node.inputs["negative"] != nil {
        // Nodes that change both, such as ControlNets, give them in this order.
        waiting.append(node.inputs[output == 1 ? "negative" : "positive"] ?? .null)
      } else if node.type != "ConditioningZeroOut" {
        waiting += (node.inputs.object?.members ?? []).reversed()
          .filter { $0.key.hasPrefix("conditioning") }.map(\.value)
      }
    }
    if texts.count > 1 {
      notes.append("its \(name) prompt is combined of \(texts.count), which are joined here")
    }
    return texts.joined(separator: ", ")
  }
}
