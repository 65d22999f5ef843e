import CKernels
import Glibc
import ModelFormats
import ModelGraph

/// The machine's roofline: peak compute and bandwidth, measured under the same conditions as
/// layers.
public struct Roofline: Sendable, Hashable {
  /// Multiplications and additions per second of a large matmul.
  public let operations: Double
  /// Bytes read and written per second by a copy larger than all caches.
  public let bytes: Double

  /// Rows, columns and depth of the matmul.
  private static let side = 2048
  /// Elements of the copy: reads 256 MiB and writes as much.
  private static let copied = 64 << 20
  private static let repeats = 5

  /// Measures both, which takes about a second.
  ///
  /// - Throws: ``EngineError`` if there is not enough memory.
  public static func measure(_ options: EngineOptions) throws -> Roofline {
    var build = GraphBuilder(name: GraphName(rawValue: "ceiling"), component: "ceiling")
    let input = build.input("x", [.symbol(.batch), .symbol(.sequence), Dimension(side)])
    let output: Graph.ValueID
    do throws(GraphError) {
      output = try build.linear(
        build.linear(input, Path(name: "first"), to: side, bias: false),
        Path(name: "second"), to: side, bias: false)
    } catch {
      throw EngineError(.unsupported, error.message, context: "ceiling")
    }
    build.output("y", output)
    let weights = [UInt8](repeating: 0, count: side * side * 4)
    let executable = try Executable(
      graph: build.graph,
      parameters: { name in
        Tensor(
          name: name, dtype: .float32, shape: Shape([side, side]), storage: .memory(weights))
      }, options: options, sizes: Sizes(sequence: side))
    let value = Value([Float](repeating: 1, count: side * side), shape: [1, side, side])
    var best = Double.infinity
    for _ in 0..<repeats {
      // The first matmul has the input type of all layers; the last one writes f32 for the caller.
      try _ = executable.run(["x": value]) { step in
        if step.name == "first" { best = min(best, step.seconds) }
      }
    }
    let product = 2 * Double(side) * Double(side) * Double(side)
    return Roofline(operations: product / best, bytes: try copyRate())
  }

  private static func copyRate() throws -> Double {
    let from = try Allocation(byteCount: copied * 4, context: "ceiling")
    let to = try Allocation(byteCount: copied * 4, context: "ceiling")
    memset(from.pointer, 0, copied * 4)
    var best = Double.infinity
    for _ in 0..<repeats {
      let start = ContinuousClock.now
      sdk_convert(from.pointer, SDK_F32, to.pointer, SDK_F32, copied)
      best = min(best, start.duration(to: .now) / .seconds(1))
    }
    return Double(2 * copied * 4) / best
  }
}
