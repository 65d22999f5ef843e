import Engine
import Synchronization

/// A network that is loaded when it is first run, and again where it was released before.
package final class LazyNetwork: Network {
  private let load: @Sendable () throws -> any Network
  private let loaded: Mutex<(any Network)?>

  /// - Parameter network: what `load` gave already.
  package init(
    _ network: (any Network)? = nil, _ load: @escaping @Sendable () throws -> any Network
  ) {
    self.load = load
    loaded = Mutex(network)
  }

  package func run(
    _ inputs: [String: Value], inputVersions: [String: Int], observer: ((StepTiming) -> Void)?
  ) throws -> [String: Value] {
    let network = try loaded.withLock { held in
      if let held { return held }
      let network = try load()
      held = network
      return network
    }
    return try network.run(inputs, inputVersions: inputVersions, observer: observer)
  }

  /// Whether the network is in memory.
  package var isLoaded: Bool { loaded.withLock { $0 != nil } }

  /// Gives the memory of the network back.
  package func release() { loaded.withLock { $0 = nil } }
}
