import ModelFormats

extension StepMaker {
  /// The steps of a textual inversion, under the names that other programs read; nil if the source
  /// is not one.
  ///
  /// - Parameters:
  ///   - container: `safetensors`, or `pytorch`.
  ///   - path: the output path; the web UI's PyTorch files contain their name.
  mutating func textualInversion(
    _ source: ModelCheckpoint, _ container: Conversion.Container, _ path: String
  ) throws(FormatError) -> Conversion.Part? {
    guard case .file(let format) = source.layout, format != .sdflat,
      source.components.map(\.name) == [.model], let component = source.components.first,
      Recognition(source).kind == .textualInversion
    else { return nil }
    guard let file = TextualInversionFile(component.tensors) else { return nil }
    let isPyTorch = container == .pytorch
    let steps = file.converted(isPyTorch: isPyTorch).map { source, target in
      Conversion.Step(
        component: component.name, tensor: target, source: source.name,
        dtype: options.type(of: target), change: nil)
    }
    say(file, steps, isPyTorch: isPyTorch)
    drop(file.others, of: component.name, "it is not the vectors of a textual inversion")
    var part = Conversion.Part(component: component, output: "", tensors: steps)
    if isPyTorch, file.isOneWord {
      // As in the web UI; diffusers takes the word from the name.
      part.object = .dictionary([
        (key: "string_to_token", value: .dictionary([(key: "*", value: .integer(265))])),
        (key: "string_to_param", value: .tensors),
        (
          key: "name", value: .text(file.entries[0].word ?? TextualInversionFile.word(ofFile: path))
        ),
        (key: "step", value: .integer(0)),
      ])
    }
    return part
  }

  private mutating func say(
    _ file: TextualInversionFile, _ steps: [Conversion.Step], isPyTorch: Bool
  ) {
    let names = steps.map { "\($0.tensor.name) \($0.tensor.shape)" }.joined(separator: ", ")
    guard file.isOneWord else {
      note(
        "the textual inversion is written as \(names)"
          + (file.form == .encoders
            ? ", as programs for \(file.family ?? "its model") read it"
            : ", each token with its vectors; diffusers and web UIs load files of one token only"))
      return
    }
    if isPyTorch {
      note("the textual inversion is written as string_to_param.\(names), as web UIs have it")
      return
    }
    note("the textual inversion is written as \(names), as web UIs and diffusers read it")
    if let word = file.entries[0].word {
      note(
        "its token \"\(word)\" is not in the file written: programs take the file's name, or the "
          + "word that they are given")
    }
  }
}
