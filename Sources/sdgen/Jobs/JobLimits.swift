import Diffusion
import Glibc
import ModelFormats
import OrderedJSON
import Terminal

/// The limits of a job. Unlike the command line, jobs may be untrusted.
struct JobLimits {
  /// Whether --trust-jobs is given.
  let isTrusted: Bool
  /// Whether --force applies to all jobs.
  let mayForce: Bool

  /// - Throws: ``Failure`` with what the job may not do, and how to allow it.
  func check(_ job: DrawingJob) throws(Failure) {
    if let prompts = job.promptsFrom, !Self.isRegular(prompts) {
      throw .usage(
        "prompts-from must be a regular file (got \(prompts))",
        hint: "use a text file, or a separate job for each prompt")
    }
    guard !isTrusted else { return }
    if job.force == true, !mayForce {
      throw .usage(
        "the job replaces files (\"force\": true)",
        hint: "allow it with sdgen batch --trust-jobs, or omit \"force\"")
    }
    for field in JobField.all where field.traits.contains(.output) {
      guard let path = job.files(field).first, !Self.isInside(path) else { continue }
      throw Failure(
        .cannotCreate, code: "cannot-create", "\(field.name) is outside the working directory",
        file: path, hint: "allow it with sdgen batch --trust-jobs, or use a path below it")
    }
  }

  /// Whether a file at this path is in the working directory or below. A missing directory counts
  /// as inside, since nothing can be written to it.
  private static func isInside(_ path: String) -> Bool {
    let folder = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[...$0]) } ?? "."
    guard let place = resolved(folder), let here = resolved(".") else { return true }
    return place == here || place.hasPrefix(here == "/" ? here : here + "/")
  }

  /// The resolved path; nil if it does not exist.
  private static func resolved(_ path: String) -> String? {
    guard let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return FileName.text(real)
  }

  /// Also true for missing files, which are reported elsewhere.
  private static func isRegular(_ path: String) -> Bool {
    var status = stat()
    guard path != "-" else { return false }
    return stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG
  }
}
