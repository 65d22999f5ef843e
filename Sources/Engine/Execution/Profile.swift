/// The timing of one step of a run.
public struct StepTiming: Sendable, Hashable {
  /// The node, such as `down_blocks.0.resnets.0.conv1`.
  public let name: String
  /// The operation, from `Operation.kind`.
  public let kind: String
  /// The implementation: oneDNN's name, or empty for an sdloom kernel.
  public let implementation: String
  /// Seconds of wall-clock time.
  public let seconds: Double
  /// Multiply-accumulate operations.
  public let macs: Int
  /// Bytes of activations read and written.
  public let bytes: Int

  public init(
    name: String, kind: String, implementation: String, seconds: Double, macs: Int, bytes: Int
  ) {
    self.name = name
    self.kind = kind
    self.implementation = implementation
    self.seconds = seconds
    self.macs = macs
    self.bytes = bytes
  }
}

/// The steps of one or more runs, summed by operation and implementation.
public struct Profile: Sendable {
  /// The key of a sum.
  public struct Kind: Sendable, Hashable {
    /// The operation, see ``StepTiming/kind``.
    public let operation: String
    /// The implementation, see ``StepTiming/implementation``.
    public let implementation: String
  }

  /// The sum over the steps of one kind.
  public struct Entry: Sendable, Hashable {
    /// The number of steps.
    public var steps = 0
    /// Seconds of wall-clock time.
    public var seconds = 0.0
    /// Multiply-accumulate operations.
    public var macs = 0
    /// Bytes of activations read and written.
    public var bytes = 0
  }

  /// The sums, by kind.
  public private(set) var entries: [Kind: Entry] = [:]

  public init() {}

  /// Adds one step to the entry of its kind.
  public mutating func add(_ step: StepTiming) {
    let kind = Kind(operation: step.kind, implementation: step.implementation)
    var entry = entries[kind] ?? Entry()
    entry.steps += 1
    entry.seconds += step.seconds
    entry.macs += step.macs
    entry.bytes += step.bytes
    entries[kind] = entry
  }

  /// Seconds of all kinds together.
  public var seconds: Double { entries.values.reduce(0) { $0 + $1.seconds } }
}
