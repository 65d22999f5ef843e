/// A network that can be run: the engine's, or another that takes and gives the same values.
package protocol Network: Sendable {
  /// Computes the outputs, by name.
  ///
  /// - Parameters:
  ///   - inputs: every input, by the name that the network's graph gives it.
  ///   - inputVersions: a number for each input that often stays the same; while the number does,
  ///     so does the input.
  ///   - observer: called after each layer with what it took.
  func run(
    _ inputs: [String: Value], inputVersions: [String: Int], observer: ((StepTiming) -> Void)?
  ) throws -> [String: Value]
}

extension Executable: Network {}
