import ArgumentParser
import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON
import Report
import Terminal

/// Writes a report page for a checkpoint.
struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Write a web page that shows a checkpoint: treemap, tensors, histograms, graphs.",
    discussion: """
      Writes one file that opens in any browser and needs no network: a treemap of the \
      parameters, a table of all tensors to sort and search, a histogram of each tensor's \
      values, and, for networks with a known configuration, their graphs with shapes and costs \
      at --size. The histograms read all values; --no-stats skips them.

      EXAMPLE
        sdinspect report stable-diffusion-v1-5 -o report.html
      """)

  @OptionGroup var input: InputOptions

  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp("The page to write.", valueName: "file"), completion: .file())
  var output: String

  @Option(
    help: ArgumentHelp(
      "Image size in pixels for the costs, multiples of 8 (default: the model's own).",
      valueName: "WxH"), transform: PictureSize.parse)
  var size: PictureSize?

  @Flag(name: .customLong("no-stats"), help: "Skip value statistics and histograms.")
  var noStatistics = false

  @Flag(help: "Replace the page if it exists.")
  var force = false

  func run() throws {
    let start = Console.seconds()
    let checkpoint = try input.open()
    // Create the file first, so that an unwritable path fails before values are read.
    let file = try FileWriter(path: output, overwrite: force)
    let sizes =
      size.map { Sizes(height: $0.height / 8, width: $0.width / 8) } ?? Sizes(of: checkpoint)
    let report = Report(
      checkpoint, sizes: sizes, statistics: noStatistics ? [] : try statistics(of: checkpoint))
    let bytes = try report.page.write(to: file)
    let seconds = Console.seconds() - start
    let tensors = checkpoint.components.reduce(0) { $0 + $1.tensors.count }
    let networks = checkpoint.components.flatMap(\.graphs).map(\.name)
    if input.json {
      printJSON([
        "file": .string(output), "bytes": .integer(bytes), "tensors": .integer(tensors),
        "networks": .array(networks.map { .string($0.rawValue) }),
        "statistics": .bool(!noStatistics),
        "seconds": .number(seconds), "warnings": json(checkpoint.warnings),
      ])
    } else {
      Console.print(
        "wrote \(Console.sanitized(output)): \(Format.count(tensors, "tensor")), \(networks.count.of("graph")), "
          + "\(Format.bytes(bytes)) in \(Format.seconds(seconds))")
      printWarnings(checkpoint.warnings)
    }
  }

  /// By component, read in one pass over all of them.
  private func statistics(of checkpoint: ModelCheckpoint) throws -> [[TensorStatistics?]] {
    let tensors = checkpoint.components.flatMap(\.tensors)
    let total = tensors.reduce(0) { $0 + $1.byteCount }
    let bar = ProgressBar("reading values", isQuiet: input.json)
    defer { bar.finish() }
    var rest = try TensorStatistics.of(tensors, histograms: true) { done in
      let bytes = Int(done * Double(total))
      bar.update(
        done,
        "\(Format.bytes(bytes)) of \(Format.bytes(total)), "
          + "\(Format.bytes(Int(Double(bytes) / max(bar.elapsed, 1e-3))))/s")
    }[...]
    return checkpoint.components.map { component in
      defer { rest = rest.dropFirst(component.tensors.count) }
      return Array(rest.prefix(component.tensors.count))
    }
  }
}
