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
    abstract: "Show every layer: output shape, parameters, multiply-accumulates, memory.",
    discussion: """
      Layers are in execution order, as the component's config.json makes them, for one picture \
      of the given size and a prompt of 77 tokens. Multiply-accumulates (MACs) count \
      convolutions, linear layers and the two products of each attention; bytes are the output \
      as float32. With --depth N, layers are summed below the Nth part of their name.

      EXAMPLE
        sdinspect layers stable-diffusion-v1-5 --component unet --depth 2 --size 512x512
      """)

  @OptionGroup var input: InputOptions
  @OptionGroup var component: ComponentOption

  @Option(help: ArgumentHelp("Sum layers below this depth of the tree.", valueName: "n"))
  var depth: Int?

  @Option(
    help: ArgumentHelp(
      "The picture's size in pixels, multiples of 8 (default: the model's own).",
      valueName: "WxH"))
  var size: PictureSize?

  func validate() throws {
    if let depth, !(1...64).contains(depth) {
      throw ValidationError("--depth is \(depth); it goes from 1 to 64")
    }
  }

  func run() throws {
    let checkpoint = try input.open()
    let components = try component.select(from: checkpoint)
    let sizes = try self.sizes(checkpoint)
    // Networks that were named must have layers to show; else one is enough.
    let unknown = components.filter(\.graphs.isEmpty)
    if let first = unknown.first, self.component.list != nil || unknown.count == components.count {
      throw first.graphFailure
        ?? FormatError(.unsupported, "the network is not known", file: first.path)
    }
    var rows: [JSON] = []
    for component in components {
      for graph in component.graphs {
        let costs = LayerTree.summed(graph.costs(sizes), depth: depth)
        if input.json {
          rows += costs.map { row($0, graph) }
        } else {
          printTable(graph, costs)
        }
      }
    }
    if input.json {
      printJSON([
        "size": ["width": .integer(8 * sizes.width), "height": .integer(8 * sizes.height)],
        "layers": .array(rows), "warnings": json(checkpoint.warnings),
      ])
    } else {
      printWarnings(checkpoint.warnings)
    }
  }

  /// The sizes in latents; without --size those that the UNet was trained at, else 64.
  private func sizes(_ checkpoint: ModelCheckpoint) throws -> Sizes {
    if let size { return Sizes(height: size.height / 8, width: size.width / 8) }
    guard let object = checkpoint[.unet]?.configuration?.object,
      let configuration = try? UNetConfiguration(object)
    else { return Sizes() }
    return Sizes(height: configuration.sampleSize, width: configuration.sampleSize)
  }

  private func row(_ cost: LayerCost, _ graph: Graph) -> JSON {
    [
      "name": .string(cost.name), "graph": .string(graph.name), "kind": .string(cost.kind),
      "parameters": .integer(cost.parameters),
      "output_shape": .array(cost.outputShape.map { .integer($0) }),
      "macs": .integer(cost.macs), "activation_bytes": .integer(cost.activationBytes),
    ]
  }

  private func printTable(_ graph: Graph, _ costs: [LayerCost]) {
    let total = LayerCost.total(costs)
    var table = Table([
      ("layer", .left), ("kind", .left), ("output", .left), ("parameters", .right),
      ("share", .right), ("MACs", .right), ("share", .right), ("memory", .right),
    ])
    for cost in costs {
      table.add([
        cost.name, cost.kind, Shape(cost.outputShape).description, Format.count(cost.parameters),
        Format.share(cost.parameters, of: total.parameters), Format.magnitude(cost.macs),
        Format.share(cost.macs, of: total.macs), Format.bytes(cost.activationBytes),
      ])
    }
    table.add([
      total.name, "", "", Format.count(total.parameters), "", Format.magnitude(total.macs), "",
      Format.bytes(total.activationBytes),
    ])
    Console.print("\(graph.name)\n\(table.text())\n")
  }
}
