import Diffusion
import Glibc
import ModelFormats
import OrderedJSON
import Terminal

/// What a line of a file of jobs may ask for. Jobs may come from others than the command line does.
struct JobLimits {
  /// Whether --trust-jobs is given.
  let isTrusted: Bool
  /// Whether --force holds for all jobs.
  let mayForce: Bool

  /// - Throws: ``Failure`` naming what the job may not do, and how to allow it.
  func check(_ job: DrawingJob) throws(Failure) {
    if let prompts = job.promptsFrom, !Self.isRegular(prompts) {
      throw .usage(
        "prompts-from is \(prompts), which is not a regular file",
        hint: "name a text file, or give each prompt a job of its own")
    }
    guard !isTrusted else { return }
    if job.force == true, !mayForce {
      throw .usage(
        "the job replaces files (\"force\": true)",
        hint: "allow it with sdgen batch --trust-jobs, or leave \"force\" out")
    }
    for field in JobField.all where field.traits.contains(.output) {
      guard let path = job.files(field).first, !Self.isInside(path) else { continue }
      throw Failure(
        .cannotCreate, code: "cannot-create", "\(field.name) is outside the working directory",
        file: path, hint: "allow it with sdgen batch --trust-jobs, or name a file below it")
    }
  }

  /// Whether a file that is written there comes to lie in the working directory or below. A
  /// directory that is not there counts, since nothing can be written to it.
  private static func isInside(_ path: String) -> Bool {
    let folder = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[...$0]) } ?? "."
    guard let place = resolved(folder), let here = resolved(".") else { return true }
    return place == here || place.hasPrefix(here == "/" ? here : here + "/")
  }

  /// A path without links and dots; nil where there is nothing.
  private static func resolved(_ path: String) -> String? {
    guard let real = realpath(path, nil) else { return nil }
    defer { free(real) }
    return FileName.text(real)
  }

  /// Also of what is not there, which is told elsewhere.
  private static func isRegular(_ path: String) -> Bool {
    var status = stat()
    guard path != "-" else { return false }
    return stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG
  }
}
