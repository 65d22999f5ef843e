import Glibc
import ModelFormats

/// The bundled model. It is used if no other is named, and provides a tokenizer for checkpoints
/// without one.
public enum EmbeddedModel {
  /// The path of its repository: the value of SDLOOM_MODEL, or the first of these that exists next
  /// to the running program or in a parent directory: `Fixtures/shapes-v2` of the source tree,
  /// `share/sdloom/shapes-v2` of an installation, and `checkouts/sdloom/Fixtures/shapes-v2` of a
  /// package that depends on sdloom.
  ///
  /// - Throws: ``FormatError`` `notFound` if there is none.
  public static func path() throws(FormatError) -> String {
    if let path = getenv("SDLOOM_MODEL") { return FileName.text(path) }
    var folder = executable ?? "/"
    while let slash = folder.lastIndex(of: "/"), folder != "/" {
      folder = slash == folder.startIndex ? "/" : String(folder[..<slash])
      for place in places {
        let path = (folder == "/" ? "" : folder) + "/" + place
        if access(path + "/model_index.json", R_OK) == 0 { return path }
      }
    }
    throw FormatError(
      .notFound, "bundled model not found",
      hint: "name a model, or set SDLOOM_MODEL to the directory of one")
  }

  private static let places = [
    "Fixtures/shapes-v2", "share/sdloom/shapes-v2", "checkouts/sdloom/Fixtures/shapes-v2",
  ]

  /// Opens a checkpoint for generation. A repository has its own tokenizer and scheduler; other
  /// checkpoints without them get those of the bundled model, if it is found.
  ///
  /// - Parameters:
  ///   - path: the checkpoint's path; nil for the bundled model itself.
  ///   - variant: which weights of a repository are read; nil for those without a variant.
  public static func open(
    orCheckpointAt path: String?, variant: String? = nil
  ) throws(FormatError) -> ModelCheckpoint {
    guard let path else { return try ModelCheckpoint.open(self.path(), variant: variant) }
    let opened = try ModelCheckpoint.open(path, variant: variant)
    guard opened.layout != .repository else { return opened }
    var companions: [AuxiliaryFile] = []
    if let embedded = try? self.path(), let model = try? ModelCheckpoint.open(embedded) {
      companions = model.files
    }
    return opened.completed(with: companions)
  }

  /// Whether `path` is the bundled model, in any spelling.
  public static func isEmbedded(_ path: String) -> Bool {
    guard let embedded = try? self.path() else { return false }
    return canonical(path) == canonical(embedded)
  }

  private static func canonical(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return FileName.text(resolved)
  }

  private static var executable: String? { canonical("/proc/self/exe") }
}
