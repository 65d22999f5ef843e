import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Reports whether unpickling files would run code.
struct ScanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "scan",
    abstract: "Check whether unpickling files would run code.",
    discussion: """
      Reads files of any kind, and directories with everything below them. Nothing is unpickled. \
      Pickles are searched for the names of classes and functions, also inside zip and tar \
      archives, nested archives, .npy and .npz files with objects, after the end of a pickle, \
      and in files that other commands reject.

      The verdict on a file is safe (no pickle, or only names that tensors and plain containers \
      need), unknown (other names, or parts that are not searched: HDF5, 7z, gzip), or dangerous \
      (names that run commands, change files or load code). Convert unknown files with sdinspect \
      convert, which runs nothing.

      The exit status is 1 if a file is dangerous, else 66 or 74 if one could not be read.

      EXAMPLES
        sdinspect scan downloads/
        sdinspect scan model.ckpt --json
        sdinspect scan models --sarif > scan.sarif
      """)

  @Argument(help: "Files or directories.", completion: .file())
  var paths: [String]

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @Flag(help: "Print SARIF 2.1.0 instead of text.")
  var sarif = false

  func validate() throws {
    if json, sarif { throw ValidationError("--json and --sarif cannot be combined") }
  }

  func run() throws {
    var files: [FileSafety] = []
    for path in paths {
      FileSafety.scan(path) { file in
        if !json, !sarif { printText(file) }
        files.append(file)
      }
    }
    let verdict = files.map(\.safety.verdict).max() ?? .safe
    if json {
      printJSON([
        "verdict": .string(verdict.rawValue), "files": .array(files.map(\.json)),
      ])
    } else if sarif {
      Console.print(ScanLog.json(files).text())
    } else {
      printTotals(files)
    }
    if verdict == .dangerous { throw Ended(.differs) }
    if let error = files.compactMap(\.error).first {
      throw Ended(error.code == .unrecognized ? .noInput : ExitStatus(error.code))
    }
  }

  private func printText(_ file: FileSafety) {
    let path = Console.sanitized(file.path)
    if let error = file.error {
      return Console.note("\(path): not read: \(Console.sanitized(error.sentence))")
    }
    Console.print("\(path) (\(file.format ?? "")): \(file.safety.verdict.rawValue)")
    for name in file.safety.names {
      let place = name.record.map { " in \($0)" } ?? ""
      Console.print(
        Console.sanitized(
          "  \(name.name) at byte \(name.offset)\(place): "
            + (name.danger ?? "unknown")))
    }
    for note in file.safety.notes { Console.print("  " + Console.sanitized(note)) }
  }

  private func printTotals(_ files: [FileSafety]) {
    let read = files.filter { $0.error == nil }
    var parts = Safety.Verdict.allCases.reversed().map { verdict in
      "\(read.count { $0.safety.verdict == verdict }) \(verdict.rawValue)"
    }
    if read.count < files.count { parts.append("\(files.count - read.count) not read") }
    Console.print(
      "\(Format.count(files.count)) \(files.count == 1 ? "file" : "files"): "
        + parts.joined(separator: ", "))
    if read.contains(where: { $0.safety.verdict == .unknown }) {
      Console.print("unknown: " + Safety.advice + " (`sdinspect convert`)")
    }
  }
}
