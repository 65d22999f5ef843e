import CVersion

/// What `--version` prints.
public enum BuildVersion {
  /// `sdinspect 0.1.0 (abc1234)`, or without the commit if the build did not know it.
  public static func text(_ program: String, _ version: String) -> String {
    text(program, version, commit: String(cString: sdk_build_commit()))
  }

  package static func text(_ program: String, _ version: String, commit: String) -> String {
    "\(program) \(version)" + (commit.isEmpty ? "" : " (\(commit))")
  }
}
