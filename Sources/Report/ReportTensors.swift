import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON

/// The tensors of a component as rows of the report's table.
struct ReportTensors {
  let component: Component
  /// Each tensor's name in diffusers' layout.
  let names: [String]
  /// The rows by published name, and by parameter name.
  let positions: [ExactName: Int]

  /// - Parameter first: the row of the component's first tensor.
  init(_ component: Component, first: Int) {
    self.component = component
    names = component.tensors.map(component.publishedName)
    var positions = Dictionary(
      names.enumerated().map { (ExactName($1), first + $0) },
      uniquingKeysWith: { first, _ in first })
    for parameter in component.graphs.flatMap(\.parameters) {
      let name = ExactName(parameter.name)
      guard positions[name] == nil else { continue }
      positions[name] =
        (parameter.aliases + [parameter.singleFileName]).lazy
        .compactMap { positions[ExactName($0)] }.first
        // A tensor that it shares with others.
        ?? component.manifest?.position(parameter.name).map { first + $0 }
    }
    self.positions = positions
  }

  /// `[component, name, published name or 0, dtype, shape, kind, is learned, bytes, statistics]`.
  func rows(component position: Int, statistics: [TensorStatistics?]?) -> [JSON] {
    let buffers = Set((component.manifest?.buffers ?? []).map(\.name))
    return component.tensors.indices.map { index in
      let tensor = component.tensors[index]
      let isBuffer = Summary.elements(of: [tensor], buffers: buffers).buffers > 0
      let kind = TensorKind(name: names[index], shape: tensor.shape, isBuffer: isBuffer)
      return [
        .integer(position), .string(tensor.name),
        names[index] == tensor.name ? 0 : .string(names[index]), .string(tensor.dtype.rawValue),
        .array(tensor.shape.dimensions.map { .integer($0) }),
        .integer(TensorKind.allCases.firstIndex(of: kind) ?? 0), .bool(!isBuffer),
        .integer(tensor.byteCount), statistics?[index].map(ReportTensors.json) ?? 0,
      ]
    }
  }

  /// `[min, max, mean, deviation, zeros, NaN, infinite, too large for F16, too small for F16,
  /// histogram or 0]`; null if no value is finite.
  private static func json(_ statistics: TensorStatistics) -> JSON {
    .array(
      [
        statistics.minimum, statistics.maximum, statistics.mean, statistics.standardDeviation,
      ].map { $0.map(CompactNumber.json) ?? .null }
        + [
          .integer(statistics.zeros), .integer(statistics.nans), .integer(statistics.infinities),
          .integer(statistics.f16Overflows), .integer(statistics.f16Underflows),
          LinearHistogram(statistics)?.json ?? 0,
        ])
  }
}
