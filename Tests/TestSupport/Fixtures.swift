import Foundation

/// Locations of test data: Fixtures/ in the project, and the shared directory next to it if
/// present.
public enum Fixtures {
  /// The project's root directory.
  public static let root: String = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

  /// The path of a committed fixture.
  public static func path(_ name: String) -> String { "\(root)/Fixtures/\(name)" }

  /// The path of a file of the shared directory, or nil if this checkout has none.
  public static func shared(_ name: String) -> String? {
    let path = URL(filePath: root).deletingLastPathComponent().path + "/shared/\(name)"
    return FileManager.default.fileExists(atPath: path) ? path : nil
  }
}

extension Fixtures {
  /// The text of a committed fixture.
  public static func text(_ name: String) throws -> String {
    try String(contentsOfFile: path(name), encoding: .utf8)
  }
}
