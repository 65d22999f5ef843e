import Engine
import ModelGraph
import Pictures

/// A loaded ControlNet.
struct ControlNetwork {
  /// A residual for the UNet.
  private struct Residual {
    let output: String
    /// The UNet's input.
    let input: String
    let shape: [Dimension]
  }

  private let network: any Network
  private let residuals: [Residual]

  /// - Parameter graph: the graph that `network` runs.
  init(_ network: any Network, graph: Graph) {
    self.network = network
    residuals = graph.outputs.map { output in
      let name = graph[output].name
      return Residual(
        output: name, input: ControlNet.residualInput(of: name), shape: graph[output].shape)
    }
  }

  /// The residuals, by UNet input.
  ///
  /// - Parameter inputs: the UNet's inputs, and `controlnet_cond`.
  func residuals(
    for inputs: [String: Value], scale: Float, inputVersion: Int, observer: ((StepTiming) -> Void)?
  ) throws -> [String: Value] {
    let outputs = try network.run(
      inputs,
      inputVersions: ["encoder_hidden_states": inputVersion, "controlnet_cond": inputVersion],
      observer: observer)
    var values: [String: Value] = [:]
    for residual in residuals {
      let value = try outputs.require(residual.output)
      values[residual.input] =
        scale == 1 ? value : Value(value.reals.map { $0 * scale }, shape: value.shape)
    }
    return values
  }

  /// Zero residuals for a sample `[batch, channels, height, width]`.
  func zeros(for sample: [Int]) -> [String: Value] {
    let sizes = Sizes(batch: sample[0], height: sample[2], width: sample[3])
    var values: [String: Value] = [:]
    for residual in residuals {
      let shape = residual.shape.map { $0.value(sizes) }
      values[residual.input] = Value(
        [Float](repeating: 0, count: shape.reduce(1, *)), shape: shape)
    }
    return values
  }
}

extension [String: Value] {
  /// The sums of values with the same names and shapes.
  static func + (left: Self, right: Self) -> Self {
    left.merging(right) { first, second in
      Value(elementwise(first.reals, second.reals) { $0 + $1 }, shape: first.shape)
    }
  }
}

extension Image {
  /// The image as ControlNet input, `[count, 3, height, width]` in 0...1.
  func controlValue(count: Int, width: Int, height: Int) -> Value {
    let image =
      (self.width, self.height) == (width, height)
      ? self : resampled(width: width, height: height, filter: .lanczos)
    let pixels = width * height
    let one = [Float](unsafeUninitializedCapacity: 3 * pixels) { output, initialized in
      for channel in 0..<3 {
        for pixel in 0..<pixels {
          output.initializeElement(
            at: channel * pixels + pixel, to: Float(image.pixels[3 * pixel + channel]) / 255)
        }
      }
      initialized = 3 * pixels
    }
    return Value(
      Array(repeatElement(one, count: count).joined()), shape: [count, 3, height, width])
  }
}
