import CVersion

/// The output of `--version`.
public enum BuildVersion {
  /// `sdinspect 0.1.0 (abc1234)`, or without the commit if unknown at build time.
  public static func text(_ program: String, _ version: String) -> String {
    text(program, version, commit: String(cString: sdk_build_commit()))
  }

  package static func text(_ program: String, _ version: String, commit: String) -> String {
    "\(program) \(version)" + (commit.isEmpty ? "" : " (\(commit))")
  }
}
