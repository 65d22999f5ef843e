import ModelFormats

extension ModelCheckpoint {
  /// The small files that a pipeline needs beside its networks: this checkpoint's own, and where it
  /// has none, made as a conversion to a repository makes them.
  ///
  /// - Parameter tokenizer: files to take a tokenizer from where there is none.
  /// - Returns: the files, and what was made or is lacking, in words.
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
