import Diffusion
import Engine
import Synchronization

/// A UNet of four output channels that accepts more inputs and records them.
final class Watcher: Network {
  private let network: any Network
  private let seen = Mutex<[Value]>([])

  init(_ network: any Network) {
    self.network = network
  }

  var samples: [Value] { seen.withLock { $0 } }

  func run(
    _ inputs: [String: Value], inputVersions: [String: Int], observer: ((StepTiming) -> Void)?
  ) throws -> [String: Value] {
    guard let sample = inputs["sample"] else { return [:] }
    seen.withLock { $0.append(sample) }
    let plane = sample.shape[2] * sample.shape[3]
    let values = (0..<sample.shape[0]).flatMap { index in
      sample.reals[index * sample.shape[1] * plane..<(index * sample.shape[1] + 4) * plane]
    }
    var inputs = inputs
    inputs["sample"] = Value(values, shape: [sample.shape[0], 4] + sample.shape.dropFirst(2))
    return try network.run(inputs, inputVersions: inputVersions, observer: observer)
  }
}
