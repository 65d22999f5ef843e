import CKernels
import COneDNN
import ModelGraph

/// Steps computed by oneDNN.
extension Plan {
  private func dataType(_ type: sdk_type) -> onednn_type {
    type == SDK_BF16 ? onednn_bf16 : onednn_f32
  }

  func convolution(
    _ instruction: Program.Instruction, _ form: Convolution
  ) throws -> Step {
    let isPointwise = form.kernel == 1 && form.stride == 1 && form.padding == .all(0)
    if isPointwise {
      return try linear(instruction, form.inputChannels, form.outputChannels)
    }
    if let step = try ownConvolution(instruction, form) { return step }
    let name = instruction.node.name
    guard let weight = instruction.node.weight else {
      throw EngineError(.unsupported, "a convolution without weight", context: name)
    }
    // Use the node's shapes: a value's storage may be viewed as tokens elsewhere.
    let from = shape(instruction.node.inputs[0].index)
    let to = shape(instruction.node.output.index)
    var description = onednn_convolution()
    description.batch = Int64(from[0])
    description.in_channels = Int64(from[1])
    description.in_height = Int64(from[2])
    description.in_width = Int64(from[3])
    description.out_channels = Int64(to[1])
    description.out_height = Int64(to[2])
    description.out_width = Int64(to[3])
    description.kernel = Int64(form.kernel)
    description.stride = Int64(form.stride)
    description.pad_top = Int64(form.padding.top)
    description.pad_left = Int64(form.padding.left)
    description.pad_bottom = Int64(form.padding.bottom)
    description.pad_right = Int64(form.padding.right)
    description.source_type = dataType(type(instruction.inputs[0]))
    description.weights_type = description.source_type
    description.result_type = dataType(type(instruction.output))
    description.has_bias = instruction.node.bias == nil ? 0 : 1
    description.accumulate = instruction.residual == nil ? 0 : 1
    let primitive = try Primitive(name) { primitive in
      onednn_convolution_create(&description, &primitive)
    }
    let packed = try parameters.matrix(
      weight, for: primitive,
      dimensions: [form.outputChannels, form.inputChannels, form.kernel, form.kernel],
      order: onednn_oihw, on: stream)
    let macs =
      to.reduce(1, *) * form.inputChannels * form.kernel * form.kernel
    return try step(
      instruction, primitive, weights: packed, bias: instruction.node.bias.map(parameters.vector),
      macs: macs)
  }

  func linear(
    _ instruction: Program.Instruction, _ inputs: Int, _ outputs: Int
  ) throws -> Step {
    if let step = try ownProduct(instruction, inputs, outputs) { return step }
    let name = instruction.node.name
    guard let weight = instruction.node.weight else {
      throw EngineError(.unsupported, "a linear layer without weight", context: name)
    }
    let source = instruction.inputs[0]
    let rows = count(source) / inputs
    var description = onednn_matmul()
    description.rows = Int64(rows)
    description.depth = Int64(inputs)
    description.columns = Int64(outputs)
    description.source_type = dataType(type(source))
    description.weights_type = description.source_type
    description.result_type = dataType(type(instruction.output))
    description.has_bias = instruction.node.bias == nil ? 0 : 1
    description.accumulate = instruction.residual == nil ? 0 : 1
    let primitive = try Primitive(name) { primitive in
      onednn_matmul_create(&description, &primitive)
    }
    let packed = try parameters.matrix(
      weight, for: primitive, dimensions: [inputs, outputs], order: onednn_ba, on: stream)
    return try step(
      instruction, primitive, weights: packed, bias: instruction.node.bias.map(parameters.vector),
      macs: rows * inputs * outputs)
  }

  private func step(
    _ instruction: Program.Instruction, _ primitive: Primitive, weights: Memory,
    bias: UnsafePointer<Float>?, macs: Int
  ) throws -> Step {
    let name = instruction.node.name
    let source = try primitive.memory(onednn_source, pointer(instruction.inputs[0]), name)
    let result = try primitive.memory(onednn_result, pointer(instruction.output), name)
    var memories = [source, weights, result]
    var arguments = [
      onednn_argument(role: onednn_source, memory: source.handle),
      onednn_argument(role: onednn_weights, memory: weights.handle),
      onednn_argument(role: onednn_result, memory: result.handle),
    ]
    if let bias {
      let memory = try primitive.memory(
        onednn_bias, UnsafeMutableRawPointer(mutating: bias), name)
      memories.append(memory)
      arguments.append(onednn_argument(role: onednn_bias, memory: memory.handle))
    }
    scratch.require(primitive.scratchpadSize)
    let scratchpad = try primitive.memory(
      onednn_working_memory, pointer(instruction.output), name)
    memories.append(scratchpad)
    arguments.append(onednn_argument(role: onednn_working_memory, memory: scratchpad.handle))
    let stream = stream
    let scratch = scratch
    return Step(
      name: name, kind: instruction.node.operation.kind, isConstant: instruction.isConstant,
      implementation: primitive.implementation, macs: macs, bytes: bytes(instruction)
    ) { () throws(EngineError) in
      try withExtendedLifetime(memories) { () throws(EngineError) in
        // Where the scratchpad lies is known only once every step has said what it needs.
        try scratchpad.move(to: scratch.pointer, name)
        try primitive.execute(on: stream, arguments, name)
      }
    }
  }

  /// Bytes of activations that an instruction reads and writes.
  func bytes(_ instruction: Program.Instruction) -> Int {
    (instruction.reads + [instruction.output]).reduce(0) { $0 + byteCount($1) }
  }
}
