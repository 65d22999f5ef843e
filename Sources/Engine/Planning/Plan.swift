import CKernels
import COneDNN
import ModelGraph

/// A program for given sizes: every step with its memory, ready to run repeatedly.
final class Plan {
  /// One instruction with its memory and primitives.
  struct Step {
    let name: String
    let kind: String
    let isConstant: Bool
    var implementation = ""
    let macs: Int
    let bytes: Int
    /// The packed weights that it reads, if they are in a file.
    var weights: [UnsafeRawBufferPointer] = []
    let run: () throws(EngineError) -> Void
  }

  let program: Program
  let sizes: Sizes
  let parameters: Parameters
  let stream: onednn_stream
  private(set) var steps: [Step] = []
  /// Working memory of the current step.
  let scratch = Scratch()
  private let arena: Allocation
  /// For each value, the offset of its storage in the arena.
  private let offsets: [Int]
  /// The versions of the constant inputs whose results are kept.
  var inputVersions: [String: Int]?

  /// Lays out memory and compiles every step, loading missing parameters.
  init(
    _ program: Program, sizes: Sizes, parameters: Parameters, stream: onednn_stream
  ) throws {
    self.program = program
    self.sizes = sizes
    self.parameters = parameters
    self.stream = stream
    let lifetimes = Self.lifetimes(program, sizes)
    let storages = lifetimes.sorted { $0.key < $1.key }
    let plan = MemoryPlan(storages.map(\.value))
    let places = Dictionary(uniqueKeysWithValues: zip(storages.map(\.key), plan.offsets))
    // Unused values have no storage.
    offsets = program.storage.map { places[$0] ?? 0 }
    arena = try Allocation(byteCount: plan.byteCount, context: program.graph.name.rawValue)
    for instruction in program.instructions {
      var step = try step(instruction)
      step.weights = parameters.collectUses()
      steps.append(step)
    }
    try scratch.allocate(context: program.graph.name.rawValue)
  }

  /// Bytes of activations and working memory.
  var byteCount: Int { arena.byteCount + scratch.byteCount }

  // MARK: Values

  /// A value's dimensions in the graph.
  func shape(_ value: Int) -> [Int] { program.graph.values[value].shape.map { $0.value(sizes) } }

  func pointer(_ value: Int) -> UnsafeMutableRawPointer {
    arena.pointer + offsets[value]
  }

  func type(_ value: Int) -> sdk_type { program.type(of: value) }

  /// The channels of an image, the width of anything else.
  func channels(_ value: Int) -> Int {
    let shape = shape(value)
    return shape.count == 4 ? shape[1] : shape.last ?? 1
  }

  func count(_ value: Int) -> Int { shape(value).reduce(1, *) }

  /// Positions of all samples.
  func rows(_ value: Int) -> Int { count(value) / max(1, channels(value)) }

  func byteCount(_ value: Int) -> Int { count(value) * sdk_type_size(type(value)) }

  private static func lifetimes(_ program: Program, _ sizes: Sizes) -> [Int: MemoryPlan.Lifetime] {
    var lifetimes: [Int: MemoryPlan.Lifetime] = [:]
    let end = program.instructions.count
    func touch(_ value: Int, at time: Int) {
      let shape = program.graph.values[value].shape
      let count = shape.reduce(1) { $0 * $1.value(sizes) }
      let size = count * sdk_type_size(program.type(of: value))
      let storage = program.storage[value]
      var lifetime =
        lifetimes[storage]
        ?? MemoryPlan.Lifetime(byteCount: size, first: time, last: time)
      lifetime.byteCount = max(lifetime.byteCount, size)
      lifetime.first = min(lifetime.first, time)
      lifetime.last = max(lifetime.last, time)
      lifetimes[storage] = lifetime
    }
    for input in program.graph.inputs { touch(input.index, at: -1) }
    for (index, instruction) in program.instructions.enumerated() {
      for value in instruction.reads { touch(value, at: index) }
      touch(instruction.output, at: index)
    }
    for output in program.graph.outputs { touch(output.index, at: end) }
    for value in program.kept {
      touch(value, at: -1)
      touch(value, at: end)
    }
    return lifetimes
  }
}

/// Working memory shared by the steps of a plan, sized by the one that needs most.
final class Scratch {
  private(set) var byteCount = 0
  private var allocation: Allocation?

  /// Requests a size before ``allocate(context:)``.
  func require(_ byteCount: Int) { self.byteCount = max(self.byteCount, byteCount) }

  func allocate(context: String) throws(EngineError) {
    allocation = try Allocation(byteCount: byteCount, context: context)
  }

  var pointer: UnsafeMutableRawPointer {
    guard let allocation else { preconditionFailure("scratch is allocated before steps run") }
    return allocation.pointer
  }
}
