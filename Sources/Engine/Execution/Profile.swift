/// What one step of a run did and how long it took.
public struct StepTiming: Sendable, Hashable {
  /// The node, as in `down_blocks.0.resnets.0.conv1`.
  public let name: String
  /// The operation, as `Operation.kind` names it.
  public let kind: String
  /// What does it: oneDNN's name for its implementation, or empty for a kernel of ours.
  public let implementation: String
  /// Seconds of wall-clock time.
  public let seconds: Double
  /// Multiplications with an addition.
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

/// The steps of one or more runs added up by kind of operation and what does it.
public struct Profile: Sendable {
  /// Steps that belong together.
  public struct Kind: Sendable, Hashable {
    /// The operation, as in ``StepTiming/kind``.
    public let operation: String
    /// What ran it, as in ``StepTiming/implementation``.
    public let implementation: String
  }

  /// The sum over the steps of one kind.
  public struct Entry: Sendable, Hashable {
    /// How many steps were added up.
    public var steps = 0
    /// Seconds of wall-clock time.
    public var seconds = 0.0
    /// Multiplications with an addition.
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
