import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Counts what a checkpoint holds.
struct SummaryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "summary",
    abstract: "Count parameters, tensors and bytes of each component.",
    discussion: """
      Parameters are the distinct elements of learned tensors; buffers (position ids, noise \
      schedules) are counted apart. Only headers are read, so that a file of any size answers at \
      once.

      EXAMPLE
        sdinspect summary stable-diffusion-v1-5
      """)

  @OptionGroup var input: InputOptions

  @Flag(help: "Break each component's parameters down by the parts of its network.")
  var terms = false

  func run() throws {
    let summary = Summary(try ModelCheckpoint.open(input.path))
    guard !input.json else {
      Console.print(summary.json.text())
      return
    }
    Console.print("\(Console.sanitized(summary.path)) (\(summary.format))\n")
    Console.print(table(summary).text())
    if terms { printTerms(summary) }
    printWarnings(summary.warnings)
  }

  private func table(_ summary: Summary) -> Table {
    var table = Table([
      ("component", .left), ("architecture", .left), ("tensors", .right), ("parameters", .right),
      ("buffers", .right), ("types", .left), ("bytes", .right), ("as F32", .right),
      ("as F16", .right),
    ])
    for component in summary.components {
      table.add(
        [
          component.name.rawValue, component.architecture ?? "?", Format.count(component.tensors),
          Format.count(component.parameters), Format.count(component.buffers),
          component.dtypes.map { "\($0.count) \($0.dtype.rawValue)" }.joined(separator: ", "),
          Format.bytes(component.bytes),
        ] + sizes(component.parameters))
    }
    table.add(
      [
        "total", "", Format.count(summary.tensors), Format.count(summary.parameters),
        Format.count(summary.buffers), "", Format.bytes(summary.bytes),
      ] + sizes(summary.parameters))
    return table
  }

  private func sizes(_ parameters: Int) -> [String] {
    [4, 2].map { width in
      let (bytes, overflow) = parameters.multipliedReportingOverflow(by: width)
      return overflow ? "?" : Format.bytes(bytes)
    }
  }

  private func printTerms(_ summary: Summary) {
    for component in summary.components where !component.terms.isEmpty {
      var table = Table([
        (component.name.rawValue, .left), ("parameters", .right), ("share", .right),
        ("as F32", .right),
      ])
      for term in component.terms {
        table.add([
          term.name, Format.count(term.parameters),
          Format.share(term.parameters, of: component.parameters),
          Format.bytes(4 * term.parameters),
        ])
      }
      Console.print("\n" + table.text())
    }
  }
}
