import Glibc
import ModelFormats

/// The small model that comes with sdloom: drawn with where no --model is given, and where a
/// tokenizer is taken from for checkpoints that have none.
public enum EmbeddedModel {
  /// What this model is drawn with: the guidance that suits SD v1.5 overshoots on one so small.
  public static let guidance = 4.0

  /// Where it lies: SDLOOM_MODEL, else `Fixtures/shapes-v1` of the source tree or
  /// `share/sdloom/shapes-v1` of the installation that the running program belongs to.
  ///
  /// - Throws: ``Failure`` where there is none.
  public static func path() throws -> String {
    if let path = Console.variable("SDLOOM_MODEL") { return path }
    var folder = executable ?? "/"
    while let slash = folder.lastIndex(of: "/"), folder != "/" {
      folder = slash == folder.startIndex ? "/" : String(folder[..<slash])
      for place in ["Fixtures/shapes-v1", "share/sdloom/shapes-v1"] {
        let path = (folder == "/" ? "" : folder) + "/" + place
        if access(path + "/model_index.json", R_OK) == 0 { return path }
      }
    }
    throw Failure(
      .noInput, code: "not-found", "bundled model not found",
      hint: "name a model with --model PATH, or set SDLOOM_MODEL")
  }

  /// Whether `path` is the embedded model, however it is spelled.
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
