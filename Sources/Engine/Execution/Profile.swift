/// What one step of a run did and how long it took.
public struct StepTiming: Sendable, Hashable {
  /// The node, as in `down_blocks.0.resnets.0.conv1`.
  public let name: String
  /// The operation, as `Operation.kind` names it.
  public let kind: String
  /// What does it: oneDNN's name for its implementation, or empty for a kernel of ours.
  public let implementation: String
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
    public let operation: String
    public let implementation: String
  }

  /// The sum over the steps of one kind.
  public struct Entry: Sendable, Hashable {
    public var steps = 0
    public var seconds = 0.0
    public var macs = 0
    public var bytes = 0
  }

  public private(set) var entries: [Kind: Entry] = [:]

  public init() {}

  public mutating func add(_ step: StepTiming) {
    let kind = Kind(operation: step.kind, implementation: step.implementation)
    var entry = entries[kind] ?? Entry()
    entry.steps += 1
    entry.seconds += step.seconds
    entry.macs += step.macs
    entry.bytes += step.bytes
    entries[kind] = entry
  }

  public var seconds: Double { entries.values.reduce(0) { $0 + $1.seconds } }
}
