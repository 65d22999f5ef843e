import FlatFormat
import ModelFormats
import OrderedJSON

extension ModelCheckpoint {
  /// Opens one weights file.
  static func file(_ path: String) throws(FormatError) -> ModelCheckpoint {
    let mapped = try MappedFile(path: path)
    if FlatFile.isFlat(mapped) { return try FlatFile(mapped).checkpoint() }
    return of(try TensorFile.open(path))
  }

  /// A tensor file as a checkpoint, split into networks.
  package static func of(_ file: TensorFile) -> ModelCheckpoint {
    let path = file.path
    var warnings = file.warnings
    let embedded = EmbeddedFiles.files(in: file.metadata, of: path, &warnings)
    let names = BareNames(file.tensors)
    warnings += names.warnings
    if let (place, count) = WeightsName.shard(path) {
      warnings.append(
        "by its name this is shard \(place) of \(count) of a network: what is said of it is of this "
          + "part; give the index beside it, or the directory")
    }
    let groups = SingleFileLayout.components(of: file, names, embedded)
    // An adapter's layers have the names of the networks that it changes.
    let others = groups.first { $0.name == .other }?.tensors.count ?? 0
    let isAdapter = others * 2 > file.tensors.count && AdapterContents(file.tensors).isAdapter
    if !groups.isEmpty, !isAdapter {
      var checkpoint = ModelCheckpoint(
        path: path, layout: .file(file.format), components: FamilyLayout.refined(groups),
        files: embedded, warnings: warnings, findings: FileFindings(file))
      if checkpoint.isControlNetDifference { checkpoint.warnings.append(controlNetDifference) }
      return checkpoint
    }
    if let components = FamilyLayout.components(of: file, names) {
      return ModelCheckpoint(
        path: path, layout: .file(file.format), components: components, files: embedded,
        warnings: warnings, findings: FileFindings(file))
    }

    let bareNames = names.namesOfWeights(file.tensors)
    let likely = {
      NetworkDescriptor.likely(zip(file.tensors, bareNames).map { $0.renamed($1) }, path: path)
    }
    guard let architecture = NetworkDescriptor.recognized(names.contains) ?? likely() else {
      let component = Component(
        name: .model, architecture: nil, configuration: nil, path: path, files: file.files,
        format: file.format,
        metadata: file.metadata, tensors: file.tensors,
        bareNames: bareNames)
      return ModelCheckpoint(
        path: path, layout: .file(file.format), components: [component], warnings: warnings,
        findings: FileFindings(file))
    }
    if !embedded.isEmpty {
      let known = SingleFileLayout.configuration(of: architecture.component, in: embedded)
      return ModelCheckpoint(
        path: path, layout: .file(file.format),
        components: SingleFileLayout.lone(architecture, of: file, names, known), files: embedded,
        warnings: warnings, findings: FileFindings(file))
    }
    let neighbour = configuration(beside: path, of: architecture, &warnings)
    return ModelCheckpoint(
      path: path, layout: .file(file.format),
      components: SingleFileLayout.lone(architecture, of: file, names, neighbour?.configuration),
      files: neighbour.map { [$0.file] } ?? [], warnings: warnings, findings: FileFindings(file))
  }

  /// The `config.json` next to a single weights file, if it belongs to the network of its tensors.
  /// The file is readable without it, so an invalid one is only a warning.
  private static func configuration(
    beside path: String, of architecture: NetworkDescriptor, _ warnings: inout [String]
  ) -> (configuration: Configuration, file: AuxiliaryFile)? {
    let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    let location = "\(directory)/config.json"
    guard
      let file = try? AuxiliaryFile(
        path: "\(architecture.component)/config.json", at: location)
    else { return nil }
    do throws(FormatError) {
      let configuration = try Configuration(file)
      return configuration.architecture == architecture.className ? (configuration, file) : nil
    } catch {
      warnings.append("the configuration beside the file is not used: \(error)")
      return nil
    }
  }
}
