import CKernels
import ModelGraph

/// A graph prepared for any size: fused, ordered, and with storage assigned to each value.
///
/// Images are stored channels-last, so an image and its tokens are the same bytes, and converting
/// between them needs no instruction.
struct Program {
  /// One node with everything fused into it. Numbers are indices of values.
  struct Instruction {
    let node: Graph.Node
    var inputs: [Int]
    var output: Int
    /// A value to which a convolution or linear layer adds its result; the output shares its
    /// storage.
    var residual: Int?
    /// `[1, channels]` that a group norm, standalone or fused into a convolution, adds to its
    /// input.
    var offset: Int?
    /// A group norm that a convolution applies to its input on reading.
    var norm: Graph.Node?
    /// An input whose storage the output reuses.
    var replaced: Int?
    /// Whether a linear layer's result is split and gated (GEGLU) before it is written.
    var isGated = false
    /// Whether a convolution upsamples its input twofold on reading.
    var isDoubled = false
    /// Whether it depends only on constant inputs.
    var isConstant = false

    /// Everything it reads.
    var reads: [Int] { inputs + [residual, offset].compactMap { $0 } }
  }

  let graph: Graph
  let precision: Precision
  private(set) var instructions: [Instruction] = []
  /// For each value, the value whose storage it uses.
  private(set) var storage: [Int]
  /// Values that are kept between runs.
  private(set) var kept: Set<Int> = []
  /// Graph outputs written by a layer that can write f32 for any input type.
  private let exact: Set<Int>
  /// Whether matmuls use sdloom's kernels: if the instruction set has fast ones.
  let hasProducts: Bool
  /// Inputs read only by constant instructions.
  private(set) var constantInputs: Set<Int> = []

  init(_ graph: Graph, precision: Precision, constantInputs: Set<String>) {
    self.graph = graph
    self.precision = precision
    hasProducts = precision.hasProducts
    storage = Array(graph.values.indices)
    let outputs = Set(graph.outputs)
    exact = Set(
      graph.nodes.filter { outputs.contains($0.output) && $0.operation.isMultiplication }
        .map(\.output.index))
    for node in graph.nodes {
      let inputs = node.inputs.map { storage[$0.index] }
      switch node.operation {
      case .imageToTokens, .tokensToImage:
        storage[node.output.index] = inputs[0]
      default:
        instructions.append(
          Instruction(node: node, inputs: inputs, output: node.output.index))
      }
    }
    // Do this first, because fusion must not overwrite kept values.
    separateConstant(constantInputs)
    foldOffsets()
    if hasProducts {
      fuseGates()
      fuseDoublings()
      fuseNorms()
    }
    fuseResiduals()
    chooseReplacements()
  }

  /// The storage dtype of a value.
  func type(of value: Int) -> sdk_type {
    // Timestep embeddings are small and used by every layer, and the last layer's result goes to
    // the caller: both stay f32.
    if precision == .f32 || graph.values[value].shape.count < 3 || exact.contains(value) {
      return SDK_F32
    }
    return SDK_BF16
  }

  /// For each value, the instructions that read it, in order.
  private func readers() -> [[Int]] {
    var readers = [[Int]](repeating: [], count: graph.values.count)
    for (index, instruction) in instructions.enumerated() {
      for value in instruction.reads { readers[value].append(index) }
    }
    return readers
  }

  /// Values returned to the caller, by storage.
  private var results: Set<Int> { Set(graph.outputs.map { storage[$0.index] }) }

  // MARK: Fusion

  /// Makes group norms add the time embedding on reading.
  private mutating func foldOffsets() {
    let readers = readers()
    var removed: Set<Int> = []
    for (index, instruction) in instructions.enumerated() {
      guard case .addPerChannel = instruction.node.operation,
        readers[instruction.output].count == 1, !results.contains(instruction.output)
      else { continue }
      let reader = readers[instruction.output][0]
      guard case .groupNorm = instructions[reader].node.operation else { continue }
      instructions[reader].inputs = [instruction.inputs[0]]
      instructions[reader].offset = instruction.inputs[1]
      removed.insert(index)
    }
    remove(removed)
  }

  /// Makes convolutions and linear layers add their result to a value that is not needed
  /// afterwards.
  private mutating func fuseResiduals() {
    let results = results
    var removed: Set<Int> = []
    for index in instructions.indices {
      guard case .add = instructions[index].node.operation else { continue }
      let inputs = instructions[index].inputs
      for (computed, other) in [(inputs[1], inputs[0]), (inputs[0], inputs[1])] {
        // Earlier fusions may have moved readers, so look them up again.
        let readers = readers()
        guard computed != other, readers[computed] == [index], !results.contains(computed),
          !results.contains(other),
          let producer = instructions.indices.first(where: {
            !removed.contains($0) && instructions[$0].output == computed
          }),
          instructions[producer].residual == nil,
          instructions[producer].node.operation.isMultiplication,
          // A constant layer must not read changing values.
          instructions[producer].isConstant == instructions[index].isConstant,
          !kept.contains(other),
          type(of: other) == type(of: instructions[index].output),
          isComputed(other, before: producer, without: removed),
          readers[other].allSatisfy({ $0 == index || $0 < producer || removed.contains($0) })
        else { continue }
        instructions[producer].residual = other
        instructions[producer].output = instructions[index].output
        instructions[index].inputs = []
        removed.insert(index)
        break
      }
    }
    remove(removed)
  }

  /// Fuses GEGLU into linear layers that nothing else reads.
  private mutating func fuseGates() {
    let graph = graph
    fuse { producer, reader in
      guard case .geglu = reader.node.operation, case .linear = producer.node.operation,
        let width = graph.values[producer.output].shape.last?.fixed, width % 32 == 0,
        producer.isConstant == reader.isConstant
      else { return nil }
      var fused = producer
      fused.isGated = true
      fused.output = reader.output
      return fused
    }
  }

  /// Fuses twofold upsampling into convolutions that are its only readers.
  private mutating func fuseDoublings() {
    fuse { producer, reader in
      guard case .upsampleNearest = producer.node.operation,
        case .convolution(let form) = reader.node.operation, form.hasKernel, form.keepsSize
      else { return nil }
      var fused = reader
      fused.isDoubled = true
      fused.inputs = producer.inputs
      return fused
    }
  }

  /// Fuses normalization into convolutions that are its only readers: this saves a pass over the
  /// image, and in bf16 a rounding.
  private mutating func fuseNorms() {
    fuse { producer, reader in
      guard case .groupNorm = producer.node.operation,
        case .convolution(let form) = reader.node.operation, form.hasKernel, form.keepsSize,
        !reader.isDoubled
      else { return nil }
      var fused = reader
      fused.norm = producer.node
      fused.offset = producer.offset
      fused.inputs = producer.inputs
      return fused
    }
  }

  /// Replaces a producer and the only reader of its result with one instruction if `join` returns
  /// one.
  private mutating func fuse(_ join: (Instruction, Instruction) -> Instruction?) {
    let readers = readers()
    let results = results
    var removed: Set<Int> = []
    for (index, producer) in instructions.enumerated() {
      guard readers[producer.output].count == 1, !results.contains(producer.output),
        !kept.contains(producer.output),
        let fused = join(producer, instructions[readers[producer.output][0]])
      else { continue }
      instructions[readers[producer.output][0]] = fused
      removed.insert(index)
    }
    remove(removed)
  }

  private func isComputed(_ value: Int, before index: Int, without removed: Set<Int>) -> Bool {
    if graph.inputs.contains(where: { $0.index == value }) { return true }
    return instructions[..<index].indices.contains {
      !removed.contains($0) && instructions[$0].output == value
    }
  }

  private mutating func remove(_ indices: Set<Int>) {
    instructions = instructions.enumerated().filter { !indices.contains($0.offset) }
      .map(\.element)
  }

  // MARK: Order and storage

  /// Moves instructions that depend only on constant inputs to the start, where later runs can skip
  /// them.
  private mutating func separateConstant(_ names: Set<String>) {
    var constant = Set(graph.inputs.filter { names.contains(graph[$0].name) }.map(\.index))
    guard !constant.isEmpty else { return }
    constantInputs = constant
    for index in instructions.indices
    where instructions[index].reads.allSatisfy({ constant.contains($0) }) {
      instructions[index].isConstant = true
      constant.insert(instructions[index].output)
    }
    instructions = instructions.filter(\.isConstant) + instructions.filter { !$0.isConstant }
    let changing = instructions.filter { !$0.isConstant }.flatMap(\.reads)
    // An input that changing layers also read must be stored on every run.
    constantInputs.subtract(changing)
    kept = constant.subtracting(graph.inputs.map(\.index)).intersection(
      Set(changing).union(results))
  }

  /// Lets a layer overwrite an input that is not needed afterwards.
  private mutating func chooseReplacements() {
    let readers = readers()
    let results = results
    for index in instructions.indices {
      let instruction = instructions[index]
      let candidates = instruction.residual.map { [$0] } ?? instruction.replaceableInputs
      for value in candidates
      where readers[value].allSatisfy({ $0 <= index }) && !results.contains(value)
        && !kept.contains(value) && type(of: value) == type(of: instruction.output)
      {
        instructions[index].replaced = value
        break
      }
      // Otherwise the layer would add to stale memory.
      precondition(
        instruction.residual == nil || instructions[index].replaced != nil,
        "a residual that was fused can be written over")
    }
    for instruction in instructions {
      guard let replaced = instruction.replaced else { continue }
      storage[instruction.output] = storage[replaced]
    }
    // Initial aliases refer to values that may have moved since.
    for value in storage.indices { storage[value] = root(of: value) }
  }

  private func root(of value: Int) -> Int {
    var value = value
    while storage[value] != value { value = storage[value] }
    return value
  }
}

extension Program.Instruction {
  /// Inputs that may be overwritten while the result is computed.
  fileprivate var replaceableInputs: [Int] {
    switch node.operation {
    case .add: inputs
    case .activation, .addPerChannel, .addPositions, .groupNorm, .layerNorm: [inputs[0]]
    case .unmergeTokens: [inputs[1]]
    default: []
    }
  }
}

extension Operation {
  /// Whether oneDNN computes it and can add to its output.
  fileprivate var isMultiplication: Bool {
    switch self {
    case .convolution, .linear: true
    default: false
    }
  }
}
