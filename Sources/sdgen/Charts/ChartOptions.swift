import ArgumentParser
import ModelFormats
import Terminal

/// The chart that a command writes besides its text.
struct ChartOptions: ParsableArguments {
  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp(
      "Write a chart as well: an SVG file (default: no chart).", valueName: "file"),
    completion: .file())
  var output: String?

  @Flag(help: "Replace the chart's file if it exists.")
  var force = false

  func validate() throws {
    if let output, !output.lowercased().hasSuffix(".svg") {
      throw ValidationError("--output must end in .svg (got \(output))")
    }
    if force, output == nil { throw ValidationError("--force needs --output") }
  }

  /// A writer for the chart's file; nil if none was requested.
  ///
  /// - Throws: ``FormatError`` if the file cannot be written.
  func writer() throws(FormatError) -> FileWriter? {
    guard let output else { return nil }
    return try FileWriter(path: output, overwrite: force)
  }

  /// Says that the chart was written.
  func report() {
    if let output { Console.note("wrote \(Console.sanitized(output))") }
  }
}

extension FileWriter {
  /// Writes a chart, and moves it into place.
  func finish(_ svg: String) throws(FormatError) {
    try write(Array(svg.utf8))
    try commit()
  }
}
