import CKernels
import COneDNN
import Glibc
import ModelFormats
import ModelGraph
import Synchronization

/// A graph with its weights, ready to run on the CPU.
///
/// Weights are read and packed once. Everything that depends on sizes (memory, compiled layers) is
/// created when a size is first run, and kept for the last few sizes. Runs exclude each other.
public final class Executable: @unchecked Sendable {
  /// The graph.
  public let graph: Graph
  /// The options it was created with.
  public let options: EngineOptions
  /// The sizes it was prepared for.
  public let sizes: Sizes
  private let threads: Int

  private let program: Program
  private let parameters: Parameters
  private let stream: onednn_stream
  /// The plans of the sizes used last, the latest at the end.
  private var plans: [Plan] = []
  private let lock = Mutex<Void>(())

  /// The number of plans to keep.
  private static let planLimit = 2

  /// Loads the weights and prepares for `sizes`; other sizes can be run too.
  ///
  /// - Parameters:
  ///   - parameters: returns the tensor of a graph parameter, by `Parameter.name`.
  ///   - progress: called with the number of parameters loaded so far and in total.
  /// - Throws: ``EngineError``, or what `parameters` throws.
  public init(
    graph: Graph, parameters source: (String) throws -> Tensor,
    options: EngineOptions = EngineOptions(), sizes: Sizes = Sizes(),
    progress: ((Int, Int) -> Void)? = nil
  ) throws {
    self.graph = graph
    self.options = options
    self.sizes = sizes
    if options.precision == .bf16, !Precision.isBF16Native {
      throw EngineError(
        .unsupported, "this CPU has no bfloat16 instructions; use f32", context: graph.name.rawValue
      )
    }
    // oneDNN first: its threads are those of the OpenMP runtime that it opens.
    try OneDNN.require()
    try ThreadPool.require()
    program = Program(
      graph, precision: options.precision, constantInputs: options.constantInputs)
    var stream: onednn_stream?
    try OneDNN.check(onednn_stream_create(&stream), graph.name.rawValue)
    guard let stream else {
      throw EngineError(.library, "oneDNN gave no stream", context: graph.name.rawValue)
    }
    self.stream = stream
    threads = options.threads(macs: LayerCost.total(graph.costs(sizes)).macs)
    sdk_set_threads(Int32(threads))
    // Address space for any network in any packing; the file grows on use.
    let file =
      options.keepsWeightsInFile
      ? try WeightFile(capacity: 1 << 36, context: graph.name.rawValue) : nil
    let parameters = Parameters(graph: graph, file: file)
    self.parameters = parameters
    let program = program
    plans = [
      try parameters.loading(source, progress) {
        try Plan(program, sizes: sizes, parameters: parameters, stream: stream)
      }
    ]
  }

  deinit {
    plans = []
    onednn_stream_destroy(stream)
  }

  /// Memory in bytes: packed weights, activations and working memory.
  public var memoryBytes: Int {
    lock.withLock { _ in
      parameters.byteCount + plans.reduce(0) { $0 + $1.byteCount }
    }
  }

  /// Bytes of activations and working memory only, for the last used sizes.
  public var workingMemoryBytes: Int {
    lock.withLock { _ in plans.reduce(0) { $0 + $1.byteCount } }
  }

  /// Computes the graph's outputs, by name.
  ///
  /// - Parameters:
  ///   - inputs: every input of the graph, by name; images are channels-first.
  ///   - inputVersions: a number for each constant input, which changes when the input does. If all are
  ///     the same as in the last run with these sizes, results that depend only on those inputs are
  ///     not recomputed, and the inputs are not read.
  ///     all are as they were in the last run of the same sizes, what depends on those inputs
  ///     alone is not computed again, and the inputs themselves are not read.
  ///   - observer: called after each step with its timing.
  /// - Throws: ``EngineError``.
  public func run(
    _ inputs: [String: Value], inputVersions: [String: Int] = [:],
    observer: ((StepTiming) -> Void)? = nil
  ) throws -> [String: Value] {
    try lock.withLock { _ in
      sdk_set_threads(Int32(threads))
      let sizes = try graph.sizes(of: inputs)
      let plan = try plan(for: sizes)
      let names = program.constantInputs.map { graph.values[$0].name }
      let known = names.allSatisfy { inputVersions[$0] != nil } && !names.isEmpty
      let isConstant =
        known
        && plan.inputVersions.map { held in names.allSatisfy { held[$0] == inputVersions[$0] } }
          ?? false
      // Nothing is kept until the run succeeds.
      plan.inputVersions = nil
      for input in graph.inputs where !(isConstant && program.constantInputs.contains(input.index))
      {
        try plan.read(inputs[graph[input].name], into: input)
      }
      let steps = plan.steps.filter { !(isConstant && $0.isConstant) }
      if let first = steps.first { parameters.fetch(first.weights) }
      for (index, step) in steps.enumerated() {
        // The disk reads ahead while the cores work.
        if index + 1 < steps.count { parameters.fetch(steps[index + 1].weights) }
        let start = Self.now()
        try step.run()
        parameters.release()
        observer?(
          StepTiming(
            name: step.name, kind: step.kind, implementation: step.implementation,
            seconds: Self.now() - start, macs: step.macs, bytes: step.bytes))
      }
      if known { plan.inputVersions = inputVersions }
      return Dictionary(
        uniqueKeysWithValues: graph.outputs.map { (graph[$0].name, plan.write($0)) })
    }
  }

  private func plan(for sizes: Sizes) throws -> Plan {
    if let index = plans.firstIndex(where: { $0.sizes == sizes }) {
      let plan = plans.remove(at: index)
      plans.append(plan)
      return plan
    }
    // Drop the oldest first: two arenas at once may exceed memory.
    if plans.count >= Self.planLimit { plans.removeFirst() }
    let plan = try Plan(program, sizes: sizes, parameters: parameters, stream: stream)
    plans.append(plan)
    return plan
  }

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
