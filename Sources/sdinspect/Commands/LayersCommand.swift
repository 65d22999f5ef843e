import ArgumentParser
import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON
import Terminal

/// Shows every layer with its shape and cost.
struct LayersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "layers",
    abstract: "Show the layers as a tree: output shape, parameters, bytes, multiply-accumulates.",
    discussion: """
      Layers are in execution order, as defined by the component's configuration, for one image \
      of the given size and a prompt of 77 tokens. Multiply-accumulates (MACs) count \
      convolutions, linear layers and the two matrix products of each attention. Weights are bytes \
      in the file; memory is that of the output as float32, as in the report. An attention is \
      marked causal if a token attends only to itself and those before it (the text encoder); any \
      other attends to all. A branch shows the sums of its leaves. Identical siblings are folded \
      into one row with their sums; --all shows each by itself. For an unknown network, the \
      tensors are shown.

      EXAMPLE
        sdinspect layers stable-diffusion-v1-5 --depth 2 --size 512x512
      """)

  @OptionGroup var input: InputOptions
  @OptionGroup var component: ComponentOption

  @Option(help: ArgumentHelp("Maximum depth of the tree.", valueName: "n"))
  var depth: Int?

  @Flag(help: "Show every layer; do not fold identical ones.")
  var all = false

  @Option(
    help: ArgumentHelp(
      "Image size in pixels, multiples of 8 (default: the model's own).",
      valueName: "WxH"), transform: PictureSize.parse)
  var size: PictureSize?

  func validate() throws {
    if let depth, !(1...64).contains(depth) {
      throw ValidationError("--depth must be 1 to 64 (got \(depth))")
    }
  }

  func run() throws {
    let checkpoint = try input.open()
    let components = try component.select(from: checkpoint)
    let sizes = try self.sizes(checkpoint)
    var rows: [JSON] = []
    var totals: [JSON] = []
    for component in components {
      if component.graphs.isEmpty {
        if input.json {
          rows += tensorRows(component)
        } else {
          printTensors(component)
        }
      }
      for graph in component.graphs {
        let costs = graph.costs(sizes)
        let total = LayerCost.total(costs)
        let peak = graph.peakActivationBytes(sizes)
        let weights = weightBytes(graph, component)
        if input.json {
          var sums: [String: Int] = [:]
          for (name, bytes) in weights {
            sums[LayerTree.name(name, depth: depth), default: 0] += bytes
          }
          rows += LayerTree.summed(costs, depth: depth).map { row($0, graph, sums[$0.name] ?? 0) }
          totals.append([
            "graph": .string(graph.name.rawValue), "parameters": .integer(total.parameters),
            "weight_bytes": .integer(weights.values.reduce(0, +)),
            "macs": .integer(total.macs), "activation_bytes": .integer(total.activationBytes),
            "peak_activation_bytes": .integer(peak),
          ])
        } else {
          printTree(graph, costs, weights, total, peak: peak, sizes)
        }
      }
    }
    if input.json {
      printJSON([
        "size": ["width": .integer(8 * sizes.width), "height": .integer(8 * sizes.height)],
        "layers": .array(rows), "totals": .array(totals), "warnings": json(checkpoint.warnings),
      ])
    } else {
      printWarnings(checkpoint.warnings)
    }
  }

  /// The sizes in latents; without --size the UNet's training resolution, otherwise 64.
  private func sizes(_ checkpoint: ModelCheckpoint) throws -> Sizes {
    if let size { return Sizes(height: size.height / 8, width: size.width / 8) }
    guard let object = checkpoint[.unet]?.configuration?.object,
      let configuration = try? UNetConfiguration(object)
    else { return Sizes() }
    return Sizes(height: configuration.sampleSize, width: configuration.sampleSize)
  }

  /// The bytes of each layer's weight and bias in the file, by the layer's name; missing tensors
  /// count as none.
  private func weightBytes(_ graph: Graph, _ component: Component) -> [String: Int] {
    var bytes: [String: Int] = [:]
    for node in graph.nodes {
      for parameter in [node.weight, node.bias].compactMap({ $0 }) {
        bytes[node.name, default: 0] += component.storedByteCount(of: graph[parameter].name) ?? 0
      }
    }
    return bytes
  }

  private func row(_ cost: LayerCost, _ graph: Graph, _ weightBytes: Int) -> JSON {
    [
      "name": .string(cost.name), "graph": .string(graph.name.rawValue), "kind": .string(cost.kind),
      "parameters": .integer(cost.parameters),
      "output_shape": .array(cost.outputShape.map { .integer($0) }),
      "macs": .integer(cost.macs), "activation_bytes": .integer(cost.activationBytes),
      "weight_bytes": .integer(weightBytes),
      "causal": cost.isCausal.map { .bool($0) } ?? .null,
    ]
  }

  /// Tensors of an unknown network, with the same fields; values that need a graph are null.
  private func tensorRows(_ component: Component) -> [JSON] {
    component.tensors.map { tensor in
      [
        "name": .string(tensor.name), "graph": .null, "kind": "tensor",
        "parameters": .integer(tensor.elementCount), "output_shape": .null, "macs": .null,
        "activation_bytes": .null, "weight_bytes": .integer(tensor.storedByteCount),
        "causal": .null, "component": .string(component.name.rawValue),
        "dtype": .string(tensor.dtype.rawValue),
        "shape": .array(tensor.shape.dimensions.map { .integer($0) }),
      ]
    }
  }

  private func lines(_ outline: Outline) -> [(lead: String, node: Outline)] {
    (all ? outline : outline.folded()).lines(depth: depth ?? .max)
  }

  private func name(_ lead: String, _ node: Outline) -> Table.Cell {
    .init([
      (lead, .faint), (node.label, node.children.isEmpty ? .plain : .heading),
      (node.copies > 1 ? " ×\(node.copies)" : "", .faint),
    ])
  }

  private func printTree(
    _ graph: Graph, _ costs: [LayerCost], _ weights: [String: Int], _ total: LayerCost,
    peak: Int, _ sizes: Sizes
  ) {
    let outline = Outline(costs, weightBytes: weights)
    var table = Table([
      .init("layer", .left, isName: true), .init("kind", .left, rank: 4),
      .init("output", .left, rank: 2), .init("parameters", .right), .init("share", .right, rank: 1),
      .init("weights", .right, rank: 6), .init("MACs", .right), .init("of MACs", .right, rank: 5),
      .init("memory", .right, rank: 3),
    ])
    for (lead, node) in lines(outline) {
      table.add([
        name(lead, node), .init(node.kind), .init(node.shape), .init(Format.count(node.parameters)),
        .share(node.parameters, of: total.parameters), .init(Format.bytes(node.weightBytes)),
        .init(Format.magnitude(node.macs)), .share(node.macs, of: total.macs),
        .init(Format.bytes(node.bytes)),
      ])
    }
    table.addTotal([
      "total", "", "", .init(Format.count(total.parameters)), "",
      .init(Format.bytes(outline.weightBytes)), .init(Format.magnitude(total.macs)), "",
      .init(Format.bytes(total.activationBytes)),
    ])
    // A vision model takes pictures of one size only.
    let picture = graph.inputs.map { graph[$0].shape }
      .first { $0.count == 4 && $0[2].fixed != nil && $0[3].fixed != nil }
    let size =
      if graph.takesTokens {
        sizes.sequence.of("token")
      } else if let picture {
        "\(picture[3].value(sizes))x\(picture[2].value(sizes))"
      } else {
        "\(8 * sizes.width)x\(8 * sizes.height)"
      }
    Console.print("\(Console.heading(graph.name.rawValue)), \(size)\n\(table.text())")
    Console.printSentence(
      "activations: \(Format.bytes(total.activationBytes)) in all, "
        + "\(Format.bytes(peak)) at most at once")
    Console.print("")
  }

  private func printTensors(_ component: Component) {
    let outline = Outline(component.tensors)
    var table = Table([
      .init("tensor", .left, isName: true), .init("dtype", .left, rank: 3),
      .init("shape", .left, rank: 2), .init("parameters", .right), .init("share", .right, rank: 1),
      .init("bytes", .right, rank: 4),
    ])
    for (lead, node) in lines(outline) {
      table.add([
        name(lead, node), .init(node.kind), .init(node.children.isEmpty ? node.shape : ""),
        .init(Format.count(node.parameters)), .share(node.parameters, of: outline.parameters),
        .init(Format.bytes(node.bytes)),
      ])
    }
    table.addTotal([
      "total", "", "", .init(Format.count(outline.parameters)), "",
      .init(Format.bytes(outline.bytes)),
    ])
    let reason = component.graphProblem.map { ": \($0)" } ?? ""
    Console.printSentence(
      "\(Console.heading(component.name.rawValue)), tensors only\(Console.sanitized(reason))")
    Console.print(table.text() + "\n")
  }
}
