import ModelGraph

/// The shapes for a TensorRT engine: minimum, optimum and maximum of each dynamic input.
struct EngineProfile: Sendable, Hashable {
  struct Input: Sendable, Hashable {
    let name: String
    /// For ``EngineProfile/sizes``, in order.
    let shapes: [[Int]]
  }

  /// Minimum, optimum, maximum.
  let sizes: [Sizes]
  let inputs: [Input]
  /// Whether a height or a width is known only at run time.
  let hasDynamicSides: Bool

  /// - Parameters:
  ///   - graph: the graph with all fixed sizes.
  ///   - nativeSize: the UNet's training resolution in latents. Images may have half to twice as
  ///     many.
  init(_ graph: Graph, _ interface: Interface, nativeSize: Int) {
    // Guidance evaluates the UNet for two prompts per image, and two prompts are encoded; a UNet
    // with a guidance scale input needs only one.
    let takesGuidance = graph.inputs.contains { graph[$0].name == "timestep_cond" }
    let perPicture = graph.traits.contains(.runsOncePerImage) || takesGuidance ? 1 : 2
    let sides = [max(1, nativeSize / 2), nativeSize, 2 * nativeSize]
    let batches = [1, perPicture, 4 * perPicture]
    // Prompts longer than the text encoder's window are encoded in chunks of its length.
    let tokens = graph.tokenPlaces.map { [$0, $0, $0] } ?? [77, 77, 231]
    sizes = (0..<3).map { index in
      Sizes(
        batch: batches[index], height: sides[index], width: sides[index],
        sequence: tokens[index])
    }
    let sizes = sizes
    hasDynamicSides = graph.inputs.contains { id in
      graph[id].shape.contains { $0.factors.contains { [.height, .width].contains($0.symbol) } }
    }
    inputs = graph.inputs.compactMap { id in
      let shape = interface.shape(of: graph[id], in: graph)
      guard shape.contains(where: { $0.fixed == nil }) else { return nil }
      return Input(
        name: interface.name(graph[id].name),
        shapes: sizes.map { size in shape.map { $0.value(size) } })
    }
  }

  /// The shapes for one of ``sizes``, in trtexec's syntax: `sample:2x4x64x64,…`.
  func trtexec(_ index: Int) -> String {
    inputs.map { input in
      "\(input.name):" + input.shapes[index].map(String.init).joined(separator: "x")
    }
    .joined(separator: ",")
  }

  /// The shapes for one of ``sizes``, in polygraphy's syntax, quoted for the shell: `'sample:[2,4,64,64]' …`.
  func polygraphy(_ index: Int) -> String {
    inputs.map { input in
      "'\(input.name):[" + input.shapes[index].map(String.init).joined(separator: ",") + "]'"
    }
    .joined(separator: " ")
  }
}
