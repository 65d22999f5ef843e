import Checkpoint
import Glibc
import ModelFormats
import ModelGraph
import OrderedJSON

/// The contents of a checkpoint's report page, as data for its script.
///
/// Rows are arrays, whose fields `Sources/CReportPage/page/03-model.js` names in the same order.
public struct Report: Sendable {
  /// The maximum number of names in a list of missing or unexpected tensors.
  static let listLimit = 500

  /// The checkpoint.
  public let checkpoint: ModelCheckpoint
  /// The sizes for the costs of graphs.
  public let sizes: Sizes
  /// By component and tensor; nil for types without statistics; empty if values were not read.
  public let statistics: [[TensorStatistics?]]

  /// - Parameter statistics: one per tensor, in the order of components and their tensors, or
  ///   empty.
  public init(
    _ checkpoint: ModelCheckpoint, sizes: Sizes, statistics: [[TensorStatistics?]] = []
  ) {
    precondition(
      statistics.isEmpty
        || statistics.map(\.count) == checkpoint.components.map(\.tensors.count),
      "statistics are of every tensor or of none")
    self.checkpoint = checkpoint
    self.sizes = sizes
    self.statistics = statistics
  }

  /// The last part of the path, the common name of the model.
  public var title: String {
    let path = Report.absolute(checkpoint.path) ?? checkpoint.path
    return path.split(separator: "/").last.map(String.init) ?? path
  }

  /// The path without `.` and links.
  private static func absolute(_ path: String) -> String? {
    guard let found = realpath(path, nil) else { return nil }
    defer { free(found) }
    return FileName.text(found)
  }

  /// The page, ready to be written.
  public var page: Page { Page(title: "\(title) · sdinspect report", data: data) }

  /// The data of the page.
  package var data: JSON {
    let summary = Summary(checkpoint)
    let totals = ComponentDistributions(checkpoint, statistics)
    var rows: [JSON] = []
    var components: [JSON] = []
    var networks: [JSON] = []
    for (position, component) in checkpoint.components.enumerated() {
      let table = ReportTensors(component, first: rows.count)
      rows += table.rows(
        component: position, statistics: statistics.isEmpty ? nil : statistics[position])
      components.append(
        json(component, summary.components[position], totals.histograms[position]))
      networks += component.graphs.map {
        ReportNetwork($0, component: position, tensors: table.positions, sizes: sizes).json
      }
    }
    return [
      "version": 1,
      "title": .string(title), "path": .string(checkpoint.path),
      "format": .string(summary.format), "program": .string("sdinspect \(toolVersion)"),
      "model": [
        "title": .string(summary.recognition.title),
        "reasons": .array(summary.recognition.reasons.map { .string($0) }),
      ],
      "leftovers": .array(summary.leftovers.map(Report.json)),
      "size": ["width": .integer(8 * sizes.width), "height": .integer(8 * sizes.height)],
      "totals": [
        "parameters": .integer(summary.parameters), "buffers": .integer(summary.buffers),
        "tensors": .integer(summary.tensors), "bytes": .integer(summary.bytes),
      ],
      "bytesAs": ["F32": .integer(summary.bytesAsF32), "F16": .integer(summary.bytesAsF16)],
      "warnings": .array(summary.warnings.map { .string($0) }),
      "kinds": .array(TensorKind.allCases.map { .string($0.rawValue) }),
      "hasStatistics": .bool(!statistics.isEmpty),
      "components": .array(components),
      "tensors": .array(rows),
      "networks": .array(networks),
    ]
  }

  private func json(
    _ component: Component, _ summary: Summary.ComponentSummary, _ histogram: LinearHistogram?
  ) -> JSON {
    let manifest = component.manifest
    let misfits = (manifest?.wrongShape ?? []) + (manifest?.wrongType ?? [])
    return [
      "name": .string(component.name.rawValue),
      "architecture": component.architecture.map { .string($0) } ?? .null,
      "file": .string(component.path), "format": .string(component.format.rawValue),
      "parameters": .integer(summary.parameters), "buffers": .integer(summary.buffers),
      "bytes": .integer(summary.bytes),
      "metadata": .array(
        component.metadata.prefix(64).map {
          [.string($0.key), .string(String($0.value.prefix(400)))]
        }
      ),
      "naming": summary.naming.map { .string($0.family.rawValue) } ?? .null,
      "configuration": summary.configurationOrigin.map { .string($0.rawValue) } ?? .null,
      "histogram": histogram.map(\.json) ?? .null,
      "isKnown": .bool(manifest != nil),
      "missing": Report.list(
        (manifest?.missing ?? []).map { "\($0.name) \(Shape($0.shape))" }),
      "unexpected": Report.list(
        (manifest?.unexpected ?? []).map { "\($0.name) \($0.shape)" }),
      "misfits": Report.list(
        misfits.map {
          "\($0.tensor.name) \($0.tensor.dtype.rawValue) \($0.tensor.shape), not "
            + "\(Shape($0.parameter.shape))"
        }),
    ]
  }

  private static func json(_ leftover: Leftover) -> JSON {
    var object = list(leftover.names).object ?? JSONObject()
    object["kind"] = .string(leftover.kind.rawValue)
    object["bytes"] = .integer(leftover.bytes)
    return .object(object)
  }

  /// The number of names, and the first of them.
  private static func list(_ names: [String]) -> JSON {
    [
      "count": .integer(names.count),
      "names": .array(names.prefix(listLimit).map { .string($0) }),
    ]
  }
}
