import CKernels
import Checkpoint
import Engine
import Foundation
import ModelGraph
import Testing

extension EngineTests {
  /// The networks at full size: numbers against diffusers, and seconds.
  ///
  /// They need 5 GB of weights and a reference made by `Oracle/full_size.py`, so they run only where
  /// `SDKIT_FULL` names a repository and `SDKIT_FULL_REFERENCE` that file.
  @Suite(.enabled(if: FullSize.isAvailable, "SDKIT_FULL names no full-size repository"))
  struct FullSizeTests {
    /// ‖bf16_out_981 − out_981‖ / ‖out_981‖ and the same of the image, in the reference.
    static let unetError = 0.0138
    static let vaeError = 0.0252

    @Test func textEncoder() throws {
      let full = try FullSize()
      let text = try full.executable(.textEncoder, "text_encoder", Sizes(batch: 2))
      let inputs = try ["input_ids": full.reference.ids("ids")]
      let output = try full.time("text encoder", text, inputs)["last_hidden_state"]
      try #expect(
        relativeError(output, full.reference.value("hidden")) < full.tolerance(torch: 0.01))
    }

    @Test func unet() throws {
      let full = try FullSize()
      let unet = try full.executable(.unet, "unet", Sizes(batch: 2))
      let states = try full.reference.value("states")
      for timestep in [981, 1] {
        let inputs = try [
          "sample": full.reference.value("sample"), "encoder_hidden_states": states,
          "timestep": Value([Float(timestep)], shape: [1]),
        ]
        let output = try full.time("UNet at \(timestep)", unet, inputs)["out_sample"]
        let expected = try full.reference.value("out_\(timestep)")
        #expect(relativeError(output, expected) < full.tolerance(torch: Self.unetError))
      }
      // Neither side is a multiple of eight: every halving rounds up and every doubling crops.
      let odd = try unet.run([
        "sample": full.reference.value("odd_sample"), "encoder_hidden_states": states.sample(0),
        "timestep": Value([500], shape: [1]),
      ])["out_sample"]
      try #expect(
        relativeError(odd, full.reference.value("odd_out")) < full.tolerance(torch: Self.unetError))
    }

    @Test func vae() throws {
      let full = try FullSize()
      let decoder = try full.executable(.vae, "vae_decoder", Sizes(batch: 1))
      let inputs = try ["latent_sample": full.reference.value("latent")]
      let image = try full.time("VAE decoder", decoder, inputs)["sample"]
      try #expect(
        relativeError(image, full.reference.value("image")) < full.tolerance(torch: Self.vaeError))
      let encoder = try full.executable(
        .vae, "vae_encoder", Sizes(batch: 1, height: 32, width: 41))
      let moments = try full.time(
        "VAE encoder", encoder, ["sample": full.reference.value("picture")])["latent_parameters"]
      try #expect(
        relativeError(moments, full.reference.value("moments"))
          < full.tolerance(torch: Self.vaeError))
    }
  }
}

/// The repository and reference that the environment names.
struct FullSize {
  let checkpoint: ModelCheckpoint
  let reference: Golden
  let options: EngineOptions

  private static let environment = ProcessInfo.processInfo.environment

  static var isAvailable: Bool {
    environment["SDKIT_FULL"] != nil && environment["SDKIT_FULL_REFERENCE"] != nil
  }

  init() throws {
    checkpoint = try ModelCheckpoint.open(Self.environment["SDKIT_FULL"] ?? "")
    reference = try Golden(path: Self.environment["SDKIT_FULL_REFERENCE"] ?? "")
    options = EngineOptions(
      threads: Self.environment["SDKIT_THREADS"].flatMap(Int.init) ?? EngineOptions.coreCount,
      precision: Precision(rawValue: Self.environment["SDKIT_PRECISION"] ?? "f32") ?? .f32)
  }

  /// 2e-5 in f32; in bf16 how far torch's bfloat16 is from its float32 in the reference.
  func tolerance(torch: Double) -> Double { options.precision == .f32 ? 2e-5 : torch }

  func executable(
    _ component: ComponentName, _ graph: String, _ sizes: Sizes
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

  /// The best of three runs, with where its time went.
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
