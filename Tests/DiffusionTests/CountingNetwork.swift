import Diffusion
import Engine
import Synchronization

/// Records the samples of each run.
final class CountingNetwork: Network {
  let network: any Network
  let batches = Mutex<[Int]>([])

  init(_ network: any Network) { self.network = network }

  func run(
    _ inputs: [String: Value], inputVersions: [String: Int], observer: ((StepTiming) -> Void)?
  ) throws -> [String: Value] {
    batches.withLock { $0.append(inputs["sample"]?.shape[0] ?? 0) }
    return try network.run(inputs, inputVersions: inputVersions, observer: observer)
  }
}
