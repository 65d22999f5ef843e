import ModelFormats

extension ModelCheckpoint {
  /// The small files that a pipeline needs besides its networks: this checkpoint's own, or created
  /// as for a conversion to a repository.
  ///
  /// - Parameter tokenizer: files to use as tokenizer if there is none.
  /// - Returns: the files, and what was created or is missing, in words.
  public func pipelineFiles(
    tokenizer: [AuxiliaryFile] = []
  ) -> (files: [AuxiliaryFile], notes: [String]) {
    let networks = components.filter { !$0.graphs.isEmpty && $0.name.averaged == nil }
    let isWhole = ComponentName.required.allSatisfy { name in
      networks.contains { $0.name == name }
    }
    var pipeline = PipelineFiles(
      of: self, components: networks, isWhole: isWhole, companions: tokenizer)
    if isWhole { pipeline.noteTokenizer(of: networks) }
    return (pipeline.files, pipeline.notes + pipeline.warnings)
  }
}
