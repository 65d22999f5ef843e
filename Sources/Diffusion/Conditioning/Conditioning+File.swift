import Engine
import ModelFormats

extension Conditioning {
  /// A writer with a complete safetensors file of the text encoder's output. It is not yet at its
  /// path.
  ///
  /// Tensors are F32 `[1, tokens, width]`, with the names of diffusers' arguments: `prompt_embeds`,
  /// and with guidance `negative_prompt_embeds`. With several prompts, `.1`, `.2` and so on follow;
  /// where a prompt changes, `.step-8` for what holds from step 8.
  ///
  /// - Parameter prompts: one conditioning for each prompt, in order.
  /// - Throws: ``FormatError`` as ``ModelFormats/SafetensorsWriter``.
  package static func writer(
    _ prompts: [Conditioning], to path: String, overwrite: Bool = false
  ) throws(FormatError) -> FileWriter {
    var tensors: [Tensor] = []
    for (index, prompt) in prompts.enumerated() {
      let suffix = prompts.count == 1 ? "" : ".\(index + 1)"
      tensors += prompt.tensors(suffix: suffix)
      for (step, conditioning) in prompt.later {
        tensors += conditioning.tensors(suffix: "\(suffix).step-\(step)")
      }
    }
    return try Safetensors.writer(tensors, to: path, overwrite: overwrite)
  }

  private func tensors(suffix: String) -> [Tensor] {
    let names =
      (negativePrompt == nil ? [] : ["negative_prompt_embeds"]) + ["prompt_embeds"]
    let size = states.shape[1] * states.shape[2]
    return names.enumerated().map { row, name in
      Tensor(
        name: name + suffix, shape: Shape([1, states.shape[1], states.shape[2]]),
        values: states.reals[row * size..<(row + 1) * size])
    }
  }
}
