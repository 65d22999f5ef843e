import Engine
import ModelFormats
import OrderedJSON
import Terminal

/// The timeline of all layers in the format of Chrome tracing and ui.perfetto.dev.
///
/// Source: the Trace Event Format; complete events, times in microseconds.
final class LayerTrace {
  private let start = Console.seconds()
  private var lines: [String] = []
  private var networks: [String] = []

  /// Records a layer that has just finished.
  func add(_ network: String, _ step: StepTiming) {
    let end = Console.seconds() - start
    add(
      name: step.name, network: network, start: end - step.seconds, seconds: step.seconds,
      [
        "kind": .string(step.kind), "implementation": .string(step.implementation),
        "macs": .integer(step.macs), "bytes": .integer(step.bytes),
      ])
  }

  private func add(
    name: String, network: String, start: Double, seconds: Double, _ arguments: JSONObject
  ) {
    let thread: Int
    if let known = networks.firstIndex(of: network) {
      thread = known
    } else {
      thread = networks.count
      networks.append(network)
    }
    let event: JSON = [
      "name": .string(name), "cat": .string(network), "ph": "X", "pid": 1,
      "tid": .integer(thread), "ts": .number(start * 1e6), "dur": .number(seconds * 1e6),
      "args": .object(arguments),
    ]
    lines.append(event.text(.compact))
  }

  /// The file, written but not yet in place.
  ///
  /// - Throws: ``FormatError`` if it cannot be written.
  func writer(to path: String, overwrite: Bool) throws(FormatError) -> FileWriter {
    let names = networks.enumerated().map { thread, network in
      let event: JSON = [
        "name": "thread_name", "ph": "M", "pid": 1, "tid": .integer(thread),
        "args": ["name": .string(network)],
      ]
      return event.text(.compact)
    }
    let writer = try FileWriter(path: path, overwrite: overwrite)
    try writer.write(Array("{\"traceEvents\":[\n".utf8))
    try writer.write(Array((names + lines).joined(separator: ",\n").utf8))
    try writer.write(Array("\n]}\n".utf8))
    return writer
  }
}
