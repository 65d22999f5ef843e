import ArgumentParser
import Checkpoint
import ModelFormats
import OrderedJSON
import Terminal

/// Prints statistics of the values of every tensor.
struct StatsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats",
    abstract: "Show value statistics per tensor: range, mean, deviation, anomalies.",
    discussion: """
      All values are read once, on all cores. Minimum, maximum, mean and standard deviation are \
      those of the finite values. Overflow counts values that become infinite in F16 (65520 and \
      above); underflow counts those that become zero. Integers have neither. A complex number \
      counts as two.

      EXAMPLE
        sdinspect stats stable-diffusion-v1-5 --component unet --sort std
      """)

  /// The sort keys of the table.
  enum Order: String, ExpressibleByArgument, CaseIterable {
    case file, name, min, max, mean, std, zeros, overflow, underflow
  }

  @OptionGroup var input: InputOptions
  @OptionGroup var component: ComponentOption

  @Option(help: "Order of the tensors of each component: largest first, names alphabetically.")
  var sort = Order.file

  func run() throws {
    let checkpoint = try input.open()
    let components = try component.select(from: checkpoint)
    let tensors = components.flatMap(\.tensors)
    let bytes = tensors.reduce(0) { $0 + $1.byteCount }
    let bar = ProgressBar("reading", isQuiet: input.json)
    let statistics: [TensorStatistics?]
    do {
      defer { bar.finish() }
      statistics = try TensorStatistics.of(tensors) { share in
        let done = Int(share * Double(bytes))
        bar.update(
          share, "\(Format.bytes(done)) of \(Format.bytes(bytes)), \(rate(done, bar.elapsed))")
      }
    }
    let seconds = bar.elapsed

    var listings: [Listing] = []
    var start = 0
    for component in components {
      let end = start + component.tensors.count
      listings.append(Listing(component, Array(statistics[start..<end]), sort))
      start = end
    }
    var total = TensorStatistics.none
    for listing in listings { total.add(listing.total) }
    let zeros = try ZeroValues(of: tensors)
    let warnings =
      checkpoint.warnings + listings.flatMap(\.warnings) + zeros.problems + zeros.notes
    guard !input.json else {
      printJSON([
        "tensors": .array(listings.flatMap(\.json)),
        "components": .array(
          listings.map { listing in
            var object: JSONObject = ["name": .string(listing.component.name.rawValue)]
            for member in listing.total.json.members { object[member.key] = member.value }
            return .object(object)
          }),
        "totals": .object(total.json), "bytes": .integer(bytes), "seconds": .number(seconds),
        "warnings": json(warnings),
      ])
      return
    }
    for listing in listings { listing.printTable() }
    Console.printSentence(
      "\(Format.count(total.count, "number")) in \(Format.bytes(bytes)), read in "
        + "\(Format.seconds(seconds)): \(rate(bytes, seconds))")
    printWarnings(warnings)
  }

  private func rate(_ bytes: Int, _ seconds: Double) -> String {
    Format.decimals(Double(bytes) / max(seconds, 1e-6) / 1e9, 1) + " GB/s"
  }
}

/// The statistics of one component's tensors, in display order.
private struct Listing {
  let component: Component
  let rows: [(tensor: Tensor, statistics: TensorStatistics?)]
  let total: TensorStatistics

  init(_ component: Component, _ statistics: [TensorStatistics?], _ order: StatsCommand.Order) {
    self.component = component
    var total = TensorStatistics.none
    for case let statistics? in statistics { total.add(statistics) }
    self.total = total
    let rows = Array(zip(component.tensors, statistics)).map { (tensor: $0, statistics: $1) }
    func sorted(_ value: (TensorStatistics) -> Double?) -> [(Tensor, TensorStatistics?)] {
      let keys = rows.map { $0.statistics.flatMap(value) ?? -.infinity }
      // Equal keys stay in file order.
      return rows.indices.sorted { (keys[$1], $0) < (keys[$0], $1) }.map { rows[$0] }
    }
    self.rows =
      switch order {
      case .file: rows
      case .name: rows.sorted { $0.tensor.name < $1.tensor.name }
      case .min: sorted(\.minimum)
      case .max: sorted(\.maximum)
      case .mean: sorted(\.mean)
      case .std: sorted(\.standardDeviation)
      case .zeros: sorted { Double($0.zeros) }
      case .overflow: sorted { Double($0.f16Overflows) }
      case .underflow: sorted { Double($0.f16Underflows) }
      }
  }

  /// Warnings about tensors with unusual values.
  var warnings: [String] {
    let scaled = component.scales.weights
    return
      (scaled.isEmpty
      ? []
      : [
        "\(component.name): the values of \(scaled.count) 8-bit weights are shown without their "
          + "scales"
      ])
      + valueWarnings
  }

  private var valueWarnings: [String] {
    rows.compactMap { tensor, statistics in
      guard let statistics else {
        return
          "\(component.name): \(tensor.displayName): \(tensor.dtype.rawValue) values are not read"
      }
      var faults: [String] = []
      if statistics.nans > 0 { faults.append("\(Format.count(statistics.nans)) NaN") }
      if statistics.infinities > 0 {
        faults.append("\(Format.count(statistics.infinities)) infinite")
      }
      if statistics.f16Overflows > 0 {
        faults.append("\(Format.count(statistics.f16Overflows)) too large for F16")
      }
      guard !faults.isEmpty else { return nil }
      return
        "\(component.name): \(tensor.displayName): of \(Format.count(statistics.count, "value")) "
        + faults.joined(separator: ", ")
    }
  }

  var json: [JSON] {
    rows.map { tensor, statistics in
      var row: JSONObject = [
        "name": .string(tensor.name), "component": .string(component.name.rawValue),
        "dtype": .string(tensor.dtype.rawValue),
        "shape": .array(tensor.shape.dimensions.map { .integer($0) }),
      ]
      for member in (statistics?.json ?? TensorStatistics.unknown).members {
        row[member.key] = member.value
      }
      return .object(row)
    }
  }

  func printTable() {
    var table = Table([
      .init("tensor", .left, isName: true), .init("dtype", .left, rank: 2),
      .init("shape", .left, rank: 5), .init("min", .right), .init("max", .right),
      .init("mean", .right, rank: 1), .init("std", .right), .init("zeros", .right, rank: 3),
      .init("NaN", .right, rank: 7), .init("inf", .right, rank: 7),
      .init("overflow", .right, rank: 6), .init("underflow", .right, rank: 4),
    ])
    for (tensor, statistics) in rows {
      table.add(
        [tensor.displayName, tensor.encoding, tensor.shape.description].map { .init($0) }
          + cells(statistics))
    }
    table.addTotal(["total", "", ""] + cells(total))
    Console.print(
      "\(Console.heading(component.name.rawValue)) (\(Console.sanitized(component.path)))\n\(table.text())\n"
    )
  }

  private func cells(_ statistics: TensorStatistics?) -> [Table.Cell] {
    guard let statistics else { return Array(repeating: Table.Cell("?"), count: 9) }
    func number(_ value: Double?) -> Table.Cell {
      .init(value.map { Format.significant($0) } ?? "-")
    }
    func fault(_ count: Int) -> Table.Cell {
      count == 0 ? "0" : Table.Cell(Format.count(count), .warning)
    }
    return [
      number(statistics.minimum), number(statistics.maximum), number(statistics.mean),
      number(statistics.standardDeviation), .init(Format.count(statistics.zeros)),
      fault(statistics.nans), fault(statistics.infinities), fault(statistics.f16Overflows),
      .init(Format.count(statistics.f16Underflows)),
    ]
  }
}

extension TensorStatistics {
  /// Statistics of no values.
  fileprivate static let none = TensorStatistics()
  /// The fields of a tensor whose values cannot be read.
  fileprivate static let unknown = {
    var object = JSONObject()
    for key in none.json.keys { object[key] = .null }
    return object
  }()

  fileprivate var json: JSONObject {
    func number(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
    return [
      "count": .integer(count), "finite": .integer(finite), "min": number(minimum),
      "max": number(maximum), "mean": number(mean), "std": number(standardDeviation),
      "zeros": .integer(zeros), "nan": .integer(nans), "inf": .integer(infinities),
      "f16_overflow": .integer(f16Overflows), "f16_underflow": .integer(f16Underflows),
    ]
  }
}
