import FlatFormat
import ModelFormats

extension FlatFile {
  /// The file as a checkpoint, like a repository.
  ///
  /// - Throws: ``FormatError`` `malformed` if an embedded configuration is invalid.
  func checkpoint() throws(FormatError) -> ModelCheckpoint {
    let files = header.files.map {
      AuxiliaryFile(path: $0.path, location: file.path, file: file, range: range($0.region))
    }
    var components: [Component] = []
    for entry in header.components {
      let configuration = files.first { $0.path == entry.configuration }
      components.append(
        Component(
          name: ComponentName(rawValue: entry.name), architecture: entry.architecture,
          configuration: try configuration.map(Configuration.init),
          path: file.path, format: .sdflat,
          tensors: entry.tensors.map(tensor),
          extensions: entry.extensions))
    }
    return ModelCheckpoint(
      path: file.path, layout: .file(.sdflat), components: components, files: files,
      provenance: header.provenance, extensions: header.extensions)
  }
}

extension ModelCheckpoint {
  /// Verifies all checksums of a .sdflat file; other formats have none.
  ///
  /// - Throws: ``FormatError`` `malformed` with the damaged parts.
  public func requireUndamaged() throws(FormatError) {
    guard case .file(.sdflat) = layout else { return }
    let verification = try FlatFile.verify(path)
    guard let damage = verification.damages.first else { return }
    let count = verification.damages.count
    throw FormatError(
      .malformed, "checksum mismatch" + (count > 1 ? ", nor \(count - 1) more" : ""),
      file: path, offset: damage.offset, context: damage.subject,
      hint: "the file was damaged after it was written: make or copy it again")
  }
}
