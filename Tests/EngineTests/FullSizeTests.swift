import CKernels
import Checkpoint
import Engine
import Foundation
import ModelGraph
import TestSupport
import Testing

extension EngineTests {
  /// The networks at full size: results compared with diffusers', and times.
  ///
  /// They take 5 GB of weights and a reference made by `Oracle/full_size.py`.
  @Suite(.fullSizeReference)
  struct FullSizeTests {
    @Test func textEncoder() throws {
      let full = try FullSize()
      let text = try full.executable(.textEncoder, .textEncoder, Sizes(batch: 2))
      let inputs = try ["input_ids": full.reference.ids("ids")]
      let output = try full.time("text encoder", text, inputs)["last_hidden_state"]
      try full.compare(output, "hidden", bf16: "hidden")
    }

    @Test func unet() throws {
      let full = try FullSize()
      let unet = try full.executable(.unet, .unet, Sizes(batch: 2))
      let states = try full.reference.value("states")
      for timestep in [981, 1] {
        let inputs = try [
          "sample": full.reference.value("sample"), "encoder_hidden_states": states,
          "timestep": Value([Float(timestep)], shape: [1]),
        ]
        let output = try full.time("UNet at \(timestep)", unet, inputs)["out_sample"]
        try full.compare(output, "out_\(timestep)", bf16: "out_981")
      }
      // Neither side is a multiple of eight: every halving rounds up and every doubling crops.
      let odd = try unet.run([
        "sample": full.reference.value("odd_sample"), "encoder_hidden_states": states.sample(0),
        "timestep": Value([500], shape: [1]),
      ])["out_sample"]
      try full.compare(odd, "odd_out", bf16: "out_981")
    }

    @Test func vae() throws {
      let full = try FullSize()
      let decoder = try full.executable(.vae, .vaeDecoder, Sizes(batch: 1))
      let inputs = try ["latent_sample": full.reference.value("latent")]
      let image = try full.time("VAE decoder", decoder, inputs)["sample"]
      try full.compare(image, "image", bf16: "image")
      let encoder = try full.executable(
        .vae, .vaeEncoder, Sizes(batch: 1, height: 32, width: 41))
      let moments = try full.time(
        "VAE encoder", encoder, ["sample": full.reference.value("picture")])["latent_parameters"]
      try full.compare(moments, "moments", bf16: "image")
    }
  }
}

/// The repository and reference that the environment names.
struct FullSize {
  let checkpoint: ModelCheckpoint
  let reference: Golden
  let options: EngineOptions

  private static let environment = ProcessInfo.processInfo.environment

  init() throws {
    checkpoint = try ModelCheckpoint.open(#require(Fixtures.fullSize))
    reference = try Golden(path: #require(Fixtures.fullSizeReference))
    options = EngineOptions(
      threads: Self.environment["SDLOOM_THREADS"].flatMap(Int.init) ?? EngineOptions.coreCount,
      precision: Precision(rawValue: Self.environment["SDLOOM_PRECISION"] ?? "f32") ?? .f32)
  }

  /// Expects `output` to be within 2e-5 of the reference in f32; in bf16 no further than torch's
  /// bfloat16 output `bf16` is from its float32.
  func compare(_ output: Value?, _ name: String, bf16: String) throws {
    var bound = 2e-5
    if options.precision == .bf16 {
      bound = try relativeError(reference.value("bf16_\(bf16)"), reference.value(bf16))
    }
    let error = try relativeError(output, reference.value(name))
    print(String(format: "%@: relative error %.2g, bound %.2g", name, error, bound))
    #expect(error <= bound)
  }

  func executable(
    _ component: ComponentName, _ graph: GraphName, _ sizes: Sizes
  ) throws -> Executable {
    let component = try checkpoint.require(component)
    let start = ContinuousClock.now
    let executable = try Executable(
      graph: component.graph(graph), parameters: component.tensor(named:), options: options,
      sizes: sizes)
    print(
      "\(graph): loaded in \(start.duration(to: .now)), holds",
      executable.memoryBytes >> 20, "MiB; process peak", Self.peakMemory >> 20, "MiB")
    return executable
  }

  /// The fastest of three runs, with its time by operation.
  func time(
    _ name: String, _ executable: Executable, _ inputs: [String: Value]
  ) throws -> [String: Value] {
    var best = Double.infinity
    var profile = Profile()
    var output: [String: Value] = [:]
    for _ in 0..<3 {
      var current = Profile()
      let start = ContinuousClock.now
      output = try executable.run(inputs) { current.add($0) }
      let seconds = start.duration(to: .now) / .seconds(1)
      if seconds < best { (best, profile) = (seconds, current) }
    }
    print(String(format: "%@, %@: %.3f s", name, options.precision.rawValue, best))
    for (kind, entry) in profile.entries.sorted(by: { $0.value.seconds > $1.value.seconds }) {
      print(
        String(
          format: "  %4d %-18@ %-28@ %8.1f ms %7.1f GFLOP/s %6.1f GB/s", entry.steps,
          kind.operation as NSString, kind.implementation as NSString,
          entry.seconds * 1e3, 2e-9 * Double(entry.macs) / entry.seconds,
          1e-9 * Double(entry.bytes) / entry.seconds))
    }
    return output
  }

  private static var peakMemory: Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss << 10
  }
}
