import CKernels
import ModelGraph

/// The step of each instruction, and steps computed by sdloom's kernels.
extension Plan {
  func step(_ instruction: Program.Instruction) throws -> Step {
    let node = instruction.node
    let output = instruction.output
    let to = pointer(output)
    let type = type(output)
    let channels = channels(output)
    let rows = rows(output)
    let from = instruction.inputs.map { pointer($0) }

    switch node.operation {
    case .convolution(let form):
      return try convolution(instruction, form)
    case .linear:
      return try linear(
        instruction, self.channels(node.inputs[0].index), self.channels(node.output.index))
    case .groupNorm(let form):
      return try groupNorm(instruction, form)
    case .attention(let form):
      return attention(instruction, form)

    case .layerNorm(let epsilon):
      let (gamma, beta) = try scaleAndShift(node)
      return step(instruction) {
        sdk_layer_norm(from[0], to, type, rows, channels, epsilon, gamma, beta)
      }
    case .activation(let function):
      let count = count(output)
      let kernel: sdk_function =
        switch function {
        case .silu: SDK_SILU
        case .gelu: SDK_GELU
        case .quickGELU: SDK_QUICK_GELU
        case .relu: SDK_RELU
        case .latentClamp: SDK_LATENT_CLAMP
        }
      return step(instruction) { sdk_activation(from[0], to, type, count, kernel) }
    case .geglu:
      return step(instruction) { sdk_geglu(from[0], to, type, rows, channels) }
    case .add:
      let count = count(output)
      return step(instruction) { sdk_add(from[0], from[1], to, type, count) }
    case .addPerChannel:
      // The vector is f32, like everything derived from the timestep.
      let vector = from[1].assumingMemoryBound(to: Float.self)
      return step(instruction) { sdk_add_rows(from[0], vector, 1, to, type, rows, channels) }
    case .addPositions:
      let table = try parameters.vector(parameter(node.weight, node))
      let tokens = shape(node.output.index)[1]
      guard tokens <= program.graph[try parameter(node.weight, node)].shape[0] else {
        throw EngineError(
          .input, "\(tokens) tokens exceed the number of positions",
          context: "\(program.graph.name): \(node.name)")
      }
      return step(instruction) {
        sdk_add_rows(from[0], table, tokens, to, type, rows, channels)
      }
    case .concatenate:
      let width = sdk_type_size(type)
      let first = self.channels(node.inputs[0].index) * width
      let second = self.channels(node.inputs[1].index) * width
      return step(instruction) { sdk_concatenate(from[0], first, from[1], second, to, rows) }
    case .upsampleNearest:
      let input = shape(node.inputs[0].index)
      let output = shape(node.output.index)
      let pixel = channels * sdk_type_size(type)
      return step(instruction) {
        sdk_upsample(
          from[0], to, input[0], input[2], input[3], output[2], output[3], pixel)
      }
    case .embedding:
      return try embedding(instruction)
    case .timestepEmbedding(let form):
      return step(instruction) {
        let timestep = from[0].load(as: Float.self)
        sdk_timestep_embedding(
          Double(timestep), to.assumingMemoryBound(to: Float.self), form.channels,
          form.flipSinToCos ? 1 : 0, form.frequencyShift)
      }
    case .prependToken:
      return try prependToken(instruction)
    case .firstToken:
      return firstToken(instruction)
    case .matchTokens(let form):
      return matchTokens(instruction, form)
    case .mergeTokens:
      return mergeTokens(instruction)
    case .unmergeTokens:
      return unmergeTokens(instruction)
    case .imageToTokens, .tokensToImage:
      preconditionFailure("a change of view has no instruction")
    }
  }

  /// A step of an sdloom kernel, which cannot fail.
  func step(
    _ instruction: Program.Instruction, implementation: String = "", macs: Int = 0,
    _ run: @escaping () -> Void
  ) -> Step {
    Step(
      name: instruction.node.name, kind: instruction.node.operation.kind,
      isConstant: instruction.isConstant, implementation: implementation, macs: macs,
      bytes: bytes(instruction)
    ) { () throws(EngineError) in run() }
  }

  private func parameter(
    _ id: Graph.ParameterID?, _ node: Graph.Node
  ) throws(EngineError) -> Graph.ParameterID {
    guard let id else {
      throw EngineError(
        .unsupported, "the \(node.operation.kind) lacks a parameter",
        context: "\(program.graph.name): \(node.name)")
    }
    return id
  }

  private func scaleAndShift(
    _ node: Graph.Node
  ) throws -> (UnsafePointer<Float>, UnsafePointer<Float>) {
    (
      try parameters.vector(parameter(node.weight, node)),
      try parameters.vector(parameter(node.bias, node))
    )
  }

  /// The group norm `node` on an instruction's input; the output is left open.
  func groupNorm(
    _ instruction: Program.Instruction, _ node: Graph.Node, _ form: GroupNorm
  ) throws -> sdk_group_norm_form {
    let (gamma, beta) = try scaleAndShift(node)
    let picture = shape(node.output.index)
    var kernel = sdk_group_norm_form()
    kernel.x = UnsafeRawPointer(pointer(instruction.inputs[0]))
    kernel.type = type(instruction.inputs[0])
    kernel.batch = picture[0]
    kernel.rows = picture[2] * picture[3]
    kernel.channels = picture[1]
    kernel.groups = form.groups
    kernel.epsilon = form.epsilon
    kernel.silu = form.silu ? 1 : 0
    kernel.gamma = gamma
    kernel.beta = beta
    if let offset = instruction.offset {
      kernel.offset = UnsafePointer(pointer(offset).assumingMemoryBound(to: Float.self))
    }
    return kernel
  }

  private func groupNorm(_ instruction: Program.Instruction, _ form: GroupNorm) throws -> Step {
    var kernel = try groupNorm(instruction, instruction.node, form)
    kernel.y = pointer(instruction.output)
    scratch.require(sdk_group_norm_scratch(kernel.batch, kernel.rows, kernel.channels))
    let (scratch, fixed) = (scratch, kernel)
    return step(instruction) {
      var kernel = fixed
      kernel.scratch = scratch.pointer
      sdk_group_norm(&kernel)
    }
  }

  private func attention(_ instruction: Program.Instruction, _ form: Attention) -> Step {
    let node = instruction.node
    let query = shape(node.inputs[0].index)
    let key = shape(node.inputs[1].index)
    let width = query[2]
    var kernel = sdk_attention_form()
    kernel.q = UnsafeRawPointer(pointer(instruction.inputs[0]))
    kernel.k = UnsafeRawPointer(pointer(instruction.inputs[1]))
    kernel.v = UnsafeRawPointer(pointer(instruction.inputs[2]))
    kernel.y = pointer(instruction.output)
    kernel.type = type(instruction.output)
    kernel.batch = query[0]
    kernel.queries = query[1]
    kernel.keys = key[1]
    kernel.heads = form.heads
    kernel.size = width / form.heads
    kernel.q_stride = width
    kernel.k_stride = width
    kernel.v_stride = width
    kernel.y_stride = width
    kernel.scale = form.scale
    kernel.causal = form.causal ? 1 : 0
    scratch.require(sdk_attention_scratch(kernel.keys, kernel.size, sdk_threads()))
    let scratch = scratch
    return step(instruction, macs: 2 * query[0] * query[1] * key[1] * width) {
      var kernel = kernel
      kernel.scratch = scratch.pointer
      sdk_attention(&kernel)
    }
  }

  private func prependToken(_ instruction: Program.Instruction) throws -> Step {
    let node = instruction.node
    let token = try parameters.vector(parameter(node.weight, node))
    let from = pointer(instruction.inputs[0])
    let to = pointer(instruction.output)
    let type = type(instruction.output)
    let output = shape(node.output.index)
    let width = output[2] * sdk_type_size(type)
    let others = (output[1] - 1) * width
    return step(instruction) {
      for sample in 0..<output[0] {
        let row = to + sample * output[1] * width
        sdk_convert_serial(token, SDK_F32, row, type, output[2])
        (row + width).copyMemory(from: from + sample * others, byteCount: others)
      }
    }
  }

  private func firstToken(_ instruction: Program.Instruction) -> Step {
    let from = pointer(instruction.inputs[0])
    let to = pointer(instruction.output)
    let input = shape(instruction.node.inputs[0].index)
    let stored = type(instruction.inputs[0])
    let type = type(instruction.output)
    return step(instruction) {
      for sample in 0..<input[0] {
        sdk_convert_serial(
          from + sample * input[1] * input[2] * sdk_type_size(stored), stored,
          to + sample * input[2] * sdk_type_size(type), type, input[2])
      }
    }
  }

  private func embedding(_ instruction: Program.Instruction) throws -> Step {
    let node = instruction.node
    let weight = try parameter(node.weight, node)
    let rowCount = program.graph[weight].shape[0]
    let width = program.graph[weight].shape[1]
    let (table, stored) = try parameters.table(weight)
    let count = rows(instruction.output)
    let ids = pointer(instruction.inputs[0]).assumingMemoryBound(to: Int32.self)
    let to = pointer(instruction.output)
    let type = type(instruction.output)
    let context = "\(program.graph.name): \(node.name)"
    return Step(
      name: node.name, kind: node.operation.kind, isConstant: instruction.isConstant, macs: 0,
      bytes: 2 * byteCount(instruction.output)
    ) { () throws(EngineError) in
      for index in 0..<count {
        let id = Int(ids[index])
        guard id >= 0, id < rowCount else {
          throw EngineError(
            .input, "token id \(id) is not below the \(rowCount) of the vocabulary",
            context: context)
        }
        sdk_convert_serial(
          table + id * width * sdk_type_size(stored), stored,
          to + index * width * sdk_type_size(type), type, width)
      }
    }
  }
}
