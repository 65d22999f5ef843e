import Diffusion
import Engine
import Glibc
import OrderedJSON
import Terminal

/// The timings of a model's networks.
struct Measurement {
  struct Network {
    let name: String
    /// The time of the best run.
    var seconds = Double.infinity
    /// The best time of each step, summed by kind.
    var profile = Profile()
  }

  let width: Int
  let height: Int
  private(set) var networks: [Network] = []

  /// Positive and negative prompt together.
  private static let batch = 2

  /// Runs each network `repeats` times on synthetic inputs.
  init(_ model: DiffusionModel, size: PictureSize?, repeats: Int) throws {
    width = size?.width ?? model.defaultSide
    height = size?.height ?? model.defaultSide
    let (rows, columns) = (height / 8, width / 8)
    let ids = [Int32](repeating: 0, count: Self.batch * model.tokenLimit)
    let hidden = try measure(
      "text encoder", model.textEncoder,
      ["input_ids": Value(ids: ids, shape: [Self.batch, model.tokenLimit])], repeats)
    guard let states = hidden["last_hidden_state"] else { return }
    let latents = (0..<model.latentChannels * rows * columns).map { Float($0 % 17) / 8 - 1 }
    let shape = [1, model.latentChannels, rows, columns]
    var inputs = [
      "sample": Value(latents + latents, shape: [Self.batch] + shape.dropFirst()),
      "timestep": Value([500], shape: [1]), "encoder_hidden_states": states,
    ]
    inputs["timestep_cond"] = model.guidanceWidth.map {
      Value([Float](repeating: 0, count: $0), shape: [1, $0])
    }
    _ = try measure("UNet, guided step", model.unet, inputs, repeats)
    _ = try measure(
      "VAE decoder", model.codec.decoder, ["latent_sample": Value(latents, shape: shape)], repeats)
  }

  private mutating func measure(
    _ name: String, _ network: any Engine.Network, _ inputs: [String: Value], _ repeats: Int
  ) throws -> [String: Value] {
    var result = Network(name: name)
    var best: [StepTiming] = []
    var outputs: [String: Value] = [:]
    // The first run fills caches, as in sampling.
    for index in 0...repeats {
      var steps: [StepTiming] = []
      let start = Console.seconds()
      outputs = try network.run(inputs, inputVersions: ["encoder_hidden_states": 1]) {
        steps.append($0)
      }
      let seconds = Console.seconds() - start
      guard index > 0 else { continue }
      result.seconds = min(result.seconds, seconds)
      best = best.isEmpty ? steps : zip(best, steps).map { $0.seconds < $1.seconds ? $0 : $1 }
    }
    for step in best { result.profile.add(step) }
    networks.append(result)
    return outputs
  }

  // MARK: Reports

  func text(_ options: EngineOptions, _ roofline: Roofline, load: Double) -> String {
    var lines = [
      "\(options.precision.rawValue), \(EngineOptions.instructionSet),"
        + " \((options.threads ?? EngineOptions.coreCount).of("thread")) at most; \(width)x\(height)",
      "ceiling: \(Format.decimals(roofline.operations * 1e-9, 0)) GFLOP/s,"
        + " \(Format.decimals(roofline.bytes * 1e-9, 1)) GB/s; loaded in \(Format.seconds(load))",
    ]
    for network in networks {
      lines.append("\n\(network.name): \(Format.decimals(network.seconds * 1e3, 1)) ms")
      var table = Table([
        ("operation", .left), ("steps", .right), ("ms", .right), ("share", .right),
        ("GFLOP/s", .right), ("GB/s", .right), ("of ceiling", .right),
      ])
      for (kind, entry) in Self.sorted(network.profile) {
        let operations = 2 * Double(entry.macs) / entry.seconds
        let bytes = Double(entry.bytes) / entry.seconds
        let share =
          entry.macs > 0 ? operations / roofline.operations : bytes / roofline.bytes
        table.add([
          kind.implementation.isEmpty
            ? kind.operation : "\(kind.operation): \(kind.implementation)",
          String(entry.steps), Format.decimals(entry.seconds * 1e3, 1),
          Format.decimals(100 * entry.seconds / network.profile.seconds, 1) + " %",
          entry.macs > 0 ? Format.decimals(operations * 1e-9, 0) : "",
          Format.decimals(bytes * 1e-9, 1), Format.decimals(100 * share, 0) + " %",
        ])
      }
      lines.append(table.text())
    }
    lines.append("\npeak memory: \(Format.bytes(Self.peakMemory))")
    return lines.joined(separator: "\n")
  }

  func json(
    _ options: EngineOptions, _ roofline: Roofline, load: Double, _ warnings: [String]
  ) -> JSON {
    [
      "version": 1,
      "dtype": .string(options.precision.rawValue),
      "instruction_set": .string(EngineOptions.instructionSet),
      "threads": .integer(options.threads ?? EngineOptions.coreCount),
      "width": .integer(width), "height": .integer(height), "batch": .integer(Self.batch),
      "ceiling": [
        "gflops": .number(roofline.operations * 1e-9),
        "gb_per_second": .number(roofline.bytes * 1e-9),
      ],
      "load": .number(load),
      "networks": .array(
        networks.map { network in
          [
            "name": .string(network.name), "seconds": .number(network.seconds),
            "operations": .array(Self.sorted(network.profile).map(Self.row)),
          ]
        }),
      "peak_memory_bytes": .integer(Self.peakMemory),
      "warnings": .array(warnings.map { .string($0) }),
    ]
  }

  private static func row(_ kind: Profile.Kind, _ entry: Profile.Entry) -> JSON {
    [
      "operation": .string(kind.operation), "implementation": .string(kind.implementation),
      "steps": .integer(entry.steps), "seconds": .number(entry.seconds),
      "macs": .integer(entry.macs), "bytes": .integer(entry.bytes),
    ]
  }

  private static func sorted(_ profile: Profile) -> [(Profile.Kind, Profile.Entry)] {
    profile.entries.sorted { $0.value.seconds > $1.value.seconds }.map { ($0.key, $0.value) }
  }

  private static var peakMemory: Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
  }
}
