import CKernels
import ModelGraph

/// Steps that merge tokens and distribute results to them.
extension Plan {
  func matchTokens(_ instruction: Program.Instruction, _ matching: TokenMatching) -> Step {
    let node = instruction.node
    let shape = shape(node.inputs[0].index)
    var form = sdk_matching_form()
    form.x = UnsafeRawPointer(pointer(instruction.inputs[0]))
    form.type = type(instruction.inputs[0])
    form.batch = shape[0]
    form.height = matching.height.value(sizes)
    form.width = matching.width.value(sizes)
    form.channels = shape[2]
    form.merged = shape[1] - matching.left.value(sizes)
    form.places = pointer(instruction.output).assumingMemoryBound(to: Int32.self)
    scratch.require(sdk_matching_scratch(&form, sdk_threads()))
    let windows = sdk_windows(form.height, form.width)
    let (scratch, fixed, timestep) = (scratch, form, pointer(instruction.inputs[1]))
    return step(
      instruction, macs: shape[0] * (shape[1] - windows) * windows * shape[2]
    ) {
      var form = fixed
      // Any number derived from the timestep works; that of 0 is 0, which selects the windows'
      // first tokens.
      form.seed = timestep.load(as: UInt32.self)
      form.scratch = scratch.pointer
      sdk_match_tokens(&form)
    }
  }

  func mergeTokens(_ instruction: Program.Instruction) -> Step {
    let from = shape(instruction.node.inputs[0].index)
    let left = shape(instruction.node.output.index)[1]
    let (x, y) = (pointer(instruction.inputs[0]), pointer(instruction.output))
    let places = pointer(instruction.inputs[1]).assumingMemoryBound(to: Int32.self)
    let type = type(instruction.output)
    scratch.require(sdk_merging_scratch(from[0], from[1], left))
    let scratch = scratch
    return step(instruction) {
      sdk_merge_tokens(x, places, y, type, from[0], from[1], left, from[2], scratch.pointer)
    }
  }

  func unmergeTokens(_ instruction: Program.Instruction) -> Step {
    let left = shape(instruction.node.inputs[0].index)[1]
    let to = shape(instruction.node.output.index)
    let (x, y) = (pointer(instruction.inputs[0]), pointer(instruction.output))
    let residual = pointer(instruction.inputs[1])
    let places = pointer(instruction.inputs[2]).assumingMemoryBound(to: Int32.self)
    let type = type(instruction.output)
    return step(instruction) {
      sdk_unmerge_tokens(x, places, residual, y, type, to[0], to[1], left, to[2])
    }
  }
}
